//! What providers answer.

use std::path::{Component, Path, PathBuf};

use super::Wrong;
use super::reference::Reference;
use crate::definition::{Format, documents};
use crate::names;
use crate::node::{Node, Source, Value};
use crate::settings::{SecretProvider, SecretProviderType};
use crate::substitute::{Environment, without_line_end};

/// A value, and the file that it was read from.
pub(super) type Answer = (Result<String, Wrong>, Option<PathBuf>);

/// Asks a provider for a secret.
pub(super) fn read(provider: &SecretProvider, reference: &Reference, environment: &dyn Environment) -> Answer {
    let (value, file) = match provider.kind {
        SecretProviderType::Environment => (variable(provider, reference, environment), None),
        _ => match place(provider, reference) {
            Ok((file, key)) => (text(&file, key, reference, environment), Some(file)),
            Err(wrong) => (Err(wrong), None),
        },
    };
    (value.and_then(|value| not_empty(value, reference)), file)
}

/// A secret of what a store said.
pub(super) fn entry(said: &Result<Option<super::SecretTable>, String>, reference: &Reference) -> Result<String, Wrong> {
    let wrong = |what: &str| Err((format!("{reference} {what}"), None));
    let table = match said {
        Ok(Some(table)) => table,
        Ok(None) => return wrong("is not there: the store has nothing at this path"),
        Err(error) => return wrong(&format!("cannot be read: {error}")),
    };
    let Some(key) = &reference.key else { return wrong("has no key, which tells the value that is meant") };
    match table.iter().find(|(known, _)| known == key) {
        Some((_, Some(value))) => not_empty(value.expose().to_owned(), reference),
        Some((_, None)) => wrong("is no text"),
        None => {
            let near = names::nearest(key, table.iter().map(|(known, _)| known.as_str()));
            let message = format!("{reference} is not there: the path has no such key");
            Err((message, near.map(|near| format!("did you mean `{near}`?"))))
        }
    }
}

fn not_empty(value: String, reference: &Reference) -> Result<String, Wrong> {
    if value.is_empty() { Err((format!("{reference} is empty"), None)) } else { Ok(value) }
}

fn variable(provider: &SecretProvider, reference: &Reference, environment: &dyn Environment) -> Result<String, Wrong> {
    if reference.key.is_some() {
        return Err((format!("{reference} cannot have a key: a variable is one value"), None));
    }
    let name = format!("{}{}", provider.prefix, reference.path);
    // Some names make the standard library panic.
    let value = if name.contains(['=', '\0']) { None } else { environment.variable(&name) };
    value.ok_or_else(|| {
        let message = format!("{reference} is not there: no environment variable `{}` is set", name.escape_debug());
        (message, None)
    })
}

/// The file of a secret, and the key that is looked for in it. By its name a file is a table of keys, or one secret: so what is read does not
/// change with what else lies in the folder.
fn place<'r>(provider: &SecretProvider, reference: &'r Reference) -> Result<(PathBuf, Option<&'r str>), Wrong> {
    let folder = provider.path.as_deref().unwrap_or(Path::new(""));
    let mut name = PathBuf::from(&reference.path);
    let mut key = reference.key.as_deref();
    if let Some(file) = key.filter(|_| Table::of(&name).is_none()) {
        name.push(file);
        key = None;
    }
    if name.components().any(|part| !matches!(part, Component::Normal(_))) || name.as_os_str().is_empty() {
        return Err((format!("{reference} is outside of its folder"), None));
    }
    Ok((folder.join(name), key))
}

fn text(file: &Path, key: Option<&str>, reference: &Reference, environment: &dyn Environment) -> Result<String, Wrong> {
    let text = environment
        .file(file)
        .map_err(|error| (format!("{reference} cannot be read: {}: {error}", file.display()), None))?;
    let (Some(key), Some(table)) = (key, Table::of(file)) else { return Ok(without_line_end(&text).to_owned()) };
    let entries = table.entries(&text).ok_or_else(|| {
        let message = format!("{reference} cannot be read: {} is no table of keys and texts", file.display());
        (message, None)
    })?;
    let known = entries.iter().position(|(known, _)| known == key);
    match known.and_then(|at| entries.into_iter().nth(at)) {
        Some((_, Some(value))) => Ok(value),
        Some((_, None)) => Err((format!("{reference} is no text"), None)),
        None => Err((format!("{reference} is not there: {} has no such key", file.display()), None)),
    }
}

/// A file of keys and their values.
#[derive(Clone, Copy)]
enum Table {
    Nodes(Format),
    Properties,
}

impl Table {
    fn of(file: &Path) -> Option<Self> {
        let is_properties =
            file.extension().is_some_and(|extension| names::same(&extension.to_string_lossy(), "properties"));
        if is_properties { Some(Self::Properties) } else { Format::of(file).map(Self::Nodes) }
    }

