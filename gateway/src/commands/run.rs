//! `ringway run`: serve until a signal ends it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use ringway_config::settings::{Listen, LogFormat, Logging};
use ringway_config::{Loaded, Problem, Snapshot};
use ringway_engine::StartOptions;
use ringway_management::admin::{Bound, bind};
use ringway_management::kinds::catalogue;
use ringway_management::lifecycle::{ControlPlane, Ending, Parts};
use ringway_management::logging::{self, Format, LogLevel};
use ringway_management::source::{FileSource, Source};

use super::Outcome;
use super::check::refuse;
use crate::cli::RunOptions;
use crate::output::Output;
use crate::registry::{PREMISES, registry};

/// What is read when no file is named.
pub const SETTINGS: &str = "ringway.yaml";

/// Serves what a settings file says.
pub fn run(options: &RunOptions, output: &Output) -> Outcome {
    let path = options.config.clone().or_else(|| Path::new(SETTINGS).is_file().then(|| PathBuf::from(SETTINGS)));
    let source = FileSource::new(path, catalogue(&registry()), PREMISES);
    serve(Box::new(source), output, |_| ())
}

/// What serves, and where.
pub struct Serving {
    /// Each server's id and the address that it listens on.
    pub servers: Vec<(String, String)>,
    /// The admin port.
    pub admin: Option<Listen>,
}

/// Loads the first snapshot of `source`, serves it and whatever comes after, and ends with the process. `ready` is called when everything
/// serves.
pub fn serve(source: Box<dyn Source>, output: &Output, ready: impl FnOnce(&Serving) + 'static) -> Outcome {
    let control = ControlPlane::new().context("the control plane cannot start")?;
    let loaded_at = SystemTime::now();
    let Loaded { snapshot, problems, files } = source.load();
    let Some(snapshot) = snapshot else { return refuse(&problems, output) };
    let level = log(&snapshot.settings.logging, output)?;
    warn(&problems);
    let admin = &snapshot.settings.admin;
    let bound = match admin.enabled {
        true => Some(bind(&admin.listen).with_context(|| format!("the admin port cannot listen on {}", admin.listen))?),
        false => None,
    };
    let snapshot = Arc::new(snapshot);
    let options = StartOptions { snapshot: Arc::clone(&snapshot), registry: registry() };
    let engine = Arc::new(ringway_engine::start(options).context("the gateway cannot start")?);
    let serving =
        Serving { servers: engine.addresses().to_vec(), admin: bound.as_ref().map(Bound::address).transpose()? };
    let first = Arc::clone(&snapshot);
    let ending = control.run(Parts {
        plane: engine,
        source,
        snapshot,
        files,
        loaded_at,
        admin: bound,
        level: Some(level),
        ready: Box::new(move || {
            announce(&serving, &first);
            ready(&serving);
        }),
    })?;
    match ending {
        Ending::Drained { cut: 0 } => tracing::info!("drained"),
        Ending::Drained { cut } => tracing::warn!(cut, "drained; connections that did not end in time were cut"),
        Ending::Interrupted => tracing::warn!("ended by a second signal; what was running was cut"),
    }
    Ok(ending != Ending::Interrupted)
}

fn log(settings: &Logging, output: &Output) -> anyhow::Result<LogLevel> {
    let format = match settings.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    logging::install(&settings.level, format, output.colour).context("logging.level")
}

/// The warnings of the first load go where those of later ones go.
fn warn(problems: &[Problem]) {
    for problem in problems {
        tracing::warn!("{problem}");
    }
}

fn announce(serving: &Serving, snapshot: &Snapshot) {
    for (server, address) in &serving.servers {
        tracing::info!(%server, %address, "listening");
    }
    if let Some(address) = &serving.admin {
        tracing::info!(%address, "admin port");
    }
    if snapshot.apis.is_empty() {
        tracing::warn!("there is no API: name definitions in `apis` of ringway.yaml");
    }
    let idle = snapshot.apis.iter().filter(|api| !api.is_served()).count();
    tracing::info!(apis = snapshot.apis.len() - idle, idle, revision = snapshot.revision, "ready");
}
