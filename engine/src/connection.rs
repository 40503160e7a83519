//! A client's connection: idle, it is a small future that waits for something to read.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use ringway_contract::Client;
use ringway_net::{Arrival, Postage, Recall, Slot, Stream, post, spawn};

use crate::carriage::{self, Back, Job, carriage};
use crate::local::{Counted, Local};
use crate::messages::stream;
use crate::parking::{PARK_AFTER, Parked};
use crate::tunnel;
use crate::writer;

/// A client's connection. It goes from hand to hand in its box, so that neither the task nor a carriage has room for it.
pub struct Connection {
    /// The socket.
    pub stream: Stream,
    /// Deadline of reads and of idleness.
    pub timer: Slot,
    /// Who is there.
    pub client: Client,
    /// Requests served so far.
    pub requests: u32,
    /// Index of the server (in `ringway.yaml`) that accepted it.
    pub server: u16,
    /// Bytes that were read before the carriage is there: behind a PROXY protocol header, or of a head that came in part.
    pub early: Option<Box<BytesMut>>,
    /// In how many pieces the present head has come. If in some, it is in `early`, and `timer` is armed with its deadline.
    pub pieces: u8,
    /// It counts as one for as long as it is open.
    #[expect(dead_code, reason = "dropping it is what counts")]
    pub counted: Counted,
}

/// Serves a connection to its end, or until it has been silent for so long that it is parked.
pub async fn run(local: Rc<Local>, connection: Box<Connection>) {
    go_on(local, connection, BytesMut::new()).await;
}

/// The same behind a response of which `unsent` is still to be sent.
async fn go_on(local: Rc<Local>, mut connection: Box<Connection>, mut unsent: BytesMut) {
    let recall = Recall::default();
    loop {
        // Pinned where they are made: as a rule they would be moved once, and they are some kilobytes long.
        let idle = pin!(idle(&local, &connection, &recall, unsent)).await;
        let input = match idle {
            Idle::Ready(input) => input,
            Idle::Over => return,
            Idle::Silent(left) => {
                if let Some(berth) = connection.stream.berth() {
                    connection.timer.rest();
                    // What the kernel does not want to watch is closed: it is short of memory.
                    let _ = local.parked.park((berth, None), left, Parked::Client(connection));
                    return;
                }
                None
            }
        };
        let served = pin!(serve(&local, (connection, input))).await;
        match served {
            Some(idle) => (connection, unsent) = idle,
            None => return,
        }
    }
}

/// Serves a connection that was parked and has something to read.
pub async fn resume(local: Rc<Local>, connection: Box<Connection>) {
    if let Some((idle, unsent)) = serve(&local, (connection, None)).await {
        go_on(local, idle, unsent).await;
    }
}

/// How a wait for a request ends.
enum Idle {
    /// There is something to read, or it has been read already.
    Ready(Option<BytesMut>),
    /// The connection is to be closed.
    Over,
    /// Nothing came for [`PARK_AFTER`]; there is so much left of the time that it may idle.
    Silent(Duration),
}

