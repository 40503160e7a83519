//! The admin port: health, metrics, the deployed APIs, the effective settings, reload and log level.
//!
//! | method | path | answer |
//! |---|---|---|
//! | GET | `/health/live` | 200 while the control plane answers |
//! | GET | `/health/ready` | 200 when every shard serves the current revision, else 503 with the reasons |
//! | GET | `/metrics` | Prometheus text format 0.0.4 |
//! | GET | `/apis`, `/apis/{id}` | the deployed APIs and the health of their endpoints |
//! | GET | `/shards` | the shards |
//! | GET | `/config` | effective settings, secrets redacted |
//! | POST | `/reload` | 200 with the new revision, 422 with every problem |
//! | GET, PUT | `/log-level` | `{"level": "info"}` |
//!
//! Every error of a handler is a problem document (RFC 9457); what is no HTTP request at all is answered 400 or 431 without a body. Who may
//! call is decided in [`guard`].

mod api;
mod guard;
mod listener;
mod metrics;
mod problem;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ringway_contract::control::DataPlane;

pub use self::guard::ADMIN_HEADER;
pub use self::listener::{Bound, bind};
pub use self::server::AdminServer;
use crate::logging::LogLevel;
use crate::reload::Reloader;

/// What the handlers look at.
pub struct Admin {
    /// The data plane.
    pub plane: Arc<dyn DataPlane>,
    /// The one that reloads.
    pub reloader: Reloader,
    /// The log's level; `None` when the embedder installed a log of its own.
    pub level: Option<LogLevel>,
    draining: AtomicBool,
}

impl Admin {
    /// The handlers' view of a gateway that serves.
    pub fn new(plane: Arc<dyn DataPlane>, reloader: Reloader, level: Option<LogLevel>) -> Self {
        Self { plane, reloader, level, draining: AtomicBool::new(false) }
    }

    /// From now on the gateway is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
