//! The figures as a page: medians with least and most, the limits beside them, the goals.

use std::env;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use crate::compare::{Figures, ROWS, SERVERS};

struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

fn spread(figures: &Figures, scenario: &'static str, server: &'static str, key: &str) -> Option<Spread> {
    let values = figures.get(&(scenario, server))?;
    let mut values: Vec<f64> = values.iter().filter_map(|value| value[key].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    let median = *values.get(values.len() / 2)?;
    Some(Spread { median, least: values[0], most: *values.last()? })
}

fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().into()).unwrap_or_default()
}

/// The page.
pub(crate) fn write(figures: &Figures, count: usize, repetitions: usize, load: &str) -> String {
    let mut page = String::from("# What a stanza costs\n\n");
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let command: Vec<_> = env::args().skip(1).collect();
    let commit = output("git", &["describe", "--always", "--dirty", "--exclude=*"]);
    // Writing to a string can't fail.
    let _ = write!(
        page,
        "Made by `cargo run --release -p enjamb-bench -- {}` at commit {commit}, on {cores} cores of {model}, loopback;\nload average {load}. Medians of {repetitions} interleaved repetitions, each with a fresh server, with the least and the most; N={count}.\n`route` cuts stanzas, looks up `to`, copies, and checks nothing; `relay` splices bytes unread: the limits of any server.\nLatency is from composing a stanza to the read that returned it, one way through the server.\n\n| | {} | enjamb / route | generator's CPU share (enjamb) |\n|---|---|---|---|---|---|\n",
        command.join(" "),
        SERVERS.join(" | ")
    );
    for (title, scenario, key) in ROWS {
        let _ = write!(page, "| {title} |");
        for server in SERVERS {
            match spread(figures, scenario, server, key) {
                Some(Spread { median, least, most }) => {
                    let _ = write!(page, " {} ({}–{}) |", number(median), number(least), number(most));
                }
                None => page.push_str(" - |"),
            }
        }
        let share = spread(figures, scenario, "enjamb", "generator_share");
        let share = share.map_or_else(|| "-".into(), |share| format!("{:.0} %", share.median * 100.0));
        let ratio = ratio(figures, scenario, key, "route").map_or_else(|| "-".into(), |r| format!("{r:.2}"));
        let _ = writeln!(page, " {ratio} | {share} |");
    }
    page.push_str("\n## Goals\n\n| figure | goal | is | |\n|---|---|---|---|\n");
    let own = |scenario, key| spread(figures, scenario, "enjamb", key).map(|spread| spread.median);
    goal(
        &mut page,
        "stanzas per CPU-second, S=100",
        ">=",
        0.35,
        "of route",
        ratio(figures, "n8", "per_cpu_second", "route"),
    );
    goal(
        &mut page,
        "stanzas per CPU-second, S=2000",
        ">=",
        0.5,
        "of route",
        ratio(figures, "n8big", "per_cpu_second", "route"),
    );
    goal(&mut page, "echo pinned, p50", "<=", 1.15, "of relay", ratio(figures, "echo", "p50_us", "relay"));
    goal(&mut page, "echo pinned, p99", "<=", 1.3, "of relay", ratio(figures, "echo", "p99_us", "relay"));
    goal(
        &mut page,
        "connects per CPU-second",
        ">=",
        0.5,
        "of route",
        ratio(figures, "storm", "connects_per_cpu_second", "route"),
    );
    goal(&mut page, "RSS per idle connection", "<=", 2.0, "KiB", own("idle", "kib_per_connection"));
    goal(&mut page, "RSS fresh", "<=", 8.0, "MiB", own("idle", "fresh_mib"));
    page.push_str("\nOther servers (jabberd2, ejabberd, Prosody) were not measured in this run.\n");
    page
}

fn ratio(figures: &Figures, scenario: &'static str, key: &str, to: &'static str) -> Option<f64> {
    Some(spread(figures, scenario, "enjamb", key)?.median / spread(figures, scenario, to, key)?.median)
}

fn goal(page: &mut String, figure: &str, relation: &str, bound: f64, of: &str, is: Option<f64>) {
    let Some(is) = is else { return };
    let met = if relation == ">=" { is >= bound } else { is <= bound };
    let _ = writeln!(
        page,
        "| {figure} | {relation} {bound} {of} | {is:.2} | {} |",
        if met { "met" } else { "**not met**" }
    );
}
