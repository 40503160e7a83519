//! Backends: good ones, and every bad one that could be thought of.

use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::{Conn, World};

use crate::http::{Framing, Habit, Head, LAST, Reader, chunks};
use crate::ledger::{ENDLESS, ENDLESS_PIECE, Ledger, pattern};
use crate::plan::{Plan, READ_MS};
use crate::tunnel::{self, Answer};

/// How a backend treats one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Length,
    Chunked,
    UntilEnd,
    /// Good, but a piece at a time.
    Slow,
    /// Good, after some interim responses.
    Interim,
    /// Good, and then it ends the connection without having said so.
    Fickle,
    /// Good, and then it says something unasked.
    Babbles,
    /// Answers before it has read the request's body.
    Early,
    /// Closes without an answer.
    Closes,
    /// Resets without an answer.
    Resets,
    /// Never answers.
    Stalls,
    /// Ends the connection in the middle of the body, with an end or a reset.
    CutLength,
    CutChunked,
    ResetUntilEnd,
    /// Stops in the middle of the body.
    StallsInBody,
    /// Sends more than it announced.
    Excess,
    /// Says what is no response.
    Garbage,
    /// Interim responses for ever.
    Interims,
    /// A body without end.
    Endless,
}

const GOOD: [Mood; 5] = [Mood::Length, Mood::Chunked, Mood::UntilEnd, Mood::Slow, Mood::Interim];
const BAD: [Mood; 14] = [
    Mood::Fickle,
    Mood::Babbles,
    Mood::Early,
    Mood::Closes,
    Mood::Resets,
    Mood::Stalls,
    Mood::CutLength,
    Mood::CutChunked,
    Mood::ResetUntilEnd,
    Mood::StallsInBody,
    Mood::Excess,
    Mood::Garbage,
    Mood::Interims,
    Mood::Endless,
];

/// Serves one connection to its end.
pub async fn serve(world: Rc<World>, plan: Rc<Plan>, ledger: Rc<Ledger>, conn: Conn) {
    let mut habit = Habit { bytes: 16 * 1024, pause: Duration::ZERO, patience: Duration::from_secs(60) };
    if !plan.is_calm && world.once_in(8) {
        habit.bytes = 1 + world.below(2_000) as usize;
        habit.pause = Duration::from_millis(world.below(50));
    }
    let mut reader = Reader::new(Rc::clone(&world), conn, habit);
    while reader.any().await {
        let Some(head) = reader.head().await else { return };
        let peer = Backend { world: &world, ledger: &ledger, is_calm: plan.is_calm };
        if !peer.answer(&mut reader, &head, plan.retries.unwrap_or_default()).await {
            return;
        }
    }
}

struct Backend<'a> {
    world: &'a Rc<World>,
    ledger: &'a Ledger,
    is_calm: bool,
}

