//! One TLS connection: rustls's state, and the windows that it uses while there is something in them.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::parts::Parts;
use super::records::{Connection, FRAGMENT_BYTES, Lent, Want, windows};
use super::window::{BULK_BYTES, RECORD_BYTES, Window};
use super::{Names, TlsVersion};
use crate::shard::Shard;
use crate::socket::Socket;
use crate::stream::Peek;
use crate::write::write_all;

/// What a record adds to its plaintext, rounded up: 5 of header, 8 of nonce, 16 of tag, 1 of type.
const OVERHEAD_BYTES: usize = 64;
/// Full records that one send carries.
const RECORDS_PER_SEND: usize = BULK_BYTES / (FRAGMENT_BYTES + OVERHEAD_BYTES);
/// Reads in a row that bring no plaintext (tickets, key updates, empty records) before the rest of the shard has its
/// turn.
const ROUNDS_MAX: usize = 16;
/// A reader with this much room gets several records from one receive.
const BULK_ROOM_BYTES: usize = 64 * 1024;

/// What bounds a handshake.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeLimits {
    /// The longest that it may take.
    pub timeout: Duration,
    /// Bytes that the peer may send in it.
    pub bytes_max: usize,
}

impl Default for HandshakeLimits {
    /// 10 s and 64 KiB: a certificate chain of five with large keys is 10 KiB.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), bytes_max: 64 * 1024 }
    }
}

/// What a handshake agreed on.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// The name that the client asked for (RFC 6066 section 3). `None` on connections that this side opened.
    pub sni: Option<Box<str>>,
    /// The protocol that was agreed on (RFC 7301).
    pub alpn: Option<Box<[u8]>>,
    /// The version.
    pub version: TlsVersion,
    /// The cipher suite, by its IANA name.
    pub cipher: &'static str,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The peer's chain in DER, its own certificate first. Empty if it sent none.
    pub peer_certificates: Box<[CertificateDer<'static>]>,
    /// What the certificate was picked by, on connections that this side accepted.
    pub(crate) names: Option<Arc<Names>>,
}

impl TlsInfo {
    /// Whether the client asked for one name in the handshake and now wants another one, `host`, which a certificate is for
    /// that it was not shown (RFC 9110 section 7.4). `host` is in lower case.
    ///
    /// A client that asked for no name was not misled by one, and a host that no certificate is for belongs to no other.
    pub fn is_misdirected(&self, host: &str) -> bool {
        match (&self.names, &self.sni) {
            (Some(names), Some(asked)) => !asked.eq_ignore_ascii_case(host) && names.differ(asked, host),
            _ => false,
        }
    }
}

/// A connection after its handshake.
pub(crate) struct Session {
    inner: RefCell<Inner>,
    /// Whether a write is under way. One that was dropped leaves it set: a part of a record may be out, so nothing can
    /// follow.
    writing: Cell<bool>,
    info: TlsInfo,
}

/// Never borrowed across an await.
struct Inner {
    connection: Connection,
    windows: Lent,
    /// The peer's close_notify was read: what came before is all.
    peer_closed: bool,
    /// The socket has ended.
    ended: bool,
    /// There is no complete record in `incoming`.
    starved: bool,
    /// What ended the connection: rustls must not be asked again.
    failed: Option<rustls::Error>,
}

impl Session {
    /// Shakes hands. `early` was read from the socket before (behind a PROXY header).
    pub(crate) async fn handshake(
        socket: &Socket,
        connection: Connection,
        early: &[u8],
        limits: HandshakeLimits,
    ) -> io::Result<Self> {
        let slot = Shard::current().timers.slot();
        slot.arm(limits.timeout);
        slot.guard(Self::shake(socket, connection, early, limits.bytes_max)).await?
    }

