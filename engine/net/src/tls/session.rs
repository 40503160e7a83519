//! One TLS connection: rustls's state, and the windows that it uses while there is something in them.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::TlsVersion;
use super::window::{BULK_BYTES, RECORD_BYTES, Window};
use crate::shard::Shard;
use crate::socket::Socket;
use crate::stream::{Peek, write_all};

/// Plaintext of a full record (RFC 8446 section 5.1).
const FRAGMENT_BYTES: usize = 1 << 14;
/// What a record adds to its plaintext, rounded up: 5 of header, 8 of nonce, 16 of tag, 1 of type.
const OVERHEAD_BYTES: usize = 64;
/// Full records that one send carries.
const RECORDS_PER_SEND: usize = BULK_BYTES / (FRAGMENT_BYTES + OVERHEAD_BYTES);
/// Reads in a row that bring no plaintext (tickets, key updates, empty records) before the rest of the shard has its turn.
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
}

pub(crate) enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// A connection after its handshake.
pub(crate) struct Session {
    inner: RefCell<Inner>,
    /// Whether a write is under way. One that was dropped leaves it set: a part of a record may be out, so nothing can follow.
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

/// Windows that the connection has at the moment. While it idles there is none.
#[derive(Default)]
struct Lent {
    /// Ciphertext that was received; at most one window.
    incoming: Option<Window>,
    /// Ciphertext to be sent; at most one window.
    outgoing: Option<Window>,
    /// Plaintext that no reader had room for: at most what `incoming` held, and one record.
    plain: BytesMut,
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
        // What the connection itself owes (the refusal of a renegotiation, say). A write under way takes it along, and so does the next
        // one if the socket has no room now.
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
        }
    }

    fn drive(&mut self, want: Want<'_>, reader: Option<&mut BytesMut>) -> Result<(), rustls::Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let driven = match &mut self.connection {
            Connection::Server(connection) => drive(connection, &mut self.windows, want, reader),
            Connection::Client(connection) => drive(connection, &mut self.windows, want, reader),
        };
        match driven {
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
                // A record over the border of two parts is put together first: a head of 200 bytes shall not be a record of its own.
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

impl Lent {
    /// Gives the reader the plaintext that waits.
    fn hand_over(&mut self, buffer: &mut BytesMut) {
        if self.plain.is_empty() {
            return;
        }
        let count = self.plain.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&self.plain[..count]);
        self.plain.advance(count);
        if self.plain.is_empty() {
            let plain = std::mem::take(&mut self.plain);
            Shard::with(|shard| shard.buffers.put(plain));
        }
    }

    /// Makes sure that there is an outgoing window, fit for `bytes`, and says how much room it has.
    fn outgoing_room(&mut self, bytes: usize) -> usize {
        let window = self.outgoing.get_or_insert_with(|| {
            windows(|windows| if bytes > FRAGMENT_BYTES { windows.take_bulk() } else { windows.take_record() })
        });
        window.spare_mut().len()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        for window in [self.incoming.take(), self.outgoing.take()].into_iter().flatten() {
            windows(|windows| windows.put(window));
        }
        let plain = std::mem::take(&mut self.plain);
        Shard::with(|shard| shard.buffers.put(plain));
    }
}

/// Slices to be written one after the other.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    slices: [&'a [u8]; 3],
}

impl<'a> Parts<'a> {
    pub(crate) fn new(slices: [&'a [u8]; 3]) -> Self {
        Self { slices }
    }

    fn left(&self) -> usize {
        self.slices.iter().map(|slice| slice.len()).sum()
    }

    /// The first slice that is not empty.
    fn first(&self) -> &'a [u8] {
        self.slices.iter().find(|slice| !slice.is_empty()).copied().unwrap_or_default()
    }

    fn advance(&mut self, mut count: usize) {
        for slice in &mut self.slices {
            let skip = count.min(slice.len());
            *slice = &slice[skip..];
            count -= skip;
        }
    }
}

/// What a turn of the state machine is for.
#[derive(Clone, Copy)]
enum Want<'a> {
    Handshake,
    /// Until the reader's buffer is full or nothing is left. Without a reader: until there is any.
    Plaintext,
    Encrypt(&'a [u8]),
    CloseNotify,
}

#[derive(Default)]
struct Driven {
    peer_closed: bool,
    starved: bool,
}

/// What both kinds of connection can do, though rustls has no trait for it.
trait Records {
    type Data;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Records for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

impl Records for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
}

