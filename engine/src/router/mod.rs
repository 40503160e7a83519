//! Which API and context path a request belongs to: host and path to a dense id.
//!
//! **Hosts.** An exact host beats a wildcard, the wildcard with the longest suffix beats a shorter one, and any-host
//! comes last. A host whose paths do not match leaves the request to the next less specific one, so an API on every
//! host stays reachable beside one that took a host for some of its paths.
//!
//! **Paths.** A context path is a prefix that ends where a segment ends: `/orders` (the same as `/orders/`) matches
//! `/orders`, `/orders/` and `/orders/1`, not `/ordersx`. `:name` matches any one segment that is not empty. The match
//! that takes in most of the path wins; among equals, at the first segment where they differ, the static one. The order
//! of the routes never matters.
//!
//! **Layout.** One radix tree of whole segments per table, hosts being the first segments; three arrays, no pointers:
//!
//! ```text
//!   Branch  { id, first, slots, param }                      where paths part, or go on beyond one that ends here
//!               │      └───┬───┘    └──────────▶ Node  :/items    the child that is a parameter
//!               ▼          ▼
//!   nodes   …│ svc1/res │ (free) │ svc2 │ svc7/:/items │…    the static children: a hash table, by first segment
//!               └─▶ Branch          └─▶ Branch  └─▶ id       a node leads to a branch, or to its one route
//! ```
//!
//! A child's label takes in all segments up to the next place where paths part, so a path that shares nothing with
//! others costs one node (12 bytes, 16 with the free slots of its hash table) and its text. Labels that occur more than
//! once are stored once.
//!
//! **Cost.** A lookup hashes one segment per branch on its way, allocates nothing, and goes back to try a parameter
//! only where the better static child did not lead to the end of the path. Tables in which that could take more than
//! [`VISITS_MAX`] steps for one host are refused.

mod build;
mod hash;
mod lookup;
#[cfg(test)]
mod tests;

use std::fmt;

pub use lookup::{Match, Params};

use hash::SeededHash;

/// The most routes in a table.
pub const ROUTES_MAX: usize = 1 << 24;

/// The longest host, in bytes (RFC 1035 section 2.3.4, without the final dot).
pub const HOST_BYTES_MAX: usize = 253;

/// The longest context path, in bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// The most segments of a context path.
pub const SEGMENTS_MAX: usize = 64;

/// The most parameters of a context path.
pub const PARAMS_MAX: usize = 8;

/// The most nodes that a lookup may have to visit on one host. Enough for nine nested places where a static segment and
/// a parameter compete, each with both ways leading on.
pub const VISITS_MAX: u32 = 1024;

/// One context path of one API.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The hosts that it is reached by.
    pub host: HostPattern<'a>,
    /// Segments between slashes; `:name` is a parameter. Slashes at the end or one after another mean nothing.
    pub path: &'a str,
    /// What a lookup answers; below `u32::MAX`.
    pub id: u32,
}

/// The hosts of a route, without port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPattern<'a> {
    /// Every host, and requests without one.
    Any,
    /// This host, in any case.
    Exact(&'a str),
    /// Every host that has at least one label before this suffix: `*.example.com` is `Wildcard("example.com")`.
    Wildcard(&'a str),
}

impl<'a> HostPattern<'a> {
    /// Reads `*` or nothing as any host, `*.suffix` as a wildcard, all else as a host.
    pub fn parse(host: &'a str) -> Self {
        match host {
            "" | "*" => HostPattern::Any,
            _ => host.strip_prefix("*.").map_or(HostPattern::Exact(host), HostPattern::Wildcard),
        }
    }
}

/// Two routes that cannot both be, or one that cannot be at all (`first` and `second` are the same).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The route with the lower id.
    pub first: u32,
    /// The route with the higher id.
    pub second: u32,
    /// What is wrong with them.
    pub why: Why,
}

