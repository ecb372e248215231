//! The figures as a page: medians with least and most, the ceilings beside them, the goals, the gaps.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;

use crate::figures::Figures;
use crate::fit::spread;
use crate::plan::{AMONG, FLOOD, IN_TURN, IN_TURN_OUTSTANDING, PROFILED, RATE, ROUNDS};
use crate::process::output;
use crate::servers::Contestant;
use crate::table::number;
use crate::{goals, micro, profile};

/// A row: its title, which measurement, which of its values.
type Row = (&'static str, &'static str, &'static str);

const COSTS: [Row; 13] = [
    ("stanzas per CPU-second, 8 pairs, W=64, S=100", "n8", "per_cpu_second"),
    ("same, to a null router behind uplinks", "uplink", "per_cpu_second"),
    ("same between components, S=2000", "n8big", "per_cpu_second"),
    ("same, 1 pair, W=64, S=100", "n1", "per_cpu_second"),
    ("same, 1 pair, W=1000, S=100", "n1deep", "per_cpu_second"),
    ("same, fan-in 8 to 1, W=64, S=100", "fanin", "per_cpu_second"),
    ("same, fan-out 1 to 8, W=64, S=100", "fanout", "per_cpu_second"),
    ("same, mesh of 8, W=8, S=100", "mesh", "per_cpu_second"),
    ("same, 8 pairs, W=64, the stanzas of the XEPs", "corpus", "per_cpu_second"),
    ("connects with handshake per CPU-second", "storm", "connects_per_cpu_second"),
    ("KiB RSS of an idle connection", "herd", "kib_per_connection"),
    ("MiB RSS fresh", "herd", "fresh_mib"),
    ("generator's share of a core, 8 pairs, S=100", "n8", "generator_share"),
];

const LATENCIES: [Row; 10] = [
    ("one outstanding, one core: p50", "echo", "p50_us"),
    ("p99", "echo", "p99_us"),
    ("p99.9", "echo", "p999_us"),
    ("by timetable: p50", "timetable", "p50_us"),
    ("p99", "timetable", "p99_us"),
    ("p99.9", "timetable", "p999_us"),
    ("longest", "timetable", "max_us"),
    ("sent late by, p99", "timetable", "sent_late_p99_us"),
    ("closed loop, 8 pairs, W=64: p50", "n8", "p50_us"),
    ("p99", "n8", "p99_us"),
];

const FAIRNESS: [Row; 8] = [
    ("quiet pair alone: p50, µs", "fairness", "alone_p50_us"),
    ("p99, µs", "fairness", "alone_p99_us"),
    ("beside the flood: p50, µs", "fairness", "flooded_p50_us"),
    ("p99, µs", "fairness", "flooded_p99_us"),
    ("times the p50", "fairness", "p50_times"),
    ("times the p99", "fairness", "p99_times"),
    ("the flood's stanzas a second", "fairness", "flood_per_second"),
    ("sent late by, p99, µs", "fairness", "sent_late_p99_us"),
];

/// The page.
pub(crate) fn write(figures: &Figures, drawn: &[(String, String)]) -> String {
    let mut page = head(figures);
    page += "\n## What it costs\n\n";
    page += &table(figures, &COSTS);
    page += &charts(drawn, "cpu-");
    page += &goals::write(figures);
    let _ = write!(
        page,
        "\n## Latency\n\nMicroseconds from composing a stanza to the read that returns it, once through the server. By\ntimetable, the time starts at the planned moment: 8 pairs send {RATE} stanzas a second, and generator\nand server have cores of their own. A standstill is therefore counted for every stanza that it\ndelays.\n\n"
    );
    page += &table(figures, &LATENCIES);
    page += &charts(drawn, "echo");
    page += &charts(drawn, "timetable");
    let (rate, window) = FLOOD;
    let _ = write!(
        page,
        "\n## Fairness\n\nOne pair sends {rate} stanzas a second by timetable, first alone, then beside a pair that keeps {window}\nstanzas outstanding. The server has one core, the generator the other. The median of {ROUNDS} rounds\ncounts.\n\n"
    );
    page += &table(figures, &FAIRNESS);
    page += &scale(figures);
    page += &charts(drawn, "among");
    page += &charts(drawn, "routes");
    page += &instructions(figures);
    page += &time(figures);
    page += &gaps(figures);
    page + include_str!("../notes.md")
}

fn head(figures: &Figures) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments = arguments.join(" ");
    let (kernel, rustc) = (output("uname", &["-sr"]), output("rustc", &["--version"]));
    let versions = figures.servers.iter().filter_map(|server| match server {
        Contestant::Foreign(kind) => Some((kind.package(), kind.version()?)),
        _ => None,
    });
    let versions: Vec<_> = versions
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let Figures { repetitions, seconds, count, commit, load: (before, after), .. } = figures;
    format!(
        "# What a stanza costs\n\n\
         Made by `cargo build --release && cargo run --release -p enjamb-bench -- {arguments}` at commit {commit}, on {cores} cores of\n\
         {model}, {kernel}, {rustc}, loopback; load average {before} before, {after} after.\n\
         {}\n\n\
         Each measurement is made on every server in turn, then the next one follows. All of this is repeated\n\
         {repetitions} times, in a different order each time. Each server is fresh, without shaper, and logs only\n\
         warnings. The figures are medians, with min and max. Under load, a measurement takes {seconds} s, after a\n\
         fifth of that to warm up. N={count} connections are used for connect storms and idle herds. A\n\
         CPU-second is one of the server's process with all its threads, as Linux counts it. `W` stanzas are\n\
         outstanding for each flow. A stanza is a `<message>` of 108 bytes and `S` bytes of body.\n\n\
         Two null servers show the ceiling for any server: `relay` splices bytes without reading them;\n\
         `route` cuts stanzas, looks up `to` and copies, and checks nothing. `prosody-tuned` is Prosody\n\
         without Nagle's algorithm and with the generational garbage collector. A ratio means more than a\n\
         single figure, because the host is shared.\n",
        if versions.is_empty() {
            "No other people's servers.".into()
        } else {
            format!("Debian's packages: {}.", versions.join(", "))
        },
    )
}

