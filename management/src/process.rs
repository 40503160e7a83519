//! What the kernel says about this process: `/proc/self`.

use std::fs;
use std::time::Duration;

/// Ticks per second in `/proc/*/stat` (`USER_HZ`): fixed at 100 by the kernel's ABI on every architecture that Ringway runs on,
/// whatever `CONFIG_HZ` is.
const USER_HZ: u64 = 100;

/// One look at the process. A figure that the kernel withholds (a hardened `/proc`) is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// CPU time in user and kernel mode, all threads.
    pub cpu: Option<Duration>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory in bytes.
    pub virtual_bytes: Option<u64>,
    /// File descriptors that are open now.
    pub fds: Option<u64>,
    /// The soft limit of file descriptors.
    pub fds_max: Option<u64>,
    /// Threads that run now.
    pub threads: Option<u64>,
    /// When the process started, in seconds since the epoch.
    pub started: Option<f64>,
}

impl Process {
    /// Looks now. Reads a handful of small files; meant for a scrape, not for a shard.
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields = Stat::parse(&stat);
        Self {
            cpu: fields.as_ref().map(|stat| Duration::from_millis(stat.cpu_ticks.saturating_mul(1000 / USER_HZ))),
            resident_bytes: status_kib(&status, "VmRSS:").map(|kib| kib.saturating_mul(1024)),
            virtual_bytes: status_kib(&status, "VmSize:").map(|kib| kib.saturating_mul(1024)),
            fds: fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
            fds_max: soft_limit(&limits, "Max open files"),
            threads: fields.as_ref().map(|stat| stat.threads),
            started: fields.as_ref().zip(boot_seconds(&boot)).map(|(stat, boot)| {
                #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch fit a double's 53 bits")]
                let seconds = boot as f64 + stat.start_ticks as f64 / USER_HZ as f64;
                seconds
            }),
        }
    }
}

/// The fields of `/proc/self/stat` that are of use (proc_pid_stat(5)).
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
}

impl Stat {
    fn parse(line: &str) -> Option<Self> {
        // Field 2 is the command in parentheses and may itself hold spaces and parentheses: count from the last one.
        let after = &line[line.rfind(')')? + 1..];
        let field = |number: usize| after.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: field(14)? + field(15)?, threads: field(20)?, start_ticks: field(22)? })
    }
}

fn status_kib(status: &str, key: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_ascii_whitespace().next()?.parse().ok()
}

fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_seconds(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000 200";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks), (300, 9, 12345));
    }

    #[test]
    fn a_truncated_line_has_no_figures() {
        assert!(Stat::parse("7 (a) S 1 7").is_none());
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn the_running_process_has_memory_threads_and_files() {
        let process = Process::now();
        assert!(process.resident_bytes.unwrap() > 64 * 1024);
        assert!(process.threads.unwrap() >= 1);
        assert!(process.fds.unwrap() >= 3);
        assert!(process.started.unwrap() > 1_500_000_000.0);
    }
}
