//! What Linux says of a process, in `/proc`.

use std::fs;
use std::time::Duration;

/// The resident memory of a process, in KiB.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn rss_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("VmRSS is a number of kB")
}

/// The time that a process has computed, in user mode and in the kernel, to 10 ms.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the name is in brackets");
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    // Linux counts in hundredths of a second, whatever its own clock does.
    Duration::from_millis(ticks * 10)
}

/// How many files a process has open.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_memory_time_and_files() {
        let me = std::process::id();
        assert!(rss_kib(me) > 1000);
        assert!(open_files(me) >= 3);
        let before = cpu_time(me);
        let mut n = 0_u64;
        while cpu_time(me) < before + Duration::from_millis(20) {
            n = std::hint::black_box(n + 1);
        }
    }
}
