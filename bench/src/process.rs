//! What a process costs, as Linux counts it.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::{env, fs, io};

use rustix::process::{Pid, Resource, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Seconds that a process has computed with all its threads, in user mode and in the kernel, to 10 ms.
pub(crate) fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts in hundredths of a second, whatever its own clock does.
    Ok(ticks as f64 / 100.0)
}

/// Seconds that all cores together have computed for anyone, waiting for a disk not counted.
pub(crate) fn machine_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8).enumerate();
    let busy =
        fields.filter(|(at, _)| ![3, 4].contains(at)).filter_map(|(_, field)| field.parse::<u64>().ok());
    Ok(busy.sum::<u64>() as f64 / 100.0)
}

/// Resident memory in KiB.
pub(crate) fn rss_kib(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().map_err(|_| io::Error::other("no VmRSS"))
}

/// A command for a program that is killed when the thread that spawned it ends, however that ends.
pub(crate) fn ending_with_us(program: &Path) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("ending-with-parent").arg(program);
    Ok(command)
}

/// Becomes a program that is killed when its parent ends. Returns only if that fails.
pub(crate) fn end_with_parent(words: &[OsString]) -> io::Result<()> {
    let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("no program"))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Err(Command::new(program).args(arguments).exec())
}

/// What a program writes to standard output, trimmed; empty if it does not start.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().into()).unwrap_or_default()
}

/// A process that runs on some cores only while this lives.
pub(crate) struct Pinned {
    pid: u32,
    cores: usize,
}

impl Pinned {
    pub(crate) fn new(pid: u32, on: Range<usize>) -> io::Result<Self> {
        let cores = available_parallelism()?.get();
        pin(pid, on)?;
        Ok(Self { pid, cores })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // A process that has ended needs no cores.
        let _ = pin(self.pid, 0..self.cores);
    }
}

/// Lets all threads of a process run on these cores only.
fn pin(pid: u32, cores: impl Iterator<Item = usize> + Clone) -> io::Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let id = task?.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        let mut set = CpuSet::new();
        cores.clone().for_each(|core| set.set(core));
        sched_setaffinity(Pid::from_raw(id), &set)?;
    }
    Ok(())
}

/// As many open files as the system allows; children inherit it.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What can't be raised shows when a connection fails, which fails the run.
    let _ = setrlimit(Resource::Nofile, limit);
}
