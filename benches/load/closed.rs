//! Closed loop by wrk: as many requests as go, on core 0.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::case::{self, Closed, Setup};
use crate::contender::Contender;
use crate::report::Slice;
use crate::stage::Stage;

pub(crate) fn run(closed: Closed, contender: &Contender, stage: &Stage, slice: Duration) -> Result<Slice> {
    // wrk knows whole seconds only; `timeout` can interrupt it, and then it reports what it has.
    let seconds = slice.as_secs_f64();
    let scheme = if contender.setup == Setup::Tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", contender.address(), closed.target);
    let connections = closed.connections.to_string();
    // Both end with this process, in whatever way it ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "timeout", "--signal=INT", "--kill-after=10", &format!("{seconds}")]);
    command.args(["setpriv", "--pdeathsig", "KILL", "wrk", "-t1", "-d60s", "-c", &connections]);
    if closed.close {
        command.args(["-H", "Connection: close"]);
    }
    if contender.setup == Setup::Policies {
        command.args(["-H", &format!("{}: {}", case::KEY_FIELD, case::key(case::KEYS / 2))]);
    }
    if contender.setup == Setup::Routes {
        command.args(["-s", &stage.path("routes.lua")]);
    }
    let output = command.arg(&url).stdin(Stdio::null()).output().context("wrk does not run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let requests =
        requests(&text).with_context(|| format!("wrk said {text:?} {}", String::from_utf8_lossy(&output.stderr)))?;
    let failed = failures(&text);
    ensure!(failed * 1000 <= requests, "{failed} of {requests} requests failed: {text}");
    Ok(Slice { requests, failed, ..Slice::default() })
}

/// `  123456 requests in 2.00s, 20.40MB read`
fn requests(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `Non-2xx or 3xx responses: 5` and `Socket errors: connect 0, read 0, write 0, timeout 0`
fn failures(text: &str) -> u64 {
    let numbers = |line: &str| line.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    text.lines()
        .filter_map(|line| {
            line.trim().strip_prefix("Non-2xx or 3xx responses:").or(line.trim().strip_prefix("Socket errors:"))
        })
        .map(numbers)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{failures, requests};

    #[test]
    fn wrk_is_understood() {
        let text = "  2 threads\n  9384 requests in 2.00s, 20.40MB read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 5\n";
        assert_eq!((requests(text), failures(text)), (Some(9384), 11));
        assert_eq!((requests("unable to connect"), failures("Requests/sec: 5.00")), (None, 0));
    }
}
