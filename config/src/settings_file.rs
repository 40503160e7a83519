//! `ringway.yaml` from file to settings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::definition::{Format, documents};
use crate::files;
use crate::load::Loaded;
use crate::node::{Node, Source, Value};
use crate::problem::Problem;
use crate::secrets::{self, Secrets};
use crate::settings::{Certificate, ClientAuth, Listen, Settings};
use crate::substitute::{Environment, Rule, substitute};
use crate::{check, common, decode, legacy, schema};

/// Settings and the tree that they were read from.
#[derive(Debug, Default)]
pub(crate) struct SettingsFile {
    /// The settings. If the file has errors, only its `apis` are as it says, so that the definitions can be checked all the same.
    pub(crate) settings: Settings,
    pub(crate) node: Option<Node>,
    wrong: bool,
}

impl SettingsFile {
    /// Whether the settings are what the file says.
    pub(crate) fn is_sound(&self) -> bool {
        !self.wrong
    }

    fn wrong(apis: Vec<PathBuf>, node: Option<Node>) -> Self {
        // No server is known, so that none can be missing.
        Self { settings: Settings { apis, servers: Vec::new(), ..Settings::default() }, node, wrong: true }
    }
}

/// Reads a settings file. Paths become relative to its folder.
pub(crate) fn read(
    path: &Path,
    environment: &dyn Environment,
    secrets: &mut Secrets<'_>,
    loaded: &mut Loaded,
) -> SettingsFile {
    let name = path.display().to_string();
    let text = match files::read(path) {
        Ok(text) => text,
        Err(error) => {
            loaded.problems.push(Problem::of_file(name, format!("cannot be read: {error}")));
            return SettingsFile::wrong(Vec::new(), None);
        }
    };
    let format = Format::of(path).unwrap_or_else(|| Format::sniff(&text));
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&Source::new(name, text), format, folder, environment, secrets, loaded)
}

