//! What shows only where a gateway would run: files that are not there, a log filter that is none, certificates that are none.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::load::Loaded;
use crate::node::Node;
use crate::problem::Problem;
use crate::secrets::OpenStore;
use crate::settings::Settings;
use crate::settings_file::relocated;
use crate::walk::places;

/// How settings are tried out: by those who will use them, because this crate knows neither logs nor TLS.
#[derive(Clone, Copy)]
pub struct Premises {
    /// What is wrong with `logging.level`, if something is.
    pub level: fn(&str) -> Option<String>,
    /// What is wrong with the TLS of servers: their index, and what it is. Asked only of settings without an error.
    pub servers: fn(&Settings) -> Vec<(usize, String)>,
    /// How a store of secrets is asked that is elsewhere.
    pub store: OpenStore,
}

/// Where the settings name files that the gateway needs.
const FILES: [&str; 6] = [
    "servers[*].tls.certificates[*].cert",
    "servers[*].tls.certificates[*].key",
    "servers[*].tls.certificates[*].pkcs12",
    "servers[*].tls.clientCa",
    "ratelimit.redis.tls.ca",
    "secrets[*].vault.ca",
];

impl Premises {
    /// Looks at what the settings in `node` say, as far as it can be read; `settings` are theirs if they have no error.
    pub(crate) fn look(&self, node: &Node, settings: Option<&Settings>, folder: &Path, loaded: &mut Loaded) {
        let mut problems = Vec::new();
        for place in places(node, "logging.level") {
            if let Some(message) = place.node.as_text().and_then(self.level) {
                problems.push(Problem::error(&place.node.span, place.pointer, message));
            }
        }
        for place in FILES.iter().flat_map(|pattern| places(node, pattern)) {
            let Some(path) = place.node.as_text().map(|path| relocated(Path::new(path), folder)) else { continue };
            if let Err(error) = open(&path) {
                let message = format!("{} cannot be read: {error}", path.display());
                problems.push(Problem::error(&place.node.span, place.pointer, message));
            }
            loaded.files.push(path);
        }
        for (at, message) in settings.map(self.servers).unwrap_or_default() {
            let pointer = format!("servers[{at}].tls");
            // A file that is missing was named more precisely.
            if problems.iter().any(|problem| problem.pointer.starts_with(&pointer)) {
                continue;
            }
            let item = node.field("servers").and_then(|servers| servers.items().get(at));
            let place = item.and_then(|item| item.field("tls")).unwrap_or(node);
            problems.push(Problem::error(&place.span, pointer, message));
        }
        loaded.problems.extend(problems);
    }
}

fn open(path: &Path) -> io::Result<()> {
    match File::open(path)?.metadata()?.is_dir() {
        true => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        false => Ok(()),
    }
}
