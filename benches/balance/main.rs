//! How evenly long-lived connections lie on the shards, and what the shards did about it.
//!
//! Three ways to open them: `hash` as they come; `skew` only those that the kernel gives to the first shard, the worst that a hash
//! can do; `unix` over one Unix socket, whose queue the shards share. For each it prints what the kernel gave to each shard, what each
//! serves, and the imbalance (most over mean) of both: the first is what it would be if no connection were handed over.
#![allow(clippy::print_stdout, reason = "a report is what this program is for")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use ringway_tests::{Api, Backend, Gateway};

/// Measures the balance of long-lived connections over shards.
#[derive(Debug, Parser)]
struct Options {
    /// The gateway to measure, built by `cargo build --release -p ringway`.
    #[arg(long, default_value = "target/release/ringway")]
    ringway: PathBuf,
    /// Shards.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 4])]
    shards: Vec<usize>,
    /// How they are opened.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Way::Hash, Way::Skew, Way::Unix])]
    ways: Vec<Way>,
    /// Connections that are held.
    #[arg(long, default_value_t = 1_000)]
    held: usize,
    /// Runs of each; the worst is printed too.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    Hash,
    Skew,
    Unix,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let ringway = options.ringway.canonicalize().with_context(|| options.ringway.display().to_string())?;
    if std::env::var_os("RINGWAY_BIN").as_deref() != Some(ringway.as_os_str()) {
        // The harness takes its gateway from the environment, which a process sets for its children only.
        let this = std::env::current_exe()?;
        let status =
            std::process::Command::new(this).args(std::env::args_os().skip(1)).env("RINGWAY_BIN", &ringway).status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    println!("{:<5} {:>6}  {:>22}  {:>22}", "way", "shards", "arrived: median, worst", "served: median, worst");
    for way in &options.ways {
        for shards in &options.shards {
            let (mut arrived, mut served) = (Vec::new(), Vec::new());
            for _ in 0..options.runs {
                let counts = hold(*way, *shards, options.held)?;
                println!("      {counts:?}");
                arrived.push(imbalance(&counts.arrived));
                served.push(imbalance(&counts.open));
            }
            let [(arrived, worst_arrived), (served, worst_served)] = [arrived, served].map(median_and_worst);
            let way = format!("{way:?}").to_lowercase();
            println!("{way:<5} {shards:>6}  {arrived:>14.3}, {worst_arrived:.3}  {served:>14.3}, {worst_served:.3}");
        }
    }
    Ok(())
}

/// Most over mean: 1 is even, the number of shards is everything on one.
fn imbalance(counts: &[usize]) -> f64 {
    let sum: usize = counts.iter().sum();
    counts.iter().copied().max().unwrap_or(0) as f64 * counts.len() as f64 / sum as f64
}

fn median_and_worst(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values.get(values.len() / 2).copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0))
}

#[derive(Debug)]
struct Counts {
    /// By shard: given to it by the kernel.
    arrived: Vec<usize>,
    /// By shard: open there.
    open: Vec<usize>,
}

/// Holds connections and counts them.
fn hold(way: Way, shards: usize, held: usize) -> Result<Counts> {
    let backend = Backend::ok("ok");
    let listen = if way == Way::Unix { "unix:{dir}/socket" } else { "{http}" };
    let yaml = format!(
        "shards: {shards}\nlogging: {{ access: {{ enabled: false }} }}\ntimeouts: {{ keepAlive: 600000 }}\n\
         servers: [{{ id: http, listen: '{listen}' }}]\n"
    );
    let gateway = Gateway::configured(&yaml, &[Api::proxy("/", &backend.target())]);
    let mut open: Vec<Box<dyn Read>> = Vec::with_capacity(held);
    let mut counts = count(&gateway, shards)?;
    // What came to the first shard and is kept, and what was closed again, by the shard that it arrived at.
    let mut closed = vec![0; shards];
    while open.len() < held {
        let stream = connect(way, &gateway)?;
        if way != Way::Skew {
            open.push(stream);
            continue;
        }
        let after = count(&gateway, shards)?;
        let shard = (0..shards).find(|shard| after.arrived[*shard] > counts.arrived[*shard]).unwrap_or(0);
        counts = after;
        if shard == 0 {
            open.push(stream);
        } else {
            closed[shard] += 1;
            drop(stream);
            ringway_tests::wait_until("a closed connection to be counted out", || {
                gateway.metric("ringway_connections", &[]) as usize == open.len()
            });
        }
    }
    let mut counts = count(&gateway, shards)?;
    counts.arrived.iter_mut().zip(closed).for_each(|(arrived, closed)| *arrived -= closed);
    ensure!(counts.open.iter().sum::<usize>() == held, "{counts:?}: not all are open");
    Ok(counts)
}

fn connect(way: Way, gateway: &Gateway) -> Result<Box<dyn Read>> {
    if way == Way::Unix {
        return served(UnixStream::connect(gateway.folder().join("socket"))?);
    }
    let stream = TcpStream::connect(gateway.http())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    served(stream)
}

/// After one request.
fn served<S: Read + Write + 'static>(mut stream: S) -> Result<Box<dyn Read>> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok") {
        let mut buffer = [0; 2048];
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(Box::new(stream))
}

fn count(gateway: &Gateway, shards: usize) -> Result<Counts> {
    let (_, text) = gateway.ask_admin("GET", "/metrics");
    // A gateway that hands nothing over does not have all of these.
    let of = |name: &str, shard: usize| -> usize {
        let start = format!("{name}{{shard=\"{shard}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
    };
    let arrived = |shard| {
        (of("ringway_connections_accepted_total", shard) + of("ringway_connections_handed_over_total", shard))
            .saturating_sub(of("ringway_connections_received_total", shard))
    };
    Ok(Counts {
        arrived: (0..shards).map(arrived).collect(),
        open: (0..shards).map(|shard| of("ringway_connections", shard)).collect(),
    })
}
