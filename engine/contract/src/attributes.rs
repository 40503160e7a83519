//! Context attributes of an exchange: what guards and policies tell each other, and what expressions read.

use std::borrow::Cow;

use ringway_expression::Value;

/// Prefix of the reference product's attribute names; a name is the same attribute with and without it.
pub const PREFIX: &str = "gravitee.attribute.";

/// A small ordered map. Exchanges carry few attributes, so a scan beats hashing; constants are kept without allocating.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    entries: Vec<(Cow<'static, str>, Stored)>,
}

#[derive(Clone, Debug)]
enum Stored {
    Text(Cow<'static, str>),
    Json(Value<'static>),
}

impl Attributes {
    /// The text of `name`, given with or without [`PREFIX`]; `None` where it is no text.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.find(name)? {
            Stored::Text(text) => Some(text),
            Stored::Json(_) => None,
        }
    }

    /// What expressions see of `name`, given with or without [`PREFIX`].
    pub fn value(&self, name: &str) -> Option<Value<'_>> {
        Some(match self.find(name)? {
            Stored::Text(text) => Value::text(text),
            Stored::Json(value) => value.clone(),
        })
    }

    fn find(&self, name: &str) -> Option<&Stored> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        self.entries.iter().find(|(key, _)| key == name).map(|(_, stored)| stored)
    }

    /// Sets `name` to `value`.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) {
        self.store(name.into(), Stored::Text(value.into()));
    }

    /// Sets `name` to a value of several parts, such as the claims of a token. Lists and maps are shared, so that this costs no copy.
    pub fn set_json(&mut self, name: impl Into<Cow<'static, str>>, value: Value<'static>) {
        self.store(name.into(), Stored::Json(value));
    }

    fn store(&mut self, name: Cow<'static, str>, stored: Stored) {
        let name = short(name);
        match self.entries.iter_mut().find(|(key, _)| *key == name) {
            Some(entry) => entry.1 = stored,
            None => self.entries.push((name, stored)),
        }
    }

    /// Forgets `name`, given with or without [`PREFIX`].
    pub fn remove(&mut self, name: &str) {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        self.entries.retain(|(key, _)| key != name);
    }

    /// Forgets everything, keeps the room.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The short names of all attributes, in the order in which they were first set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| &**key)
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
        assert_eq!(attributes.names().collect::<Vec<_>>(), ["plan"]);
        attributes.remove("gravitee.attribute.plan");
        assert_eq!(attributes.get("plan"), None);
    }

    #[test]
    fn a_value_of_several_parts_is_no_text() {
        let mut attributes = Attributes::default();
        let claims = Value::Map([("sub".into(), Value::text("ada"))].into());
        attributes.set_json("jwt.claims", claims.clone());
        assert_eq!(attributes.value("gravitee.attribute.jwt.claims"), Some(claims));
        assert_eq!(attributes.get("jwt.claims"), None);
        attributes.set("jwt.claims", "none");
        assert_eq!(attributes.value("jwt.claims"), Some(Value::text("none")));
    }
}
