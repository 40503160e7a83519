//! A subscription as a shard sees it: messages that come in over a ring, and receipts that go back.
//!
//! ```text
//!   broker's client (a thread, or a future of this shard)             shard
//!   Sender<Delivery>   ══ Ready, Message*, Fault ══▶   Feed::poll_next ─▶ session or topic log
//!   Receiver<Receipt>  ◀══ Ack ══════════════════════  Feed::ack
//!                      ◀── credit ───────────────────  Feed::grant
//! ```
//!
//! The sender may push only as much as it has credit for, and credit comes back when messages have left the gateway: a slow client slows
//! its broker. When the feed is dropped the ring is closed, which tells the sender to stop.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use ringway_ring::{Receiver, Ringer, Sender, link};

use crate::{Fault, Message, Position};

/// Messages that a feed's ring holds.
pub const FEED_SLOTS: usize = 1024;

/// Bytes of messages that are under way from a broker to one feed: in the ring, and received but not granted.
pub const FEED_WINDOW_BYTES: usize = 1024 * 1024;

/// What a broker's side sends.
#[derive(Debug)]
pub enum Delivery {
    /// The broker has accepted the subscription: whatever is published from here on will come. Once, and first.
    Ready,
    /// A message.
    Message(Message),
    /// The broker cannot be reached at the moment; it is tried again until the feed is dropped. Whoever has another broker may go there.
    /// Told after an attempt that failed, perhaps after each one, also before the subscription was accepted.
    Away(Fault),
    /// The subscription has ended and does not come back by itself: wrong credentials, no such topic, ...
    Fault(Fault),
}

/// What a shard tells the broker's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The message of this position was delivered, or dropped on purpose: it need not come again.
    Ack(Position),
    /// It could not be delivered: the broker may give it to somebody else, or again. Sent by the feed itself, whatever the subscription asks
    /// for, when it is dropped before a message was taken from it.
    Nack(Position),
}

/// Tells what positions mean. One per feed, on the shard.
pub trait Origin {
    /// A message comes by, in the order of the feed. What [`Origin::id`] says of it holds until the next one comes.
    fn passed(&mut self, message: &Message);

    /// Appends the id of the message that has just passed. Where the broker can go on from a given place, this is the cursor behind the
    /// message: text without CR, LF and NUL, at most 4 KiB.
    fn id(&self, message: &Message, out: &mut BytesMut);

    /// Calls `each` with names and values of metadata besides the message's own.
    fn metadata(&self, message: &Message, each: &mut dyn FnMut(&str, &[u8]));
}

/// The broker's end of a feed.
pub struct FeedEnd {
    /// Messages to the shard; they weigh [`Message::weight`], everything else nothing.
    pub outbox: Sender<Delivery>,
    /// Receipts from the shard.
    pub inbox: Receiver<Receipt>,
}

/// The shard's end.
pub struct Feed {
    inbox: Rc<RefCell<Receiver<Delivery>>>,
    outbox: Sender<Receipt>,
    /// Receipts that found no room yet.
    backlog: VecDeque<Receipt>,
    bell: Option<Ringer>,
    /// Receipts in the ring with which the bell is rung for them.
    rings_at: usize,
    driver: Pin<Box<dyn Future<Output = ()>>>,
    ended: bool,
    /// Tells what the positions of its messages mean.
    pub origin: Box<dyn Origin>,
}

/// A look at a feed's ring, for the future that drives the feed.
#[derive(Clone)]
pub struct Level(Rc<RefCell<Receiver<Delivery>>>);

impl Level {
    /// Whether there is nothing to receive, and the sender is there.
    pub fn is_idle(&self) -> bool {
        let ring = self.0.borrow();
        ring.is_empty() && !ring.is_closed()
    }