fn header(figures: &Figures) -> String {
    let names: Vec<_> = figures.servers.iter().map(|server| server.name()).collect();
    format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()))
}

/// Median, least and most; or a word that says why not.
fn cell(figures: &Figures, key: &'static str, server: Contestant, value: &str) -> String {
    if let Some(spread) = spread(figures.of(key, server, value)) {
        let [median, least, most] = [spread.median, spread.least, spread.most].map(number);
        return format!("{median} ({least}–{most})");
    }
    let gap = figures.gaps.get(&(None, server)).or_else(|| figures.gaps.get(&(Some(key), server)));
    match gap {
        Some(gap) if gap.starts_with("not installed") => "not installed".into(),
        Some(gap) if gap.starts_with("failed") => "failed".into(),
        _ => "-".into(),
    }
}

fn table(figures: &Figures, rows: &[Row]) -> String {
    let mut text = header(figures);
    for (title, key, value) in rows {
        let cells: Vec<_> = figures.servers.iter().map(|server| cell(figures, key, *server, value)).collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "| {title} | {} |", cells.join(" | "));
    }
    text
}

fn charts(drawn: &[(String, String)], part: &str) -> String {
    let ours = drawn.iter().filter(|(file, _)| file.contains(&format!("perf-{part}")));
    ours.map(|(file, title)| format!("\n![{title}]({file})\n")).collect()
}

