//! Clients of the message APIs: streams of events, and collections. WebSockets are in `socket.rs`.

use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::Conn;
use serde_json::Value;

use crate::client::{Client, Ways};
use crate::http::{End, Framing, Habit, Head, Piece, Reader};
use crate::socket;
use crate::source::Source;

/// What a client is going to do with a subscription.
#[derive(Debug)]
pub struct Intent {
    /// Leaves, or closes, when it has got so many messages.
    pub wants: u64,
    /// Reads nothing for a while when it has got so many.
    pub stalls: Option<(u64, Duration)>,
    /// Whether its wire is one on which nothing gets lost.
    pub is_good: bool,
    /// Whether its wire carries what the source makes, with some to spare.
    keeps_up: bool,
    pub habit: Habit,
}

/// A client subscribes, in one of the ways that there are.
pub async fn visit(client: &Client<'_>, conn: Conn, ways: &Ways) {
    let (world, plan) = (client.world, client.plan);
    let source = &plan.sources[world.below(plan.sources.len() as u64) as usize];
    let mut habit = ways.habit;
    habit.bytes = habit.bytes.max(20);
    let intent = Intent {
        wants: if source.count.is_some() && !world.once_in(4) { u64::MAX } else { 1 + world.below(40) },
        stalls: (!plan.is_calm && world.once_in(5))
            .then(|| (world.below(10), Duration::from_millis(world.below(9_000)))),
        is_good: !conn.tears(),
        keeps_up: conn.bytes_per_second() > 2.0 * source.bytes_per_second(),
        habit,
    };
    let kind = world.below(3);
    client
        .ledger
        .tell(|| format!("client: {} of {}, {intent:?}", ["sse", "http-get", "websocket"][kind as usize], source.name));
    let subscriber = Subscriber { client, source, intent: &intent };
    let reader = Reader::new(Rc::clone(world), conn, habit);
    match kind {
        0 => subscriber.stream(reader, ways.is_old).await,
        1 => subscriber.collect(reader).await,
        _ => socket::converse(&subscriber, reader).await,
    }
}

/// A client with a source and an intent.
pub struct Subscriber<'a> {
    pub client: &'a Client<'a>,
    pub source: &'a Source,
    pub intent: &'a Intent,
}

/// What of a subscription has come.
pub struct Heard {
    /// The number that the next message must have; `None`: any.
    next: Option<u64>,
    /// How many came.
    pub count: u64,
}

impl Heard {
    /// Nothing yet, of a subscription that begins with this number, or somewhere.
    pub fn new(first: Option<u64>) -> Self {
        Self { next: first, count: 0 }
    }
}

