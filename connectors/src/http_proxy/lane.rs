//! One connection to the backend, and the exchanges that go over it one after another.
//!
//! ```text
//!            Open                     head sent                 response complete, request sent
//!   Idle ───────────▶ Sending ───────────────────▶ Receiving ───────────────────────────────────▶ Idle
//!    │ readable: the backend closed, or sent something unasked                │ anything else
//!    ▼                                                                        ▼
//!   ended                                                                   ended
//! ```
//!
//! The wait that is armed while the lane idles is the one that the next response ends, and mostly has read it then: an idle
//! connection is watched at no cost per exchange.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::Either;
use http::Method;
use ringway_contract::{Cause, Fault, Frame, LaneEnd, Request, Retry, Upgraded};
use ringway_net::{Arrival, Pace, Peek, Postage, Shard, Slot, Stream, post};
use ringway_wire::{Fields, Framing};

use super::backend;
use super::coding::Gunzip;
use super::endpoint::HttpProxy;
use super::redirect::{self, Hop};
use super::request;
use super::response::{self, Received};

/// Serves exchanges until the connection cannot be used again.
pub async fn serve(endpoint: Rc<HttpProxy>, mut end: LaneEnd) {
    let Frame::Open(request) = end.recv().await else { return };
    let stream = match backend::connect(&endpoint, &endpoint.target).await {
        Ok(stream) => stream,
        Err(fault) => {
            end.send(Frame::Fail(request, fault)).await;
            return;
        }
    };
    let kept = Kept::new(&endpoint.shard);
    let mut first = Some(request);
    let early = loop {
        kept.idle.set(first.is_none());
        let mut readable = pin!(stirred(&stream, &kept.idle));
        let (request, reused) = match first.take() {
            Some(request) => (request, false),
            None => match next(&mut end, readable.as_mut()).await {
                Some(request) => (request, true),
                None => break None,
            },
        };
        kept.idle.set(false);
        let exchange = Exchange::new(&endpoint, &stream, &kept, reused);
        let over = pin!(exchange.run(&mut end, readable, request)).await;
        match over {
            Over::Kept => {}
            Over::Lost => break None,
            Over::Upgraded(early) => break Some(early),
        }
    };
    match early {
        Some(early) => {
            let idle = endpoint.idle_timeout();
            end.send(Frame::Upgraded(Box::new(Upgraded { connection: Box::new(stream), early, idle }))).await;
        }
        None => stream.abort(),
    }
}

/// What an exchange leaves of its connection.
enum Over {
    /// It may serve another.
    Kept,
    /// It may not.
    Lost,
    /// It speaks another protocol from here on; what the backend said of it already.
    Upgraded(BytesMut),
}

impl Over {
    fn new(reusable: bool) -> Self {
        if reusable { Self::Kept } else { Self::Lost }
    }
}

/// What a lane keeps from one exchange to the next.
pub struct Kept {
    /// Deadline of what is waited for from the backend.
    pub read: Slot,
    /// Deadline of what the backend shall take.
    pub write: Slot,
    /// Room for a response's trailers, empty.
    pub trailers: Cell<Option<Box<Fields>>>,
    /// Room for the client's `Host`, where it is passed on.
    pub authority: Cell<String>,
    /// Whether no exchange is under way.
    idle: Cell<bool>,
}

impl Kept {
    fn new(shard: &Shard) -> Self {
        let (read, write) = (shard.timers.slot(), shard.timers.slot());
        Self { read, write, trailers: Cell::default(), authority: Cell::default(), idle: Cell::new(false) }
    }
}

/// Ready when the backend has something to say. To an idle lane, TLS records that carry no data say nothing: the session tickets
/// of TLS 1.3 come when the handshake is over, often on a connection that has become idle meanwhile (RFC 8446 section 4.6.1).
pub fn stirred<'a>(stream: &'a Stream, idle: &'a Cell<bool>) -> impl Future<Output = Arrival> + use<'a> {
    if stream.tls().is_none() {
        return Either::Left(stream.arrival(None));
    }
    Either::Right(async move {
        loop {
            let arrival = stream.arrival(None).await;
            if !idle.get() || stream.peek() != Peek::Quiet {
                return arrival;
            }
        }
    })
}

