//! How a secret is named: `/provider/path:key?reloadOnChange=true`.

use std::fmt;

use super::Wrong;
use crate::names;

/// What may stand behind the `?`. Values are read again with every load, so none of them is needed; all but the first say what is so anyway.
const OPTIONS: [&str; 2] = ["reloadOnChange", "renewable"];

/// The name of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) provider: String,
    pub(super) path: String,
    pub(super) key: Option<String>,
    /// Whether a change of the secret is a reason to load everything anew.
    pub(super) is_watched: bool,
}

impl Reference {
    /// Reads a name; `key` is the second argument of a call.
    pub(super) fn parse(name: &str, key: Option<&str>) -> Result<Self, Wrong> {
        let wrong = |what: &str| {
            let message = format!("`{}` names no secret: {what}", name.escape_debug());
            Err((message, Some("it is written `/provider/path:key`".to_owned())))
        };
        let (place, query) = name.split_once('?').unwrap_or((name, ""));
        let Some((provider, path)) = place.strip_prefix('/').unwrap_or(place).split_once('/') else {
            return wrong("it has no path behind the provider");
        };
        let (path, own) = path.split_once(':').map_or((path, None), |(path, key)| (path, Some(key)));
        if provider.is_empty() || path.is_empty() || own.or(key).is_some_and(str::is_empty) {
            return wrong("a part of it is empty");
        }
        if own.is_some() && key.is_some() {
            return wrong("its key is told twice");
        }
        let mut reference = Self {
            provider: provider.to_owned(),
            path: path.to_owned(),
            key: own.or(key).map(str::to_owned),
            is_watched: true,
        };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let Ok(is_on) = value.parse::<bool>() else { return wrong("an option is `true` or `false`") };
            match OPTIONS.iter().position(|known| *known == name) {
                Some(0) => reference.is_watched = is_on,
                Some(_) => {}
                None => {
                    let near = names::nearest(name, OPTIONS).map(|near| format!("did you mean `{near}`?"));
                    return Err((format!("a secret has no option `{}`", name.escape_debug()), near));
                }
            }
        }
        Ok(reference)
    }
}

/// For messages: the name says nothing of the value.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret `{}", self.path.escape_debug())?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ":{}", key.escape_debug()))?;
        write!(f, "` of the provider `{}`", self.provider.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_provider_a_path_and_a_key() {
        for (name, key, wanted, is_watched) in [
            ("/files/orders:password", None, "the secret `orders:password` of the provider `files`", true),
            ("files/orders", Some("password"), "the secret `orders:password` of the provider `files`", true),
            ("/files/a/b.json:c:d", None, "the secret `a/b.json:c:d` of the provider `files`", true),
            ("/env/KEY?renewable=true&reloadOnChange=false", None, "the secret `KEY` of the provider `env`", false),
            ("/env/KEY?reloadOnChange=true", None, "the secret `KEY` of the provider `env`", true),
        ] {
            let reference = Reference::parse(name, key).unwrap();
            assert_eq!((reference.to_string().as_str(), reference.is_watched), (wanted, is_watched), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        for (name, key, wanted) in [
            ("password", None, "`password` names no secret: it has no path behind the provider"),
            ("/files", None, "`/files` names no secret: it has no path behind the provider"),
            ("/files/", None, "`/files/` names no secret: a part of it is empty"),
            ("//orders", None, "`//orders` names no secret: a part of it is empty"),
            ("/files/orders:", None, "`/files/orders:` names no secret: a part of it is empty"),
            ("/files/orders:a", Some("b"), "`/files/orders:a` names no secret: its key is told twice"),
            ("/files/orders?renewable=1", None, "`/files/orders?renewable=1` names no secret: an option is `true` or"),
            ("/files/orders?reloadOnChage=true", None, "a secret has no option `reloadOnChage`"),
        ] {
            let (message, hint) = Reference::parse(name, key).unwrap_err();
            assert!(message.starts_with(wanted) && hint.is_some(), "{name}: {message} {hint:?}");
        }
    }
}
