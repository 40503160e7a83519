//! Another client: it asks at a steady pace, whatever happens, and its latency counts from when a request was due.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::stage::{Stage, response};

/// Requests per second.
const PACE: u32 = 400;

/// Latencies of a slice, sorted, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    sorted_us: Vec<u64>,
    pub shed: usize,
}

impl Latencies {
    pub(crate) fn add(&mut self, other: Latencies) {
        self.sorted_us.extend(other.sorted_us);
        self.sorted_us.sort_unstable();
        self.shed += other.shed;
    }

    pub(crate) fn quantile_us(&self, quantile: f64) -> u64 {
        let at = (self.sorted_us.len() as f64 * quantile) as usize;
        self.sorted_us.get(at.min(self.sorted_us.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Asks for `slice`; every request must be answered, with 200 or, where the gateway sheds, with 503.
pub(crate) fn ask(stage: &Stage, slice: Duration) -> Result<Latencies> {
    let mut wire = stage.connect(false)?;
    let (mut sorted_us, mut shed) = (Vec::new(), 0);
    let begin = Instant::now();
    let mut due = begin;
    while due < begin + slice {
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(early);
        }
        wire.write_all(b"GET /api/small HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let (status, _) = response(wire.as_mut())?;
        ensure!(status == 200 || status == 503, "answered {status}");
        shed += usize::from(status == 503);
        sorted_us.push(due.elapsed().as_micros() as u64);
        due += Duration::from_secs(1) / PACE;
    }
    sorted_us.sort_unstable();
    Ok(Latencies { sorted_us, shed })
}
