//! The client's half of exchanges: a worker that takes a connection with something to read, serves what is there, and gives the
//! connection back when it is idle again.
//!
//! A carriage holds every buffer that an exchange needs; an idle connection holds the one that it reads its next head into, for a second at most.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use ringway_contract::{Attributes, Jobs, Request, Upcoming, Worker};
use ringway_net::Slot;
use ringway_wire::{Parsed, Rejection};

use crate::connection::Connection;
use crate::exchange::{self, Next};
use crate::local::Local;
use crate::messages::stream::{Live, Streaming};
use crate::report;
use crate::tunnel::{Opened, Record, Tunnel};
use crate::writer;

/// A connection with something to read, and what of it has been read already.
pub type Job = (Box<Connection>, Option<BytesMut>);

/// Takes a connection, and says what became of it.
pub type Carriage = Worker<Job, Back>;

/// What a carriage gives back.
pub enum Back {
    /// The connection is closed.
    Closed,
    /// It may serve another request, when what is left of the last response is sent.
    Idle(Box<Connection>, BytesMut),
    /// It ends after what the client still sends.
    Lingering(Box<Connection>),
    /// It became a tunnel.
    Tunnel(Box<Tunnel>),
    /// A session goes on over it.
    Stream(Box<Live>),
}

/// What an exchange has opened.
pub enum Open {
    /// The backend's side of a tunnel.
    Tunnel(Box<Opened>),
    /// A session of a message API.
    Stream(Box<Streaming>),
}

/// Idle carriages that a shard keeps; more are made under load and dropped after it.
pub const CARRIAGES_KEPT_MAX: usize = 1024;

/// What a carriage keeps from one exchange to the next.
pub struct Desk {
    /// Bytes of the client that no exchange has taken yet.
    pub input: BytesMut,
    /// The request, while no endpoint's lane has it.
    pub request: Option<Box<Request>>,
    /// The last response, where it is not sent yet: whole, and [small](ringway_net::POST_BYTES_MAX).
    pub unsent: BytesMut,
    /// Indices of the flows that the present request takes.
    pub matched: Vec<u16>,
    /// Room for the attributes of the present exchange.
    pub attributes: Attributes,
    /// Deadline of a write to the client.
    pub write: Slot,
    /// Deadline of the exchange.
    pub total: Slot,
    /// What the exchange has opened.
    pub opened: Option<(Open, Record)>,
    /// What the next turn is going to touch.
    pub upcoming: Upcoming,
}

/// A new carriage for a shard.
pub fn carriage(local: Rc<Local>) -> Carriage {
    Worker::new(|jobs| run(local, jobs))
}

async fn run(local: Rc<Local>, mut jobs: Jobs<Job, Back>) {
    let mut desk = Desk {
        input: BytesMut::new(),
        request: None,
        unsent: BytesMut::new(),
        matched: Vec::new(),
        attributes: Attributes::default(),
        write: local.shard.timers.slot(),
        total: local.shard.timers.slot(),
        opened: None,
        upcoming: jobs.upcoming(),
    };
    loop {
        let (mut connection, input) = jobs.next().await;
        let busy = local.shard.busy();
        desk.input = input.unwrap_or_else(|| local.shard.buffers.take());
        if let Some(early) = connection.early.take() {
            desk.input.extend_from_slice(&early);
        }
        let back = serve(&local, &mut desk, connection).await;
        drop(busy);
        local.shard.buffers.put(std::mem::take(&mut desk.input));
        jobs.done(back);
    }
}

