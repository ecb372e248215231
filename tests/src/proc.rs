//! What Linux says of a process, in `/proc`.

use std::fs;

/// The resident memory of a process, in KiB.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn rss_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

/// The most that the resident memory of a process ever was, in KiB.
///
/// # Panics
/// When it is gone.
#[must_use]
pub fn peak_rss_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number of kB")
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
    fn this_very_process_has_memory_and_files() {
        let me = std::process::id();
        assert!(rss_kib(me) > 1000 && peak_rss_kib(me) >= rss_kib(me) / 2);
        assert!(open_files(me) >= 3);
    }
}