/// Reads settings from a text.
pub(crate) fn parse(
    source: &std::sync::Arc<Source>,
    format: Format,
    folder: &Path,
    environment: &dyn Environment,
    secrets: &mut Secrets<'_>,
    loaded: &mut Loaded,
) -> SettingsFile {
    let mut documents = match documents(source, format) {
        Ok(documents) => documents,
        Err(problem) => {
            loaded.problems.push(problem);
            return SettingsFile::wrong(Vec::new(), None);
        }
    };
    let mut node = match (documents.pop(), documents.is_empty()) {
        (None, _) => {
            secrets.providers(Vec::new());
            return SettingsFile::default();
        }
        (Some(node), true) => node,
        (Some(second), false) => {
            let message = "settings are one document: here begins another";
            loaded.problems.push(Problem::error(&second.span, "", message));
            return SettingsFile::wrong(Vec::new(), None);
        }
    };
    let mut problems = Vec::new();
    let outcome = substitute(&mut node, Rule::Strict, folder, environment);
    loaded.files.extend(outcome.files);
    problems.extend(outcome.problems);
    secrets.learn(&node, folder);
    secrets.settings(&mut node, &mut problems);
    legacy::settle_common(&mut node, false, &mut problems);
    problems.extend(check::check::<Settings>(&node));
    let mut settings = None;
    if !problems.iter().any(Problem::is_error) {
        match decode::read::<Settings>(&node) {
            Ok(read) => settings = Some(read),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(settings) = &mut settings {
        rules(settings, &node, &mut problems);
        secrets::rules(&settings.secrets, &node, &mut problems);
        relocate(settings, folder);
    }
    let wrong = problems.iter().any(Problem::is_error);
    loaded.problems.extend(problems);
    match settings.filter(|_| !wrong) {
        Some(settings) => SettingsFile { settings, node: Some(node), wrong: false },
        None => {
            let apis =
                node.field("apis").map_or(&[][..], Node::items).iter().map(|path| path.as_text().unwrap_or_default());
            SettingsFile::wrong(apis.map(|path| relocated(Path::new(path), folder)).collect(), Some(node))
        }
    }
}

/// Whether a file holds settings rather than definitions: by its first keys. A file that cannot be read is neither.
pub(crate) fn looks_like(path: &Path) -> bool {
    let Some(format) = Format::of(path) else { return false };
    let Ok(text) = files::read(path) else { return false };
    let Ok(documents) = documents(&Source::new("", text), format) else { return false };
    let schema = schema::of::<Settings>();
    let Some(known) = schema.get("properties").and_then(serde_json::Value::as_object) else { return false };
    // Some fields may stand in documents beside definitions, too.
    let own = |key: &str| known.contains_key(key) && key != "tags" && !common::FIELDS.contains(&key);
    let of_definitions = ["api", "definitionVersion", "endpointGroups", "gravitee", "listeners", "name", "type"];
    documents.iter().all(|node| {
        let keys = || node.entries().iter().map(|entry| entry.key.as_str());
        matches!(node.value, Value::Map(_)) && keys().any(own) && !keys().any(|key| of_definitions.contains(&key))
    })
}

/// What the schema cannot say.
fn rules(settings: &Settings, node: &Node, problems: &mut Vec<Problem>) {
    let mut ids: HashMap<&str, u32> = HashMap::new();
    let mut addresses: HashMap<String, u32> = HashMap::new();
    let items = node.field("servers").map_or(&[][..], Node::items);
    for (at, (server, item)) in settings.servers.iter().zip(items).enumerate() {
        let place = |field: &str| item.field(field).map_or(&item.span, |node| &node.span);
        if let Some(line) = ids.insert(&server.id, item.span.line) {
            let message = format!("the id `{}` is taken in line {line}", server.id);
            problems.push(Problem::error(place("id"), format!("servers[{at}].id"), message));
        }
        taken(&server.listen, place("listen"), format!("servers[{at}].listen"), &mut addresses, problems);
        let Some((tls, node)) = server.tls.as_ref().zip(item.field("tls")) else { continue };
        let pointer = format!("servers[{at}].tls");
        let certificates = node.field("certificates").map_or(&[][..], Node::items);
        for (index, (certificate, item)) in tls.certificates.iter().zip(certificates).enumerate() {
            if let Some(message) = incomplete(certificate) {
                let pointer = format!("{pointer}.certificates[{index}]");
                problems.push(Problem::error(&item.span, pointer, message).hint("give `cert` and `key`, or `pkcs12`"));
            }
        }
        if tls.client_auth != ClientAuth::None && tls.client_ca.is_none() {
            let span = node.field("clientAuth").map_or(&node.span, |node| &node.span);
            let message = "certificates of clients are asked for, but `clientCa` does not say who signs them";
            problems.push(Problem::error(span, format!("{pointer}.clientAuth"), message));
        }
    }
    if settings.admin.enabled {
        let span = node.field("admin").and_then(|admin| admin.field("listen")).map_or(&node.span, |node| &node.span);
        taken(&settings.admin.listen, span, "admin.listen".to_owned(), &mut addresses, problems);
    }
}

/// Two servers cannot listen on one address; port 0 is another one for each.
fn taken(
    listen: &Listen,
    span: &crate::node::Span,
    pointer: String,
    known: &mut HashMap<String, u32>,
    problems: &mut Vec<Problem>,
) {
    if matches!(listen, Listen::Tcp(address) if address.port() == 0) {
        return;
    }
    if let Some(line) = known.insert(listen.to_string(), span.line) {
        problems.push(Problem::error(span, pointer, format!("`{listen}` is taken in line {line}")));
    }
}

fn incomplete(certificate: &Certificate) -> Option<&'static str> {
    match (&certificate.cert, &certificate.key, &certificate.pkcs12) {
        (Some(_), Some(_), None) | (None, None, Some(_)) => None,
        (Some(_), None, None) => Some("`key` is missing"),
        (None, Some(_), None) => Some("`cert` is missing"),
        (None, None, None) => Some("the certificate is missing"),
        _ => Some("`pkcs12` holds certificate and key: `cert` and `key` stand for the same"),
    }
}

/// A path of a file in `folder`.
pub(crate) fn relocated(path: &Path, folder: &Path) -> PathBuf {
    let path = path.strip_prefix(".").unwrap_or(path);
    match (folder.as_os_str().is_empty(), path.as_os_str().is_empty()) {
        (true, true) => PathBuf::from("."),
        (false, true) => folder.to_owned(),
        _ => folder.join(path),
    }
}

/// Makes the paths of files relative to the folder of the settings.
fn relocate(settings: &mut Settings, folder: &Path) {
    let relocate = |path: &mut PathBuf| *path = relocated(path, folder);
    settings.apis.iter_mut().for_each(relocate);
    for tls in settings.servers.iter_mut().filter_map(|server| server.tls.as_mut()) {
        tls.client_ca.iter_mut().for_each(relocate);
        for certificate in &mut tls.certificates {
            [&mut certificate.cert, &mut certificate.key, &mut certificate.pkcs12]
                .into_iter()
                .flatten()
                .for_each(relocate);
        }
    }
    settings.secrets.iter_mut().for_each(|provider| secrets::relocate(provider, folder));
    let redis = settings.ratelimit.redis.as_mut();
    redis.and_then(|redis| redis.tls.as_mut()).and_then(|tls| tls.ca.as_mut()).into_iter().for_each(relocate);
    if settings.logging.access.file().is_some() {
        settings.logging.access.path =
            relocated(Path::new(&settings.logging.access.path), folder).display().to_string();
    }
}