    /// Whether the sender has gone.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().is_closed()
    }

    /// Waits until everything was taken. Only in the feed's own driver.
    pub async fn drained(&self) {
        poll_fn(|_| if self.0.borrow().is_empty() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Feed {
    /// Makes both ends. `drive` makes the future that is polled whenever the ring is empty: it waits for the other thread's bell, or,
    /// where everything is on this shard, brings the messages itself. The feed ends when it does. `bell` wakes the other side when there
    /// are receipts or credit for it.
    pub fn new<F, Fut>(origin: Box<dyn Origin>, bell: Option<Ringer>, drive: F) -> Self
    where
        F: FnOnce(Level, FeedEnd) -> Fut,
        Fut: Future<Output = ()> + 'static,
    {
        let (outbox, inbox) = link(FEED_SLOTS, FEED_WINDOW_BYTES);
        let (receipts, their_inbox) = link(FEED_SLOTS, usize::MAX);
        let inbox = Rc::new(RefCell::new(inbox));
        let driver = Box::pin(drive(Level(inbox.clone()), FeedEnd { outbox, inbox: their_inbox }));
        Self { inbox, outbox: receipts, backlog: VecDeque::new(), bell, rings_at: 1, driver, ended: false, origin }
    }

    /// The next delivery. `None`: the subscription has ended.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.poll_ready(cx).map(|_| self.take())
    }

    /// Whether there is something to [take](Feed::take): a future that waits by this has no room for a message. `false`: the subscription has
    /// ended.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.flush();
        loop {
            // Closed first: what was sent before that is there now.
            let over = self.ended || self.is_closed();
            let present = !self.inbox.borrow().is_empty();
            if present || over {
                return Poll::Ready(present);
            }
            self.ended = self.driver.as_mut().poll(cx).is_ready();
            if !self.ended && self.inbox.borrow().is_empty() && !self.is_closed() {
                return Poll::Pending;
            }
        }
    }

    /// The next delivery, waited for.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Takes what is there already, `max` deliveries at most, as long as `each` wants more.
    pub fn take_while(&mut self, max: usize, mut each: impl FnMut(&Delivery, &dyn Origin) -> bool) {
        let mut inbox = self.inbox.borrow_mut();
        for delivery in inbox.recv_batch(max) {
            if let Delivery::Message(message) = &delivery {
                self.origin.passed(message);
            }
            if !each(&delivery, &*self.origin) {
                return;
            }
        }
    }

    /// What is there already.
    pub fn take(&mut self) -> Option<Delivery> {
        let delivery = self.inbox.borrow_mut().recv()?;
        if let Delivery::Message(message) = &delivery {
            self.origin.passed(message);
        }
        Some(delivery)
    }

    fn is_closed(&self) -> bool {
        self.inbox.borrow().is_closed()
    }

    /// Gives back the credit of messages that need no memory any more; wakes the other side if that is what it waits for.
    pub fn grant(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut inbox = self.inbox.borrow_mut();
        inbox.grant(bytes);
        if inbox.sender_waits() {
            self.wake();
        }
    }

    /// The other side looks at its receipts every now and then: it is woken for them only when half of the ring is full.
    pub fn let_receipts_wait(&mut self) {
        self.rings_at = FEED_SLOTS / 2;
    }

    /// Sends a receipt. [`Feed::ring`] after a batch of them.
    pub fn receipt(&mut self, receipt: Receipt) {
        self.backlog.push_back(receipt);
        self.flush();
    }

    /// Waits until the other side can see every receipt; what it still delivers is dropped. For a feed that is about to be dropped
    /// itself: with it would go the receipts that found no room.
    pub async fn settled(&mut self) {
        poll_fn(|cx| {
            loop {
                while let Some(delivery) = self.take() {
                    if let Delivery::Message(message) = delivery {
                        self.inbox.borrow_mut().grant(message.weight());
                    }
                }
                self.flush();
                self.wake();
                if self.backlog.is_empty() || self.ended || self.is_closed() {
                    return Poll::Ready(());
                }
                self.ended = self.driver.as_mut().poll(cx).is_ready();
                if self.inbox.borrow().is_empty() && !self.ended {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    /// Wakes the other side for the receipts, unless they may [wait](Feed::let_receipts_wait).
    pub fn ring(&self) {
        if self.outbox.len() >= self.rings_at {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    fn flush(&mut self) {
        self.send_backlog();
        // Said, and looked for once more: room may have come in between.
        self.outbox.wait_for_room(usize::from(!self.backlog.is_empty()));
        self.send_backlog();
    }

    fn send_backlog(&mut self) {
        while let Some(receipt) = self.backlog.pop_front() {
            if self.outbox.send(receipt, 0).is_err() {
                self.backlog.push_front(receipt);
                return;
            }
        }
    }
}

/// What was sent and never taken goes back: the broker's side learns that nobody has it.
impl Drop for Feed {
    fn drop(&mut self) {
        let left = self.inbox.borrow().len();
        for _ in 0..left {
            let delivery = self.inbox.borrow_mut().recv();
            if let Some(Delivery::Message(message)) = delivery {
                self.backlog.push_back(Receipt::Nack(message.position));
            }
        }
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    struct Plain;

    impl Origin for Plain {
        fn passed(&mut self, _message: &Message) {}
        fn id(&self, message: &Message, out: &mut BytesMut) {
            out.extend_from_slice(message.position.offset.to_string().as_bytes());
        }
        fn metadata(&self, _message: &Message, _each: &mut dyn FnMut(&str, &[u8])) {}
    }

    #[test]
    fn a_driver_brings_messages_and_its_end_is_the_feeds() {
        let mut feed = Feed::new(Box::new(Plain), None, |level, mut end| async move {
            for content in ["one", "two"] {
                let message = Message::new(content);
                let weight = message.weight();
                let _ = end.outbox.send(Delivery::Message(message), weight);
                level.drained().await;
            }
        });
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        while let Poll::Ready(Some(Delivery::Message(message))) = feed.poll_next(&mut cx) {
            seen.push(message.content);
        }
        assert_eq!(seen, ["one", "two"]);
        assert!(matches!(feed.poll_next(&mut cx), Poll::Ready(None)));
    }

    #[test]
    fn what_was_never_taken_goes_back() {
        let end = Rc::new(RefCell::new(None));
        let kept = end.clone();
        let mut feed = Feed::new(Box::new(Plain), None, |_, end| {
            *kept.borrow_mut() = Some(end);
            std::future::pending()
        });
        let mut end = end.take().unwrap();
        for offset in 0..3 {
            let message = Message { position: Position { part: 0, offset }, ..Message::new("x") };
            let _ = end.outbox.send(Delivery::Message(message), 0);
        }
        assert!(feed.take().is_some());
        drop(feed);
        assert!(end.inbox.is_closed());
        let back: Vec<_> = std::iter::from_fn(|| end.inbox.recv()).collect();
        assert_eq!(back, [1, 2].map(|offset| Receipt::Nack(Position { part: 0, offset })));
    }

    #[test]
    fn the_other_side_is_woken_for_what_it_waits_for() {
        let (ringer, mut sleeper) = ringway_ring::doorbell().unwrap();
        let kept = Rc::new(RefCell::new(None));
        let end = kept.clone();
        let mut feed = Feed::new(Box::new(Plain), Some(ringer), |_, end| {
            *kept.borrow_mut() = Some(end);
            std::future::pending()
        });
        let mut end = end.take().unwrap();
        let mut woken = 0;
        // Asleep, whatever there is: then `wakes` says whether it is woken.
        let mut wakes = |does: &mut dyn FnMut()| {
            sleeper.awake();
            assert!(sleeper.prepare_sleep(|| true));
            does();
            std::mem::replace(&mut woken, sleeper.wakeups()) < sleeper.wakeups()
        };
        let ack = Receipt::Ack(Position::default());
        assert!(wakes(&mut || {
            feed.receipt(ack);
            feed.ring();
        }));
        feed.let_receipts_wait();
        for _ in 2..FEED_SLOTS / 2 {
            assert!(!wakes(&mut || {
                feed.receipt(ack);
                feed.ring();
            }));
        }
        assert!(wakes(&mut || {
            feed.receipt(ack);
            feed.ring();
        }));
        let weight = Message::new("x").weight();
        for (left, slots, waits) in [(0, 0, false), (0, 1, true), (0, FEED_SLOTS, true), (1, FEED_SLOTS, false)] {
            for _ in 0..=left {
                assert!(end.outbox.send(Delivery::Message(Message::new("x")), weight).is_ok());
            }
            end.outbox.wait_for_room(slots);
            assert!(feed.take().is_some());
            assert_eq!(wakes(&mut || feed.grant(weight)), waits, "{slots} slots");
        }
    }

    #[test]
    fn what_has_no_credit_waits_until_it_is_granted() {
        let heavy = FEED_WINDOW_BYTES;
        let mut feed = Feed::new(Box::new(Plain), None, |_, mut end| async move {
            let mut next = Some(Message::new(vec![0; heavy]));
            for _ in 0..2 {
                poll_fn(|_| match next.take() {
                    Some(message) => {
                        let weight = message.weight();
                        match end.outbox.send(Delivery::Message(message), weight) {
                            Ok(()) => Poll::Ready(()),
                            Err(full) => {
                                let Delivery::Message(message) = full.value else { return Poll::Pending };
                                next = Some(message);
                                Poll::Pending
                            }
                        }
                    }
                    None => Poll::Ready(()),
                })
                .await;
                next.get_or_insert_with(|| Message::new(vec![1; heavy]));
            }
            std::future::pending::<()>().await;
        });
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Delivery::Message(first))) = feed.poll_next(&mut cx) else { panic!("no message") };
        assert!(feed.poll_next(&mut cx).is_pending());
        feed.grant(first.weight());
        assert!(matches!(feed.poll_next(&mut cx), Poll::Ready(Some(Delivery::Message(_)))));
    }
}
