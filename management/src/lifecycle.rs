//! The life of the process: serve, reload on `SIGHUP`, drain on `SIGTERM` or `SIGINT`, end.
//!
//! ```text
//!          SIGHUP ──▶ reload
//!            ▲ │
//! start ──▶ serve ── SIGTERM, SIGINT ──▶ drain ──┬─ all exchanges done, or the limit is over ──▶ Drained
//!                                                └─ a second signal ─────────────────────────▶ Interrupted
//! ```

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use ringway_config::Snapshot;
use ringway_contract::control::DataPlane;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::admin::{Admin, AdminServer, Bound};
use crate::logging::LogLevel;
use crate::reload::{ReloadOptions, Reloader, Trigger};
use crate::service::ServiceManager;
use crate::source::Source;

/// How long requests on the admin port may take to end once everything else is done.
const ADMIN_CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Drained; so many connections were cut when the limit was over.
    Drained {
        /// Connections that were cut.
        cut: usize,
    },
    /// A second signal ended the drain.
    Interrupted,
}

/// What the control plane works with.
pub struct Parts {
    /// The data plane; it runs `snapshot` already.
    pub plane: Arc<dyn DataPlane>,
    /// Where further snapshots come from.
    pub source: Box<dyn Source>,
    /// The first snapshot.
    pub snapshot: Arc<Snapshot>,
    /// What the first snapshot was read from.
    pub files: Vec<PathBuf>,
    /// When reading it began.
    pub loaded_at: SystemTime,
    /// The bound admin port, unless there is none.
    pub admin: Option<Bound>,
    /// The log's level.
    pub level: Option<LogLevel>,
    /// Called once, when everything serves.
    pub ready: Box<dyn FnOnce()>,
}

/// The control plane's runtime and the signals that the process listens to from now on.
#[derive(Debug)]
pub struct ControlPlane {
    runtime: Runtime,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl ControlPlane {
    /// Takes over `SIGHUP`, `SIGTERM` and `SIGINT`. Made before the data plane starts, so that no signal meets the default
    /// action (death) while it starts.
    ///
    /// # Errors
    /// The kernel gives no event loop, or a signal cannot be taken over.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().thread_name("ringway-control").build()?;
        let (hangup, terminate, interrupt) = {
            let _inside = runtime.enter();
            (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(Self { runtime, hangup, terminate, interrupt })
    }

    /// Serves on the calling thread until a signal ends it.
    ///
    /// # Errors
    /// A thread cannot be started, or the admin port cannot be served.
    pub fn run(mut self, parts: Parts) -> io::Result<Ending> {
        let service = Arc::new(ServiceManager::from_env());
        let plane = Arc::clone(&parts.plane);
        let reloader = Reloader::start(ReloadOptions {
            source: parts.source,
            plane: Arc::clone(&plane),
            service: Arc::clone(&service),
            level: parts.level.clone(),
            snapshot: parts.snapshot,
            files: parts.files,
            loaded_at: parts.loaded_at,
        })?;
        let admin = Arc::new(Admin::new(Arc::clone(&plane), reloader.clone(), parts.level));
        let ending = self.runtime.block_on(async {
            let server = parts.admin.map(|listener| AdminServer::start(listener, Arc::clone(&admin))).transpose()?;
            service.ready();
            (parts.ready)();

            let name = loop {
                tokio::select! {
                    _ = self.hangup.recv() => reloader.ask(Trigger::Signal),
                    _ = self.terminate.recv() => break "SIGTERM",
                    _ = self.interrupt.recv() => break "SIGINT",
                }
            };
            let limit = Duration::from_millis(reloader.current().settings.timeouts.drain_ms);
            let limit_ms = limit.as_millis();
            tracing::info!(signal = name, limit_ms, "draining; a second signal ends at once");
            service.stopping();
            reloader.stop();
            admin.drain();
            // The port is free for the next process of an upgrade: a health check must not meet the one that goes.
            if let Some(server) = &server {
                server.close();
            }
            // A thread of its own: those of the runtime may all be waiting for the data plane.
            let (drained, drain) = oneshot::channel();
            thread::Builder::new().name("ringway-drain".into()).spawn(move || drained.send(plane.drain(limit)))?;
            let ending = tokio::select! {
                cut = drain => Ending::Drained { cut: cut.map_err(io::Error::other)? },
                _ = self.terminate.recv() => Ending::Interrupted,
                _ = self.interrupt.recv() => Ending::Interrupted,
            };
            if let (Ending::Drained { .. }, Some(server)) = (ending, server) {
                let _ = tokio::time::timeout(ADMIN_CLOSE_LIMIT, server.closed()).await;
            }
            Ok::<Ending, io::Error>(ending)
        })?;
        // Waiting for a drain that was interrupted is what the second signal forbids.
        self.runtime.shutdown_background();
        Ok(ending)
    }
}
