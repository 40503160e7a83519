//! The only crate that names the runtime: shards, sockets, TLS, timers, buffers.
//!
//! Everything here lives on a **shard** ([`run_shard`]): one pinned thread with one monoio runtime. Nothing is shared
//! between shards and, once warm, nothing on the path of an exchange allocates: buffers are lent ([`Buffers`]),
//! deadlines are a store into a table ([`Timers`]), and an idle connection is an [`Arrival`] that is waited for, and
//! later a parked descriptor ([`Lot`]) without a buffer.
//!
//! monoio 0.2.4 is used under rules, each of which has a test in `tests/`:
//!
//! * the ring is built with `SINGLE_ISSUER | DEFER_TASKRUN` where the kernel has them, see [`Driver`];
//! * no accept is ever in flight: a listener is polled for readability and accepts with a plain system call, so that
//!   nothing can be lost by cancelling ([`Listener`]);
//! * no future wakes itself and returns `Pending` ([`yield_now`] goes through the kernel instead), because such a task
//!   runs alone;
//! * a task's panic is caught at the task ([`spawn`]);
//! * sockets are shut down before the runtime goes ([`Shard::closing`]), because nothing is submitted after its last
//!   turn;
//! * names are never resolved on a shard, no pipe is spliced, and no waker crosses threads ([`Doorbell`] does).

mod address;
mod admission;
mod arrival;
mod buffer;
mod clock;
mod dial;
mod divert;
mod dns;
mod doorbell;
mod driver;
mod gather;
mod listen;
mod memory;
mod pace;
mod park;
mod post;
mod proxy;
mod shard;
mod signal;
#[cfg(feature = "sim")]
pub mod sim;
mod slots;
mod socket;
mod spawn;
mod stream;
mod timer;
mod tls;
mod vigil;
mod volley;
mod write;

pub use address::{Address, Peer};
pub use admission::{AdmissionOptions, Admit};
pub use arrival::{Arrival, Recall};
pub use buffer::{Buffers, BuffersCount};
pub use clock::{now, process_id};
pub use dial::{DialOptions, dial};
pub use dns::{Addresses, Dns, DnsError, DnsOptions, Resolver};
pub use doorbell::Doorbell;
pub use driver::{Driver, DriverChoice};
pub use gather::Stable;
pub use listen::{Accepted, BoundListener, Listener, ListenerOptions};
pub use memory::{give_back, refuse_huge_pages};
pub use pace::Pace;
pub use park::{Berth, Leave, Lot};
pub use post::{POST_BYTES_MAX, Postage, post};
pub use proxy::{Proxy, ProxyKind, Target, tunnel};
pub use shard::{Busy, Shard, ShardOptions, ShardThread, run_shard};
pub use signal::{Signal, Wait};
pub use spawn::{spawn, yield_now};
pub use stream::{Peek, Stream};
pub use timer::{Elapsed, Guard, Slot, Timers, pause, sleep, until_closing};
pub use tls::{
    ClientAuth, ClientTls, ClientTlsSpec, HandshakeLimits, Identity, JksError, KeyStore, ServerIdentity, ServerTls,
    ServerTlsSpec, StoreAt, TlsError, TlsInfo, TlsVersion, Trust, store_authorities,
};
pub use vigil::Vigil;
pub use volley::{Shot, Volley};
