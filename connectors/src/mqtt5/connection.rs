//! One connection to a broker: packets both ways, and its life signs.
//!
//! The packets are those of `rumqttc`, its event loop is not, because of what it cannot do: it has to be polled for everything to keep the
//! connection alive, so that a slow client would either lose it or be flooded with messages of QoS 0; a session that is resumed in the middle
//! of QoS 2 ends it again and again (the broker's PUBREL is unknown to it); reason codes that it does not know, such as "packet too large",
//! end it, too; it tells no one which message an acknowledgement is about; and its TLS is bound to an outdated verifier. Here whoever owns the
//! connection says what is read and when:
//!
//! ```text
//!   owner ── queue(packet) ──▶ output ──▶ ┐
//!         ── io(reads) ─────────────────▶ ├─ broker        without `reads` nothing is taken from the kernel, and pings go on
//!         ◀─ next() ───── input ◀──────── ┘
//! ```

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use ringway_contract::{Cause, Fault};
use ringway_net::ClientTls;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode as Code, LastWill, Login, Packet, PingReq,
};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout, timeout_at};

use super::packets::{Ended, Packets};
pub use super::packets::{Inbound, PACKET_BYTES_MAX};
use crate::bridge::{DIAL_WITHIN, Duplex, dial};

/// Room that is made for one read.
const READ_BYTES: usize = 16 * 1024;

/// How long a broker has to answer CONNECT.
const ACCEPT_WITHIN: Duration = Duration::from_secs(8);

/// Where and how a broker is reached.
pub struct Target {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS, if the connection is encrypted.
    pub tls: Option<ClientTls>,
    /// User and password.
    pub login: Option<Login>,
    /// The longest silence of the gateway.
    pub keep_alive_s: u16,
    /// Failures in a row after which a client gives up.
    pub attempts_max: Option<u32>,
}

/// How a client introduces itself.
pub struct Hello {
    /// Who it is: one connection each.
    pub client_id: String,
    /// Whether what the broker remembers of it is forgotten.
    pub clean_start: bool,
    /// How long the broker remembers it, in seconds.
    pub expiry_s: u32,
    /// Messages of QoS 1 and 2 that it takes ahead of acknowledgements.
    pub receive_maximum: u16,
    /// What the broker publishes if it goes without saying so.
    pub will: Option<LastWill>,
}

/// What the broker said to it.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Whether it remembers the client.
    pub session_present: bool,
    /// Messages of QoS 1 and 2 that it takes ahead of its acknowledgements.
    pub receive_maximum: usize,
    /// The largest packet that it takes.
    pub packet_bytes_max: usize,
    /// The highest QoS that it takes.
    pub qos_max: u8,
    /// Whether it keeps messages for later subscribers.
    pub retains: bool,
}

/// Why there is no connection, or none any more.
#[derive(Debug)]
pub enum End {
    /// The broker's name does not resolve.
    Unresolved(io::Error),
    /// Nobody answers.
    Unreachable(io::Error),
    /// It is no use to try again.
    Refused(&'static str, String),
    /// The broker does not let anybody in at the moment.
    Busy(Code),
    /// The connection broke.
    Closed(io::Error),
    /// The broker closed it and said why (MQTT 5, section 3.14.2.1).
    Told(u8),
    /// The broker sent what is no MQTT.
    Invalid(String),
    /// The broker does not answer.
    Silent,
    /// Its owner wants to begin anew.
    Again,
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Told(reason) => Self::Told(reason),
            Ended::Invalid(what) => Self::Invalid(what),
            Ended::Foreign(what) => Self::Refused("the broker does not speak MQTT 5", what),
        }
    }
}

impl End {
    /// The fault of an end that does not pass by itself.
    pub fn lasting(&self) -> Option<Fault> {
        match self {
            Self::Refused(why, _) => Some(Fault::new(Cause::BrokerRefused).detail(why)),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(error) => write!(f, "the name does not resolve: {error}"),
            Self::Unreachable(error) => write!(f, "it cannot be reached: {error}"),
            Self::Refused(why, detail) => write!(f, "{why}: {detail}"),
            Self::Busy(code) => write!(f, "it lets nobody in: {code:?}"),
            Self::Closed(error) => write!(f, "the connection broke: {error}"),
            Self::Told(reason) => write!(f, "it closed the connection with reason 0x{reason:02x}"),
            Self::Invalid(what) => write!(f, "it sends what is no MQTT 5: {what}"),
            Self::Silent => write!(f, "it does not answer any more"),
            Self::Again => write!(f, "messages are asked for again"),
        }
    }
}

/// A connection that the broker has accepted.
pub struct Connection {
    stream: Box<dyn Duplex>,
    input: Packets,
    output: BytesMut,
    unflushed: bool,
    keep_alive: Duration,
    ping_at: Instant,
    /// When a sign of life is overdue.
    answer_by: Option<Instant>,
}

