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
use std::time::Duration;

use ringway_contract::control::DataPlane;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use self::guard::ADMIN_HEADER;
pub use self::listener::{Bound, bind};
pub use self::server::AdminServer;
use crate::logging::LogLevel;
use crate::reload::Reloader;

/// Calls to the data plane at once. One may wait for as long as a snapshot is being published.
const PLANE_CALLS_MAX: usize = 8;
/// How long a question about readiness waits for the data plane before the last answer is given again: probes have a second.
const READY_WAIT: Duration = Duration::from_millis(500);

/// What the handlers look at.
pub struct Admin {
    plane: Arc<dyn DataPlane>,
    reloader: Reloader,
    level: Option<LogLevel>,
    draining: AtomicBool,
    calls: Arc<Semaphore>,
    ready: api::LastAnswer,
}

impl Admin {
    /// The handlers' view of a gateway that serves. Without a `level` the log is somebody else's.
    pub fn new(plane: Arc<dyn DataPlane>, reloader: Reloader, level: Option<LogLevel>) -> Self {
        Self {
            plane,
            reloader,
            level,
            draining: AtomicBool::new(false),
            calls: Arc::new(Semaphore::new(PLANE_CALLS_MAX)),
            ready: api::LastAnswer::default(),
        }
    }

    /// From now on the gateway is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Asks the data plane away from the control plane's own thread, which must go on answering and hearing signals. `None` when the call
    /// panicked.
    async fn ask<T: Send + 'static>(&self, call: impl FnOnce(&dyn DataPlane) -> T + Send + 'static) -> Option<T> {
        let permit = Arc::clone(&self.calls).acquire_owned().await.ok()?;
        let plane = Arc::clone(&self.plane);
        let call = spawn_blocking(move || {
            let answer = call(&*plane);
            drop(permit);
            answer
        });
        call.await.ok()
    }

    /// The same for a question that must not wait: `None` when there is no answer yet.
    async fn ask_soon<T: Send + 'static>(&self, call: impl FnOnce(&dyn DataPlane) -> T + Send + 'static) -> Option<T> {
        timeout(READY_WAIT, self.ask(call)).await.ok().flatten()
    }
}
