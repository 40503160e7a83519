//! A real OpenID provider, Node's `oidc-provider`, with a client that gets tokens by its credentials.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::deadline::wait_until;
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::tool;

/// As in `tests/run` and `tests/providers/oidc/package.json`.
const VERSION: &str = "8.8.1";

/// A running provider. Its client is `shop` with the secret `shop-secret`.
#[derive(Debug)]
pub struct OidcProvider {
    process: Option<Process>,
    port: Port,
    keys: usize,
    scratch: Scratch,
}

/// Where `tests/run` puts it.
fn folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    cache.unwrap_or_else(home).join(format!("ringway/oidc-provider-{VERSION}"))
}

impl OidcProvider {
    /// Starts one with a key of its own.
    #[track_caller]
    pub fn start() -> OidcProvider {
        let mut provider = OidcProvider { process: None, port: Port::new(), keys: 0, scratch: Scratch::new("oidc") };
        provider.rotate();
        provider
    }

    /// Starts it again with another key: what it has signed before is signed by nobody now, and it knows no token any more.
    #[track_caller]
    pub fn rotate(&mut self) {
        self.process = None;
        self.keys += 1;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/oidc/provider.mjs").display().to_string();
        let (folder, keys) = (folder(), self.scratch.join("keys.json").display().to_string());
        assert!(folder.is_dir(), "{} is missing: `tests/run tools` fetches it", folder.display());
        let (folder, port) = (folder.display().to_string(), self.port.number().to_string());
        let arguments = [&*script, &folder, &port, &keys, &self.keys.to_string()];
        let log = self.scratch.join("log");
        let mut process = Process::start(Path::new("node"), &arguments, self.scratch.path(), &log);
        wait_until("the provider to listen", || {
            assert!(process.ended().is_none(), "the provider ended: {}", self.scratch.read("log"));
            TcpStream::connect(self.address()).is_ok()
        });
        self.process = Some(process);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A token for `resource`, got by curl: `urn:NAME:jwt|opaque:SECONDS`.
    #[track_caller]
    pub fn token(&self, resource: &str, scope: &str) -> String {
        let fields = format!("grant_type=client_credentials&resource={resource}&scope={scope}");
        let said = self.post("/token", &fields);
        let json: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("no token: {said}"));
        json["access_token"].as_str().unwrap_or_else(|| panic!("no token: {said}")).to_owned()
    }

    /// Takes a token back.
    #[track_caller]
    pub fn revoke(&self, token: &str) {
        self.post("/token/revocation", &format!("token={token}"));
    }

    fn post(&self, path: &str, fields: &str) -> String {
        let url = self.url(path);
        tool::curl(&format!("--user shop:shop-secret --data {fields} {url}")).ok()
    }
}
