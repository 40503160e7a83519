//! Benches of the hot path (`benches/`), and the load harness that measures against nginx and HAProxy (`load/`).

pub mod cost;
pub mod mqtt;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Gives the calling thread, and what it starts from here on, a core: of what is measured nothing else runs on the same one.
///
/// # Errors
/// When there is no such core.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("two cores are needed: one for what is measured, one for everything else")
}

/// The middle of figures; NaN of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.as_slice() {
        [] => f64::NAN,
        sorted if sorted.len() % 2 == 1 => sorted[middle],
        sorted => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
