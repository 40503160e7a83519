//! The servers of `ringway.yaml`: addresses bound before any shard starts, and their TLS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ringway_config::settings::{
    AccessFormat, ClientAuth as AskFor, Driver, Listen, Server, Settings, TlsVersion as Version,
};
use ringway_net::{
    Address, BoundListener, ClientAuth, DriverChoice, Identity, ListenerOptions, ServerIdentity, ServerTls,
    ServerTlsSpec, TlsVersion, Trust, Vigil,
};

use crate::access_log::Format;
use crate::plane::StartError;
use crate::worker::Opening;

/// The bound servers.
pub struct Servers {
    /// Id of each server and the address that it really listens on.
    pub addresses: Vec<(String, String)>,
    /// Per shard its listeners.
    pub openings: Vec<Vec<Opening>>,
    /// TLS of each server that speaks it, for reloads of certificates.
    pub tls: Vec<(String, Arc<ServerTls>)>,
}

/// By how much longer than `timeouts.clientWriteIdle` the kernel waits for a client that acknowledges nothing.
const UNACKNOWLEDGED_MORE: Duration = Duration::from_secs(60);

/// Binds every server once per shard.
///
/// # Errors
/// An address cannot be bound, or a certificate cannot be read; says which server.
pub fn bind(settings: &Settings, shards: usize) -> Result<Servers, StartError> {
    let mut servers =
        Servers { addresses: Vec::new(), openings: (0..shards).map(|_| Vec::new()).collect(), tls: Vec::new() };
    for (index, server) in settings.servers.iter().enumerate() {
        let tls = match &server.tls {
            Some(_) => Some(Arc::new(
                ServerTls::new(&tls_spec(server))
                    .map_err(|error| StartError::Snapshot(format!("server `{}`: {error}", server.id)))?,
            )),
            None => None,
        };
        if let Some(tls) = &tls {
            servers.tls.push((server.id.clone(), tls.clone()));
        }
        let mut address = match &server.listen {
            Listen::Tcp(address) => Address::Tcp(*address),
            Listen::Unix(path) => Address::Unix(path.clone()),
        };
        // The kernel's own patience ends well after that of the shards: it is for those whom nobody waits for any more.
        let patience = Duration::from_millis(settings.timeouts.client_write_idle_ms) + UNACKNOWLEDGED_MORE;
        let vigil = Vigil { unacknowledged: Some(patience), ..Vigil::default() };
        let options = ListenerOptions { backlog: server.backlog, vigil, ..ListenerOptions::default() };
        let mut first: Option<BoundListener> = None;
        for openings in &mut servers.openings {
            let what = || format!("server `{}` cannot listen on {address}", server.id);
            let bound = match (&first, &address) {
                // Unix sockets have no SO_REUSEPORT: the shards accept from one queue.
                (Some(first), Address::Unix(_)) => first.try_clone().map_err(StartError::io(what()))?,
                _ => BoundListener::bind(&address, &options).map_err(StartError::io(what()))?,
            };
            if first.is_none() {
                // Port 0 is any free port; the other shards then take the same.
                if let Ok(Some(real)) = bound.local_addr() {
                    address = Address::Tcp(real);
                }
                servers.addresses.push((server.id.clone(), address.to_string()));
                first = Some(bound.try_clone().map_err(StartError::io(format!("server `{}`", server.id)))?);
            }
            openings.push(Opening {
                bound,
                server: index as u16,
                proxy_protocol: server.proxy_protocol,
                tls: tls.clone(),
            });
        }
    }
    Ok(servers)
}

/// What a server's `tls` block asks for.
pub fn tls_spec(server: &Server) -> ServerTlsSpec {
    let Some(tls) = &server.tls else { return ServerTlsSpec::default() };
    let identities = tls.certificates.iter().map(|certificate| {
        let identity = match (&certificate.pkcs12, &certificate.cert, &certificate.key) {
            (Some(path), ..) => Identity::Pkcs12File {
                path: path.clone(),
                password: certificate.password.as_ref().map_or_else(String::new, |secret| secret.expose().to_owned()),
            },
            (None, cert, key) => Identity::PemFiles {
                certificate: cert.clone().unwrap_or_default(),
                key: key.clone().unwrap_or_default(),
            },
        };
        ServerIdentity { identity, names: certificate.names.clone(), default: certificate.default }
    });
    let trust = || tls.client_ca.as_ref().map_or(Trust::System, |path| Trust::PemFiles(vec![path.clone()]));
    ServerTlsSpec {
        identities: identities.collect(),
        client_auth: match tls.client_auth {
            AskFor::None => ClientAuth::None,
            AskFor::Request => ClientAuth::Request(trust()),
            AskFor::Required => ClientAuth::Require(trust()),
        },
        alpn: tls.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect(),
        versions: match tls.min_version {
            Version::V12 => Vec::new(),
            Version::V13 => vec![TlsVersion::V13],
        },
        cipher_suites: tls.cipher_suites.clone(),
    }
}

/// What keeps servers from speaking TLS: their index, and why. Reads their certificates, binds nothing.
pub fn refusals(settings: &Settings) -> Vec<(usize, String)> {
    let servers = settings.servers.iter().enumerate().filter(|(_, server)| server.tls.is_some());
    servers.filter_map(|(at, server)| Some((at, ServerTls::new(&tls_spec(server)).err()?.to_string()))).collect()
}

/// The certificates as they are on disk now, read once to see that they can be.
///
/// # Errors
/// One cannot be read; says which server's.
pub fn certificates<'a>(
    settings: &Settings,
    running: &'a [(String, Arc<ServerTls>)],
) -> Result<Vec<(&'a Arc<ServerTls>, ServerTlsSpec)>, String> {
    let mut read = Vec::new();
    for (id, tls) in running {
        let Some(server) = settings.servers.iter().find(|server| server.id == *id && server.tls.is_some()) else {
            continue;
        };
        let spec = tls_spec(server);
        ServerTls::new(&spec).map_err(|error| format!("server `{id}`: {error}"))?;
        read.push((tls, spec));
    }
    Ok(read)
}

/// Says what a reload cannot change while the process runs.
pub fn warn_of_changes(before: &Settings, after: &Settings) {
    let bound = |settings: &Settings| -> Vec<_> {
        let servers = settings.servers.iter();
        servers.map(|s| (s.id.clone(), s.listen.clone(), s.proxy_protocol, s.tls.is_some())).collect()
    };
    let changes = [
        ("servers", bound(before) != bound(after)),
        ("shards", before.shards != after.shards),
        ("driver", before.driver != after.driver),
        ("admin", before.admin != after.admin),
        ("ratelimit", before.ratelimit != after.ratelimit),
        ("logging.access", before.logging.access != after.logging.access),
    ];
    for (key, changed) in changes {
        if changed {
            tracing::warn!(key, "this change takes effect with the next start; start a new process beside this one");
        }
    }
}

/// The I/O driver that may be used.
pub fn driver(settings: &Settings) -> DriverChoice {
    match settings.driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::Uring => DriverChoice::Uring,
        Driver::Epoll => DriverChoice::Epoll,
    }
}

/// Format and file of the access log, if it is on; no file is standard output.
pub fn access_log(settings: &Settings) -> Option<(Format, Option<PathBuf>)> {
    let access = &settings.logging.access;
    let format = match access.format {
        AccessFormat::Json => Format::Json,
        AccessFormat::Common => Format::Common,
    };
    access.enabled.then(|| (format, access.file().map(PathBuf::from)))
}
