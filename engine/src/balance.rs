//! Keeping the shards balanced: a connection that arrives at a shard with more than its share goes to the one that has the fewest.
//!
//! The kernel chooses a listener by a hash of the addresses. That spreads short connections well, but nothing evens out what long-lived
//! ones (WebSockets, event streams, kept connections of a pool) leave behind: a shard may end with most of them, and its core with most
//! of the work. So a shard looks at the others when it accepts:
//!
//! ```text
//!   shard 0                 board: a seat for each shard                shard 1
//!   accept ─▶ choose ─────▶ open, taking │ inbound ◀─── writes its own `open` when a connection begins or ends
//!                │          (one writer) │ (whoever hands over, and its receiver)
//!                └────────▶ ring 0 ─▶ 1, 64 slots, doorbell ──────────▶ take, count, serve
//! ```
//!
//! What moves is a bare descriptor, before a PROXY header or a handshake is read, so that all state is made on the shard that keeps it.
//! Once it is served a connection never moves. The path of a request touches none of this, and a process of one shard has none of it.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use ringway_net::Accepted;
use ringway_ring::{Consumer, Producer, Ringer, Sleeper, doorbell, ring};

/// A shard keeps what arrives until it has this much more than the mean. Below it lies what hashing alone does: with a mean of 64
/// connections a standard deviation is an eighth of it, so that short connections are kept where they arrive, save for a few.
const MARGIN_PERCENT: u64 = 25;
/// And until it has this many more than the mean: with a handful of connections, a quarter is one, and every second would be moved.
const MARGIN_MIN: u64 = 8;
/// Connections on their way from one shard to another; when the ring is full, they stay where they are.
const HANDED_MAX: usize = 64;

/// One shard's place among the others.
pub struct Desk {
    /// Its way to the others.
    pub peers: Peers,
    /// Their way to it.
    pub inbox: Inbox,
    /// Rung when something is in the inbox.
    pub sleeper: Sleeper,
}

/// A desk for each shard; none when there is only one.
///
/// # Errors
/// When the descriptor table is full.
pub fn desks(shards: usize) -> io::Result<Vec<Desk>> {
    if shards < 2 {
        return Ok(Vec::new());
    }
    let board = Arc::new(Board { seats: (0..shards).map(|_| Seat::default()).collect() });
    let bells = (0..shards).map(|_| doorbell()).collect::<io::Result<Vec<_>>>()?;
    // The ways of each shard in the order of their ends, and its own inbox filled in the order of their beginnings.
    let mut ways: Vec<Vec<Option<Way>>> = (0..shards).map(|_| Vec::with_capacity(shards)).collect();
    let mut inboxes: Vec<Vec<Consumer<Arrival>>> = (0..shards).map(|_| Vec::with_capacity(shards - 1)).collect();
    for (from, ways) in ways.iter_mut().enumerate() {
        for (to, (inbox, (ringer, _))) in inboxes.iter_mut().zip(&bells).enumerate() {
            ways.push((from != to).then(|| {
                let (producer, consumer) = ring(HANDED_MAX);
                inbox.push(consumer);
                Way { ring: producer, ringer: ringer.clone(), unrung: false }
            }));
        }
    }
    let desks = ways.into_iter().zip(inboxes).zip(bells).enumerate().map(|(me, ((ways, rings), (_, sleeper)))| Desk {
        peers: Peers { board: board.clone(), me, ways: RefCell::new(ways), unrung: Cell::new(false) },
        inbox: Inbox { board: board.clone(), me, rings, next: 0 },
        sleeper,
    });
    Ok(desks.collect())
}

/// What the shards of a process know of each other. The numbers are for a choice, not for a proof: each is a moment old at most, and
/// nothing else is ordered by them.
struct Board {
    seats: Box<[Seat]>,
}

#[derive(Default)]
struct Seat {
    own: Line<Own>,
    /// Connections that others have handed over and that are not counted in `open` yet. Apart, because others write it.
    inbound: Line<AtomicUsize>,
}

/// What the seat's shard writes, and nobody else.
#[derive(Default)]
struct Own {
    open: AtomicUsize,
    /// Whether it takes what others hand over: from when it serves until it drains or ends.
    taking: AtomicBool,
}

// 128 and not 64 bytes: x86 prefetches lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line<T>(T);

impl Seat {
    /// Connections that it has or is about to have. One that is just being counted may count twice.
    fn load(&self) -> usize {
        self.own.0.open.load(Relaxed).saturating_add(self.inbound.0.load(Relaxed))
    }

