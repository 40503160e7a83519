//! WebSockets of the message APIs: frames both ways, pings, and the ways in which such a conversation ends (RFC 6455).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ringway_net::sim::Conn;

use crate::http::{End, Reader};
use crate::subscriber::{Heard, Subscriber};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// How often a client looks whether it has something to say.
const LOOK: Duration = Duration::from_millis(50);

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// When it has got what it wants, or the gateway closes.
    Patient,
    /// When it has said what it had to say.
    Closes,
    /// With a frame that breaks a rule.
    Breaks,
    /// Without a word.
    Leaves,
}

/// One client's end.
struct Socket<'a> {
    subscriber: &'a Subscriber<'a>,
    conn: Conn,
    ending: Ending,
    /// Answers no ping.
    is_mute: bool,
    /// Pongs that are still to go: frames must not get into each other.
    pongs: RefCell<Vec<u8>>,
    /// Pings that are not answered.
    pings: RefCell<VecDeque<Vec<u8>>>,
    /// The code that it closes with, when it has had enough.
    closes: Cell<Option<u16>>,
    /// It has said its last frame.
    closed: Cell<bool>,
    /// It has broken a rule.
    broke: Cell<bool>,
    /// Messages that were given to the wire.
    published: Cell<u64>,
}

struct Frame {
    opcode: u8,
    payload: Vec<u8>,
}

/// Asks for a WebSocket, and converses.
pub async fn converse(subscriber: &Subscriber<'_>, mut reader: Reader) {
    let (world, ledger) = (subscriber.client.world, subscriber.client.ledger);
    let is_calm = subscriber.client.plan.is_calm;
    let asks = format!(
        "GET /{}/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        subscriber.source.name
    );
    let _ = reader.conn.write(asks.as_bytes()).await;
    let Some(head) = subscriber.head(&mut reader).await else { return };
    // The example of RFC 6455 section 1.3.
    if head.status() != 101 || head.field("sec-websocket-accept") != Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
        return subscriber.breach(&format!("a WebSocket is answered with {head:?}"));
    }
    ledger.count(|figures| figures.subscriptions += 1);
    let socket = Socket {
        subscriber,
        conn: reader.conn.clone(),
        ending: match world.below(8) {
            0 | 1 => Ending::Closes,
            2 if !is_calm => Ending::Breaks,
            3 if !is_calm => Ending::Leaves,
            _ => Ending::Patient,
        },
        is_mute: !is_calm && world.once_in(8),
        pongs: RefCell::default(),
        pings: RefCell::default(),
        closes: Cell::default(),
        closed: Cell::default(),
        broke: Cell::default(),
        published: Cell::default(),
    };
    ledger.tell(|| {
        format!("client: a WebSocket of {}, {:?}, mute {}", subscriber.source.name, socket.ending, socket.is_mute)
    });
    let mut says = pin!(socket.say());
    let mut hears = pin!(socket.hear(&mut reader));
    let mut said = false;
    poll_fn(|context| {
        if !said && let Poll::Ready(outcome) = says.as_mut().poll(context) {
            said = true;
            if outcome.is_ok() && socket.ending == Ending::Leaves {
                return Poll::Ready(());
            }
        }
        hears.as_mut().poll(context)
    })
    .await;
}