/// Waits for the next exchange; `None` when the backend closed or babbled first.
async fn next(end: &mut LaneEnd, mut readable: Pin<&mut impl Future>) -> Option<Box<Request>> {
    poll_fn(|cx| {
        // The backend first: a lane that is asked whether it is fit must not take the exchange and then find out.
        if readable.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        match end.inbox.recv() {
            Some(Frame::Open(request)) => Poll::Ready(Some(request)),
            Some(_) => Poll::Ready(None),
            None => Poll::Pending,
        }
    })
    .await
}

/// Whose move it is: it decides which silence counts against the backend.
///
/// ```text
///             Expect: 100-continue
///   Continue ────── 100, or data of the body ──────▶ Client ── the whole request was sent ──▶ Backend
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The backend's, to ask for the body.
    Continue,
    /// The client's: its body is still to come, and the backend may wait for it. The engine has a deadline of its own for that.
    Client,
    /// The backend's.
    Backend,
}

/// What one request and its response work with.
pub struct Exchange<'a> {
    /// The endpoint.
    pub endpoint: &'a HttpProxy,
    /// The connection.
    pub stream: &'a Stream,
    /// What the lane keeps.
    pub kept: &'a Kept,
    /// Where a redirect has led; `None` for the endpoint's own target.
    pub hop: Option<&'a Hop>,
    /// Whether a redirect may be followed.
    pub follows: Cell<bool>,
    /// Whose move it is.
    pub turn: Cell<Turn>,
    /// The longest silence of the backend.
    pub silence: Cell<Option<Duration>>,
    /// How fast the body must come, if its length is known: then it is no stream of events that come when they come.
    pub pace: Cell<Option<Pace>>,
    /// Whether gzip is accepted in the client's name, and to be undone for it.
    pub undoes: Cell<bool>,
    /// The body that is being undone. Taken out by whoever works with it.
    pub gunzip: Cell<Option<Box<Gunzip>>>,
    /// Whether the connection has served an exchange before.
    reused: bool,
    /// Why the request was not sent to its end.
    broken: Cell<Option<Fault>>,
}

impl<'a> Exchange<'a> {
    /// One that goes to the endpoint's own target.
    pub fn new(endpoint: &'a HttpProxy, stream: &'a Stream, kept: &'a Kept, reused: bool) -> Self {
        Self {
            endpoint,
            stream,
            kept,
            hop: None,
            follows: Cell::new(false),
            turn: Cell::new(Turn::Backend),
            silence: Cell::new(endpoint.read_timeout()),
            pace: Cell::new(None),
            undoes: Cell::new(false),
            gunzip: Cell::new(None),
            reused,
            broken: Cell::new(None),
        }
    }

    /// Runs one exchange.
    async fn run(
        &self,
        end: &mut LaneEnd,
        readable: Pin<&mut impl Future<Output = Arrival>>,
        mut request: Box<Request>,
    ) -> Over {
        let framing = request.head.framing;
        let mut out = self.endpoint.shard.buffers.take();
        request::encode(self, &mut request, &mut out);
        if framing != Framing::None {
            end.send(Frame::Ready).await;
        }
        // Two functions: what one of them keeps while it waits must not lie between this one's state and the other's, which every turn goes
        // through. Pinned where they are made: else a kilobyte that holds nothing yet would be moved.
        match framing.has_content() {
            true => pin!(self.run_with_body(end, readable, request, out)).await,
            false => pin!(self.run_bodiless(end, readable, request, out)).await,
        }
    }

    async fn run_with_body(
        &self,
        end: &mut LaneEnd,
        readable: Pin<&mut impl Future<Output = Arrival>>,
        request: Box<Request>,
        out: BytesMut,
    ) -> Over {
        let (framing, expects) = (request.head.framing, request.head.expect_continue);
        let LaneEnd { inbox, outbox } = end;
        let complete = Cell::new(false);
        self.turn.set(if expects { Turn::Continue } else { Turn::Client });
        let mut sending = pin!(async {
            if !expects {
                // A client that has its body at hand gets it into the same segment as the head.
                pause().await;
            }
            match request::send(self, inbox, out, framing).await {
                Ok(()) => complete.set(true),
                Err(fault) => self.give_up_sending(fault),
            }
        });
        let mut receiving = pin!(response::receive(self, outbox, readable, request));
        let mut over = false;
        let received = poll_fn(|cx| {
            over = over || sending.as_mut().poll(cx).is_ready();
            receiving.as_mut().poll(cx)
        })
        .await;
        match received {
            // The other protocol begins behind the request (RFC 9110 section 7.8).
            Received::Upgraded(early) => {
                if !over {
                    sending.await;
                }
                if complete.get() { Over::Upgraded(early) } else { Over::Lost }
            }
            // After a response that came before the whole request was sent, the connection is in no known state.
            Received::Done { reusable } => Over::new(reusable && complete.get()),
            Received::Moved(_) => Over::Lost,
        }
    }

