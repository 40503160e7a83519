//! What comes before the first request of a connection: the PROXY protocol header of a balancer, and the TLS handshake.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use ringway_contract::Certificate;
use ringway_net::{HandshakeLimits, ServerTls, Stream};
use ringway_wire::proxy_protocol::{self, Header};

use crate::connection::Connection;
use crate::local::Local;

/// Reads the PROXY header and shakes hands. `None`: the connection is closed.
pub async fn welcome(
    local: &Rc<Local>,
    mut connection: Box<Connection>,
    proxy_protocol: bool,
    tls: Option<Arc<ServerTls>>,
) -> Option<Box<Connection>> {
    let mut early = BytesMut::new();
    if proxy_protocol {
        connection.timer.arm(local.site().timeouts.client_header);
        let announced = connection.timer.guard(announced(&connection, &mut early)).await;
        connection.timer.disarm();
        if let Some(source) = announced.ok()?? {
            connection.client.address = Some(source);
        }
    }
    if let Some(tls) = tls {
        let limits = HandshakeLimits { timeout: local.site().timeouts.tls_handshake, ..HandshakeLimits::default() };
        let stream = connection.stream;
        match stream.accept_tls(&tls, &early, limits).await {
            Ok(stream) => {
                local.counters.tls_handshakes.bump();
                if stream.tls().is_some_and(|tls| tls.resumed) {
                    local.counters.tls_resumed.bump();
                }
                connection.stream = stream;
                connection.client.tls = true;
                connection.client.certificate = certificate(&connection.stream);
            }
            Err(_) => {
                local.counters.tls_failures.bump();
                return None;
            }
        }
    } else if !early.is_empty() {
        connection.early = Some(Box::new(early));
    }
    Some(connection)
}

/// The certificate that the client showed.
fn certificate(stream: &Stream) -> Option<Rc<Certificate>> {
    let der = stream.tls()?.peer_certificates.first()?;
    Some(Rc::new(Certificate { der: der.to_vec().into() }))
}

/// The client that the balancer announces; the inner `None` when it speaks for itself. What follows the header stays in `early`.
async fn announced(connection: &Connection, early: &mut BytesMut) -> Option<Option<SocketAddr>> {
    loop {
        match proxy_protocol::parse(early) {
            Ok(Some(Header::Proxied(proxied))) => return Some(Some(proxied.source)),
            Ok(Some(Header::Local)) => return Some(None),
            Ok(None) => {}
            Err(_) => return None,
        }
        early.reserve(512);
        let (read, back) = connection.stream.read(std::mem::take(early)).await;
        *early = back;
        if !read.is_ok_and(|read| read > 0) {
            return None;
        }
    }
}
