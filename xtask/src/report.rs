//! Figures of runs: out of libFuzzer's words, into a table.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::workspace::{Result, root};

/// What one run of one target came to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) target: String,
    pub(crate) cpu: Duration,
    pub(crate) executions: u64,
    /// Edges covered by what was there before the run, and at its end.
    pub(crate) edges_before: u64,
    pub(crate) edges: u64,
    pub(crate) corpus_growth: usize,
    pub(crate) crashes: u64,
}

/// Reads libFuzzer's log.
pub(crate) fn figures(target: &str, log: &str, cpu: Duration) -> Figures {
    let mut figures = Figures { target: target.into(), cpu, ..Figures::default() };
    for line in log.lines() {
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            figures.executions = number.trim().parse().unwrap_or_default();
        }
        // `#123	INITED cov: 45 ft: 67 corp: ...`
        let Some((number, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t')) else {
            continue;
        };
        let mut words = rest.split_whitespace();
        let edges = words.by_ref().find(|word| *word == "cov:").and_then(|_| words.next()?.parse().ok());
        let Some(edges) = edges else { continue };
        if rest.starts_with("INITED") {
            figures.edges_before = edges;
        }
        figures.edges = edges;
        figures.executions = figures.executions.max(number.parse().unwrap_or_default());
    }
    figures
}

/// What a process has used so far, by Linux's accounting.
pub(crate) fn cpu_time(process: u32) -> Option<Duration> {
    /// `USER_HZ`, which is 100 on every Linux.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let behind_name = stat.rsplit_once(')')?.1;
    let ticks: u32 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    Some(TICK * ticks).filter(|used| !used.is_zero())
}

/// The table that a run ends with.
pub(crate) fn table(all: &[Figures]) -> String {
    let mut table = format!(
        "{:<16} {:>9} {:>12} {:>8} {:>7} {:>10} {:>8} {:>8}\n",
        "target", "CPU", "executions", "per s", "edges", "new edges", "corpus", "crashes"
    );
    for figures in all {
        let rate = figures.executions as f64 / figures.cpu.as_secs_f64().max(0.001);
        let new = figures.edges.saturating_sub(figures.edges_before);
        let _never_fails = writeln!(
            table,
            "{:<16} {:>7} s {:>12} {:>8.0} {:>7} {:>10} {:>+8} {:>8}",
            figures.target,
            figures.cpu.as_secs(),
            figures.executions,
            rate,
            figures.edges,
            format!("+{new}"),
            figures.corpus_growth,
            figures.crashes,
        );
    }
    table
}

/// The commit that runs are of.
pub(crate) fn commit() -> Result<String> {
    let git = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("git").args(arguments).current_dir(root()).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let is_dirty =
        !git(&["status", "--porcelain", "--untracked-files=no", "--", "core", "server", "fuzz/src"])?
            .is_empty();
    Ok(git(&["rev-parse", "--short", "HEAD"])? + if is_dirty { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: Seed: 1\n#12\tINITED cov: 45 ft: 67 corp: 3/20b exec/s: 0 rss: 40Mb\n\
        #4096\tpulse  cov: 50 ft: 80 corp: 4/30b lim: 4096 exec/s: 2048 rss: 41Mb\n\
        #5000\tDONE   cov: 51 ft: 81 corp: 5/31b lim: 4096 exec/s: 2500 rss: 41Mb\n\
        stat::number_of_executed_units: 5001\n";

    #[test]
    fn a_log_is_read() {
        let figures = figures("jid", LOG, Duration::from_secs(2));
        assert_eq!((figures.executions, figures.edges_before, figures.edges), (5001, 45, 51));
        assert!(table(&[figures]).contains("2500"));
    }
}