fn scale(figures: &Figures) -> String {
    let mut text = String::from(
        "\n## Many connections\n\nFive pairs talk (W=64, S=100) while all other connections are idle. An exponent of 0 means that the\ncost does not grow with the number of connections; 1 means that it grows in proportion (least\nsquares of the logarithms).\n\n",
    );
    text += &header(figures);
    let rows = [
        ("µs of CPU a stanza", "cpu_us_per_stanza"),
        ("p99, µs", "p99_us"),
        ("µs of CPU a connect", "cpu_us_per_connect"),
        ("KiB RSS a connection", "kib_per_connection"),
    ];
    for (title, value) in rows {
        for (key, count) in AMONG {
            let cells: Vec<_> =
                figures.servers.iter().map(|server| cell(figures, key, *server, value)).collect();
            // Few connections cost less than can be counted.
            if cells.iter().any(|cell| cell.contains('(')) {
                let _ = writeln!(text, "| {title}, {count} connections | {} |", cells.join(" | "));
            }
        }
        let fits: Vec<_> = figures
            .servers
            .iter()
            .map(|server| match spread(goals::exponents(figures, *server, value)) {
                Some(fit) => format!("{:.3} ({:.3}–{:.3})", fit.median, fit.least, fit.most),
                None => "-".into(),
            })
            .collect();
        let _ = writeln!(text, "| {title}: exponent | {} |", fits.join(" | "));
    }
    text += &in_turn(figures);
    for (what, fit) in [
        ("A look-up in the router, from 10 to 100,000 domains", goals::route_exponent(figures)),
        (
            "Finding a receiver without a cached route, of 10 to 10,000 that are written to in turn",
            goals::finding_exponent(figures),
        ),
    ] {
        if let Some(fit) = fit {
            let _ = writeln!(text, "\n{what}: exponent {fit:.4}, in instructions.");
        }
    }
    text
}

fn in_turn(figures: &Figures) -> String {
    let mut text = format!(
        "\nOne connection writes to each of the others in turn, with {IN_TURN_OUTSTANDING} stanzas (S=100) outstanding. With\nmore receivers, fewer stanzas share a write and a wake-up. This applies to Enjamb and to `route`,\nwhich finds each receiver in one table without a lock.\n\n{}",
        header(figures)
    );
    for (key, receivers) in IN_TURN {
        let cells: Vec<_> =
            figures.servers.iter().map(|server| cell(figures, key, *server, "cpu_us_per_stanza")).collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "| µs of CPU a stanza, to {receivers} | {} |", cells.join(" | "));
    }
    let ratios: Vec<_> = IN_TURN
        .iter()
        .filter_map(|(key, receivers)| {
            let ratio = spread(figures.ratios(key, "cpu_us_per_stanza", Contestant::Route))?;
            Some(format!("{} with {receivers}", number(ratio.median)))
        })
        .collect();
    if ratios.is_empty() {
        return String::new();
    }
    text + &format!("\nOurs by `route`'s: {}.\n", ratios.join(", "))
}

fn instructions(figures: &Figures) -> String {
    let Some(counts) = &figures.counts else {
        return "\n## Instructions\n\nNot counted in this run: they need valgrind (`apt-get install valgrind`), and are a key of `--only`.\n".into();
    };
    let mut text = String::from(
        "\n## Instructions\n\nOf the core alone, counted by callgrind for one round.\n\n| case | a round | instructions |\n|---|---|---|\n",
    );
    for case in micro::ours().chain(micro::OTHERS) {
        if let Some(count) = counts.get(case) {
            let _ = writeln!(text, "| {case} | {} | {count} |", micro::says(case));
        }
    }
    for (ours, theirs) in [("scan-324", "rxml-324"), ("scan-324", "quick-xml-324")] {
        if let (Some(ours), Some(count)) = (counts.get(ours), counts.get(theirs)) {
            let _ = writeln!(
                text,
                "\n{theirs} takes {:.1} times the instructions of our scan.",
                *count as f64 / *ours as f64
            );
        }
    }
    text
}

