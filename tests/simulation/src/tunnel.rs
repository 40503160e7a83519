//! Tunnels: a request that asks for another protocol, a backend that agrees or does not, and what both say then.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_net::sim::{Conn, World};

use crate::client::{Client, Ways, Wish};
use crate::http::{End, Habit, Reader};
use crate::ledger::Ledger;
use crate::plan::{self, READ_MS};
use crate::talks::Side;

/// The longest that somebody in a talk waits: for the slowest reader, and for a silence of the other with the end behind it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pause that is longer may be the end of a tunnel, whose `idleTimeout` is [`IDLE_MS`](crate::plan::IDLE_MS).
const PAUSE_MAX: Duration = Duration::from_millis(2_300);

/// How a side ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It says so, and hears the other to its end.
    Ends,
    /// It waits for the other's end before it says its own.
    Waits,
    /// It resets the connection.
    Resets,
    /// It closes, whatever the other still says.
    Closes,
}

/// What a side is going to do.
#[derive(Debug)]
struct Script {
    /// All that it says.
    total: usize,
    /// In so many pieces.
    pieces: usize,
    /// With at most such a pause before each.
    pause_ms: u64,
    ending: Ending,
    /// After so many bytes it reads nothing for a while.
    stalls: Option<(usize, Duration)>,
    habit: Habit,
}

impl Script {
    fn new(world: &World, is_calm: bool) -> Self {
        let rarely = |times| !is_calm && world.once_in(times);
        let total = match world.below(4) {
            0 => 0,
            1 => world.below(100),
            2 => world.below(5_000),
            _ => world.below(20_000),
        };
        let mut habit = Habit { bytes: 64 * 1024, pause: Duration::ZERO, patience: PATIENCE };
        if rarely(4) {
            habit.bytes = 20 + world.below(500) as usize;
            habit.pause = Duration::from_millis(world.below(30));
        }
        Self {
            total: total as usize,
            pieces: 1 + world.below(5) as usize,
            pause_ms: match () {
                () if rarely(12) => 7_000,
                // Long enough for a tunnel to be parked.
                () if world.once_in(4) => 2_000,
                () => 60,
            },
            ending: match world.below(12) {
                0 if !is_calm => Ending::Resets,
                1 if !is_calm => Ending::Closes,
                2..=4 => Ending::Waits,
                _ => Ending::Ends,
            },
            stalls: rarely(10).then(|| (world.below(total + 1) as usize, Duration::from_millis(world.below(9_000)))),
            habit,
        }
    }
}

/// A client asks for a tunnel, and talks if it gets one.
pub async fn ask(client: &Client<'_>, conn: Conn, ways: &Ways) {
    let (world, ledger) = (client.world, client.ledger);
    let script = Script::new(world, client.plan.is_calm);
    let wish = Wish { tag: ledger.ask("GET", 0), method: "GET", body: 0, is_chunked: false, closes: false };
    let tag = wish.tag;
    ledger.tell(|| format!("client: {tag} asks for a tunnel, {script:?}"));
    // From here on: a client that leaves before its 101 leaves a backend that has agreed.
    let side = ledger.side((tag, 0), script.total, conn.tears());
    let mut reader = Reader::new(Rc::clone(world), conn.clone(), Habit { patience: plan::PATIENCE, ..script.habit });
    let mut out =
        format!("GET /t HTTP/1.1\r\nHost: a\r\nX-Tag: {tag}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .into_bytes();
    if world.once_in(4) {
        out.extend_from_slice(&side.says(world.below(300) as usize));
    }
    ledger.sent(tag);
    if write(world, ledger, &conn, &out).await.is_err() {
        side.spoils("its request is not taken");
    }
    let Some(head) = client.final_head(&mut reader, ways, &wish).await else { return };
    if head.status() != 101 {
        client.hears(&mut reader, ways, &wish, &head, &Cell::new(false)).await;
        return;
    }
    let number = head.number("x-answer").unwrap_or_default();
    ledger.tell(|| format!("client: {tag} is a tunnel by answer {number}"));
    if head.number("x-tag") != Some(tag) || !head.has("upgrade", "websocket") || !head.has("connection", "upgrade") {
        return ledger.breach(format!("request {tag} is answered with another's 101: {head:?}"));
    }
    ledger.opened(tag, number);
    reader.habit = script.habit;
    talk(world, ledger, side, &mut reader, &script).await;
}

/// How a backend answers a request for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Agrees,
    /// Before the gateway has had enough, or after.
    Slowly,
    TooLate,
    /// After some interim responses.
    Interim,
    /// With a protocol that nobody asked for.
    Otherwise,
    /// The 101 breaks off, with an end or a reset.
    Cut,
}