impl Socket<'_> {
    /// Says what it has to say, and answers pings; the end is its own or an error.
    async fn say(&self) -> io::Result<()> {
        let world = self.subscriber.client.world;
        for _ in 0..world.below(8) {
            self.pong().await?;
            if self.closes.get().is_some() {
                break;
            }
            let payload =
                vec![b'p'; [world.below(10), world.below(300), world.below(5_000)][world.below(3) as usize] as usize];
            if world.once_in(4) {
                let payload = payload.get(..payload.len().min(100)).unwrap_or_default().to_vec();
                self.pings.borrow_mut().push_back(payload.clone());
                self.send(FIN | PING, &payload).await?;
                continue;
            }
            let kind = if world.once_in(3) { BINARY } else { TEXT };
            // Before its last byte goes.
            self.published.set(self.published.get() + 1);
            self.subscriber.client.ledger.count(|figures| figures.published += 1);
            if world.once_in(4) {
                let (first, rest) = payload.split_at(payload.len() / 2);
                self.send(kind, first).await?;
                world.sleep(Duration::from_millis(world.below(50))).await;
                self.send(FIN | CONTINUATION, rest).await?;
            } else {
                self.send(FIN | kind, &payload).await?;
            }
            world.sleep(Duration::from_millis(world.below(if world.once_in(4) { 1_500 } else { 40 }))).await;
        }
        match self.ending {
            Ending::Leaves => return Ok(()),
            Ending::Closes => self.closes.set(self.closes.get().or(Some(self.code()))),
            Ending::Breaks => {
                self.broke.set(true);
                self.closed.set(true);
                // Without a mask (section 5.1), or with a reserved opcode (section 5.2).
                let wrong: &[u8] = if world.once_in(2) { &[FIN | TEXT, 1, b'x'] } else { &[FIN | 3, 0x80, 0, 0, 0, 0] };
                self.conn.write(wrong).await?;
            }
            Ending::Patient => {}
        }
        loop {
            self.pong().await?;
            if let Some(code) = self.closes.get()
                && !self.closed.replace(true)
            {
                self.send(FIN | CLOSE, &code.to_be_bytes()).await?;
            }
            world.sleep(LOOK).await;
        }
    }

    /// A code that no gateway says by itself.
    fn code(&self) -> u16 {
        4_000 + self.subscriber.client.world.below(1_000) as u16
    }

    async fn pong(&self) -> io::Result<()> {
        let pongs = std::mem::take(&mut *self.pongs.borrow_mut());
        if self.closed.get() || pongs.is_empty() { Ok(()) } else { self.conn.write(&pongs).await }
    }

    fn masked(&self, start: u8, payload: &[u8]) -> Vec<u8> {
        let mask = (self.subscriber.client.world.random() as u32).to_be_bytes();
        let mut frame = vec![start];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    async fn send(&self, start: u8, payload: &[u8]) -> io::Result<()> {
        self.conn.write(&self.masked(start, payload)).await
    }

    async fn hear(&self, reader: &mut Reader) {
        let Self { subscriber, .. } = self;
        let (ledger, source, intent) = (subscriber.client.ledger, subscriber.source, subscriber.intent);
        let mut heard = Heard::new(source.count.map(|_| 0));
        let mut stalls = intent.stalls;
        loop {
            subscriber.stall(&heard, &mut stalls).await;
            if heard.count >= intent.wants && self.closes.get().is_none() {
                self.closes.set(Some(self.code()));
            }
            let Some(frame) = self.frame(reader).await else {
                ledger.tell(|| format!("client: a WebSocket of {} ends {:?}", source.name, reader.ended));
                subscriber.client.is_over(reader, &format!("in a WebSocket of {}", source.name));
                // A gateway that has closed waits only for a while until that is read: what is said to it later is met with a reset.
                let is_slow = !intent.habit.pause.is_zero() && reader.ended == Some(End::Reset);
                if !subscriber.may_be_cut() && !is_slow {
                    subscriber
                        .breach(&format!("a WebSocket breaks off behind {} messages, {:?}", heard.count, reader.ended));
                }
                return;
            };
            match frame.opcode {
                TEXT => {
                    let content = String::from_utf8_lossy(&frame.payload);
                    let number = content.rsplit_once(' ').and_then(|(_, number)| number.parse().ok());
                    subscriber.gets(&mut heard, number.unwrap_or(u64::MAX - 1), &content);
                }
                PING if !self.is_mute => {
                    let pong = self.masked(FIN | PONG, &frame.payload);
                    self.pongs.borrow_mut().extend_from_slice(&pong);
                }
                PING => {}
                PONG => {
                    if self.pings.borrow_mut().pop_front().as_ref() != Some(&frame.payload) {
                        subscriber.breach("a pong to no ping, or another one");
                    }
                }
                CLOSE => return self.is_closed(reader, &heard, &frame.payload).await,
                _ => subscriber.breach(&format!("a frame with the opcode {}", frame.opcode)),
            }
        }
    }

    /// The gateway has closed.
    async fn is_closed(&self, reader: &mut Reader, heard: &Heard, payload: &[u8]) {
        let subscriber = self.subscriber;
        let (ledger, source) = (subscriber.client.ledger, subscriber.source);
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        ledger
            .tell(|| format!("client: a WebSocket of {} is closed with {code:?} behind {}", source.name, heard.count));
        let is_complete = subscriber.is_complete(heard);
        let is_slow = subscriber.intent.stalls.is_some() || !subscriber.intent.habit.pause.is_zero();
        let is_due = match code {
            Some(1000) => is_complete,
            Some(1001) => subscriber.may_be_dismissed(),
            Some(1002) => self.broke.get(),
            Some(1011) => self.is_mute || is_slow || !subscriber.intent.is_good,
            Some(1013) => subscriber.may_lag(),
            None => false,
            code => {
                let own = self.closes.get().filter(|_| self.closed.get());
                if code == own {
                    // It comes when the broker has taken everything.
                    ledger.count(|figures| figures.taken += self.published.get());
                }
                code == own
            }
        };
        if !is_due {
            subscriber.breach(&format!("a WebSocket is closed with {code:?} behind {} messages", heard.count));
        }
        ledger.count(|figures| figures.complete += u64::from(code == Some(1000)));
        if !self.closed.replace(true) {
            let _ = self.send(FIN | CLOSE, payload.get(..2).unwrap_or_default()).await;
        }
        self.conn.shut_write();
        if reader.any().await {
            subscriber.breach("something comes behind a close");
        }
        subscriber.client.is_over(reader, "for the end of a WebSocket that was closed");
    }

    /// The next frame; `None` when the connection ends.
    async fn frame(&self, reader: &mut Reader) -> Option<Frame> {
        let (start, true) = reader.some(2).await else { return None };
        let (first, length) = (start.first().copied()?, start.get(1).copied()?);
        if first & FIN == 0 || length & 0x80 != 0 {
            self.subscriber.breach("a frame of the gateway is masked, or a piece");
        }
        let more = match length & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (bytes, true) = reader.some(more).await else { return None };
        let length = match more {
            0 => usize::from(length & 0x7f),
            _ => bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let (payload, true) = reader.some(length).await else { return None };
        Some(Frame { opcode: first & 0x0f, payload })
    }
}