    async fn run_bodiless(
        &self,
        end: &mut LaneEnd,
        readable: Pin<&mut impl Future<Output = Arrival>>,
        request: Box<Request>,
        out: BytesMut,
    ) -> Over {
        // As a rule it is at hand: the end of such a request comes together with its head.
        if !matches!(end.recv().await, Frame::End) {
            let fault = Fault::new(Cause::Internal).detail("a body that was not announced");
            end.send(Frame::Fail(request, fault)).await;
            return Over::Lost;
        }
        self.follows.set(
            self.endpoint.shared.http.follow_redirects
                && matches!(request.head.method, Method::GET | Method::HEAD)
                && !request.head.upgrade,
        );
        let mut postage = Postage::of(out.len());
        let mut posts = postage.is_some();
        let mut sending = pin!(request::send_head(self, out));
        let mut sent = false;
        let received = {
            // Both are made where they are polled: they are some kilobytes long, which are not to be copied on their way.
            let mut receiving = pin!(response::receive(self, &mut end.outbox, readable, request));
            poll_fn(|cx| {
                if !sent {
                    let written = match std::mem::take(&mut posts) {
                        true => post(sending.as_mut()),
                        false => sending.as_mut().poll(cx),
                    };
                    sent = written.map(|written| request::has_sent(self, written)).is_ready();
                    postage = postage.take().filter(|_| !sent);
                }
                receiving.as_mut().poll(cx)
            })
            .await
        };
        if !sent && !matches!(received, Received::Done { .. }) {
            request::has_sent(self, sending.await);
        }
        match received {
            // A response that came before its request was sent: the connection is in no known state.
            Received::Done { reusable } => Over::new(reusable && sent),
            // Boxed: a rare case must not make every lane larger.
            Received::Moved(moved) => Over::new(Box::pin(redirect::follow(self, &mut end.outbox, moved)).await),
            Received::Upgraded(early) => Over::Upgraded(early),
        }
    }

    /// Sets the deadline of the wait that begins now.
    pub fn arm_read(&self) {
        let silence = match self.turn.get() {
            Turn::Client => None,
            Turn::Continue | Turn::Backend => self.silence.get(),
        };
        match silence {
            Some(silence) => self.kept.read.arm(silence),
            None => self.kept.read.disarm(),
        }
    }

    /// More of a body whose length is known is to come.
    pub fn set_pace(&self) {
        let rate = self.endpoint.rate_min;
        if rate > 0 && self.pace.get().is_none() {
            self.pace.set(self.silence.get().map(|grace| Pace::new(rate, grace)));
        }
    }

    /// The move passes, from one of those who had it.
    pub fn pass_turn(&self, from: &[Turn], to: Turn) {
        if from.contains(&self.turn.get()) {
            self.turn.set(to);
            self.arm_read();
        }
    }

    /// The rest of the request is not sent. That alone does not end the exchange: a backend may answer a request that it does
    /// not want to read, and close (RFC 9112 section 9.5).
    pub fn give_up_sending(&self, fault: Fault) {
        self.broken.set(Some(fault));
        if fault.cause == Cause::Internal {
            self.stream.abort();
        }
        self.pass_turn(&[Turn::Continue, Turn::Client], Turn::Backend);
    }

    /// Whether the whole request may have been sent.
    pub fn is_whole(&self) -> bool {
        self.broken.get().is_none()
    }

    /// The fault of a connection that has ended too early.
    pub fn closed(&self) -> Fault {
        match self.broken.get() {
            Some(fault) if fault.cause != Cause::BackendClosed => fault,
            _ => Fault::new(Cause::BackendClosed),
        }
    }

    /// The same before any byte of a response: a kept connection was most likely closing when it was used.
    pub fn verdict(&self, fault: Fault) -> Fault {
        if self.reused && fault.cause == Cause::BackendClosed { fault.retry(Retry::Idempotent) } else { fault }
    }
}

/// Lets the other half of the exchange run once.
async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}
