//! The figures: a table while it runs, then JSON and a plot.

use std::fs;
use std::path::Path;

use anyhow::Result;
use ringway_benches::median;
use serde_json::{Value, json};

use crate::case::{Case, Load};
use crate::contender::Kind;
use crate::svg;

/// nginx's fastest slice of `c64` beyond which the machine is too busy with its neighbours for figures worth keeping.
const NGINX_US_MAX: f64 = 12.5;

/// What one slice gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slice {
    /// CPU microseconds per request, or bytes per idle connection.
    pub value: f64,
    pub requests: u64,
    pub failed: u64,
    pub seconds: f64,
    /// Sorted; of the open loop only.
    pub latencies_us: Vec<u32>,
}

/// All slices of a contender in a case.
#[derive(Debug)]
pub(crate) struct Row {
    pub case: &'static Case,
    pub kind: Kind,
    slices: Vec<Slice>,
}

impl Row {
    pub(crate) fn min(&self) -> f64 {
        self.slices.iter().map(|slice| slice.value).fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.slices.iter().map(|slice| slice.value).collect())
    }

    fn rate(&self) -> f64 {
        self.slices.iter().map(|slice| slice.requests).sum::<u64>() as f64
            / self.slices.iter().map(|slice| slice.seconds).sum::<f64>()
    }

    /// The median over the slices of a percentile, so that one disturbed slice does not decide it.
    fn latency_us(&self, percent: f64) -> Option<f64> {
        let mut found: Vec<u32> = self
            .slices
            .iter()
            .filter_map(|slice| {
                let last = slice.latencies_us.len().checked_sub(1)?;
                slice.latencies_us.get((last as f64 * percent / 100.0).round() as usize).copied()
            })
            .collect();
        found.sort_unstable();
        found.get(found.len() / 2).map(|&us| f64::from(us))
    }
}

/// Every row so far.
#[derive(Debug)]
pub(crate) struct Report {
    contenders: Vec<Kind>,
    rounds: usize,
    slice_s: f64,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(contenders: &[Kind], rounds: usize, slice_s: f64) -> Report {
        println!(
            "CPU us per request (or bytes per idle connection) of the proxy; {rounds} rounds of {slice_s} s in turn"
        );
        println!(
            "{:<10} {:<8} {:>9} {:>9} {:>9}  {:<34} ratio of medians",
            "case", "proxy", "min", "median", "req/s", "latency us p50/p90/p99/p99.9/max"
        );
        Report { contenders: contenders.to_vec(), rounds, slice_s, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, case: &'static Case, kind: Kind, slice: Slice) {
        match self.rows.iter_mut().find(|row| row.case.name == case.name && row.kind == kind) {
            Some(row) => row.slices.push(slice),
            None => self.rows.push(Row { case, kind, slices: vec![slice] }),
        }
    }

    pub(crate) fn print_case(&self, case: &Case) {
        let rows = self.rows_of(case);
        for row in &rows {
            let latency =
                [50.0, 90.0, 99.0, 99.9, 100.0].map(|percent| row.latency_us(percent).map(|us| format!("{us:.0}")));
            let latency: Vec<String> = latency.into_iter().flatten().collect();
            let idle = matches!(case.load, Load::Idle(_));
            let rate = if idle { String::new() } else { format!("{:.0}", row.rate()) };
            let digits = usize::from(!idle) * 2;
            println!(
                "{:<10} {:<8} {:>9.digits$} {:>9.digits$} {rate:>9}  {:<34} {}",
                case.name,
                row.kind.label(),
                row.min(),
                row.median(),
                latency.join("/"),
                ratios(row, &rows)
            );
        }
    }

    /// Says when the figures are not worth keeping.
    pub(crate) fn print_notes(&self) {
        for note in self.notes() {
            println!("note: {note}");
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let nginx = self.rows.iter().find(|row| row.case.name == "c64" && row.kind == Kind::Nginx);
        if let Some(row) = nginx
            && row.min() > NGINX_US_MAX
        {
            notes.push(format!(
                "nginx took {:.1} us at best in c64, above {NGINX_US_MAX}: the machine is busy, keep the ratios only",
                row.min()
            ));
        }
        let failed: u64 = self.rows.iter().flat_map(|row| &row.slices).map(|slice| slice.failed).sum();
        if failed > 0 {
            notes.push(format!("{failed} requests failed"));
        }
        notes
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let rows: Vec<Value> = self.rows.iter().map(json_row).collect();
        let value = json!({
            "rounds": self.rounds, "slice_s": self.slice_s, "notes": self.notes(),
            "contenders": self.contenders.iter().map(|kind| kind.label()).collect::<Vec<_>>(),
            "rows": rows,
        });
        fs::write(folder.join("load.json"), serde_json::to_string_pretty(&value)? + "\n")?;
        fs::write(folder.join("load.svg"), svg::plot(&self.rows))?;
        println!("written: {0}/load.json, {0}/load.svg", folder.display());
        Ok(())
    }

    fn rows_of(&self, case: &Case) -> Vec<&Row> {
        self.rows.iter().filter(|row| row.case.name == case.name).collect()
    }
}

/// The row's median by each other contender's.
fn ratios(row: &Row, rows: &[&Row]) -> String {
    let others = rows.iter().filter(|other| other.kind != row.kind);
    others
        .map(|other| format!("{:.2} {}", row.median() / other.median(), other.kind.label()))
        .collect::<Vec<_>>()
        .join("  ")
}

fn json_row(row: &Row) -> Value {
    let latency = |percent| row.latency_us(percent);
    let unit = if matches!(row.case.load, Load::Idle(_)) { "bytes/connection" } else { "cpu us/request" };
    json!({
        "case": row.case.name, "about": row.case.about, "contender": row.kind.label(), "unit": unit,
        "min": row.min(), "median": row.median(), "values": row.slices.iter().map(|slice| slice.value).collect::<Vec<_>>(),
        "requests": row.slices.iter().map(|slice| slice.requests).sum::<u64>(),
        "failed": row.slices.iter().map(|slice| slice.failed).sum::<u64>(),
        "latency_us": { "p50": latency(50.0), "p90": latency(90.0), "p99": latency(99.0), "p99.9": latency(99.9), "max": latency(100.0) },
    })
}