    async fn shake(socket: &Socket, connection: Connection, early: &[u8], bytes_max: usize) -> io::Result<Self> {
        let mut inner = Inner {
            connection,
            windows: Lent::default(),
            peer_closed: false,
            ended: false,
            starved: true,
            failed: None,
        };
        let mut received = early.len();
        if !early.is_empty() {
            let mut window =
                windows(|windows| if early.len() > RECORD_BYTES { windows.take_bulk() } else { windows.take_record() });
            if window.append(early) < early.len() {
                return Err(invalid("more was read before the handshake than it may take"));
            }
            inner.windows.incoming = Some(window);
        }
        let mut sni = None;
        loop {
            let driven = inner.drive(Want::Handshake, None);
            // At once: another connection of this shard may be next.
            sni = super::server::take_sni().or(sni);
            // The alert, if it failed: the peer is to know why. That it cannot be told is no news.
            let flushed = inner.flush(socket).await;
            driven.map_err(failed)?;
            flushed?;
            if !inner.common().is_handshaking() {
                break;
            }
            if inner.peer_closed || inner.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed during the TLS handshake"));
            }
            match inner.receive(socket, false)? {
                Some(count) => received += count,
                None => socket.readable().await?,
            }
            if received > bytes_max {
                return Err(invalid("the TLS handshake is too long"));
            }
        }
        let info = inner.info(sni);
        Ok(Self { inner: RefCell::new(inner), writing: Cell::new(false), info })
    }

    /// The same with the names that the certificate was picked by.
    pub(crate) fn named(mut self, names: Arc<Names>) -> Self {
        self.info.names = Some(names);
        self
    }

    pub(crate) fn info(&self) -> &TlsInfo {
        &self.info
    }

    /// Whether a read would not have to wait for the socket.
    pub(crate) fn is_ready(&self) -> bool {
        let inner = self.inner.borrow();
        !inner.windows.plain.is_empty() || !inner.starved || inner.peer_closed || inner.ended || inner.failed.is_some()
    }

    /// Reads what is there. `None` when there is nothing yet.
    pub(crate) fn read_now(&self, socket: &Socket, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut inner = self.inner.borrow_mut();
        let before = buffer.len();
        let bulk = buffer.capacity() - before >= BULK_ROOM_BYTES;
        for _ in 0..ROUNDS_MAX {
            inner.windows.hand_over(buffer);
            if buffer.len() == before
                && let Err(error) = inner.drive(Want::Plaintext, Some(buffer))
            {
                inner.flush_now(socket);
                return Err(failed(error));
            }
            if buffer.len() > before {
                return Ok(Some(buffer.len() - before));
            }
            if inner.peer_closed {
                return Ok(Some(0));
            }
            if inner.ended {
                // RFC 8446 section 6.1: without a close_notify the data may have been cut.
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed without close_notify"));
            }
            if inner.receive(socket, bulk)?.is_none() {
                break;
            }
        }
        // What the connection itself owes (the refusal of a renegotiation, say). A write under way takes it along, and
        // so does the next one if the socket has no room now.
        if !self.writing.get() {
            inner.flush_now(socket);
        }
        Ok(None)
    }

    /// Reads, waiting for the socket without a window. Nothing is lost when it is dropped.
    pub(crate) async fn read(&self, socket: &Socket, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            if let Some(count) = self.read_now(socket, buffer)? {
                return Ok(count);
            }
            socket.readable().await?;
        }
    }

    /// Encrypts and writes all of `parts`.
    pub(crate) async fn write(&self, socket: &Socket, mut parts: Parts<'_>) -> io::Result<()> {
        if self.writing.replace(true) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "an earlier write was not finished"));
        }
        loop {
            let sealed = self.inner.borrow_mut().seal(&mut parts).map_err(failed)?;
            let Some(window) = sealed else { break };
            send(socket, window).await?;
        }
        self.writing.set(false);
        Ok(())
    }

    /// Sends a close_notify.
    pub(crate) async fn close(&self, socket: &Socket) -> io::Result<()> {
        self.inner.borrow_mut().drive(Want::CloseNotify, None).map_err(failed)?;
        self.write(socket, Parts::default()).await
    }

    /// What waits. Records that carry no data (a ticket, which a server sends after the handshake) are nothing.
    pub(crate) fn peek(&self, socket: &Socket) -> Peek {
        let mut inner = self.inner.borrow_mut();
        for _ in 0..ROUNDS_MAX {
            if inner.windows.plain.is_empty() && inner.drive(Want::Plaintext, None).is_err() {
                return Peek::Closed;
            }
            if !inner.windows.plain.is_empty() {
                return Peek::Bytes;
            }
            if inner.peer_closed || inner.ended {
                return Peek::Closed;
            }
            match inner.receive(socket, false) {
                Ok(Some(_)) => {}
                Ok(None) => return Peek::Quiet,
                Err(_) => return Peek::Closed,
            }
        }
        // A peer that sends nothing but records without data.
        Peek::Bytes
    }
}

impl Inner {
    fn common(&self) -> &CommonState {
        match &self.connection {
            Connection::Server(connection) => connection,
            Connection::Client(connection) => connection,
        }
    }

