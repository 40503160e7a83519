//! The soak: hours in minutes. A release gateway under mixed load, faults and reloads, looked at for what it does not give back; and how much
//! another client notices of an attack.
//!
//! ```text
//!   soak --minutes 20          mixed load, one percent of it faulty, a reload every two seconds; a table, and a verdict
//!   soak --attacks             another client's latency, calm and under each attack in turn
//! ```
//!
//! Load is paced and modest: leaks show in what is left after many turns, not in how fast they go. Everything that is answered is checked, byte
//! for byte.
#![allow(clippy::print_stdout, reason = "a report is what this program is for")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a program of measurements ends when it cannot measure")]

mod attack;
mod backend;
mod load;
mod probe;
mod stage;
mod watch;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Looks for leaks over time, or for what an attack does to others.
#[derive(Debug, Parser)]
struct Options {
    /// How long the soak runs.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Measures another client's latency under attacks instead.
    #[arg(long)]
    attacks: bool,
    /// Only attacks whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// Seconds of each calm and each attacked measurement.
    #[arg(long, default_value_t = 10.0)]
    slice: f64,
    /// Requests per second of the soak, all kinds together.
    #[arg(long, default_value_t = 150.0)]
    rate: f64,
    /// The gateway to measure; built by `cargo build --release -p ringway` when not given.
    #[arg(long)]
    ringway: Option<PathBuf>,
}

/// How the harness is told which gateway to start.
const BINARY: &str = "RINGWAY_BIN";

fn main() -> Result<()> {
    let options = Options::parse();
    if std::env::var_os(BINARY).is_none() {
        let gateway = gateway(&options)?;
        // The variable must be there before the first thread is.
        let error =
            Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(BINARY, gateway).exec();
        return Err(error).context("this program cannot be started again");
    }
    if options.attacks {
        return attack::run(Duration::from_secs_f64(options.slice), &options.only);
    }
    watch::soak(Duration::from_secs_f64(options.minutes * 60.0), options.rate)
}

fn gateway(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.ringway {
        return path.canonicalize().with_context(|| path.display().to_string());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "-p", "ringway"]).status()?;
    ensure!(built.success(), "the gateway does not build");
    let this = std::env::current_exe()?;
    let target = this.parent().and_then(|profile| profile.parent()).context("this program lies in target/PROFILE")?;
    Ok(target.join("release/ringway"))
}
