//! Clients: good ones, and those that are slow, rude, or leave.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::{Conn, World};

use crate::http::{End, Framing, Habit, Head, LAST, Reader, chunks};
use crate::ledger::{Ledger, pattern};
use crate::plan::{PATIENCE, Plan, front};
use crate::{subscriber, tunnel};

/// One request.
pub struct Wish {
    pub tag: u64,
    pub method: &'static str,
    pub body: usize,
    pub is_chunked: bool,
    pub closes: bool,
}

/// What a client is like on one connection.
#[derive(Debug)]
pub struct Ways {
    pub is_old: bool,
    pipelines: bool,
    requests: u64,
    /// Leaves at that time, whatever is going on.
    leaves: Option<Duration>,
    /// Leaves with a reset.
    by_reset: bool,
    /// Says that it has said all, and waits for what it asked for.
    half_closes: bool,
    /// Between two pieces of a body.
    pause_ms: u64,
    /// Stops in the middle of a body.
    stalls: bool,
    pub habit: Habit,
}

/// What a client comes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    Requests,
    /// To say what is no request.
    Nonsense,
    Tunnel,
    Messages,
}

/// A client's life: some connections, one after another.
pub async fn live(world: Rc<World>, plan: Rc<Plan>, ledger: Rc<Ledger>, number: usize) {
    world.sleep(Duration::from_millis(world.below(1_000))).await;
    for connection in 0..1 + world.below(3) {
        let from = SocketAddr::from(([10, 0, 2, number as u8], 1000 + connection as u16));
        let client = Client { world: &world, plan: &plan, ledger: &ledger };
        client.connection(from).await;
        world.sleep(Duration::from_millis(world.below(500))).await;
    }
}

/// Who lives it.
pub struct Client<'a> {
    pub world: &'a Rc<World>,
    pub plan: &'a Plan,
    pub ledger: &'a Ledger,
}

