//! The load harness: Ringway, nginx and HAProxy side by side on one core each in turn, scored by the CPU time of the proxy.
//!
//! ```text
//!            core 0                                core 1
//!  ┌──────────────────────────┐        ┌───────────────────────────────┐
//!  │ wrk or the open loop     │ ─────▶ │ one proxy at work, the others │
//!  │ nginx as the backend     │ ◀───── │ idle, changing every slice    │
//!  └──────────────────────────┘        └───────────────────────────────┘
//! ```
//!
//! Requests per second are no score here: load and backend share a core and saturate first. CPU microseconds per request
//! are ([`cost`]). A shared machine changes its speed within minutes, so the proxies take turns in slices of seconds, and what
//! counts is the minimum, the median and above all the ratio of the medians.
#![allow(clippy::print_stdout, reason = "a report is what this program is for")]

mod case;
mod closed;
mod contender;
mod idle;
mod open;
mod report;
mod stage;
mod svg;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ringway_benches::cost;

use crate::case::{CASES, Case, Load};
use crate::contender::{Contender, Kind};
use crate::report::{Report, Slice};
use crate::stage::Stage;

/// Measures Ringway against nginx and HAProxy.
#[derive(Debug, Parser)]
struct Options {
    /// Only these cases, by name or beginning of a name (`--list` shows them).
    #[arg(long, value_delimiter = ',')]
    cases: Vec<String>,
    /// Only these proxies.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    contenders: Vec<Kind>,
    /// Slices of each proxy in each case.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Seconds of a slice.
    #[arg(long, default_value_t = 2.0)]
    slice: f64,
    /// Two rounds of half a second: does it run? Its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Idle connections whose memory is measured.
    #[arg(long, default_value_t = 2_000)]
    idle: usize,
    /// Folder for `load.json` and `load.svg`.
    #[arg(long, default_value = "target/load")]
    out: PathBuf,
    /// The gateway to measure; built by `cargo build --release -p ringway` when not given.
    #[arg(long)]
    ringway: Option<PathBuf>,
    /// Names the cases and ends.
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if options.list {
        CASES.iter().for_each(|case| println!("{:<12} {}", case.name, case.about));
        return Ok(());
    }
    if options.quick {
        (options.rounds, options.slice, options.idle) = (2, 0.5, 500);
    }
    let chosen = |case: &&Case| {
        options.cases.is_empty() || options.cases.iter().any(|wanted| case.name.starts_with(wanted.as_str()))
    };
    let cases: Vec<&Case> = CASES.iter().filter(chosen).collect();
    ensure!(!cases.is_empty(), "no case is named like {:?}; --list names them", options.cases);
    let is_ringway = |kind: &Kind| matches!(kind, Kind::Ringway | Kind::Without);
    let ringway = if options.contenders.iter().any(is_ringway) { Some(gateway(&options)?) } else { None };

    ringway_benches::pin(0)?;
    limit_time(&options, cases.len());
    let stage = Stage::set(ringway)?;
    let mut report = Report::new(&options.contenders, options.rounds, options.slice);
    for case in cases {
        run(case, &options, &stage, &mut report).with_context(|| format!("case {}", case.name))?;
        report.print_case(case);
    }
    report.print_notes();
    report.save(&options.out)
}

/// All contenders of a case, slice by slice in turn.
fn run(case: &'static Case, options: &Options, stage: &Stage, report: &mut Report) -> Result<()> {
    let mut contenders = Vec::new();
    for kind in options.contenders.iter().filter(|kind| kind.takes_part(case.setup)) {
        contenders.push(Contender::start(*kind, case.setup, stage).with_context(|| format!("starting {kind:?}"))?);
    }
    if let Load::Idle(what) = case.load {
        for contender in &contenders {
            let bytes = idle::bytes_per_connection(what, contender, stage, options.idle)
                .with_context(|| format!("{:?}", contender.kind))?;
            report.add(case, contender.kind, Slice { value: bytes, ..Slice::default() });
        }
        return Ok(());
    }
    let slice = Duration::from_secs_f64(options.slice);
    for contender in &contenders {
        load(case, contender, stage, slice.min(Duration::from_millis(500))).context("warming up")?;
    }
    for round in 0..options.rounds {
        // Each round begins with another proxy: nobody always runs after the same one.
        for turn in 0..contenders.len() {
            let contender = &contenders[(turn + round) % contenders.len()];
            let measured = load(case, contender, stage, slice).with_context(|| format!("{:?}", contender.kind))?;
            report.add(case, contender.kind, measured);
        }
    }
    Ok(())
}

/// One slice: the load, and what it cost the proxy.
fn load(case: &Case, contender: &Contender, stage: &Stage, slice: Duration) -> Result<Slice> {
    let before = cost::cpu(contender.id())?;
    let begin = Instant::now();
    let mut measured = match case.load {
        Load::Closed(closed) => closed::run(closed, contender, stage, slice)?,
        Load::Rate { per_second, connections } => open::run(contender, per_second, connections, slice)?,
        Load::Idle(_) => Slice::default(),
    };
    let spent = cost::cpu(contender.id())?.saturating_sub(before);
    measured.seconds = begin.elapsed().as_secs_f64();
    ensure!(measured.requests > 0, "not one request was answered");
    measured.value = spent.as_secs_f64() * 1e6 / measured.requests as f64;
    Ok(measured)
}

fn gateway(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.ringway {
        return path.canonicalize().with_context(|| path.display().to_string());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo).args(["build", "--release", "-p", "ringway"]).status()?;
    ensure!(built.success(), "the gateway does not build");
    let this = std::env::current_exe()?;
    let target = this.parent().and_then(|profile| profile.parent()).context("this program lies in target/PROFILE")?;
    Ok(target.join("release/ringway"))
}

/// Ends everything when it takes far longer than it can: a proxy or a tool hangs. The children are killed by the kernel when their parent ends,
/// in whatever way it does.
fn limit_time(options: &Options, cases: usize) {
    let slices = (cases * options.contenders.len() * (options.rounds + 1)) as f64;
    let limit = Duration::from_secs_f64(slices * (options.slice + 1.0) * 2.0 + 300.0);
    let end = Instant::now() + limit;
    std::thread::spawn(move || {
        loop {
            match end.checked_duration_since(Instant::now()) {
                Some(left) => std::thread::park_timeout(left),
                None => {
                    eprintln!("not done after {limit:?}: given up");
                    std::process::exit(1);
                }
            }
        }
    });
}