impl Backend<'_> {
    /// Whether the connection goes on.
    async fn answer(&self, reader: &mut Reader, head: &Head, retries: u64) -> bool {
        let method = head.start.split(' ').next().unwrap_or_default();
        let Some(tag) = head.number("x-tag") else {
            self.ledger.breach(format!("a backend got what no client sent: {:?}", head.start));
            return false;
        };
        self.ledger.arrived(tag, method, retries);
        let world = self.world;
        if head.has("upgrade", "websocket")
            && let Some(answer) = Answer::of(world, self.is_calm)
        {
            tunnel::agree(world, self.ledger, reader, tag, answer, self.is_calm).await;
            return false;
        }
        let mood = if self.is_calm || !world.once_in(3) {
            GOOD[world.below(GOOD.len() as u64) as usize]
        } else {
            BAD[world.below(BAD.len() as u64) as usize]
        };
        self.ledger.tell(|| format!("backend: {method} {tag} is met {mood:?}"));
        let framing = match (head.field("transfer-encoding"), head.number("content-length")) {
            (Some(_), Some(_)) => {
                self.ledger.breach(format!("request {tag} arrived with two framings"));
                return false;
            }
            (Some(_), None) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length as usize),
            (None, None) => Framing::None,
        };
        if mood != Mood::Early {
            let (body, is_whole) = reader.body(framing, usize::MAX).await;
            if !is_whole {
                self.ledger.tell(|| format!("backend: the body of {tag} broke off: {:?}", reader.ended));
                return false;
            }
            self.ledger.received(tag, &body);
        }
        let conn = reader.conn.clone();
        let went = self.respond(&conn, mood, tag, method == "HEAD").await;
        // After an early answer the rest of the request is read by nobody.
        went && !matches!(mood, Mood::Early) && !conn.is_shut()
    }

    async fn respond(&self, conn: &Conn, mood: Mood, tag: u64, is_head: bool) -> bool {
        let world = self.world;
        let length = match world.below(4) {
            0 => world.below(10),
            1 => world.below(1_000),
            2 => world.below(20_000),
            _ => world.below(150_000),
        } as usize;
        match mood {
            Mood::Closes => return false,
            Mood::Resets => {
                conn.reset();
                return false;
            }
            Mood::Stalls => return std::future::pending().await,
            Mood::Garbage => {
                let _ = conn.write(b"HTTP/1.1 2OO nonsense\r\n\0\r\n\r\n").await;
                return false;
            }
            Mood::Interims => loop {
                if conn.write(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_err() {
                    return false;
                }
                self.pause(1_500).await;
            },
            Mood::Interim => {
                for _ in 0..1 + world.below(3) {
                    if conn.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await.is_err() {
                        return false;
                    }
                    self.pause(100).await;
                }
            }
            _ => self.pause(if self.is_calm { 20 } else { 300 }).await,
        }
        let number = self.ledger.answer(tag, if mood == Mood::Endless && !is_head { ENDLESS } else { length });
        let body = pattern(tag, number, length);
        let framing = match mood {
            Mood::Chunked | Mood::CutChunked | Mood::Endless => Framing::Chunked,
            Mood::UntilEnd | Mood::ResetUntilEnd => Framing::UntilEnd,
            _ if world.once_in(3) && mood != Mood::CutLength && mood != Mood::Excess => Framing::Chunked,
            _ => Framing::Length(length),
        };
        let mut out = format!("HTTP/1.1 200 OK\r\nX-Tag: {tag}\r\nX-Answer: {number}\r\n").into_bytes();
        out.extend_from_slice(&match framing {
            Framing::Chunked => b"Transfer-Encoding: chunked\r\n\r\n".to_vec(),
            Framing::Length(length) => format!("Content-Length: {length}\r\n\r\n").into_bytes(),
            _ => b"Connection: close\r\n\r\n".to_vec(),
        });
        let is_chunked = framing == Framing::Chunked;
        let framed = |body: &[u8]| if is_chunked { chunks(body, 1 + length / 3) } else { body.to_vec() };
        if is_head {
            let went = conn.write(&out).await.is_ok();
            self.ledger.answered(tag, number);
            return went && framing != Framing::UntilEnd;
        }
        match mood {
            Mood::CutLength | Mood::CutChunked | Mood::ResetUntilEnd | Mood::StallsInBody => {
                let part = world.below(length as u64 + 1) as usize;
                // All of a length, or nothing less, would be no cut.
                let part = if part == length { length / 2 } else { part };
                if length == 0 && !is_chunked && framing != Framing::UntilEnd {
                    // Nothing can be missing of nothing.
                    self.ledger.answered(tag, number);
                }
                out.extend_from_slice(&framed(body.get(..part).unwrap_or_default()));
                if conn.write(&out).await.is_err() {
                    return false;
                }
                self.pause(500).await;
                match mood {
                    Mood::StallsInBody => return std::future::pending().await,
                    Mood::ResetUntilEnd => conn.reset(),
                    _ if world.once_in(2) => conn.reset(),
                    _ => {}
                }
                return false;
            }
            Mood::Endless => {
                let mut went = conn.write(&out).await.is_ok();
                let piece = pattern(tag, number, ENDLESS_PIECE);
                while went {
                    went = conn.write(&chunks(&piece, ENDLESS_PIECE)).await.is_ok();
                }
                return false;
            }
            Mood::Slow => {
                let mut went = conn.write(&out).await.is_ok();
                for piece in body.chunks(1 + length / 4) {
                    self.pause(if self.is_calm { 100 } else { READ_MS - 500 }).await;
                    went = went && conn.write(&framed(piece)).await.is_ok();
                }
                if !went {
                    return false;
                }
            }
            _ => {
                out.extend_from_slice(&framed(&body));
                if mood == Mood::Excess {
                    out.extend_from_slice(b"and more than that");
                }
                if !is_chunked && conn.write(&out).await.is_err() {
                    return false;
                }
            }
        }
        if is_chunked {
            if mood == Mood::Slow {
                out.clear();
            }
            out.extend_from_slice(LAST);
            if conn.write(&out).await.is_err() {
                return false;
            }
        }
        self.ledger.answered(tag, number);
        match mood {
            Mood::Babbles => {
                self.pause(100).await;
                let _ = conn.write(b"\0by the way").await;
                false
            }
            Mood::Fickle => {
                self.pause(300).await;
                false
            }
            _ => framing != Framing::UntilEnd,
        }
    }

    async fn pause(&self, ms_max: u64) {
        let pause = Duration::from_millis(self.world.below(ms_max + 1));
        self.world.sleep(pause).await;
    }
}