impl Client<'_> {
    async fn connection(&self, from: SocketAddr) {
        let (world, ledger) = (self.world, self.ledger);
        let manners = self.plan.manners(world);
        let is_good = manners.tears_after.is_none() && !manners.is_dead;
        let ends = || self.plan.drains_at.is_some() || ledger.stopped_at().is_some();
        let conn = match world.within(PATIENCE, world.connect(front(), from, manners)).await {
            Some(Ok(conn)) => conn,
            Some(Err(_)) if ends() => return,
            Some(Err(error)) => return ledger.breach(format!("a client is not let in: {error}")),
            None if is_good && !ends() => {
                return ledger.breach("a client gets no connection".into());
            }
            None => return,
        };
        let mut ways = self.ways();
        let errand = self.errand();
        // There are no upgrades in HTTP/1.0.
        ways.is_old &= errand != Errand::Tunnel;
        ledger.tell(|| format!("client {from} for {errand:?}: {manners:?}, {ways:?}"));
        let twin = conn.clone();
        let stays = async {
            match errand {
                Errand::Requests => self.converse(conn, &ways).await,
                Errand::Nonsense => self.talks_nonsense(conn).await,
                Errand::Tunnel => tunnel::ask(self, conn, &ways).await,
                Errand::Messages => subscriber::visit(self, conn, &ways).await,
            }
        };
        let has_left = match ways.leaves {
            Some(leaves) if errand != Errand::Nonsense => world.within(leaves, stays).await.is_none(),
            _ => {
                stays.await;
                false
            }
        };
        if has_left {
            ledger.tell(|| format!("client {from} leaves"));
        }
        // Whoever has talked to the end does not know whether all of it has arrived.
        if ways.by_reset && (has_left || errand != Errand::Tunnel) {
            twin.reset();
        }
    }

    fn errand(&self) -> Errand {
        let (world, plan) = (self.world, self.plan);
        match () {
            () if !plan.is_calm && world.once_in(12) => Errand::Nonsense,
            () if plan.has_tunnels && world.once_in(3) => Errand::Tunnel,
            () if !plan.sources.is_empty() && world.once_in(2) => Errand::Messages,
            () => Errand::Requests,
        }
    }

    fn ways(&self) -> Ways {
        let (world, calm) = (self.world, self.plan.is_calm);
        let rarely = |times| !calm && world.once_in(times);
        let mut habit = Habit { bytes: 64 * 1024, pause: Duration::ZERO, patience: PATIENCE };
        if world.once_in(6) {
            habit.bytes = 1 + world.below(if calm { 10_000 } else { 2_000 }) as usize;
            // In a calm world nobody reads for so long that the gateway takes the connection for idle.
            habit.pause = Duration::from_millis(if calm { 0 } else { world.below(20) });
        }
        Ways {
            is_old: world.once_in(6),
            pipelines: world.once_in(3),
            requests: 1 + world.below(5),
            leaves: rarely(6).then(|| Duration::from_millis(world.below(2_000))),
            by_reset: rarely(10),
            half_closes: rarely(10),
            pause_ms: if rarely(5) { 1_000 } else { 5 },
            stalls: rarely(12),
            habit,
        }
    }

    async fn talks_nonsense(&self, conn: Conn) {
        let world = self.world;
        let nonsense: [&[u8]; 5] = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost",
            b"",
        ];
        let says = nonsense[world.below(nonsense.len() as u64) as usize];
        let _ = conn.write(says).await;
        let mut reader =
            Reader::new(Rc::clone(world), conn, Habit { bytes: 4096, pause: Duration::ZERO, patience: PATIENCE });
        while let Some(head) = reader.head().await {
            if head.status() < 400 {
                self.ledger.breach(format!("nonsense is answered with {}", head.start));
            }
            reader.body(Framing::Length(head.number("content-length").unwrap_or_default() as usize), usize::MAX).await;
        }
        self.is_over(&reader, "nonsense");
    }

    /// Whoever is heard by nobody for so long was forgotten.
    pub fn is_over(&self, reader: &Reader, what: &str) {
        if reader.ended == Some(End::Silence) && reader.conn.is_whole() {
            self.ledger.breach(format!("a client is left waiting: {what}"));
        }
    }

    async fn converse(&self, conn: Conn, ways: &Ways) {
        let world = self.world;
        let mut reader = Reader::new(Rc::clone(world), conn.clone(), ways.habit);
        let rounds = if ways.pipelines { 1 } else { ways.requests };
        for round in 0..rounds {
            let count = if ways.pipelines { ways.requests } else { 1 };
            let wishes: Vec<Wish> =
                (0..count).map(|at| self.wish(ways, at + 1 == count && round + 1 == rounds)).collect();
            let was_reset = Cell::new(false);
            let mut says = pin!(async {
                let outcome = self.say(&conn, ways, &wishes).await;
                was_reset.set(outcome.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
            });
            let mut hears = pin!(self.hear(&mut reader, ways, &wishes, &was_reset));
            let mut said = false;
            let goes_on = poll_fn(|context| {
                said = said || says.as_mut().poll(context).is_ready();
                hears.as_mut().poll(context)
            })
            .await;
            if !goes_on {
                return;
            }
            if !said {
                // An answer to a request that is still being sent: the rest is kept to oneself.
                return;
            }
            world.sleep(Duration::from_millis(world.below(if world.once_in(4) { 2_500 } else { 50 }))).await;
        }
        if world.once_in(3) {
            reader.habit.patience = IDLE_PATIENCE;
            if reader.any().await {
                self.ledger.breach("a client hears what it did not ask for".to_owned());
            }
            self.is_over(&reader, "for the end of an idle connection");
        }
    }

    fn wish(&self, ways: &Ways, is_last: bool) -> Wish {
        let world = self.world;
        let method = ["GET", "GET", "HEAD", "POST", "POST", "PUT"][world.below(6) as usize];
        let body = match (method, world.below(3)) {
            ("GET" | "HEAD", _) => 0,
            (_, 0) => world.below(50),
            (_, 1) => world.below(5_000),
            _ => world.below(100_000),
        } as usize;
        let is_chunked = body > 0 && !ways.is_old && world.once_in(2);
        Wish { tag: self.ledger.ask(method, body), method, body, is_chunked, closes: is_last && world.once_in(2) }
    }

    async fn say(&self, conn: &Conn, ways: &Ways, wishes: &[Wish]) -> io::Result<()> {
        for wish in wishes {
            let version = if ways.is_old { "1.0\r\nConnection: keep-alive" } else { "1.1" };
            let mut out =
                format!("{} /x HTTP/{version}\r\nHost: a\r\nX-Tag: {}\r\n", wish.method, wish.tag).into_bytes();
            if wish.closes && !ways.is_old {
                out.extend_from_slice(b"Connection: close\r\n");
            }
            let body = pattern(wish.tag, 0, wish.body);
            if wish.is_chunked {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            } else if wish.method == "POST" || wish.method == "PUT" {
                out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", wish.body).as_bytes());
            } else {
                out.extend_from_slice(b"\r\n");
            }
            let pieces = 1 + self.world.below(4) as usize;
            for (at, piece) in body.chunks(1 + wish.body / pieces).enumerate() {
                if ways.stalls && at == pieces / 2 {
                    conn.write(&out).await?;
                    return std::future::pending().await;
                }
                out.extend_from_slice(&if wish.is_chunked { chunks(piece, 3_000) } else { piece.to_vec() });
                if self.world.once_in(2) {
                    conn.write(&out).await?;
                    out.clear();
                    self.world.sleep(Duration::from_millis(self.world.below(ways.pause_ms + 1))).await;
                }
            }
            if wish.is_chunked {
                out.extend_from_slice(LAST);
            }
            // Before the last byte goes: a backend may have it in no time.
            self.ledger.sent(wish.tag);
            conn.write(&out).await?;
        }
        if ways.half_closes {
            conn.shut_write();
        }
        Ok(())
    }

    /// Reads the answers; whether the connection goes on. A reset is an error once: if it met what was being sent, what is read ends as if
    /// nothing were wrong.
    async fn hear(&self, reader: &mut Reader, ways: &Ways, wishes: &[Wish], was_reset: &Cell<bool>) -> bool {
        for wish in wishes {
            let Some(head) = self.final_head(reader, ways, wish).await else { return false };
            if !self.hears(reader, ways, wish, &head, was_reset).await {
                return false;
            }
        }
        true
    }

    /// The head of the response that is not an interim one.
    pub async fn final_head(&self, reader: &mut Reader, ways: &Ways, wish: &Wish) -> Option<Head> {
        let ledger = self.ledger;
        let head = loop {
            match reader.head().await {
                Some(head) if (100..200).contains(&head.status()) && head.status() != 101 => {
                    if ways.is_old {
                        ledger.breach("an interim response to HTTP/1.0".to_owned());
                    }
                }
                head => break head,
            }
        };
        if head.is_none() {
            ledger.count(|figures| figures.unanswered += 1);
            ledger.tell(|| format!("client: {} gets no answer: {:?}", wish.tag, reader.ended));
            self.is_over(reader, &format!("for the response to {}", wish.tag));
            if self.plan.is_calm {
                ledger.breach(format!("request {} is not answered, and the connection {:?}", wish.tag, reader.ended));
            }
        }
        head
    }

    /// Reads the rest of a response; whether the connection goes on.
    pub async fn hears(
        &self,
        reader: &mut Reader,
        ways: &Ways,
        wish: &Wish,
        head: &Head,
        was_reset: &Cell<bool>,
    ) -> bool {
        let (ledger, calm) = (self.ledger, self.plan.is_calm);
        let is_bodiless = wish.method == "HEAD" || matches!(head.status(), 204 | 304);
        let framing = match (head.field("transfer-encoding"), head.number("content-length")) {
            _ if is_bodiless => Framing::None,
            (Some(_), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length as usize),
            (None, None) => Framing::UntilEnd,
        };
        if framing == Framing::Chunked && ways.is_old {
            ledger.breach("chunks to HTTP/1.0".to_owned());
        }
        let (body, is_whole) = reader.body(framing, ENOUGH).await;
        let is_whole = is_whole && !(framing == Framing::UntilEnd && was_reset.get());
        let number = head.number("x-answer");
        ledger.tell(|| {
            format!(
                "client: {} gets {} ({:?}) with {} bytes, {}; {:?}",
                wish.tag,
                head.start,
                head.field("x-tag"),
                body.len(),
                if is_whole { "whole" } else { "cut" },
                reader.ended
            )
        });
        self.is_over(reader, &format!("for the rest of the response to {}", wish.tag));
        match (head.number("x-tag"), number) {
            (Some(of), Some(number)) => ledger.read(wish.tag, of, number, &body, is_whole, is_bodiless),
            _ => {
                ledger.count(|figures| figures.refused += 1);
                if head.status() < 400 {
                    ledger.breach(format!("request {} is answered with {} by nobody", wish.tag, head.start));
                }
            }
        }
        if calm && (!is_whole || number.is_none()) {
            ledger.breach(format!("request {} gets {} and {} bytes, cut", wish.tag, head.start, body.len()));
        }
        if !is_whole {
            return false;
        }
        if head.has("connection", "close") || framing == Framing::UntilEnd {
            // What was sent beyond it is nobody's. Nothing more may come.
            if framing != Framing::UntilEnd && reader.any().await {
                ledger.breach(format!("something comes behind the last response, to {}", wish.tag));
            }
            self.is_over(reader, "for the end of a connection that was said to end");
            return false;
        }
        true
    }
}

/// How long an idle connection lasts at most.
const IDLE_PATIENCE: Duration = Duration::from_secs(33);

/// Nobody reads more of one body.
const ENOUGH: usize = 400_000;
