//! What is measured.

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Case {
    /// Short, for the command line and the plot.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// How the proxies are configured.
    pub setup: Setup,
    /// What the clients do.
    pub load: Load,
}

/// How the proxies are configured. Logs are off, connections kept alive on both sides, everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The bare relay: a path, a backend, no fields added.
    Bare,
    /// Equal work: `X-Forwarded-*`, a request id, `Via` both ways, a limit on the connections of an address and on bodies.
    Equal,
    /// The bare relay of a client whose key is looked up ([`KEYS`]), whose rate is limited, and whose fields are edited: one set, one removed. The
    /// limits are too high to be met.
    Policies,
    /// The bare relay behind TLS 1.3 with an ECDSA certificate.
    Tls,
    /// The bare relay to a backend on a Unix socket.
    Unix,
    /// 10,000 paths, one of which at random is asked for.
    Routes,
    /// The bare relay to a backend that accepts WebSockets.
    WebSocket,
}

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// As many requests as go.
    Closed(Closed),
    /// A fixed rate, whatever the answers do.
    Rate {
        /// Requests per second.
        per_second: u32,
        /// Connections over which they go.
        connections: usize,
    },
    /// Nothing, on many connections.
    Idle(Idle),
}

/// Closed loop: each connection asks again as soon as it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub connections: usize,
    pub target: &'static str,
    /// A new connection for each request.
    pub close: bool,
}

/// What idles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// A keep-alive connection after one request.
    Plain,
    /// The same inside of TLS.
    Tls,
    /// A WebSocket tunnel after one frame each way: two connections.
    WebSocket,
}

const fn closed(connections: usize, target: &'static str) -> Load {
    Load::Closed(Closed { connections, target, close: false })
}

/// The body of 13 bytes.
pub(crate) const SMALL: &str = "/small";
/// The body of 100 KiB.
pub(crate) const LARGE: &str = "/large";
/// Paths of [`Setup::Routes`].
pub(crate) const ROUTES: usize = 10_000;

/// Keys that are known in [`Setup::Policies`], and the one that is shown.
pub(crate) const KEYS: usize = 100;
/// The key of this number.
pub(crate) fn key(number: usize) -> String {
    format!("c9d1f0a2-77be-4b1c-9a54-{number:012}")
}
/// The field that has it.
pub(crate) const KEY_FIELD: &str = "X-Gravitee-Api-Key";

pub(crate) const CASES: [Case; 16] = [
    Case { name: "c8", about: "13-byte body, 8 connections", setup: Setup::Bare, load: closed(8, SMALL) },
    Case { name: "c64", about: "13-byte body, 64 connections", setup: Setup::Bare, load: closed(64, SMALL) },
    Case { name: "c512", about: "13-byte body, 512 connections", setup: Setup::Bare, load: closed(512, SMALL) },
    Case {
        name: "equal",
        about: "equal work, 13-byte body, 64 connections",
        setup: Setup::Equal,
        load: closed(64, SMALL),
    },
    Case {
        name: "equal512",
        about: "equal work, 13-byte body, 512 connections",
        setup: Setup::Equal,
        load: closed(512, SMALL),
    },
    Case {
        name: "policies",
        about: "API key, rate limit, header edit, 64 connections",
        setup: Setup::Policies,
        load: closed(64, SMALL),
    },
    Case { name: "large", about: "100-KiB body, 64 connections", setup: Setup::Bare, load: closed(64, LARGE) },
    Case {
        name: "connect",
        about: "a connection for each request, 64 at a time",
        setup: Setup::Bare,
        load: Load::Closed(Closed { connections: 64, target: SMALL, close: true }),
    },
    Case { name: "tls", about: "TLS 1.3, 13-byte body, 64 connections", setup: Setup::Tls, load: closed(64, SMALL) },
    Case { name: "unix", about: "Unix-socket backend, 64 connections", setup: Setup::Unix, load: closed(64, SMALL) },
    Case {
        name: "routes",
        about: "10,000 routes at random, 64 connections",
        setup: Setup::Routes,
        load: closed(64, SMALL),
    },
    Case {
        name: "rate2k",
        about: "2,000 requests/s, equal work",
        setup: Setup::Equal,
        load: Load::Rate { per_second: 2_000, connections: 64 },
    },
    Case {
        name: "rate20k",
        about: "20,000 requests/s, equal work",
        setup: Setup::Equal,
        load: Load::Rate { per_second: 20_000, connections: 64 },
    },
    Case { name: "idle", about: "bytes of an idle connection", setup: Setup::Bare, load: Load::Idle(Idle::Plain) },
    Case { name: "idle-tls", about: "bytes of an idle TLS connection", setup: Setup::Tls, load: Load::Idle(Idle::Tls) },
    Case {
        name: "idle-ws",
        about: "bytes of an idle WebSocket tunnel",
        setup: Setup::WebSocket,
        load: Load::Idle(Idle::WebSocket),
    },
];