    /// Keys, and their values if they are texts.
    fn entries(self, text: &str) -> Option<Vec<(String, Option<String>)>> {
        match self {
            Self::Properties => Some(properties(text)),
            Self::Nodes(format) => {
                // What is wrong with it may quote it.
                let document = documents(&Source::new("", text), format).ok()?.into_iter().next()?;
                let Value::Map(entries) = document.value else { return None };
                Some(entries.into_iter().map(|entry| (entry.key, scalar(&entry.value))).collect())
            }
        }
    }
}

fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.text().to_owned()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Lines `key=value` and `key: value`; those that begin with `#` or `!` are comments.
fn properties(text: &str) -> Vec<(String, Option<String>)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!']));
    let entry = |line: &str| {
        let (key, value) = line.split_once(['=', ':'])?;
        Some((key.trim_end().to_owned(), Some(value.trim_start().to_owned())))
    };
    lines.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Fixed;

    impl Environment for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "RW_KEY" => Some("of-the-environment".into()),
                "RW_EMPTY" => Some(String::new()),
                _ => None,
            }
        }

        fn file(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("/run/orders/password") => Ok("of-a-file\n".into()),
                Some("/run/all.json") => Ok(r#"{"a": "of-json", "n": 7, "m": {}}"#.into()),
                Some("/run/all.yaml") => Ok("a: of-yaml\nt: true\n".into()),
                Some("/run/all.properties") => Ok("# a=b\na = of = properties\nc:d\n".into()),
                Some("/run/bad.json") => Ok("{s3cret".into()),
                _ => Err(io::Error::other("no such file")),
            }
        }
    }

    fn asked(name: &str) -> (Result<String, String>, Option<PathBuf>) {
        let reference = Reference::parse(name, None).unwrap();
        let provider = SecretProvider {
            id: reference.provider.clone(),
            kind: if reference.provider == "env" {
                SecretProviderType::Environment
            } else {
                SecretProviderType::Directory
            },
            prefix: "RW_".into(),
            path: Some("/run".into()),
            vault: None,
        };
        let (value, file) = read(&provider, &reference, &Fixed);
        (value.map_err(|(message, _)| message), file)
    }

    #[test]
    fn a_secret_is_a_variable_a_file_or_an_entry_of_a_file() {
        for (name, wanted, file) in [
            ("/env/KEY", "of-the-environment", None),
            ("/dir/orders/password", "of-a-file", Some("/run/orders/password")),
            ("/dir/orders:password", "of-a-file", Some("/run/orders/password")),
            ("/dir/all.json:a", "of-json", Some("/run/all.json")),
            ("/dir/all.json:n", "7", Some("/run/all.json")),
            ("/dir/all.yaml:a", "of-yaml", Some("/run/all.yaml")),
            ("/dir/all.yaml:t", "true", Some("/run/all.yaml")),
            ("/dir/all.properties:a", "of = properties", Some("/run/all.properties")),
            ("/dir/all.properties:c", "d", Some("/run/all.properties")),
            ("/dir/all.yaml", "a: of-yaml\nt: true", Some("/run/all.yaml")),
        ] {
            assert_eq!(asked(name), (Ok(wanted.to_owned()), file.map(PathBuf::from)), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_quoted() {
        for (name, wanted) in [
            (
                "/env/NONE",
                "the secret `NONE` of the provider `env` is not there: no environment variable `RW_NONE` is set",
            ),
            (
                "/env/A=B",
                "the secret `A=B` of the provider `env` is not there: no environment variable `RW_A=B` is set",
            ),
            ("/env/EMPTY", "the secret `EMPTY` of the provider `env` is empty"),
            ("/env/KEY:a", "the secret `KEY:a` of the provider `env` cannot have a key: a variable is one value"),
            ("/dir/none", "the secret `none` of the provider `dir` cannot be read: /run/none: no such file"),
            ("/dir/../etc/shadow", "the secret `../etc/shadow` of the provider `dir` is outside of its folder"),
            ("/dir//etc/shadow", "the secret `/etc/shadow` of the provider `dir` is outside of its folder"),
            ("/dir/a:../../b", "the secret `a:../../b` of the provider `dir` is outside of its folder"),
            (
                "/dir/all.json:b",
                "the secret `all.json:b` of the provider `dir` is not there: /run/all.json has no such key",
            ),
            ("/dir/all.json:m", "the secret `all.json:m` of the provider `dir` is no text"),
            (
                "/dir/bad.json:a",
                "the secret `bad.json:a` of the provider `dir` cannot be read: /run/bad.json is no table of keys and texts",
            ),
        ] {
            assert_eq!(asked(name).0, Err(wanted.to_owned()), "{name}");
        }
        assert_eq!(asked("/dir/none").1, Some(PathBuf::from("/run/none")), "it may come: it is watched");
    }
}