/// Serves every request that is there.
async fn serve(local: &Rc<Local>, desk: &mut Desk, mut connection: Box<Connection>) -> Back {
    loop {
        let next = match read_head(local, desk, &mut connection).await {
            Read::Head => exchange::run(local, desk, &mut connection).await,
            Read::Gone => return Back::Closed,
            Read::Part => return Back::Idle(connection, BytesMut::new()),
            Read::Timeout => report::timeout(local, &connection, desk).await,
            Read::Refused(rejection) => report::rejection(local, &connection, desk, &rejection).await,
        };
        if next == Next::KeepAlive && desk.input.is_empty() {
            return Back::Idle(connection, std::mem::take(&mut desk.unsent));
        }
        let unsent = std::mem::take(&mut desk.unsent);
        if !unsent.is_empty() && !writer::send(local, &connection, &desk.write, unsent).await {
            return Back::Closed;
        }
        match next {
            Next::KeepAlive => {}
            Next::Close => return Back::Closed,
            Next::Linger => return Back::Lingering(connection),
            Next::Tunnel => {
                let Some((opened, record)) = desk.opened.take() else { return Back::Closed };
                let early = std::mem::take(&mut desk.input);
                return match opened {
                    Open::Tunnel(opened) => {
                        Back::Tunnel(Box::new(Tunnel { client: connection, early, opened, record }))
                    }
                    Open::Stream(streaming) => {
                        Back::Stream(Box::new(Live { client: connection, early, streaming, record }))
                    }
                };
            }
        }
    }
}

/// By how much a head's buffer grows when a pooled one is too small for it.
const GROWTH_BYTES: usize = 16 * 1024;

/// A head of which this much at most has come waits for the rest without a carriage: the copy is small, and so is what is parsed anew.
const PART_BYTES_MAX: usize = 4 * 1024;
/// How often one head may: a client that sends a byte at a time shall not have everything before it parsed anew each time.
const PIECES_MAX: u8 = 32;

enum Read {
    Head,
    Gone,
    /// The rest of the head is waited for without a carriage: clients that are slow at their heads, by fate or on purpose, hold little
    /// more than idle ones.
    Part,
    Timeout,
    Refused(Rejection),
}

/// Reads until a request head is complete.
async fn read_head(local: &Rc<Local>, desk: &mut Desk, connection: &mut Connection) -> Read {
    let site = local.site();
    let mut request = desk.request.take().unwrap_or_default();
    request.clear();
    let pieces = connection.pieces;
    if pieces == 0 {
        connection.timer.arm(site.timeouts.client_header);
    }
    // What had come before is parsed when more of it has come.
    let mut parsed = if pieces == 0 { 0 } else { desk.input.len() };
    let read = loop {
        if desk.input.len() > parsed {
            match request.head.parse(&mut desk.input, &site.limits) {
                Ok(Parsed::Complete) => break Read::Head,
                Ok(Parsed::Partial) if connection.timer.expired() => break Read::Timeout,
                Ok(Parsed::Partial) if pieces < PIECES_MAX && desk.input.len() <= PART_BYTES_MAX => {
                    connection.early = Some(Box::new(BytesMut::from(desk.input.as_ref())));
                    connection.pieces = pieces + 1;
                    desk.request = Some(request);
                    return Read::Part;
                }
                Ok(Parsed::Partial) => parsed = desk.input.len(),
                Err(rejection) => break Read::Refused(rejection),
            }
        }
        // A head may be larger than a pooled buffer; the parser bounds it.
        if desk.input.len() == desk.input.capacity() {
            desk.input.reserve(GROWTH_BYTES);
        }
        let input = std::mem::take(&mut desk.input);
        // When the deadline passes, the bytes that have come are lost with the read; that there were some is worth an answer.
        let begun = !input.is_empty();
        match connection.timer.guard(connection.stream.read(input)).await {
            Ok((Ok(0) | Err(_), input)) => {
                desk.input = input;
                break Read::Gone;
            }
            Ok((Ok(_), input)) => desk.input = input,
            Err(_) => break if begun { Read::Timeout } else { Read::Gone },
        }
    };
    connection.timer.disarm();
    connection.pieces = 0;
    desk.request = Some(request);
    read
}

/// How long a closing connection's leftover is read, so that a reset does not overtake the response.
const LINGER_FOR: Duration = Duration::from_secs(2);
/// And how much of it.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Closes the write side and reads what the client still sends, within bounds (RFC 9112 section 9.6).
pub async fn linger(connection: &Connection) {
    connection.timer.arm(LINGER_FOR);
    let _ = connection.timer.guard(connection.stream.linger(LINGER_BYTES_MAX)).await;
    connection.timer.disarm();
}
