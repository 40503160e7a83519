//! What an idle connection weighs: the growth of the proxy's resident memory, divided by the connections that it grew by.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringway_benches::cost;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::case::{Idle, SMALL};
use crate::contender::Contender;
use crate::stage::Stage;

/// Connections opened first, so that what a proxy allocates once is not billed to those that are measured.
const WARM: usize = 200;
/// Exchanges over each of them: queues that are shared by all connections (those of io_uring are 512 KiB) are touched to their end.
const WARM_EXCHANGES: usize = 100;
/// Connections idle for this long before they are weighed.
const REST: Duration = Duration::from_secs(4);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub(crate) fn bytes_per_connection(what: Idle, contender: &Contender, stage: &Stage, count: usize) -> Result<f64> {
    let tls = if what == Idle::Tls { Some(client_config(stage)?) } else { None };
    let mut open = Vec::with_capacity(WARM + count);
    for _ in 0..WARM {
        open.push(connect(what, contender, tls.as_ref())?);
    }
    for _ in 0..WARM_EXCHANGES {
        for stream in &mut open {
            exchange(what, stream.as_mut())?;
        }
    }
    std::thread::park_timeout(REST);
    let before = cost::resident(contender.id())?;
    for _ in 0..count {
        open.push(connect(what, contender, tls.as_ref())?);
    }
    std::thread::park_timeout(REST);
    let after = cost::resident(contender.id())?;
    // They must still be there: a proxy that closed them would look frugal.
    for stream in &mut open {
        exchange(what, stream.as_mut()).context("an idle connection was closed")?;
    }
    Ok(after.saturating_sub(before) as f64 / count as f64)
}

fn connect(what: Idle, contender: &Contender, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(contender.address())?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from("localhost")?;
            Box::new(StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, tcp))
        }
    };
    if what == Idle::WebSocket {
        stream.write_all(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        let head = read_until(stream.as_mut(), |bytes| bytes.ends_with(b"\r\n\r\n"))?;
        ensure!(head.starts_with(b"HTTP/1.1 101"), "no tunnel: {}", String::from_utf8_lossy(&head));
    }
    exchange(what, stream.as_mut())?;
    Ok(stream)
}

/// One small request and its response; on a tunnel one masked frame of two bytes there, and its echo back.
fn exchange(what: Idle, stream: &mut dyn Stream) -> Result<()> {
    if what == Idle::WebSocket {
        let frame = b"\x81\x82\0\0\0\0hi";
        stream.write_all(frame)?;
        read_until(stream, |bytes| bytes.len() >= frame.len())?;
        return Ok(());
    }
    stream.write_all(format!("GET {SMALL} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let response = read_until(stream, |bytes| bytes.ends_with(b"Hello, world\n"))?;
    ensure!(response.starts_with(b"HTTP/1.1 200"), "not a 200: {}", String::from_utf8_lossy(&response));
    Ok(())
}

fn read_until(stream: &mut dyn Stream, whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 2048];
    while !whole(&bytes) {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&buffer[..count]);
    }
    Ok(bytes)
}

fn client_config(stage: &Stage) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(stage.path("ca.pem"))?)?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
