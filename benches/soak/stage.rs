//! The gateway of the soak, and connections to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringway_benches::pin;
use ringway_tests::{Api, Authority, Backend, Gateway};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use crate::backend;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client reads and writes.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

pub(crate) struct Stage {
    pub gateway: Gateway,
    pub tls: Arc<ClientConfig>,
    pub backend: Backend,
    _authority: Authority,
}

impl Stage {
    /// A gateway with further lines of `ringway.yaml`, on a core of its own if that is said: the caller then has core 0.
    pub(crate) fn set(yaml: &str, core: Option<usize>) -> Result<Stage> {
        let (authority, backend) = (Authority::new(), backend::start());
        authority.sign("localhost");
        let folder = authority.folder().display().to_string();
        let servers = format!(
            "servers:\n  - {{ id: http, listen: '{{http}}' }}\n  - id: tls\n    listen: '{{tls}}'\n    tls: {{ certificates: [{{ cert: '{folder}/localhost.pem', key: '{folder}/localhost.key' }}] }}\n"
        );
        let quiet = "logging: { level: warn, access: { enabled: false } }\n";
        core.map_or(Ok(()), pin)?;
        let gateway = Gateway::configured(&format!("{servers}{quiet}{yaml}"), &[api(&backend, 0), faulty(&backend)]);
        core.map_or(Ok(()), |_| pin(0))?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.path("ca.pem"))?)?;
        let tls = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        Ok(Stage { gateway, tls, backend, _authority: authority })
    }

    pub(crate) fn connect(&self, tls: bool) -> Result<Box<dyn Wire>> {
        let tcp = TcpStream::connect(if tls { self.gateway.tls() } else { self.gateway.http() })?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        if !tls {
            return Ok(Box::new(tcp));
        }
        let session = ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("localhost")?)?;
        Ok(Box::new(StreamOwned::new(session, tcp)))
    }
}

/// The API under load, in its `version`th wording: each reload replaces it.
pub(crate) fn api(backend: &Backend, version: usize) -> Api {
    Api::proxy("/api", &backend.target())
        .with("apiVersion", json!(version.to_string()))
        .http("readTimeout", json!(10_000))
        .http("maxConcurrentConnections", json!(200))
}

/// The same backend for those who ask it to stall: it is given up sooner, which on a busy machine would be too soon for the others.
fn faulty(backend: &Backend) -> Api {
    Api::proxy("/faulty", &backend.target())
        .http("readTimeout", json!(1000))
        .http("maxConcurrentConnections", json!(200))
}

/// Reads one response; its status and body.
pub(crate) fn response(wire: &mut dyn Wire) -> Result<(u16, Vec<u8>)> {
    let (head, rest) = head(wire)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).context("a status")?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let lower = head.to_ascii_lowercase();
    let body = match field("Content-Length").or(field("content-length")) {
        Some(length) => exactly(wire, rest, length.parse()?)?,
        None if lower.contains("transfer-encoding: chunked") => until(wire, rest, b"0\r\n\r\n")?,
        None => rest,
    };
    Ok((status, body))
}

pub(crate) fn head(wire: &mut dyn Wire) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes)?, rest));
        }
        let count = wire.read(&mut buffer)?;
        ensure!(count > 0, "closed before a head: {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
}

pub(crate) fn exactly(wire: &mut dyn Wire, mut bytes: Vec<u8>, length: usize) -> Result<Vec<u8>> {
    let had = bytes.len();
    ensure!(had <= length, "{had} bytes of a body of {length}");
    bytes.resize(length, 0);
    wire.read_exact(&mut bytes[had..])?;
    Ok(bytes)
}

fn until(wire: &mut dyn Wire, mut bytes: Vec<u8>, end: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    while !bytes.ends_with(end) {
        let count = wire.read(&mut buffer)?;
        ensure!(count > 0, "closed in a body");
        bytes.extend_from_slice(&buffer[..count]);
    }
    Ok(bytes)
}
