//! The control plane's own metrics, in the Prometheus text format (version 0.0.4).

use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering;

use crate::process::Process;
use crate::reload::ReloadFigures;

/// Appends what the control plane knows: the build, the process, the reloads.
pub(super) fn append(out: &mut String, reloads: &ReloadFigures) {
    family(
        out,
        "ringway_build_info",
        "gauge",
        "The version that runs; always 1.",
        [(concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1)],
    );
    process(out, &Process::now());
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    family(
        out,
        "ringway_reloads_total",
        "counter",
        "Reloads since the start, by how they ended.",
        [("{result=\"published\"}", load(&reloads.succeeded)), ("{result=\"refused\"}", load(&reloads.failed))],
    );
    let plain = |value: u64| [("", value)];
    let ok = load(&reloads.last_ok);
    family(
        out,
        "ringway_reload_last_ok",
        "gauge",
        "Whether the last reload was published (1) or refused (0).",
        plain(ok),
    );
    let published = seconds(load(&reloads.published_ms), 1e3);
    family(
        out,
        "ringway_reload_last_published_timestamp_seconds",
        "gauge",
        "When a snapshot was last published.",
        [("", published)],
    );
    let took = seconds(load(&reloads.last_us), 1e6);
    family(out, "ringway_reload_last_duration_seconds", "gauge", "How long the last reload took.", [("", took)]);
}

/// The names are those that Prometheus client libraries agree on.
fn process(out: &mut String, process: &Process) {
    let mut figure = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            family(out, name, kind, help, [("", value)]);
        }
    };
    let cpu = process.cpu.map(|cpu| cpu.as_secs_f64());
    figure("process_cpu_seconds_total", "counter", "User and system CPU time.", cpu);
    figure("process_resident_memory_bytes", "gauge", "Resident memory.", process.resident_bytes.map(float));
    figure("process_virtual_memory_bytes", "gauge", "Virtual memory.", process.virtual_bytes.map(float));
    figure("process_open_fds", "gauge", "Open file descriptors.", process.fds.map(float));
    figure("process_max_fds", "gauge", "Most file descriptors that may be open.", process.fds_max.map(float));
    figure("process_threads", "gauge", "Threads.", process.threads.map(float));
    figure("process_start_time_seconds", "gauge", "When the process started.", process.started);
}

fn family<V: Display, const N: usize>(out: &mut String, name: &str, kind: &str, help: &str, samples: [(&str, V); N]) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

fn seconds(count: u64, per_second: f64) -> f64 {
    float(count) / per_second
}

#[expect(clippy::cast_precision_loss, reason = "the text format's values are doubles")]
fn float(value: u64) -> f64 {
    value as f64
}
