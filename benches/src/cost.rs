//! What a proxy has used: CPU time and memory, of its process and its children.
//!
//! The first field of `/proc/PID/task/TID/schedstat` is the time on a core in nanoseconds. It counts every thread (those of io_uring too), user and
//! kernel, at a precision that ticks (`utime`) don't have. Loopback bills the receiving half of a segment to its sender:
//! the same for every contender.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// CPU time since the start, of all threads of the process and of its children.
///
/// # Errors
/// The process has ended, or the kernel does not count.
pub fn cpu(process: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for process in family(process)? {
        for task in fs::read_dir(format!("/proc/{process}/task")).context("the proxy has ended")? {
            // A thread may end between the listing and the look.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += on_core(&text);
        }
    }
    ensure!(nanoseconds > 0, "no schedstat: the kernel lacks CONFIG_SCHED_INFO");
    Ok(Duration::from_nanos(nanoseconds))
}

/// CPU time since its start, of one thread of this process.
///
/// # Errors
/// The thread has ended, or the kernel does not count.
pub fn thread(task: i32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{task}/schedstat")).context("the thread has ended")?;
    let nanoseconds = on_core(&text);
    ensure!(nanoseconds > 0, "no schedstat: the kernel lacks CONFIG_SCHED_INFO");
    Ok(Duration::from_nanos(nanoseconds))
}

/// The first field of `schedstat`.
fn on_core(schedstat: &str) -> u64 {
    schedstat.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Resident memory in bytes, of the process and its children.
///
/// # Errors
/// The process has ended.
pub fn resident(process: u32) -> Result<u64> {
    let mut kib = 0;
    for process in family(process)? {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the proxy has ended")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).context("smaps_rollup has no Rss")?;
        kib += line.trim().trim_end_matches(" kB").parse::<u64>().context("Rss is a number")?;
    }
    Ok(kib * 1024)
}

/// The process and its children.
fn family(process: u32) -> Result<Vec<u32>> {
    let mut family = vec![process];
    for task in fs::read_dir(format!("/proc/{process}/task")).context("the proxy has ended")? {
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(family)
}
