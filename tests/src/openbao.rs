//! OpenBao as a real store of secrets, in memory only, with plain HTTP and with TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::deadline::wait_until;
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::tool;

/// As in `tests/run` and `tests/providers/openbao/requirements.txt`.
const VERSION: &str = "2.7.2";

/// Where `tests/run` puts it.
fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache");
    cache.unwrap_or_else(home).join(format!("ringway/openbao-{VERSION}/bao"))
}

/// A store with engines of version 2 at `secret` and of version 1 at `old`, and the role `gateway` at `approle`, which may read what is below
/// `orders` in both.
#[derive(Debug)]
pub struct OpenBao {
    process: Option<Process>,
    /// Plain, with TLS, and among themselves.
    ports: [Port; 3],
    authority: Authority,
    scratch: Scratch,
}

impl OpenBao {
    /// The token that may do everything.
    pub const ROOT: &str = "root-token-of-the-tests";

    /// Starts one.
    #[track_caller]
    pub fn start() -> OpenBao {
        let (ports, authority) = ([Port::new(), Port::new(), Port::new()], Authority::new());
        authority.sign("localhost");
        let mut store = OpenBao { process: None, ports, authority, scratch: Scratch::new("openbao") };
        store.restart();
        store
    }

    /// Starts it again, with nothing but engines and role.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process = None;
        let tls = json!({
            "address": format!("127.0.0.1:{}", self.ports[1].number()),
            "cluster_address": format!("127.0.0.1:{}", self.ports[2].number()),
            "tls_cert_file": self.authority.path("localhost.pem"),
            "tls_key_file": self.authority.path("localhost.key"),
        });
        let conf = self.scratch.write("bao.json", &json!({ "listener": [{ "tcp": tls }] }).to_string());
        let program = program();
        assert!(program.is_file(), "{} is missing: `tests/run tools` fetches it", program.display());
        let (conf, token) = (format!("-config={}", conf.display()), format!("-dev-root-token-id={}", OpenBao::ROOT));
        let listen = format!("-dev-listen-address={}", self.address());
        let arguments = ["server", "-dev", "-dev-no-store-token", &token, &listen, &conf];
        let log = self.scratch.join("log");
        let folder = self.scratch.path().display().to_string();
        let mut process = Process::start_with(&program, &arguments, self.scratch.path(), &log, &[("HOME", &folder)]);
        wait_until("OpenBao to listen", || {
            assert!(process.ended().is_none(), "OpenBao ended: {}", self.scratch.read("log"));
            TcpStream::connect(self.address()).is_ok() && self.ask("GET", "sys/health", &Value::Null).0 == 200
        });
        self.process = Some(process);
        self.told("POST", "sys/mounts/old", &json!({ "type": "kv", "options": { "version": "1" } }));
        self.told("POST", "sys/auth/approle", &json!({ "type": "approle" }));
        let policy =
            r#"path "secret/data/orders*" { capabilities = ["read"] } path "old/orders*" { capabilities = ["read"] }"#;
        self.told("POST", "sys/policies/acl/orders", &json!({ "policy": policy }));
        self.told("POST", "auth/approle/role/gateway", &json!({ "token_policies": "orders" }));
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Where it speaks plain HTTP.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[0].number()))
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it speaks TLS, with a certificate for `localhost`.
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.ports[1].number())
    }

    /// PEM file of whom signed that certificate.
    pub fn ca(&self) -> String {
        self.authority.path("ca.pem")
    }

    /// Role id, and a new secret id, of the role `gateway`.
    #[track_caller]
    pub fn role(&self) -> (String, String) {
        let text = |value: Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let role = text(self.told("GET", "auth/approle/role/gateway/role-id", &Value::Null), "/data/role_id");
        let secret = text(self.told("POST", "auth/approle/role/gateway/secret-id", &json!({})), "/data/secret_id");
        (role.expect("a role id"), secret.expect("a secret id"))
    }

    /// Asks, and fails unless it does as it is asked.
    #[track_caller]
    pub fn told(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(method, path, body);
        assert!(status == 200 || status == 204, "{method} {path}: {status} {answer}");
        answer
    }

    /// Asks; status and answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (token, url) = (format!("X-Vault-Token: {}", OpenBao::ROOT), format!("{}/v1/{path}", self.url()));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let fixed = ["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"];
        let said = tool::run("curl", fixed.into_iter().chain(["-X", method, "-H", &token, "--data", &body, &url]));
        let (answer, status) = said.out.rsplit_once('\n').unwrap_or_default();
        (status.parse().unwrap_or_default(), serde_json::from_str(answer).unwrap_or_default())
    }
}
