//! Names to addresses, without ever blocking a shard.
//!
//! ```text
//!   shard 0: Resolver (cache) ──ask──▶ ┐                            ┌─▶ name servers
//!   shard 1: Resolver (cache) ──ask──▶ ├─ Dns: one thread, hickory ─┤
//!   shard …                            ┘    one query per name      └─▶ /etc/hosts, resolv.conf
//!            ▲───────── answers: a ring and a doorbell per shard
//! ```
//!
//! A cached name costs a shard one look into its own table. A name that is used in the last fifth of its time is asked
//! for again in the background, so that a name in use never makes anybody wait. When the name servers fail, what was
//! known last goes on being used.

mod cache;
mod resolver;
mod service;

pub use resolver::{Addresses, Resolver};
pub use service::Dns;

use std::net::SocketAddr;
use std::time::Duration;

/// How names are resolved.
#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// Name servers; none: those of `/etc/resolv.conf`, with its search list.
    pub servers: Vec<SocketAddr>,
    /// Text in the form of `/etc/hosts`; none: that file.
    pub hosts: Option<String>,
    /// The shortest time that an answer is used.
    pub ttl_min: Duration,
    /// The longest time that an answer is used.
    pub ttl_max: Duration,
    /// How long it is remembered that a name does not exist, and how long to wait before a failed question is asked
    /// again.
    pub negative_ttl: Duration,
    /// How long an answer is used after its time when the name servers fail.
    pub stale_max: Duration,
    /// How long a name server has for an answer.
    pub timeout: Duration,
    /// How often a question is asked after the first time.
    pub retries: usize,
    /// Names that each shard remembers.
    pub entries_max: usize,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            hosts: None,
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_secs(300),
            negative_ttl: Duration::from_secs(5),
            stale_max: Duration::from_secs(3600),
            timeout: Duration::from_secs(2),
            retries: 2,
            entries_max: 4096,
        }
    }
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name servers say that there is none.
    #[error("the name does not exist")]
    NotFound,
    /// The name servers could not be asked, or could not tell.
    #[error("the name servers failed: {0}")]
    Failed(String),
    /// More questions are open than there may be.
    #[error("too many names are being resolved")]
    Busy,
    /// Nobody resolves names here: the shard was started without it, or the process is ending.
    #[error("names are not resolved here")]
    Off,
}

impl From<DnsError> for std::io::Error {
    fn from(error: DnsError) -> Self {
        let kind = match error {
            DnsError::NotFound => std::io::ErrorKind::NotFound,
            DnsError::Failed(_) | DnsError::Busy | DnsError::Off => std::io::ErrorKind::HostUnreachable,
        };
        Self::new(kind, error)
    }
}
