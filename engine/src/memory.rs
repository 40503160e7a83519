//! How much memory the process has, and how much it may have.

use std::fs;
use std::path::Path;

/// Memory that the process holds now; 0 when the kernel does not say.
pub fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| figure(&text, "VmRSS:")).unwrap_or(0)
}

/// Nine tenths of what the machine or a control group around the process allows, whichever is less.
pub fn allowance_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| figure(&text, "MemTotal:"));
    let group =
        fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_limit(&text, Path::new("/sys/fs/cgroup")));
    machine.into_iter().chain(group).min().map_or(u64::MAX, |limit| limit / 10 * 9)
}

/// `VmRSS:     12345 kB`
fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of a group and of those around it. Version 2 of control groups only: `0::/system.slice/ringway.service`.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = root.join(own.trim_start_matches('/'));
    let limits = own.ancestors().take_while(|group| group.starts_with(root)).filter_map(|group| {
        // `max` is no number: no limit.
        fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_the_groups_around_counts() {
        let root = std::env::temp_dir().join(format!("ringway-groups-{}", std::process::id()));
        let inner = root.join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let limit = |path: &str, text: &str| fs::write(root.join(path), text).unwrap();
        assert_eq!(group_limit("0::/outer/inner\n", &root), None);
        limit("outer/inner/memory.max", "max\n");
        limit("outer/memory.max", "1000000\n");
        assert_eq!(group_limit("4:cpu:/x\n0::/outer/inner\n", &root), Some(1_000_000));
        limit("outer/inner/memory.max", "900000\n");
        assert_eq!(group_limit("0::/outer/inner\n", &root), Some(900_000));
        assert_eq!(group_limit("4:memory:/outer\n", &root), None, "version 1 is not asked");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_kernel_says_how_much_there_is() {
        assert_eq!(figure("Name:\tx\nVmRSS:\t    1234 kB\n", "VmRSS:"), Some(1234 * 1024));
        assert!(resident_bytes() > 0 && allowance_bytes() > resident_bytes());
    }
}