/// Why a table was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Same host and same path, but for the names of parameters.
    SamePath,
    /// The host is longer than [`HOST_BYTES_MAX`], or contains an empty label, a slash, a control character or, in
    /// front, a colon.
    BadHost,
    /// The path exceeds [`PATH_BYTES_MAX`], [`SEGMENTS_MAX`] or [`PARAMS_MAX`], or contains a control character.
    BadPath,
    /// The table exceeds [`ROUTES_MAX`], 4 GiB of text, or the range of ids.
    TooLarge,
    /// Static segments and parameters compete in so many places that a lookup could exceed [`VISITS_MAX`]. The route is
    /// one of those.
    TooAmbiguous,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::SamePath => f.write_str("the same path on the same host"),
            Why::BadHost => write!(f, "not a host name of at most {HOST_BYTES_MAX} bytes"),
            Why::BadPath => write!(
                f,
                "not a path of at most {PATH_BYTES_MAX} bytes, {SEGMENTS_MAX} segments and {PARAMS_MAX} parameters"
            ),
            Why::TooLarge => write!(f, "more than {ROUTES_MAX} routes, or 4 GiB of hosts and paths"),
            Why::TooAmbiguous => f.write_str("static segments and parameters compete in too many places"),
        }
    }
}

/// The routes, compiled. Immutable plain data: built anywhere, cloned for each shard, moved in whole and freed
/// elsewhere.
#[derive(Clone)]
pub struct RouteTable {
    hash: SeededHash,
    nodes: Box<[Node]>,
    /// The first three hold what the kinds of [`HostPattern`] have: see `EXACT`, `WILDCARD`, `ANY`.
    branches: Box<[Branch]>,
    text: Box<[u8]>,
    /// Bit n: there is a wildcard whose suffix has n labels.
    wildcard_labels: u128,
}

impl RouteTable {
    /// Compiles routes. The `seed` should be random; tables of the same routes and seed are the same.
    ///
    /// # Errors
    /// All conflicts at once, by ids. That a table is too ambiguous is found only when there is no other.
    pub fn build<'a>(routes: impl Iterator<Item = Route<'a>>, seed: u64) -> Result<Self, Vec<Conflict>> {
        build::build(routes, seed)
    }

    /// Finds the route of a request. `host` is in lower case, without port, and empty when there is none; `path` is
    /// normalised, without query.
    ///
    /// A path that does not begin with a slash (`*` of `OPTIONS *`) or is longer than 4 GiB matches only `/`.
    #[inline]
    pub fn lookup(&self, host: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Option<Match> {
        lookup::lookup(self, host.as_ref(), path.as_ref())
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.branches) + self.text.len()
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable")
            .field("nodes", &self.nodes.len())
            .field("branches", &self.branches.len())
            .field("heap_bytes", &self.heap_bytes())
            .finish_non_exhaustive()
    }
}

/// The branch whose children are the exact hosts.
const EXACT: usize = 0;
/// The branch whose children are the suffixes of wildcards.
const WILDCARD: usize = 1;
/// The root of the paths that hold on every host.
const ANY: usize = 2;

/// A label, and what it leads to; or a free slot, which has no label.
#[derive(Clone, Copy)]
struct Node {
    label: u32,
    label_bytes: u16,
    /// Bits of the first segment's hash that the slot does not depend on, so that two labels are compared only when
    /// they are likely the same; and in the highest bit whether `target` is a branch.
    tag: u16,
    /// Index of a branch, or the id of a route.
    target: u32,
}

/// Where paths part.
#[derive(Clone, Copy)]
struct Branch {
    /// The route that ends here, or `NONE`.
    id: u32,
    /// The static children are in `nodes[first..first + slots]`.
    first: u32,
    slots: u32,
    /// Index of the node that is a parameter, or `NONE`.
    param: u32,
}

const NONE: u32 = u32::MAX;

/// Marks a node that leads to a branch.
const TO_BRANCH: u16 = 1 << 15;

impl Node {
    const FREE: Node = Node { label: 0, label_bytes: 0, tag: 0, target: NONE };

    fn is_free(&self) -> bool {
        self.label_bytes == 0
    }
}

impl Branch {
    const EMPTY: Branch = Branch { id: NONE, first: 0, slots: 0, param: NONE };

    /// The slot to begin with: the upper half of the hash, scaled to the range.
    #[inline]
    fn slot(&self, hash: u64) -> u32 {
        (((hash >> 32) * u64::from(self.slots)) >> 32) as u32
    }
}

/// The tag of a first segment's hash, without the mark.
#[inline]
fn tag(hash: u64) -> u16 {
    hash as u16 & !TO_BRANCH
}