/// Connects, and waits until the broker has accepted it.
///
/// # Errors
/// See [`End`].
pub async fn connect(target: &Target, hello: Hello) -> Result<(Connection, Accepted), End> {
    // Asked apart, because it is told apart.
    match timeout(DIAL_WITHIN, lookup_host((target.host.as_str(), target.port))).await {
        Ok(found) => drop(found.map_err(End::Unresolved)?),
        Err(_) => return Err(End::Unresolved(io::ErrorKind::TimedOut.into())),
    }
    let stream = dial(&target.host, target.port, target.tls.as_ref()).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => End::Refused("the broker's TLS is not trusted", error.to_string()),
        _ => End::Unreachable(error),
    })?;
    let keep_alive = Duration::from_secs(u64::from(target.keep_alive_s));
    let now = Instant::now();
    let mut connection = Connection {
        stream,
        input: Packets::default(),
        output: BytesMut::new(),
        unflushed: false,
        keep_alive,
        ping_at: now + keep_alive,
        answer_by: None,
    };
    let properties = ConnectProperties {
        session_expiry_interval: Some(hello.expiry_s),
        receive_maximum: Some(hello.receive_maximum),
        max_packet_size: Some(PACKET_BYTES_MAX as u32),
        ..ConnectProperties::new()
    };
    let packet = Connect {
        keep_alive: target.keep_alive_s,
        client_id: hello.client_id,
        clean_start: hello.clean_start,
        properties: Some(properties),
    };
    connection.queue(&Packet::Connect(packet, hello.will, target.login.clone()))?;
    let accepted = timeout_at(now + ACCEPT_WITHIN, connection.accepted()).await.unwrap_or(Err(End::Silent))?;
    Ok((connection, accepted))
}

impl Connection {
    async fn accepted(&mut self) -> Result<Accepted, End> {
        loop {
            if let Some(answer) = self.input.accepted()? {
                return self.judge(answer);
            }
            self.io(true).await?;
        }
    }

    fn judge(&mut self, answer: ConnAck) -> Result<Accepted, End> {
        match answer.code {
            Code::Success => {}
            Code::ServerUnavailable
            | Code::ServiceUnavailable
            | Code::ServerBusy
            | Code::QuotaExceeded
            | Code::ConnectionRateExceeded
            | Code::UnspecifiedError
            | Code::ImplementationSpecificError
            | Code::UseAnotherServer
            | Code::ServerMoved => return Err(End::Busy(answer.code)),
            code => return Err(End::Refused("the broker does not let the gateway in", format!("{code:?}"))),
        }
        let told = answer.properties.as_ref();
        if let Some(seconds) = told.and_then(|told| told.server_keep_alive).filter(|seconds| *seconds > 0) {
            self.keep_alive = Duration::from_secs(u64::from(seconds));
        }
        // Before the broker's patience ends: that is one and a half times the interval.
        self.ping_at = Instant::now() + self.keep_alive;
        let packet_bytes_max = told.and_then(|told| told.max_packet_size);
        Ok(Accepted {
            session_present: answer.session_present,
            receive_maximum: told.and_then(|told| told.receive_max).map_or(u16::MAX, |most| most.max(1)).into(),
            packet_bytes_max: packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize),
            qos_max: told.and_then(|told| told.max_qos).unwrap_or(2),
            retains: told.and_then(|told| told.retain_available) != Some(0),
        })
    }

    /// Puts a packet behind what is to be sent. [`Connection::io`] sends it.
    ///
    /// # Errors
    /// It is none.
    pub fn queue(&mut self, packet: &Packet) -> Result<(), End> {
        let before = self.output.len();
        if let Err(error) = packet.write(&mut self.output, None) {
            self.output.truncate(before);
            return Err(End::Invalid(error.to_string()));
        }
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.output.len()
    }

    /// Whether the kernel has everything.
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    /// The next packet that has come.
    ///
    /// # Errors
    /// It is none, or says that the connection ends.
    pub fn next(&mut self) -> Result<Option<Inbound>, End> {
        Ok(self.input.next()?)
    }

    /// Sends what is queued and, with `reads`, reads. Ready when either has got further. Nothing is lost when it is dropped.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn io(&mut self, reads: bool) -> Result<(), End> {
        poll_fn(|cx| self.poll_io(cx, reads)).await
    }

    fn poll_io(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Result<(), End>> {
        let mut moved = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::Closed(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    self.unflushed = true;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Closed(error))),
                Poll::Pending => break,
            }
        }
        if self.unflushed && self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Closed(error))),
                Poll::Pending => {}
            }
        }
        if reads {
            self.input.buffer().reserve(READ_BYTES);
            let read = pin!(self.stream.read_buf(self.input.buffer()));
            match read.poll(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(End::Closed(io::ErrorKind::UnexpectedEof.into()))),
                Poll::Ready(Ok(_)) => {
                    self.answer_by = None;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Closed(error))),
                Poll::Pending => {}
            }
        }
        if moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// When [`Connection::tick`] wants to be called.
    pub fn deadline(&self) -> Instant {
        self.answer_by.map_or(self.ping_at, |by| by.min(self.ping_at))
    }

    /// Asks for a sign of life when it is time. `reads`: whether an answer could have been seen.
    ///
    /// # Errors
    /// The broker owes an answer.
    pub fn tick(&mut self, reads: bool) -> Result<(), End> {
        let now = Instant::now();
        if self.answer_by.is_some_and(|by| by <= now) {
            if reads {
                return Err(End::Silent);
            }
            self.answer_by = None;
        }
        if self.ping_at <= now {
            self.ping_at = now + self.keep_alive;
            if reads && self.answer_by.is_none() {
                self.answer_by = Some(now + self.keep_alive / 2);
            }
            self.queue(&Packet::PingReq(PingReq))?;
        }
        Ok(())
    }

    /// Sends what is queued, a DISCONNECT at its end, and waits until the broker has closed; for `limit` at most. Whoever closes first, while
    /// the broker has something to say, takes from it what it has not read yet: acknowledgements.
    pub async fn close(mut self, limit: Duration) {
        let by = Instant::now() + limit;
        while let Ok(Ok(())) = timeout_at(by, self.io(true)).await {
            self.input.buffer().clear();
        }
    }
}
