//! Secrets: read when settings and definitions are, and put in the place of what names them.
//!
//! From then on a text with a secret in it is one that was substituted: never shown, part of what makes an API another one when
//! it changes, and read again with every load.

mod hidden;
mod provider;
mod reference;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ringway_expression::secrets::resolve;

pub use self::hidden::Hidden;
use self::reference::Reference;
use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::settings::{Secret, SecretProvider, SecretProviderType, Vault};
use crate::settings_file::relocated;
use crate::substitute::Environment;
use crate::{check, common, decode, names, walk};

/// A message and a hint.
type Wrong = (String, Option<String>);

/// What a value of settings begins with that names a secret.
const SCHEME: &str = "secret://";

/// Stands for a secret that is not known, so that everything else can be checked.
const PLACEHOLDER: &str = "secret";

/// The providers, and what they said in one load.
pub(crate) struct Secrets<'e> {
    environment: &'e dyn Environment,
    /// `None`: not known, as where definitions are checked alone. No secret can be missing then.
    providers: Option<Vec<SecretProvider>>,
    values: HashMap<Reference, Secret>,
    /// Files that were looked for: what to watch.
    pub(crate) files: Vec<PathBuf>,
    open: Option<OpenStore>,
    /// By the ids of their providers.
    stores: HashMap<String, Box<dyn SecretStore>>,
    /// What the stores said of a path: it is asked for once, whatever came of it.
    tables: HashMap<(String, String), Result<Option<SecretTable>, String>>,
}

/// Keys, and their values if they are texts.
pub type SecretTable = Vec<(String, Option<Secret>)>;

/// A store that is asked over the network, for the time of one load.
pub trait SecretStore {
    /// What it has at a path; `None`: nothing.
    ///
    /// # Errors
    /// Why it cannot be told.
    fn read(&mut self, path: &str) -> Result<Option<SecretTable>, String>;
}

/// Makes a store, and asks it nothing yet: this crate knows no network.
pub type OpenStore = fn(&Vault) -> Box<dyn SecretStore>;

impl<'e> Secrets<'e> {
    /// Those of providers that are known, or not known yet.
    pub(crate) fn new(environment: &'e dyn Environment, providers: Option<Vec<SecretProvider>>) -> Self {
        Self {
            environment,
            providers,
            values: HashMap::new(),
            files: Vec::new(),
            open: None,
            stores: HashMap::new(),
            tables: HashMap::new(),
        }
    }

    /// With stores that are asked over the network.
    pub(crate) fn opened_by(self, open: Option<OpenStore>) -> Self {
        Self { open, ..self }
    }

    /// Learns the providers.
    pub(crate) fn providers(&mut self, providers: Vec<SecretProvider>) {
        self.providers = Some(providers);
    }

    /// Learns the providers of settings, if what these say of them can be read. `folder` is that of the settings.
    pub(crate) fn learn(&mut self, settings: &Node, folder: &Path) {
        self.providers = match settings.field("secrets") {
            None => Some(Vec::new()),
            Some(node) if check::check::<Vec<SecretProvider>>(node).iter().any(Problem::is_error) => None,
            Some(node) => decode::read::<Vec<SecretProvider>>(node).ok(),
        };
        self.providers.iter_mut().flatten().for_each(|provider| relocate(provider, folder));
    }

    /// What was read, for those who must not show it.
    pub(crate) fn hidden(&self) -> Hidden {
        Hidden::of(self.values.values())
    }

    /// Puts secrets in the place of `#secrets.get(…)` in the texts of a document.
    pub(crate) fn expressions(&mut self, document: &mut Node, pointer: &str, problems: &mut Vec<Problem>) {
        walk::texts(document, &mut pointer.to_owned(), &mut |node, pointer| {
            let Value::String(text) = &node.value else { return };
            if !text.contains("secrets") {
                return;
            }
            let read = |name: &str, key: Option<&str>| -> Result<String, Wrong> {
                let read = Reference::parse(name, key).and_then(|reference| self.read(&reference));
                Ok(read.unwrap_or_else(|wrong| {
                    problems.push(told(node, pointer, wrong));
                    PLACEHOLDER.to_owned()
                }))
            };
            let Ok(Some(resolved)) = resolve(text, read) else { return };
            if resolved.opens {
                problems.push(told(node, pointer, opening()));
            }
            node.value = Value::String(if resolved.opens { PLACEHOLDER.to_owned() } else { resolved.text });
            node.substituted = true;
        });
    }

    /// Puts secrets in the place of `secret://…` in settings, and of `#secrets.get(…)` in what they say for APIs to have in common.
    pub(crate) fn settings(&mut self, settings: &mut Node, problems: &mut Vec<Problem>) {
        let Value::Map(entries) = &mut settings.value else { return };
        for entry in entries.iter_mut().filter(|entry| entry.key != "secrets") {
            let is_common = common::FIELDS.contains(&entry.key.as_str());
            walk::texts(&mut entry.value, &mut entry.key.clone(), &mut |node, pointer| {
                let Some(name) = node.as_str().and_then(|text| text.strip_prefix(SCHEME)) else { return };
                let value = Reference::parse(name, None).and_then(|reference| self.read(&reference));
                // Texts of policies are compiled.
                let opens = |value: &String| is_common && ["{#", "{(", "{T("].iter().any(|begin| value.contains(begin));
                let value = value.and_then(|value| if opens(&value) { Err(opening()) } else { Ok(value) });
                let value = value.unwrap_or_else(|wrong| {
                    problems.push(told(node, pointer, wrong));
                    PLACEHOLDER.to_owned()
                });
                node.value = Value::String(value);
                node.substituted = true;
            });
            if is_common {
                self.expressions(&mut entry.value, &entry.key, problems);
            }
        }
    }