impl Subscriber<'_> {
    /// A message has come: it is the next one, and as it was made up.
    pub fn gets(&self, heard: &mut Heard, number: u64, content: &str) {
        let ledger = self.client.ledger;
        ledger.count(|figures| figures.messages += 1);
        heard.count += 1;
        if let Some(next) = heard.next.replace(number + 1)
            && next != number
        {
            ledger.breach(format!("message {number} of {} comes where {next} is due", self.source.name));
        }
        if content != self.source.content(number) {
            ledger.breach(format!("message {number} of {} is another one: {content:.60?}", self.source.name));
        }
    }

    /// Whether all messages of a subscription with an end have come.
    pub fn is_complete(&self, heard: &Heard) -> bool {
        self.source.count == Some(heard.count)
    }

    /// Whether the gateway may end a subscription before that, and say so.
    pub fn may_be_dismissed(&self) -> bool {
        self.client.ledger.has_dismissed()
    }

    /// Whether a subscription may break off without a word.
    pub fn may_be_cut(&self) -> bool {
        !self.intent.is_good || self.intent.stalls.is_some() || self.client.ledger.stopped_at().is_some()
    }

    /// Whether a client may be found too slow.
    pub fn may_lag(&self) -> bool {
        self.source.is_heavy || !self.intent.keeps_up
    }

    /// Something of the subscription is not as it must be.
    pub fn breach(&self, what: &str) {
        self.client.ledger.breach(format!("a subscription to {}: {what}", self.source.name));
    }

    /// Reads nothing for a while, if it is the time for that.
    pub async fn stall(&self, heard: &Heard, stalls: &mut Option<(u64, Duration)>) {
        if let Some((_, pause)) = stalls.take_if(|(after, _)| *after <= heard.count) {
            self.client.ledger.tell(|| format!("client of {}: stalls for {pause:?}", self.source.name));
            self.client.world.sleep(pause).await;
        }
    }

    /// The head of an answer, if there is one.
    pub async fn head(&self, reader: &mut Reader) -> Option<Head> {
        let head = reader.head().await;
        self.client.is_over(reader, &format!("for a head of {}", self.source.name));
        if head.is_none() && !self.may_be_cut() && !self.may_be_dismissed() {
            self.breach(&format!("no answer, and the connection {:?}", reader.ended));
        }
        head
    }

    async fn stream(&self, mut reader: Reader, is_old: bool) {
        let (world, ledger, source) = (self.client.world, self.client.ledger, self.source);
        let cursor = (source.resumes() && world.once_in(2)).then(|| world.below(1_000));
        let version = if is_old { "1.0" } else { "1.1" };
        let last = cursor.map(|cursor| format!("Last-Event-ID: {cursor}\r\n")).unwrap_or_default();
        let asks =
            format!("GET /{}/x HTTP/{version}\r\nHost: a\r\nAccept: text/event-stream\r\n{last}\r\n", source.name);
        let _ = reader.conn.write(asks.as_bytes()).await;
        let Some(head) = self.head(&mut reader).await else { return };
        if head.status() != 200 || !head.field("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            return self.breach(&format!("a stream is answered with {head:?}"));
        }
        ledger.count(|figures| figures.subscriptions += 1);
        let framing = match head.field("transfer-encoding") {
            Some(_) if is_old => return self.breach("chunks to HTTP/1.0"),
            Some(_) => Framing::Chunked,
            None => Framing::UntilEnd,
        };
        let is_own = source.count.is_some() || source.resumes();
        let mut heard = Heard::new(is_own.then(|| cursor.map_or(0, |cursor| cursor + 1)));
        let (mut text, mut stalls, mut farewell) = (Vec::new(), self.intent.stalls, false);
        let is_whole = loop {
            self.stall(&heard, &mut stalls).await;
            if heard.count >= self.intent.wants {
                ledger.tell(|| format!("client: has {} messages of {}, and goes", heard.count, source.name));
                return;
            }
            match reader.piece(framing).await {
                Piece::Bytes(bytes) => text.extend_from_slice(&bytes),
                Piece::End => break true,
                Piece::Cut => break false,
            }
            while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
                let rest = text.split_off(end + 2);
                let event = std::mem::replace(&mut text, rest);
                if farewell {
                    self.breach("something comes behind its last event");
                }
                farewell = self.event(&mut heard, &String::from_utf8_lossy(&event));
            }
        };
        ledger.tell(|| {
            format!("client: a stream of {} ends {:?} behind {} messages", source.name, reader.ended, heard.count)
        });
        self.client.is_over(&reader, &format!("for the next event of {}", source.name));
        let is_complete = self.is_complete(&heard);
        ledger.count(|figures| figures.complete += u64::from(is_whole && is_complete));
        if is_whole && !text.is_empty() {
            self.breach("it looks whole with half an event");
        }
        if is_whole && !is_complete && !farewell {
            self.breach(&format!("it looks whole with {} messages", heard.count));
        }
        if !is_whole && !self.may_be_cut() {
            self.breach(&format!(
                "it breaks off behind {} messages, and the connection {:?}",
                heard.count, reader.ended
            ));
        }
        if is_whole && framing == Framing::Chunked && reader.any().await {
            self.breach("something comes behind its end");
        }
    }

    /// One event; whether it is the last one.
    fn event(&self, heard: &mut Heard, event: &str) -> bool {
        let (mut id, mut kind, mut data) = (None, "", Vec::new());
        for line in event.trim_end_matches('\n').split('\n') {
            match line.split_once(": ") {
                Some(("id", number)) => id = number.parse().ok(),
                Some(("event", name)) => kind = name,
                Some(("data", text)) => data.push(text),
                Some(("retry", _)) => {}
                _ if line.starts_with(':') => {}
                _ => self.breach(&format!("a line that is none: {line:?}")),
            }
        }
        match (kind, id) {
            ("message", Some(id)) => self.gets(heard, id, &data.join("\n")),
            ("goaway", None) if self.may_be_dismissed() => return true,
            ("error", None) if self.may_lag() && data.join("").starts_with("Too slow") => return true,
            ("", None) if data.is_empty() => {}
            _ => self.breach(&format!("an event that has no reason: {event:.200?}")),
        }
        false
    }

    async fn collect(&self, mut reader: Reader) {
        let (world, ledger, source) = (self.client.world, self.client.ledger, self.source);
        let (mut cursor, mut stalls) = (world.once_in(3).then(|| world.below(1_000)), self.intent.stalls);
        for _ in 0..1 + world.below(3) {
            let asked = world.once_in(2).then(|| 1 + world.below(source.limit * 2));
            let limit = asked.map_or(source.limit, |asked| asked.min(source.limit));
            let query = [("limit", asked), ("cursor", cursor)]
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
                .collect::<Vec<_>>()
                .join("&");
            let asks =
                format!("GET /{}/x?{query} HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n", source.name);
            let since = world.elapsed();
            let _ = reader.conn.write(asks.as_bytes()).await;
            let Some(head) = self.head(&mut reader).await else { return };
            let took = world.elapsed() - since;
            let (200, Some(length)) = (head.status(), head.number("content-length")) else {
                return self.breach(&format!("a collection is answered with {head:?}"));
            };
            ledger.count(|figures| figures.subscriptions += 1);
            let mut heard = Heard::new(Some(cursor.map_or(0, |cursor| cursor + 1)));
            self.stall(&heard, &mut stalls).await;
            let (body, is_whole) = reader.body(Framing::Length(length as usize), usize::MAX).await;
            self.client.is_over(&reader, &format!("for the rest of a collection of {}", source.name));
            if !is_whole {
                if !self.may_be_cut() {
                    self.breach(&format!("a collection breaks off, and the connection {:?}", reader.ended));
                }
                return;
            }
            let Ok(answer) = serde_json::from_slice::<Value>(&body) else {
                return self.breach("a collection that is whole is no JSON");
            };
            for item in answer["items"].as_array().into_iter().flatten() {
                let id = item["id"].as_str().and_then(|id| id.parse().ok());
                self.gets(&mut heard, id.unwrap_or(u64::MAX - 1), item["content"].as_str().unwrap_or_default());
            }
            ledger.tell(|| format!("client: a collection of {}: {} messages after {took:?}", source.name, heard.count));
            let next = heard.next.filter(|_| heard.count > 0).map(|next| next - 1).or(cursor);
            let page = &answer["pagination"];
            let told = page["nextCursor"].as_str().and_then(|next| next.parse().ok());
            if page["limit"].as_u64() != Some(limit) || told != next {
                self.breach(&format!("a collection up to {next:?} by {limit} says that it is {page}"));
            }
            let is_complete = self.is_complete(&heard);
            ledger.count(|figures| figures.complete += u64::from(is_complete));
            let is_early = took + TICKS < Duration::from_millis(source.collects_ms);
            if heard.count > limit || (heard.count < limit && is_early && !is_complete && !self.may_be_dismissed()) {
                self.breach(&format!("a collection of {} of {limit} messages after {took:?}", heard.count));
            }
            if head.has("connection", "close") {
                if reader.any().await || !matches!(reader.ended, Some(End::Closed | End::Reset)) && self.intent.is_good
                {
                    self.breach("a connection that was said to end goes on");
                }
                return;
            }
            if world.elapsed() - since > took + Duration::from_secs(3) {
                // Who has read so slowly may be taken for idle: that counts from when the gateway's kernel has had the answer.
                return;
            }
            cursor = next;
            world.sleep(Duration::from_millis(world.below(300))).await;
        }
    }
}

/// By how much the gateway's timers may be early.
const TICKS: Duration = Duration::from_millis(250);
