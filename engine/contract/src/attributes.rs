//! Context attributes of an exchange: what guards and policies tell each other, and what expressions read.

use std::borrow::Cow;

/// Prefix of the reference product's attribute names; a name is the same attribute with and without it.
pub const PREFIX: &str = "gravitee.attribute.";

/// A small ordered map. Exchanges carry few attributes, so a scan beats hashing; constants are kept without allocating.
#[derive(Debug, Default)]
pub struct Attributes {
    entries: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl Attributes {
    /// The value of `name`, given with or without [`PREFIX`].
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Sets `name` to `value`.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) {
        let name = short(name.into());
        match self.entries.iter_mut().find(|(key, _)| *key == name) {
            Some(entry) => entry.1 = value.into(),
            None => self.entries.push((name, value.into())),
        }
    }

    /// Forgets everything, keeps the room.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// All attributes, by their short names, in the order in which they were first set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (&**key, &**value))
    }
}

fn short(name: Cow<'static, str>) -> Cow<'static, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix(PREFIX).unwrap_or(name)),
        Cow::Owned(name) => match name.strip_prefix(PREFIX) {
            Some(short) => Cow::Owned(short.to_owned()),
            None => Cow::Owned(name),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_with_and_without_the_prefix() {
        let mut attributes = Attributes::default();
        attributes.set("gravitee.attribute.plan", "gold");
        attributes.set(String::from("gravitee.attribute.plan"), "silver");
        assert_eq!(attributes.get("gravitee.attribute.plan"), Some("silver"));
        assert_eq!(attributes.iter().collect::<Vec<_>>(), [("plan", "silver")]);
    }
}
