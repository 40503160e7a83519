//! What the tests of this crate share: the engine's half of a lane, in one future of a real shard.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod backend;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_connectors::http_proxy;
use ringway_contract::{Chunk, Endpoint, Fields, Frame, Lane, Refusal, Request, Services};
use ringway_net::{Driver, DriverChoice, Shard, ShardOptions, Stream, run_shard};
use ringway_wire::{Framing, Limits, Parsed};

/// Longer than anything here takes; only a hang meets it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `main` on a shard of each driver that works here: epoll, and io_uring where there is one.
pub fn on_each<F, Fut>(main: F)
where
    F: FnOnce(Rc<Shard>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let best = run_shard(ShardOptions::new(0), |_| async {}).unwrap();
    let uring = best.driver != Driver::Epoll;
    best.join().unwrap();
    let drivers = if uring { &[DriverChoice::Uring, DriverChoice::Epoll][..] } else { &[DriverChoice::Epoll] };
    for driver in drivers {
        let main = main.clone();
        let options = ShardOptions { driver: *driver, ..ShardOptions::new(0) };
        let thread = run_shard(options, main);
        if let Err(panic) = thread.unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// An endpoint; `shared` is JSON.
pub fn endpoint(target: &str, shared: &str) -> Result<Rc<dyn Endpoint>, Refusal> {
    let configuration = serde_json::from_value(serde_json::json!({ "target": target })).unwrap();
    let shared = serde_json::from_str(shared).unwrap();
    http_proxy::endpoint(configuration, shared, &Services { shards: 1, ..Services::default() })
}

/// Letters that are different everywhere; at most [`PATTERN_BYTES_MAX`].
pub fn pattern(bytes: usize) -> &'static str {
    static PATTERN: OnceLock<String> = OnceLock::new();
    let letter = |index: usize| char::from(b'a' + ((index * 7 + index / 251) % 26) as u8);
    &PATTERN.get_or_init(|| (0..PATTERN_BYTES_MAX).map(letter).collect())[..bytes]
}

const PATTERN_BYTES_MAX: usize = 10_000_000;

/// What the client does behind the head of its request.
#[derive(Clone, Copy, Debug)]
pub enum Sends {
    Data(&'static str),
    /// As much of [`pattern`].
    Bulk(usize),
    Trailers(&'static str, &'static str),
    End,
    /// Waits for a frame that begins so.
    After(&'static str),
}

/// One lane, as the engine holds it.
pub struct Engine {
    lane: Lane,
    /// What is still to be sent.
    pub steps: VecDeque<Sends>,
    /// What has come, in words.
    pub heard: Vec<String>,
    /// The last request that came back.
    pub request: Option<Box<Request>>,
    /// A client that takes nothing.
    pub is_stalled: bool,
    /// The connection that the lane has given away.
    pub upgraded: Option<Stream>,
}

impl Engine {
    pub fn new(endpoint: &Rc<dyn Endpoint>) -> Self {
        let lane = Rc::clone(endpoint).lane();
        Self { lane, steps: VecDeque::new(), heard: Vec::new(), request: None, is_stalled: false, upgraded: None }
    }

    /// Runs one exchange and says what frames came, consecutive data as one.
    pub async fn exchange(&mut self, head: &str, body: &[Sends]) -> Vec<String> {
        self.begin(head, body);
        self.finish().await
    }

    /// Opens an exchange. A body goes out once there is a connection.
    pub fn begin(&mut self, head: &str, body: &[Sends]) {
        let request = request(head);
        let bodiless = request.head.framing == Framing::None;
        self.heard.clear();
        self.steps = body.iter().copied().collect();
        self.push(Frame::Open(request));
        if bodiless {
            self.push(Frame::End);
        }
    }

    /// Runs it to its end.
    pub async fn finish(&mut self) -> Vec<String> {
        let slot = Shard::current().timers.slot();
        slot.arm(PATIENCE);
        let done = slot.guard(poll_fn(|cx| self.turn(cx))).await;
        assert!(done.is_ok(), "the exchange hangs after {:?}", self.heard);
        std::mem::take(&mut self.heard)
    }

    /// Runs it until something else has happened. It must not end before.
    pub async fn run_until<T>(&mut self, happened: impl Future<Output = T>) -> T {
        let mut happened = pin!(happened);
        poll_fn(|cx| {
            let over = self.turn(cx).is_ready();
            assert!(!over, "the exchange is over: {:?}", self.heard);
            happened.as_mut().poll(cx)
        })
        .await
    }

    /// Waits until the lane has ended.
    pub async fn ended(&mut self) {
        let slot = Shard::current().timers.slot();
        slot.arm(PATIENCE);
        let ended = slot.guard(poll_fn(|cx| self.lane.poll(cx))).await;
        assert!(ended.is_ok(), "the lane should have ended");
    }

    /// Whether the engine would use the lane again, as far as it is known by now.
    pub fn is_fit(&mut self) -> bool {
        self.lane.poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
    }

    fn push(&mut self, frame: Frame) {
        let weight = frame.weight();
        assert!(self.lane.outbox.send(frame, weight).is_ok(), "a fresh link has room");
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let moves = (self.lane.inbox.moves(), self.lane.outbox.moves(), self.steps.len());
            self.send();
            let ended = self.lane.poll(cx).is_ready();
            while let Some(frame) = self.next() {
                self.lane.inbox.grant(frame.weight());
                if self.hear(frame) {
                    return Poll::Ready(());
                }
            }
            if ended {
                self.heard.push("ended".to_owned());
                return Poll::Ready(());
            }
            if moves == (self.lane.inbox.moves(), self.lane.outbox.moves(), self.steps.len()) {
                return Poll::Pending;
            }
        }
    }

    /// Pushes what there is room for, once there is a connection.
    fn send(&mut self) {
        while let Some(step) = self.steps.front().filter(|_| !self.heard.is_empty()) {
            let frame = match step {
                Sends::After(word) => {
                    if !self.heard.iter().any(|heard| heard.starts_with(word)) {
                        return;
                    }
                    self.steps.pop_front();
                    continue;
                }
                Sends::Data(text) => Frame::Data(Chunk::Shared(Bytes::from_static(text.as_bytes()))),
                Sends::Bulk(bytes) => Frame::Data(Chunk::Shared(Bytes::from_static(pattern(*bytes).as_bytes()))),
                Sends::Trailers(name, value) => {
                    let mut fields = Fields::new();
                    fields.append(name, value).unwrap();
                    Frame::Trailers(Box::new(fields))
                }
                Sends::End => Frame::End,
            };
            let weight = frame.weight();
            if self.lane.outbox.send(frame, weight).is_err() {
                return;
            }
            self.steps.pop_front();
        }
    }

    fn next(&mut self) -> Option<Frame> {
        if self.is_stalled { None } else { self.lane.inbox.recv() }
    }

    /// Notes a frame; `true` when it is the last one.
    fn hear(&mut self, frame: Frame) -> bool {
        let (word, last) = match frame {
            Frame::Ready => ("ready".to_owned(), false),
            Frame::Interim(head) => (format!("interim {}", head.status.as_u16()), false),
            Frame::Reply(request, head) => {
                self.request = Some(request);
                (format!("reply {} {:?}", head.status.as_u16(), head.framing), false)
            }
            Frame::Data(piece) => {
                let text = String::from_utf8_lossy(piece.as_slice()).into_owned();
                if let Chunk::Pooled(buffer) = piece {
                    Shard::current().buffers.put(buffer);
                }
                match self.heard.last_mut().filter(|last| last.starts_with("data ")) {
                    Some(last) => {
                        last.push_str(&text);
                        return false;
                    }
                    None => (format!("data {text}"), false),
                }
            }
            Frame::Trailers(fields) => {
                let lines: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| {
                        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
                    })
                    .collect();
                (format!("trailers {}", lines.join(", ")), false)
            }
            Frame::End => ("end".to_owned(), true),
            Frame::Abort(fault) => (format!("abort {}", fault.cause.key()), true),
            Frame::Fail(request, fault) => {
                self.request = Some(request);
                (format!("fail {} {:?}", fault.cause.key(), fault.retry), true)
            }
            Frame::Upgraded(upgraded) => {
                let early = String::from_utf8_lossy(&upgraded.early).into_owned();
                self.upgraded = upgraded.connection.downcast::<Stream>().ok().map(|stream| *stream);
                assert!(self.upgraded.is_some(), "what is given away is a stream");
                (format!("upgraded {early}"), true)
            }
            Frame::Open(_) => ("open".to_owned(), true),
        };
        self.heard.push(word);
        last
    }
}

/// A request as the engine hands it over; lines are parted by `|`.
pub fn request(head: &str) -> Box<Request> {
    let mut input = BytesMut::from(format!("{}\r\n\r\n", head.replace('|', "\r\n")).as_bytes());
    let mut request = Box::<Request>::default();
    let parsed = request.head.parse(&mut input, &Limits::default());
    assert_eq!(parsed, Ok(Parsed::Complete), "{head}");
    request
}