impl Answer {
    /// `None`: it answers as if nobody had asked for a tunnel.
    pub fn of(world: &World, is_calm: bool) -> Option<Self> {
        const BAD: [Answer; 4] = [Answer::Slowly, Answer::TooLate, Answer::Otherwise, Answer::Cut];
        match world.below(8) {
            0 => None,
            1 => Some(Answer::Interim),
            2 | 3 if !is_calm => Some(BAD[world.below(BAD.len() as u64) as usize]),
            _ => Some(Answer::Agrees),
        }
    }
}

/// A backend answers a request for a tunnel, and talks if it agrees. Its connection is over then.
pub async fn agree(world: &Rc<World>, ledger: &Ledger, reader: &mut Reader, tag: u64, answer: Answer, is_calm: bool) {
    let script = Script::new(world, is_calm);
    let conn = reader.conn.clone();
    ledger.tell(|| format!("backend: {tag} is met {answer:?}, {script:?}"));
    match answer {
        Answer::TooLate => world.sleep(Duration::from_millis(READ_MS + 1_000)).await,
        Answer::Slowly => world.sleep(Duration::from_millis(world.below(READ_MS - 500))).await,
        Answer::Interim => {
            for _ in 0..1 + world.below(2) {
                let _ = conn.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
                world.sleep(Duration::from_millis(world.below(100))).await;
            }
        }
        _ => world.sleep(Duration::from_millis(world.below(20))).await,
    }
    let number = ledger.answer(tag, 0);
    let protocol = if answer == Answer::Otherwise { "chess" } else { "websocket" };
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nX-Tag: {tag}\r\nX-Answer: \
         {number}\r\n\r\n"
    )
    .into_bytes();
    if matches!(answer, Answer::Cut | Answer::Otherwise) {
        if answer == Answer::Cut {
            out.truncate(world.below(out.len() as u64) as usize);
        }
        let _ = conn.write(&out).await;
        if world.once_in(2) {
            conn.reset();
        }
        return;
    }
    let side = ledger.side((tag, number), script.total, conn.tears());
    if world.once_in(3) {
        out.extend_from_slice(&side.says(world.below(3_000) as usize));
    }
    if write(world, ledger, &conn, &out).await.is_err() {
        side.spoils("its 101 is not taken");
    }
    reader.habit = script.habit;
    talk(world, ledger, side, reader, &script).await;
}

/// Says and hears, until both are over.
async fn talk(world: &Rc<World>, ledger: &Ledger, side: Side<'_>, reader: &mut Reader, script: &Script) {
    let conn = reader.conn.clone();
    {
        let mut says = pin!(say(world, ledger, &conn, &side, script));
        let mut hears = pin!(hear(world, ledger, reader, &side, script));
        let (mut said, mut heard) = (false, false);
        poll_fn(|context| {
            if !said && let Poll::Ready(goes_on) = says.as_mut().poll(context) {
                said = true;
                if !goes_on {
                    return Poll::Ready(());
                }
            }
            if !heard && hears.as_mut().poll(context).is_ready() {
                heard = true;
            }
            if said && heard { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    // Whoever waited for the other's end has it: closing is the end of its own.
    side.over();
}

/// Says everything. `false` when the connection is left then.
async fn say(world: &Rc<World>, ledger: &Ledger, conn: &Conn, side: &Side<'_>, script: &Script) -> bool {
    while side.has_more() {
        let pause = Duration::from_millis(world.below(script.pause_ms + 1));
        if pause > PAUSE_MAX {
            side.spoils("is silent for long");
        }
        world.sleep(pause).await;
        let piece = side.says(1 + script.total / script.pieces);
        if write(world, ledger, conn, &piece).await.is_err() {
            return true;
        }
    }
    match script.ending {
        Ending::Ends => conn.shut_write(),
        Ending::Waits => {}
        Ending::Resets => {
            side.spoils("resets");
            conn.reset();
            return false;
        }
        Ending::Closes => {
            side.spoils("closes");
            return false;
        }
    }
    true
}

async fn hear(world: &Rc<World>, ledger: &Ledger, reader: &mut Reader, side: &Side<'_>, script: &Script) {
    let (mut heard, mut stalls) = (0, script.stalls);
    while let Some(bytes) = reader.bytes().await {
        side.hears(&bytes);
        heard += bytes.len();
        if let Some((_, pause)) = stalls.take_if(|(after, _)| *after <= heard) {
            side.spoils("stalls");
            world.sleep(pause).await;
        }
    }
    let end = reader.ended.unwrap_or(End::Silence);
    side.ended(end);
    if end == End::Silence && reader.conn.is_whole() {
        ledger.breach("somebody in a tunnel is left waiting for its end".to_owned());
    }
}

/// Writes everything, or tells who is left waiting.
async fn write(world: &Rc<World>, ledger: &Ledger, conn: &Conn, bytes: &[u8]) -> io::Result<()> {
    match world.within(PATIENCE, conn.write(bytes)).await {
        Some(outcome) => outcome,
        None => {
            if conn.is_whole() {
                ledger.breach("somebody in a tunnel is left waiting to say something".to_owned());
            }
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}
