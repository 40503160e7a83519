//! A connected client: what it is sent, and what it has not acknowledged.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, Publish};

/// Bytes that may wait for a client's kernel. With more, messages of QoS 0 are left out and nothing is read from it.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of messages of QoS 1 that may wait for earlier acknowledgements. With more the client is sent away.
const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// What a message weighs besides its bytes.
const MESSAGE_BYTES: usize = 128;
/// How long a connection may be before it has introduced itself.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long the last words of a connection may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A message that does not fit any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Overflow;

/// A client.
pub struct Client {
    /// Who it is. `None`: it has not said so yet.
    pub name: Option<String>,
    /// What is published when it goes without a word.
    pub will: Option<LastWill>,
    /// What it sent and nobody has looked at.
    pub input: BytesMut,
    output: BytesMut,
    /// Messages of QoS 1 that it takes ahead of its acknowledgements.
    pub receive_maximum: usize,
    /// The largest packet that it takes.
    pub packet_bytes_max: usize,
    /// Packets that it has not acknowledged; never more than `receive_maximum`.
    under_way: BTreeSet<u16>,
    waiting: VecDeque<Publish>,
    waiting_bytes: usize,
    last_packet: u16,
    heard_at: Instant,
    /// How long it may be silent. `None`: for ever.
    patience: Option<Duration>,
    /// When it is cut off: it only gets its last words.
    cut_at: Option<Instant>,
}

impl Client {
    /// One that has just connected.
    pub fn new(now: Instant) -> Self {
        Self {
            name: None,
            will: None,
            input: BytesMut::new(),
            output: BytesMut::new(),
            receive_maximum: usize::from(u16::MAX),
            packet_bytes_max: usize::MAX,
            under_way: BTreeSet::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            last_packet: 0,
            heard_at: now,
            patience: Some(INTRODUCTION),
            cut_at: None,
        }
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Whether more is to be read: not while it does not take its answers.
    pub fn reads(&self) -> bool {
        self.cut_at.is_none() && self.output.len() < OUTPUT_BYTES_MAX
    }

    /// Whether it only gets its last words.
    pub fn is_ending(&self) -> bool {
        self.cut_at.is_some()
    }

    /// It has sent something.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// It may be silent for one and a half times as long (MQTT 5, section 3.1.2.10); 0: for ever.
    pub fn keep_alive(&mut self, seconds: u16) {
        self.patience = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)) * 3 / 2);
    }

    /// When something has to happen to it at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.cut_at.or_else(|| Some(self.heard_at + self.patience?))
    }

    /// Says goodbye: nothing is read any more.
    pub fn end(&mut self, reason: u8, now: Instant) {
        if self.is_ending() {
            return;
        }
        match self.name {
            Some(_) => self.output.extend_from_slice(&[0xE0, 1, reason]),
            // CONNACK without a session and without properties.
            None => self.output.extend_from_slice(&[0x20, 3, 0, reason, 0]),
        }
        self.leave(now);
    }

    /// Ends without a word.
    pub fn leave(&mut self, now: Instant) {
        self.cut_at = Some(now + LAST_WORDS);
        (self.input, self.waiting) = (BytesMut::new(), VecDeque::new());
    }

    /// Puts an answer behind what is to be sent. One that the codec does not take is none of ours.
    pub fn answer(&mut self, packet: &Packet) {
        let before = self.output.len();
        if packet.write(&mut self.output, None).is_err() {
            self.output.truncate(before);
        }
    }

    /// The kernel has taken as much.
    pub fn sent(&mut self, count: usize) {
        self.output.advance(count.min(self.output.len()));
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        self.pump();
    }

    /// Sends a message, at once or when there is room.
    ///
    /// # Errors
    /// Too many wait.
    pub fn deliver(&mut self, message: Publish) -> Result<(), Overflow> {
        let bytes = message.size();
        // Section 3.1.2.11.4: as if it had been delivered.
        if self.is_ending() || bytes > self.packet_bytes_max {
            return Ok(());
        }
        if message.qos == QoS::AtMostOnce {
            if self.output.len() + bytes <= OUTPUT_BYTES_MAX {
                self.answer(&Packet::Publish(message));
            }
            return Ok(());
        }
        self.waiting_bytes += bytes + MESSAGE_BYTES;
        self.waiting.push_back(message);
        self.pump();
        if self.waiting_bytes > WAITING_BYTES_MAX { Err(Overflow) } else { Ok(()) }
    }

    /// It has a message.
    pub fn acknowledged(&mut self, packet: u16) {
        self.under_way.remove(&packet);
        self.pump();
    }

    fn pump(&mut self) {
        while self.under_way.len() < self.receive_maximum && self.output.len() < OUTPUT_BYTES_MAX {
            let Some(mut message) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= message.size() + MESSAGE_BYTES;
            message.pkid = self.packet();
            self.under_way.insert(message.pkid);
            self.answer(&Packet::Publish(message));
        }
    }

    /// A number that no message under way has: there are fewer of those than numbers.
    fn packet(&mut self) -> u16 {
        loop {
            self.last_packet = self.last_packet.checked_add(1).unwrap_or(1);
            if !self.under_way.contains(&self.last_packet) {
                return self.last_packet;
            }
        }
    }
}
