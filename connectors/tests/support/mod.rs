//! What the tests of this crate share: the engine's half of a lane, in one future of a real shard.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod backend;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ringway_connectors::http_proxy;
use ringway_contract::{Chunk, Endpoint, Fields, Frame, Lane, Refusal, Request, Services};
use ringway_net::{Driver, DriverChoice, Shard, ShardOptions, run_shard};
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
        let thread = run_shard(options, move |shard| main(shard));
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

/// Bytes that are different everywhere, and all letters.
pub fn pattern(count: usize) -> String {
    (0..count).map(|index| char::from(b'a' + ((index * 7 + index / 251) % 26) as u8)).collect()
}

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
    /// What has come, in words.
    pub heard: Vec<String>,
    /// The last request that came back.
    pub request: Option<Box<Request>>,
}

impl Engine {
    pub fn new(endpoint: &Rc<dyn Endpoint>) -> Self {
        Self { lane: Rc::clone(endpoint).lane(), heard: Vec::new(), request: None }
    }

    /// Runs one exchange and says what frames came, consecutive data as one. `""` sends nothing but the head and its end.
    pub async fn exchange(&mut self, head: &str, body: &[Sends]) -> Vec<String> {
        self.heard.clear();
        let shard = Shard::current();
        let slot = shard.timers.slot();
        slot.arm(PATIENCE);
        let mut steps: VecDeque<Sends> = body.iter().copied().collect();
        let request = request(head);
        let bodiless = request.head.framing == Framing::None && !request.head.upgrade;
        self.push(Frame::Open(request));
        if bodiless {
            self.push(Frame::End);
        }
        let done = slot.guard(poll_fn(|cx| self.turn(&mut steps, cx))).await;
        assert!(done.is_ok(), "{head:?} hangs after {:?}", self.heard);
        // What is still to be said belongs to no further exchange.
        std::mem::take(&mut self.heard)
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

    fn turn(&mut self, steps: &mut VecDeque<Sends>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let moves = (self.lane.inbox.moves(), self.lane.outbox.moves(), steps.len());
            self.send(steps);
            let ended = self.lane.poll(cx).is_ready();
            while let Some(frame) = self.lane.inbox.recv() {
                self.lane.inbox.grant(frame.weight());
                if self.hear(frame) {
                    return Poll::Ready(());
                }
            }
            if ended {
                self.heard.push("ended".to_owned());
                return Poll::Ready(());
            }
            if moves == (self.lane.inbox.moves(), self.lane.outbox.moves(), steps.len()) {
                return Poll::Pending;
            }
        }
    }

    /// Pushes what there is room for, once there is a connection.
    fn send(&mut self, steps: &mut VecDeque<Sends>) {
        while let Some(step) = steps.front().filter(|_| !self.heard.is_empty()) {
            let frame = match step {
                Sends::After(word) => {
                    if !self.heard.iter().any(|heard| heard.starts_with(word)) {
                        return;
                    }
                    steps.pop_front();
                    continue;
                }
                Sends::Data(text) => Frame::Data(Chunk::Shared(Bytes::from_static(text.as_bytes()))),
                Sends::Bulk(bytes) => Frame::Data(Chunk::Shared(Bytes::from(pattern(*bytes)))),
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
            steps.pop_front();
        }
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