    fn takes(&self) -> bool {
        self.own.0.taking.load(Relaxed)
    }
}

/// A connection on its way to another shard. Dropped anywhere, it is closed and counted out.
pub struct Arrival {
    /// The connection.
    pub accepted: Accepted,
    /// Index of the server that it came to.
    pub server: u16,
    counted: Inbound,
}

impl Arrival {
    /// Takes it apart. The second part is dropped once the connection is counted where it is served.
    pub fn into_parts(self) -> (Accepted, Inbound) {
        (self.accepted, self.counted)
    }
}

/// Counts one connection as inbound for as long as it lives.
pub struct Inbound {
    board: Arc<Board>,
    to: usize,
}

impl Inbound {
    fn new(board: &Arc<Board>, to: usize) -> Self {
        if let Some(seat) = board.seats.get(to) {
            seat.inbound.0.fetch_add(1, Relaxed);
        }
        Self { board: board.clone(), to }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        if let Some(seat) = self.board.seats.get(self.to) {
            seat.inbound.0.fetch_sub(1, Relaxed);
        }
    }
}

/// A shard's view of the others.
pub struct Peers {
    board: Arc<Board>,
    me: usize,
    /// By shard; none to itself, nor to one that has ended.
    ways: RefCell<Vec<Option<Way>>>,
    /// Whether a bell is to be rung.
    unrung: Cell<bool>,
}

/// The way to one other shard. The ring is dropped before its bell, so that the ring of a dropped bell tells of it.
struct Way {
    ring: Producer<Arrival>,
    ringer: Ringer,
    unrung: bool,
}

impl Peers {
    /// Tells the others how many connections this shard has.
    #[inline]
    pub fn publish(&self, open: usize) {
        if let Some(seat) = self.board.seats.get(self.me) {
            seat.own.0.open.store(open, Relaxed);
        }
    }

    /// Tells the others whether this shard takes connections. One that takes none gives none either.
    pub fn take(&self, taking: bool) {
        if let Some(seat) = self.board.seats.get(self.me) {
            seat.own.0.taking.store(taking, Relaxed);
        }
    }

    /// Connections that others have handed to this shard and that it has not counted yet.
    pub fn inbound(&self) -> usize {
        self.board.seats.get(self.me).map_or(0, |seat| seat.inbound.0.load(Relaxed))
    }

    /// Who is to have the connection that just arrived here; `None` when it stays. A shard has `connections_max` at most.
    pub fn choose(&self, connections_max: usize) -> Option<usize> {
        let own = self.board.seats.get(self.me).filter(|seat| seat.takes())?.load();
        if (own as u64) < MARGIN_MIN && own < connections_max {
            return None;
        }
        let seats = self.board.seats.iter().enumerate();
        let others = seats.filter(|(shard, seat)| *shard != self.me && seat.takes());
        choose(own, connections_max, others.map(|(shard, seat)| (shard, seat.load())))
    }

    /// Hands a connection to another shard. It counts there from now on. Its bell is rung by [`ring`](Self::ring).
    ///
    /// # Errors
    /// The connection comes back when its way is full, or that shard has ended.
    pub fn hand_over(&self, to: usize, accepted: Accepted, server: u16) -> Result<(), Accepted> {
        let mut ways = self.ways.borrow_mut();
        let Some(way) = ways.get_mut(to).and_then(Option::as_mut) else { return Err(accepted) };
        let arrival = Arrival { accepted, server, counted: Inbound::new(&self.board, to) };
        match way.ring.push(arrival) {
            Ok(()) => {
                way.unrung = true;
                self.unrung.set(true);
                Ok(())
            }
            Err(arrival) => Err(arrival.accepted),
        }
    }

    /// Wakes those that something was handed to since the last time, if they sleep.
    #[inline]
    pub fn ring(&self) {
        if self.unrung.get() {
            self.ring_each();
        }
    }

    #[cold]
    fn ring_each(&self) {
        self.unrung.set(false);
        for place in self.ways.borrow_mut().iter_mut() {
            let Some(way) = place.as_mut().filter(|way| way.unrung) else { continue };
            way.unrung = false;
            way.ringer.ring();
            // Asked behind the bell's fence: whoever is not gone now takes or drops what was pushed. What is stuck in the ring of one
            // that has gone is closed with the ring, instead of keeping its client waiting.
            if way.ring.is_closed() {
                *place = None;
            }
        }
    }
}

