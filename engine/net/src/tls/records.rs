//! rustls's state machine, turned by hand: records in, plaintext out, and the other way round.

use bytes::{Buf, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::Windows;
use super::window::Window;
use crate::shard::Shard;

/// Plaintext of a full record (RFC 8446 section 5.1).
pub(super) const FRAGMENT_BYTES: usize = 1 << 14;

/// A connection of either side.
pub(crate) enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Connection {
    /// Turns the state machine until it has what is wanted, or needs more from the socket.
    pub(super) fn drive(
        &mut self,
        lent: &mut Lent,
        want: Want<'_>,
        reader: Option<&mut BytesMut>,
    ) -> Result<Driven, rustls::Error> {
        match self {
            Self::Server(connection) => drive(connection, lent, want, reader),
            Self::Client(connection) => drive(connection, lent, want, reader),
        }
    }
}

/// Windows that the connection has at the moment. While it idles there is none.
#[derive(Default)]
pub(super) struct Lent {
    /// Ciphertext that was received; at most one window.
    pub(super) incoming: Option<Window>,
    /// Ciphertext to be sent; at most one window.
    pub(super) outgoing: Option<Window>,
    /// Plaintext that no reader had room for: at most what `incoming` held, and one record.
    pub(super) plain: BytesMut,
}

impl Lent {
    /// Gives the reader the plaintext that waits.
    pub(super) fn hand_over(&mut self, buffer: &mut BytesMut) {
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
    pub(super) fn outgoing_room(&mut self, bytes: usize) -> usize {
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

/// What a turn of the state machine is for.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    Handshake,
    /// Until the reader's buffer is full or nothing is left. Without a reader: until there is any.
    Plaintext,
    Encrypt(&'a [u8]),
    CloseNotify,
}

/// Where a turn ended.
#[derive(Default)]
pub(super) struct Driven {
    /// The peer's close_notify was read.
    pub(super) peer_closed: bool,
    /// There is no complete record left.
    pub(super) starved: bool,
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

/// Drives the connection until it has what is wanted, or needs more from the socket. What it has to say on the way is
/// appended to `outgoing`, in order, so that "transmitted" may be told it at once.
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

/// Collects what a failed connection still owes its peer: the rest of its flight, and the alert that ends it. Not one
/// call more: behind the alert rustls would read the bad record again and fail an assertion of its own.
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

/// Whether a record is an alert: by its type or, sealed by TLS 1.3, by its length, which no handshake message has (2 of
/// alert, 1 of type, 16 of tag).
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
    let window = outgoing.get_or_insert_with(|| windows(Windows::take_record));
    if let Some(count) = write(window.spare_mut())? {
        window.commit(count);
        return Ok(());
    }
    // A long flight: the next size, and then no more.
    let mut larger = windows(Windows::take_bulk);
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

/// The shard's windows. Off a shard there are none to keep, which happens only while a thread ends.
pub(super) fn windows<R>(f: impl FnOnce(&Windows) -> R) -> R {
    match Shard::try_current() {
        Some(shard) => f(&shard.windows),
        None => f(&Windows::new()),
    }
}