    fn read(&mut self, reference: &Reference) -> Result<String, Wrong> {
        let Some(providers) = &self.providers else { return Ok(PLACEHOLDER.to_owned()) };
        let Some(provider) = providers.iter().find(|provider| provider.id == reference.provider) else {
            return Err(unknown(reference, providers));
        };
        if let Some(value) = self.values.get(reference) {
            return Ok(value.expose().to_owned());
        }
        let (value, file) = match &provider.vault {
            Some(vault) => {
                let at = (provider.id.clone(), reference.path.clone());
                let table = self.tables.entry(at).or_insert_with(|| {
                    let open = self.open.ok_or("no store is asked here")?;
                    let store = self.stores.entry(provider.id.clone()).or_insert_with(|| open(vault));
                    store.read(&reference.path)
                });
                (provider::entry(table, reference), None)
            }
            None => provider::read(provider, reference, self.environment),
        };
        self.files.extend(file.filter(|_| reference.is_watched));
        if let Ok(value) = &value {
            self.values.insert(reference.clone(), Secret::from(value.as_str()));
        }
        value
    }
}

fn unknown(reference: &Reference, providers: &[SecretProvider]) -> Wrong {
    let known = || providers.iter().map(|provider| provider.id.as_str());
    let hint = match names::nearest(&reference.provider, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if providers.is_empty() => "`secrets` of ringway.yaml names providers".to_owned(),
        None => format!("known are {}", known().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")),
    };
    let Reference { provider, .. } = reference;
    (format!("{reference} cannot be read: there is no provider `{}`", provider.escape_debug()), Some(hint))
}

fn opening() -> Wrong {
    ("the value of the secret has `{#`, `{(` or `{T(` in it, and would be taken for an expression".to_owned(), None)
}

fn told(node: &Node, pointer: &str, (message, hint): Wrong) -> Problem {
    Problem::error(&node.span, pointer, message).maybe_hint(hint)
}

/// Makes the path of a provider relative to the folder of the settings.
pub(crate) fn relocate(provider: &mut SecretProvider, folder: &Path) {
    let ca = provider.vault.iter_mut().filter_map(|vault| vault.ca.as_mut());
    provider.path.iter_mut().chain(ca).for_each(|path| *path = relocated(path, folder));
}

/// What the schema of providers cannot say.
pub(crate) fn rules(providers: &[SecretProvider], node: &Node, problems: &mut Vec<Problem>) {
    let items = node.field("secrets").map(Node::items).unwrap_or_default();
    for (at, (provider, item)) in providers.iter().zip(items).enumerate() {
        let mut wrong = |field: &str, message: String| {
            let span = item.field(field).map_or(&item.span, |field| &field.span);
            problems.push(Problem::error(span, format!("secrets[{at}].{field}"), message));
        };
        if provider.id.contains(['/', ':', '?']) {
            wrong("id", "an id has no `/`, `:` or `?`: names of secrets have them behind it".to_owned());
        }
        if providers.iter().take(at).any(|other| other.id == provider.id) {
            wrong("id", format!("another provider is called `{}`, too", provider.id));
        }
        for (field, kind) in OWN {
            if item.field(field).is_some() && kind != provider.kind {
                let name = name_of(provider.kind);
                wrong(field, format!("a provider of type `{name}` has no `{field}`"));
            } else if item.field(field).is_none() && kind == provider.kind && field != "prefix" {
                let name = name_of(kind);
                wrong(field, format!("`{field}` is missing: a provider of type `{name}` needs it"));
            }
        }
        let Some((vault, item)) = provider.vault.as_ref().zip(item.field("vault")) else { continue };
        let mut wrong = |field: &str, message: &str| {
            let span = item.field(field).map_or(&item.span, |field| &field.span);
            problems.push(Problem::error(span, format!("secrets[{at}].vault.{field}"), message));
        };
        if !["http://", "https://"].iter().any(|scheme| vault.url.starts_with(scheme)) {
            wrong("url", "begins neither with `http://` nor with `https://`");
        }
        match (&vault.token, &vault.app_role) {
            (None, None) => wrong("token", "`token` is missing, or `appRole`"),
            (Some(_), Some(_)) => wrong("appRole", "`token` stands for the same"),
            _ => {}
        }
    }
}

/// What providers of one type alone have.
const OWN: [(&str, SecretProviderType); 3] = [
    ("prefix", SecretProviderType::Environment),
    ("path", SecretProviderType::Directory),
    ("vault", SecretProviderType::Vault),
];

fn name_of(kind: SecretProviderType) -> &'static str {
    match kind {
        SecretProviderType::Environment => "environment",
        SecretProviderType::Directory => "directory",
        SecretProviderType::Vault => "vault",
    }
}