    fn info(&self, sni: Option<Box<str>>) -> TlsInfo {
        let common = self.common();
        TlsInfo {
            sni,
            alpn: common.alpn_protocol().map(Box::from),
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::V12,
                _ => TlsVersion::V13,
            },
            cipher: common.negotiated_cipher_suite().map_or("", |suite| iana_name(suite.suite().as_str())),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            peer_certificates: common.peer_certificates().unwrap_or_default().into(),
            names: None,
        }
    }

    fn drive(&mut self, want: Want<'_>, reader: Option<&mut BytesMut>) -> Result<(), rustls::Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.connection.drive(&mut self.windows, want, reader) {
            Ok(driven) => {
                self.peer_closed |= driven.peer_closed;
                self.starved = driven.starved;
                Ok(())
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Receives into `incoming` what is there now: a count, 0 for the end, `None` for nothing.
    fn receive(&mut self, socket: &Socket, bulk: bool) -> io::Result<Option<usize>> {
        let mut window = match self.windows.incoming.take() {
            Some(mut window) => {
                window.compact();
                window
            }
            None => windows(|windows| if bulk { windows.take_bulk() } else { windows.take_record() }),
        };
        if window.spare_mut().is_empty() {
            // Only a message over several records fills a window without being complete: a client's chain, say.
            let mut larger = windows(super::Windows::take_bulk);
            if larger.append(window.filled()) < window.len() || window.capacity() == larger.capacity() {
                return Err(invalid("a TLS message is too long"));
            }
            windows(|windows| windows.put(std::mem::replace(&mut window, larger)));
        }
        let received = window.recv_now(socket);
        if window.is_empty() {
            windows(|windows| windows.put(window));
        } else {
            self.windows.incoming = Some(window);
        }
        let received = received?;
        match received {
            Some(0) => self.ended = true,
            Some(_) => self.starved = false,
            None => {}
        }
        Ok(received)
    }

    /// The next window to be sent: what is owed already and as much of `parts` as fits. `None` when there is nothing.
    fn seal(&mut self, parts: &mut Parts<'_>) -> Result<Option<Window>, rustls::Error> {
        let mut records = 0;
        while records < RECORDS_PER_SEND && parts.left() > 0 {
            let room = self.windows.outgoing_room(parts.left());
            let fragment = parts.left().min(FRAGMENT_BYTES);
            if room < fragment + OVERHEAD_BYTES {
                break;
            }
            let direct = parts.first().len();
            if direct >= fragment {
                // Whole records from one part, as many as fit; the rest of the part only if it is the last.
                let most = ((room / (FRAGMENT_BYTES + OVERHEAD_BYTES)).max(1)).min(RECORDS_PER_SEND - records)
                    * FRAGMENT_BYTES;
                let count =
                    if direct > FRAGMENT_BYTES { direct.min(most) / FRAGMENT_BYTES * FRAGMENT_BYTES } else { fragment };
                self.drive(Want::Encrypt(&parts.first()[..count]), None)?;
                parts.advance(count);
                records += count.div_ceil(FRAGMENT_BYTES);
            } else {
                // A record over the border of two parts is put together first: a head of 200 bytes shall not be a
                // record of its own.
                let mut scratch = windows(super::Windows::take_record);
                while scratch.len() < fragment {
                    let count = scratch.append(&parts.first()[..parts.first().len().min(fragment - scratch.len())]);
                    parts.advance(count);
                }
                let sealed = self.drive(Want::Encrypt(scratch.filled()), None);
                windows(|windows| windows.put(scratch));
                sealed?;
                records += 1;
            }
        }
        Ok(self.windows.outgoing.take())
    }

    /// Sends what is owed.
    async fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        match self.windows.outgoing.take() {
            Some(window) => send(socket, window).await,
            None => Ok(()),
        }
    }

    /// Sends of what is owed as much as the socket takes now.
    fn flush_now(&mut self, socket: &Socket) {
        let Some(window) = &mut self.windows.outgoing else { return };
        window.advance(socket.send_now(window.filled()));
        if window.is_empty()
            && let Some(window) = self.windows.outgoing.take()
        {
            windows(|windows| windows.put(window));
        }
    }
}

async fn send(socket: &Socket, window: Window) -> io::Result<()> {
    let (result, window) = write_all(socket, window).await;
    windows(|windows| windows.put(window));
    result
}

fn failed(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// rustls names the suites of TLS 1.3 `TLS13_...`; the registry of the IANA has `TLS_...`.
fn iana_name(name: Option<&'static str>) -> &'static str {
    match name.unwrap_or_default() {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        name => name,
    }
}