/// `own` is what this shard has without the one that arrived; `others` are those that take connections, with what they have.
fn choose(own: usize, connections_max: usize, others: impl Iterator<Item = (usize, usize)>) -> Option<usize> {
    let own_then = own as u64 + 1;
    let (mut shards, mut sum) = (1, own_then);
    let mut fewest: Option<(usize, usize)> = None;
    for (shard, load) in others {
        shards += 1;
        sum += load as u64;
        if fewest.is_none_or(|(_, few)| load < few) {
            fewest = Some((shard, load));
        }
    }
    let (shard, load) = fewest?;
    if load >= connections_max {
        return None;
    }
    // Times the number of shards, to be free of a division that rounds.
    let scaled = own_then * shards;
    let beyond = scaled * 100 > sum * (100 + MARGIN_PERCENT) && scaled > sum + MARGIN_MIN * shards;
    (beyond || own >= connections_max).then_some(shard)
}

/// What others hand to a shard. Once it is dropped, nobody hands over any more, and what is on its way is closed.
pub struct Inbox {
    board: Arc<Board>,
    me: usize,
    rings: Vec<Consumer<Arrival>>,
    /// Whose turn it is, so that nobody is always served last.
    next: usize,
}

impl Inbox {
    /// Whether nothing has arrived.
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(Consumer::is_empty)
    }

    /// The next arrival, from each other shard in turn.
    pub fn pop(&mut self) -> Option<Arrival> {
        for _ in 0..self.rings.len() {
            let arrival = self.rings.get_mut(self.next).and_then(Consumer::pop);
            self.next = (self.next + 1) % self.rings.len().max(1);
            if arrival.is_some() {
                return arrival;
            }
        }
        None
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if let Some(seat) = self.board.seats.get(self.me) {
            seat.own.0.taking.store(false, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use ringway_net::Peer;

    use super::*;

    fn table(own: usize, max: usize, others: &[usize]) -> Option<usize> {
        choose(own, max, others.iter().copied().enumerate().map(|(at, load)| (at + 1, load)))
    }

    #[test]
    fn what_is_beyond_the_margin_goes_to_the_one_with_the_fewest() {
        for (own, others, expected) in [
            // A few connections stay, however uneven.
            (7, &[0, 0, 0][..], None),
            (10, &[0, 0, 0], Some(1)),
            (16, &[0], Some(1)),
            (15, &[0], None),
            // From a mean of 32 on, a quarter more is what counts.
            (124, &[100, 100, 100], None),
            (135, &[100, 100, 100], None),
            (136, &[100, 100, 100], Some(1)),
            (400, &[100, 90, 80], Some(3)),
            (400, &[100, 80, 80], Some(2)),
            (1_000, &[1_000, 1_000], None),
            (0, &[1_000, 1_000], None),
            // Nobody else takes any.
            (1_000, &[], None),
        ] {
            assert_eq!(table(own, 20_000, others), expected, "{own} here, {others:?} there");
        }
    }

    #[test]
    fn a_full_shard_hands_over_within_the_margin_and_never_to_another_full_one() {
        for (own, others, expected) in [
            (20, &[20, 19][..], Some(2)),
            (20, &[20, 20], None),
            (19, &[0, 20], None),
            (19, &[0, 3], Some(1)),
            (25, &[20, 21], None),
        ] {
            assert_eq!(table(own, 20, others), expected, "{own} here, {others:?} there");
        }
    }

    #[test]
    fn arrivals_at_one_shard_leave_every_shard_within_the_margin() {
        for shards in 2..=8 {
            let mut open = vec![0usize; shards];
            for arrived in 1..=1_000usize {
                let others: Vec<usize> = open.iter().skip(1).copied().collect();
                let shard = table(open[0], 20_000, &others).unwrap_or(0);
                open[shard] += 1;
                let mean = arrived as f64 / shards as f64;
                let most = *open.iter().max().unwrap() as f64;
                assert!(most <= mean + f64::max(mean / 4.0, MARGIN_MIN as f64), "{open:?}");
            }
            let (fewest, most) = (open.iter().skip(1).min().unwrap(), open.iter().skip(1).max().unwrap());
            assert!(most - fewest <= 1, "the rest is spread evenly: {open:?}");
        }
    }

    /// Desks of shards that all serve, and have no connections.
    fn serving(shards: usize) -> Vec<Desk> {
        let desks = desks(shards).unwrap();
        desks.iter().for_each(|desk| desk.peers.take(true));
        desks
    }

    fn connection() -> (Accepted, UnixStream) {
        let (server, client) = UnixStream::pair().unwrap();
        (Accepted::new(server.into(), Peer::Unix), client)
    }

    fn is_closed(client: &mut UnixStream) -> bool {
        client.set_nonblocking(true).unwrap();
        client.read(&mut [0]).is_ok_and(|count| count == 0)
    }

    #[test]
    fn one_shard_has_no_desk() {
        assert!(desks(1).unwrap().is_empty());
    }

    #[test]
    fn a_connection_counts_at_its_receiver_from_the_moment_it_is_handed_over() {
        let mut desks = serving(3);
        desks[0].peers.publish(100);
        desks[1].peers.publish(60);
        desks[2].peers.publish(59);
        let mut clients = Vec::new();
        for expected in [2, 1, 2, 1] {
            assert_eq!(desks[0].peers.choose(1_000), Some(expected));
            let (accepted, client) = connection();
            assert!(desks[0].peers.hand_over(expected, accepted, 7).is_ok());
            clients.push(client);
        }
        assert_eq!([1, 2].map(|shard: usize| desks[shard].peers.inbound()), [2, 2]);
        let arrival = desks[1].inbox.pop().expect("it has arrived");
        assert_eq!(arrival.server, 7);
        let (accepted, inbound) = arrival.into_parts();
        drop(inbound);
        assert_eq!(desks[1].peers.inbound(), 1);
        assert!(!is_closed(&mut clients[1]));
        drop(accepted);
        assert!(is_closed(&mut clients[1]));
    }

    #[test]
    fn nobody_hands_over_to_one_that_does_not_take_nor_hands_over_when_it_takes_none_itself() {
        let desks = serving(3);
        desks[0].peers.publish(100);
        desks[1].peers.take(false);
        assert_eq!(desks[0].peers.choose(1_000), Some(2));
        desks[2].peers.take(false);
        assert_eq!(desks[0].peers.choose(1_000), None);
        desks[2].peers.take(true);
        desks[0].peers.take(false);
        assert_eq!(desks[0].peers.choose(1_000), None);
    }

    #[test]
    fn a_full_way_keeps_the_connection_here() {
        let desks = serving(2);
        let clients: Vec<_> = (0..HANDED_MAX)
            .map(|_| {
                let (accepted, client) = connection();
                assert!(desks[0].peers.hand_over(1, accepted, 0).is_ok());
                client
            })
            .collect();
        let (accepted, mut client) = connection();
        let back = desks[0].peers.hand_over(1, accepted, 0);
        assert!(back.is_err() && !is_closed(&mut client));
        assert_eq!(desks[1].peers.inbound(), clients.len(), "it does not count there");
        // From a shard to itself there is no way.
        let (accepted, _client) = connection();
        assert!(desks[0].peers.hand_over(0, accepted, 0).is_err());
    }

    #[test]
    fn what_is_on_its_way_to_a_shard_that_ends_is_closed_and_counted_out() {
        let mut desks = serving(2);
        let other = desks.pop().unwrap();
        let me = desks.pop().unwrap();
        let (accepted, mut before) = connection();
        assert!(me.peers.hand_over(1, accepted, 0).is_ok());
        drop(other.inbox);
        assert!(is_closed(&mut before));
        // It was chosen a moment before it ended.
        let (accepted, mut after) = connection();
        assert!(me.peers.hand_over(1, accepted, 0).is_ok());
        me.peers.ring();
        assert!(is_closed(&mut after));
        assert_eq!(other.peers.inbound(), 0);
        assert_eq!(me.peers.choose(0), None, "nobody is left");
        let (accepted, _client) = connection();
        assert!(me.peers.hand_over(1, accepted, 0).is_err(), "the way is gone");
    }

    #[test]
    fn arrivals_are_taken_from_each_shard_in_turn() {
        let mut desks = serving(3);
        let mut clients = Vec::new();
        for from in [0, 0, 0, 1, 1] {
            let (accepted, client) = connection();
            assert!(desks[from].peers.hand_over(2, accepted, from as u16).is_ok());
            clients.push(client);
        }
        let mut seen = Vec::new();
        while let Some(arrival) = desks[2].inbox.pop() {
            seen.push(arrival.server);
        }
        assert_eq!(seen, [0, 1, 0, 1, 0]);
        assert!(desks[2].inbox.is_empty());
    }
}