/// Waits for a request, and sends the last response meanwhile.
async fn idle(local: &Local, connection: &Connection, recall: &Recall, unsent: BytesMut) -> Idle {
    if connection.pieces > 0 {
        // Late or not, a carriage has to answer.
        let _ = connection.timer.guard(connection.stream.readable()).await;
        return Idle::Ready(None);
    }
    if connection.early.is_some() {
        return Idle::Ready(None);
    }
    let bytes = unsent.len();
    let mut sending = pin!(connection.stream.write(unsent));
    let postage = Postage::of(bytes);
    let sent = match &postage {
        _ if bytes == 0 => Poll::Ready(true),
        Some(_) => post(sending.as_mut()).map(|written| sent(local, written)),
        None => Poll::Ready(settle(local, connection, bytes, sending.as_mut()).await),
    };
    if sent == Poll::Ready(false) {
        return Idle::Over;
    }
    let postage = postage.filter(|_| sent.is_pending());

    let site = local.site();
    let served = connection.requests > 0;
    let wait = if served { site.timeouts.keep_alive } else { site.timeouts.client_header };
    drop(site);
    connection.timer.arm(wait.min(PARK_AFTER));
    let mut arrival = pin!(connection.stream.arrival(Some(recall)));
    let mut guarded = connection.timer.guard(arrival.as_mut());
    let mut drained = pin!(local.drain.wait());
    let idle = poll_fn(|cx| match Pin::new(&mut guarded).poll(cx) {
        Poll::Ready(Ok(arrival)) => Poll::Ready(arrived(local, arrival)),
        Poll::Ready(Err(_)) if wait > PARK_AFTER => Poll::Ready(Idle::Silent(wait - PARK_AFTER)),
        Poll::Ready(Err(_)) => Poll::Ready(Idle::Over),
        // A process that is ending closes what is idle; a new client's first request is on its way.
        Poll::Pending if served => drained.as_mut().poll(cx).map(|()| Idle::Over),
        Poll::Pending => Poll::Pending,
    })
    .await;
    connection.timer.disarm();
    if sent.is_pending() && !settle(local, connection, bytes, sending).await {
        return Idle::Over;
    }
    drop(postage);
    match idle {
        Idle::Silent(left) if recall.recall() => match arrival.await {
            // Nothing has come meanwhile.
            Arrival::Read(Err(_), buffer) => {
                local.shard.buffers.put(buffer);
                Idle::Silent(left)
            }
            arrival => arrived(local, arrival),
        },
        idle => idle,
    }
}

/// Waits until a response is sent, as long as the client keeps the pace. `false` if it does not, or is gone.
async fn settle(
    local: &Local,
    connection: &Connection,
    bytes: usize,
    mut sending: Pin<&mut impl Future<Output = Written>>,
) -> bool {
    // As a rule it is sent by now, and nobody has looked yet.
    if let Poll::Ready(written) = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await {
        return sent(local, written);
    }
    let mut pace = local.site().write_pace;
    match pace.keep(&connection.timer, &connection.stream, bytes, || sending).await {
        Ok(written) => sent(local, written),
        Err(_) => {
            connection.stream.abort();
            false
        }
    }
}

/// What a write gives back.
type Written = (io::Result<()>, BytesMut);

fn sent(local: &Local, (result, response): Written) -> bool {
    local.shard.buffers.put(response);
    result.is_ok()
}

fn arrived(local: &Local, arrival: Arrival) -> Idle {
    match arrival {
        Arrival::Ready => Idle::Ready(None),
        Arrival::Read(Ok(1..), buffer) => Idle::Ready(Some(buffer)),
        Arrival::Read(_, buffer) => {
            local.shard.buffers.put(buffer);
            Idle::Over
        }
    }
}

/// Serves what is there to read. `None` when the connection is closed or no HTTP any more; else with what of the last response is to be sent.
async fn serve(local: &Rc<Local>, job: Job) -> Option<(Box<Connection>, BytesMut)> {
    if local.shard.admit().await {
        local.counters.held_back.bump();
    }
    let mut carriage = local.carriages.borrow_mut().pop().unwrap_or_else(|| carriage(local.clone()));
    let back = carriage.run(job).await?;
    local.keep(carriage);
    match back {
        Back::Idle(idle, unsent) if !local.draining() || idle.pieces > 0 => Some((idle, unsent)),
        Back::Closed => None,
        // Nothing told this client that the connection ends: its next request may be on the way.
        Back::Idle(last, unsent) => {
            let local = local.clone();
            spawn(async move {
                if unsent.is_empty() || writer::send(&local, &last, &last.timer, unsent).await {
                    carriage::linger(&last).await;
                }
            });
            None
        }
        Back::Lingering(last) => {
            spawn(async move { carriage::linger(&last).await });
            None
        }
        Back::Tunnel(tunnel) => {
            // A task of its own: this one has room for what a tunnel does not need.
            spawn(tunnel::run(local.clone(), tunnel));
            None
        }
        Back::Stream(live) => {
            spawn(stream::run(local.clone(), live));
            None
        }
    }
}