fn time(figures: &Figures) -> String {
    let loads: Vec<_> =
        PROFILED.iter().filter_map(|(key, name)| Some((name, figures.profiles.get(key)?))).collect();
    if loads.is_empty() {
        return "\n## Where the time goes\n\nNot watched in this run: it needs perf (`apt-get install linux-perf`), and is a key of `--only`.\n".into();
    }
    let names: Vec<_> = loads.iter().map(|(name, _)| **name).collect();
    let mut text = format!(
        "\n## Where the time goes\n\nPercent of our server's CPU time, by perf. In the kernel, a sample counts for its system call;\nelsewhere, for the innermost function. A function that the compiler inlines counts for its caller.\n\n| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for part in profile::parts() {
        let shares: Vec<f64> =
            loads.iter().map(|(_, shares)| shares.get(part).copied().unwrap_or(0.0) * 100.0).collect();
        if shares.iter().any(|share| *share >= 0.05) {
            let cells: Vec<_> = shares.iter().map(|share| format!("{share:.1}")).collect();
            let _ = writeln!(text, "| {part} | {} |", cells.join(" | "));
        }
    }
    text
}

fn gaps(figures: &Figures) -> String {
    let left_out: Vec<_> = Contestant::ALL
        .into_iter()
        .filter(|server| !figures.servers.contains(server))
        .map(|server| format!("- {}: left out of this run by `--servers`", server.name()))
        .collect();
    // One line for all measurements that miss for the same reason.
    let mut reasons: BTreeMap<(Contestant, &str), Vec<&str>> = BTreeMap::new();
    for ((key, server), why) in &figures.gaps {
        reasons.entry((*server, why)).or_default().push(key.unwrap_or("all"));
    }
    let reasons = reasons
        .iter()
        .map(|((server, why), keys)| format!("- {}, {}: {why}", server.name(), keys.join(", ")));
    let lines: Vec<_> = left_out.into_iter().chain(reasons).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!("\n## Not measured\n\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use enjamb_foreign::Kind;
    use serde_json::json;

    use super::*;
    use crate::plots;

    fn figures() -> Figures {
        let mut figures = Figures {
            servers: Contestant::ALL[..4].to_vec(),
            repetitions: 2,
            count: 50,
            seconds: 1.0,
            ..Figures::default()
        };
        let jabberd2 = Contestant::Foreign(Kind::Jabberd2);
        figures.gaps.insert((None, jabberd2), "not installed: `apt-get install jabberd2`".into());
        figures.gaps.insert((Some("fanin"), Contestant::Relay), "it reads no address".into());
        for (ours, route) in [(1.0e6, 3.0e6), (1.1e6, 3.1e6)] {
            figures.add("n8", Contestant::Enjamb, json!({"per_cpu_second": ours, "p99_us": 500.0}));
            figures.add("n8", Contestant::Route, json!({"per_cpu_second": route}));
        }
        let curve: Vec<_> = crate::outcome::QUANTILES.into_iter().map(|q| (q, 50.0 + q)).collect();
        figures.add("echo", Contestant::Enjamb, json!({"quantiles": curve}));
        figures
    }

    #[test]
    fn what_is_not_measured_is_named_and_what_is_has_its_spread() {
        let page = write(&figures(), &[("img/perf-cpu-100.svg".into(), "a chart".into())]);
        assert!(page.contains("| 1.05M (1.00M–1.10M) | 3.05M (3.00M–3.10M) | - | not installed |"), "{page}");
        assert!(page.contains("- jabberd2, all: not installed: `apt-get install jabberd2`"), "{page}");
        assert!(page.contains("- relay, fanin: it reads no address"), "{page}");
        assert!(page.contains("- ejabberd: left out of this run"), "{page}");
        assert!(page.contains("![a chart](img/perf-cpu-100.svg)"), "{page}");
        assert!(page.contains("Not counted in this run"), "{page}");
        assert!(page.contains("Not watched in this run"), "{page}");
        let mut watched = figures();
        let part = profile::parts().next().unwrap();
        watched.profiles.insert("mesh", [(part, 0.25)].into());
        let page = write(&watched, &[]);
        assert!(page.contains(&format!("| | mesh of 8 |\n|---|---|\n| {part} | 25.0 |\n")), "{page}");
    }

    #[test]
    fn there_is_a_chart_of_each_that_was_measured_and_of_no_other() {
        let names: Vec<_> = plots::all(&figures()).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["perf-cpu-100", "perf-echo"]);
    }
}