/// Drives the connection until it has what is wanted, or needs more from the socket. What it has to say on the way is appended to
/// `outgoing`, in order, so that "transmitted" may be told it at once.
fn drive<C: Records>(
    connection: &mut C,
    lent: &mut Lent,
    want: Want<'_>,
    mut reader: Option<&mut BytesMut>,
) -> Result<Driven, rustls::Error> {
    let mut driven = Driven::default();
    let mut finished = false;
    while !finished {
        let Lent { incoming, outgoing, plain } = lent;
        let input = incoming.as_mut().map_or(&mut [][..], Window::filled_mut);
        let UnbufferedStatus { mut discard, state } = connection.process(input);
        let mut error = None;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    deliver(record.payload, reader.as_deref_mut(), plain);
                }
                let full = reader.as_deref().is_none_or(|buffer| buffer.len() == buffer.capacity());
                finished = matches!(want, Want::Plaintext) && full && (reader.is_some() || !plain.is_empty());
            }
            Ok(ConnectionState::EncodeTlsData(mut encode)) => put(outgoing, |space| match encode.encode(space) {
                Ok(count) => Ok(Some(count)),
                Err(EncodeError::InsufficientSize(_)) => Ok(None),
                Err(EncodeError::AlreadyEncoded) => Ok(Some(0)),
            })?,
            Ok(ConnectionState::TransmitTlsData(transmit)) => transmit.done(),
            Ok(ConnectionState::PeerClosed) => driven.peer_closed = true,
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                match want {
                    Want::Encrypt(bytes) => put(outgoing, |space| encrypted(traffic.encrypt(bytes, space)))?,
                    Want::CloseNotify => put(outgoing, |space| encrypted(traffic.queue_close_notify(space)))?,
                    Want::Handshake | Want::Plaintext => {}
                }
                (finished, driven.starved) = (true, true);
            }
            Ok(ConnectionState::Closed | ConnectionState::BlockedHandshake) => {
                if matches!(want, Want::Encrypt(_)) {
                    error = Some(rustls::Error::General("the connection is closed".into()));
                }
                (finished, driven.starved) = (true, true);
            }
            // Early data is off, and what comes with a new version of rustls is not asked for.
            Ok(_) => error = Some(rustls::Error::General("unexpected state of the connection".into())),
            Err(cause) => error = Some(cause),
        }
        if let Some(window) = incoming {
            window.advance(discard);
            if window.is_empty()
                && let Some(window) = incoming.take()
            {
                windows(|windows| windows.put(window));
            }
        }
        if let Some(error) = error {
            last_words(connection, lent);
            return Err(error);
        }
    }
    Ok(driven)
}

/// Collects what a failed connection still owes its peer: the rest of its flight, and the alert that ends it. Not one call more: behind
/// the alert rustls would read the bad record again and fail an assertion of its own.
fn last_words<C: Records>(connection: &mut C, lent: &mut Lent) {
    /// A flight is a handful of messages.
    const CHUNKS_MAX: usize = 16;
    for _ in 0..CHUNKS_MAX {
        let Lent { incoming, outgoing, .. } = lent;
        let input = incoming.as_mut().map_or(&mut [][..], Window::filled_mut);
        let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut encode)), .. } = connection.process(input)
        else {
            return;
        };
        let before = outgoing.as_ref().map_or(0, Window::len);
        // If it does not fit, the peer is not told.
        let fits = put(outgoing, |space| Ok(encode.encode(space).ok())).is_ok();
        let chunk = outgoing.as_ref().map_or(&[][..], |window| &window.filled()[before..]);
        if !fits || is_alert(chunk) {
            return;
        }
    }
}

/// Whether a record is an alert: by its type or, sealed by TLS 1.3, by its length, which no handshake message has (2 of alert, 1 of
/// type, 16 of tag).
fn is_alert(record: &[u8]) -> bool {
    match record {
        [21, ..] => true,
        [23, ..] => record.len() == 5 + 2 + 1 + 16,
        _ => false,
    }
}

/// Gives `payload` to the reader, and what it has no room for to `plain`.
fn deliver(payload: &[u8], reader: Option<&mut BytesMut>, plain: &mut BytesMut) {
    let mut rest = payload;
    if let Some(buffer) = reader
        && plain.is_empty()
    {
        let count = rest.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&rest[..count]);
        rest = &rest[count..];
    }
    if rest.is_empty() {
        return;
    }
    if plain.capacity() == 0 {
        *plain = Shard::with(|shard| shard.buffers.take()).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
}

/// Appends to `outgoing` what `write` writes into the space that it is given; it answers `None` when that is too small.
fn put(
    outgoing: &mut Option<Window>,
    mut write: impl FnMut(&mut [u8]) -> Result<Option<usize>, rustls::Error>,
) -> Result<(), rustls::Error> {
    let window = outgoing.get_or_insert_with(|| windows(super::Windows::take_record));
    if let Some(count) = write(window.spare_mut())? {
        window.commit(count);
        return Ok(());
    }
    // A long flight: the next size, and then no more.
    let mut larger = windows(super::Windows::take_bulk);
    larger.append(window.filled());
    let count = write(larger.spare_mut())?
        .ok_or_else(|| rustls::Error::General("the peer is owed more than a window holds".into()))?;
    larger.commit(count);
    windows(|windows| windows.put(std::mem::replace(window, larger)));
    Ok(())
}

fn encrypted(result: Result<usize, EncryptError>) -> Result<Option<usize>, rustls::Error> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(EncryptError::InsufficientSize(_)) => Ok(None),
        Err(EncryptError::EncryptExhausted) => Err(rustls::Error::EncryptError),
    }
}

async fn send(socket: &Socket, window: Window) -> io::Result<()> {
    let (result, window) = write_all(socket, window).await;
    windows(|windows| windows.put(window));
    result
}

/// The shard's windows. Off a shard there are none to keep, which happens only while a thread ends.
fn windows<R>(f: impl FnOnce(&super::Windows) -> R) -> R {
    match Shard::try_current() {
        Some(shard) => f(&shard.windows),
        None => f(&super::Windows::new()),
    }
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
