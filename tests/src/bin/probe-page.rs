//! Plays the cases of `enjamb probe` against our server, Prosody and ejabberd, and writes docs/probe.md.
//!
//! Of what the servers answer differently, the page shows what `data/probe-published.tsv` lists: differences that do no
//! harm, each with a word on why. Report a fault of another kind to the server's authors, not to the public.
#![allow(clippy::unwrap_used, reason = "a tool for those who work on this; what fails here is fixed here")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use enjamb_probe::Group;
use enjamb_tests::bad_streams::setting;
use enjamb_tests::env;
use enjamb_tests::foreign::{ForeignServer, Kind};
use enjamb_tests::server::{SECRET, binary};
use serde_json::Value;

const DOMAINS: [&str; 3] = ["comp.example", "peer.example", "down.example"];
const USAGE: &str =
    "probe-page [--raw DIRECTORY]: writes docs/probe.md, and the outcomes as JSON into DIRECTORY";

/// One server and its outcomes.
struct Column {
    name: &'static str,
    version: String,
    outcome: Value,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let raw = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--raw", dir] => Some(PathBuf::from(dir)),
        _ => panic!("{USAGE}"),
    };
    let ours = setting().start();
    let mut columns = vec![Column {
        name: "Enjamb",
        version: format!("{} at commit {}", env!("CARGO_PKG_VERSION"), commit()),
        outcome: probe(ours.addr(0)),
    }];
    drop(ours);
    for (name, package, kind) in
        [("Prosody", "prosody", Kind::Prosody), ("ejabberd", "ejabberd", Kind::Ejabberd)]
    {
        let server = ForeignServer::start_for(kind, "host.example", &DOMAINS);
        columns.push(Column { name, version: version(package), outcome: probe(server.addr()) });
    }
    if let Some(dir) = raw {
        fs::create_dir_all(&dir).unwrap();
        for column in &columns {
            fs::write(dir.join(format!("{}.json", column.name)), column.outcome.to_string()).unwrap();
        }
    }
    let published = published(&env::data().join("probe-published.tsv"));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/probe.md");
    fs::write(page, text(&columns, &published)).unwrap();
}

fn probe(addr: SocketAddr) -> Value {
    let mut command = Command::new(binary());
    command.env("ENJAMB_PROBE_SECRET", SECRET).arg("probe").arg(addr.to_string()).arg("--json");
    let output = command.output().unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "it was not probed to the end: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
}

fn commit() -> String {
    said(Command::new("git").args(["describe", "--always", "--dirty"]))
}

fn version(package: &str) -> String {
    said(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package])) + " (Debian)"
}

/// Ids of cases whose differences are published, each with what to say about it.
fn published(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once('\t').unwrap()).map(|(id, why)| (id.into(), why.into())).collect()
}

fn text(columns: &[Column], published: &BTreeMap<String, String>) -> String {
    let date = columns[0].outcome["time"].as_str().unwrap().split('T').next().unwrap();
    let mut out = format!(
        "# What servers answer\n\n\
         Made by `cargo run -p enjamb-tests --bin probe-page` on {date}. `enjamb probe` ran against each\n\
         server on loopback, with the settings that [the cases](../probe/data/README.md) need, and otherwise\n\
         with each server's own defaults.\n\n"
    );
    for column in columns {
        writeln!(out, "* {} {}", column.name, column.version).unwrap();
    }
    out += &format!(
        "\nThe rule of a case allows one or more answers, and one of these is the best. The rules, and the\n\
         choice of the best answer, are this project's reading of RFC 6120, XEP-0114 and XML, and Enjamb was\n\
         written to them. Of {} cases, Enjamb answers {} within the rules, and {} with the best answer.\n\
         This shows only that Enjamb follows its own rules.\n\n\
         The table counts, as `best`/`within`, the cases that all three servers answer alike, and those whose\n\
         different answers do no harm.\n\n",
        columns[0].outcome["summary"]["played"],
        columns[0].outcome["summary"]["played"].as_u64().unwrap()
            - columns[0].outcome["summary"]["outside"].as_u64().unwrap(),
        columns[0].outcome["summary"]["best"],
    );
    out += &sums(columns, published);
    out += "\n## Different, and harmless\n\n\
            These answers differ from the best one, and affect nobody's safety: another condition, or more or\n\
            less tolerance for odd input. Other differences are not shown here. An empty field means the best\n\
            answer, and **bold** an answer that the rule does not allow. A plain condition is a stream error;\n\
            `stanza:` marks a stanza error. \"open\" means that no answer came and the stream works; \"header\"\n\
            means that the server's header came.\n\n";
    out += &differences(columns, published);
    out
}

/// Is what the servers do with this case the same, or on the list?
fn is_public(columns: &[Column], index: usize, published: &BTreeMap<String, String>) -> bool {
    let cases = columns.iter().map(|column| &column.outcome["cases"][index]);
    let id = columns[0].outcome["cases"][index]["id"].as_str().unwrap();
    published.contains_key(id) || cases.map(|case| &case["verdict"]).all(|verdict| verdict == "best")
}

fn sums(columns: &[Column], published: &BTreeMap<String, String>) -> String {
    let mut out = String::from("| | cases |");
    for column in columns {
        write!(out, " {} |", column.name).unwrap();
    }
    out += "\n| --- | --- |";
    out += &" --- |".repeat(columns.len());
    out.push('\n');
    let groups = Group::ALL.iter().map(|group| (group.title(), Some(group.word())));
    for (title, word) in groups.chain([("all", None)]) {
        let of = |column: &Column| {
            let cases = column.outcome["cases"].as_array().unwrap();
            let cases = cases.iter().enumerate().filter(|(index, _)| is_public(columns, *index, published));
            let cases: Vec<_> = cases
                .map(|(_, case)| case)
                .filter(|case| word.is_none_or(|word| case["group"] == word))
                .collect();
            let best = cases.iter().filter(|case| case["verdict"] == "best").count();
            let outside = cases.iter().filter(|case| case["verdict"] == "outside").count();
            (cases.len(), best, cases.len() - outside)
        };
        write!(out, "| {title} | {} |", of(&columns[0]).0).unwrap();
        for column in columns {
            let (_, best, within) = of(column);
            write!(out, " {best}/{within} |").unwrap();
        }
        out.push('\n');
    }
    out
}

fn differences(columns: &[Column], published: &BTreeMap<String, String>) -> String {
    let mut out = String::from("| case | level | best |");
    for column in columns {
        write!(out, " {} |", column.name).unwrap();
    }
    out += " |\n| --- | --- | --- |";
    out += &" --- |".repeat(columns.len() + 1);
    out.push('\n');
    for (index, case) in columns[0].outcome["cases"].as_array().unwrap().iter().enumerate() {
        let (id, name) = (case["id"].as_str().unwrap(), case["name"].as_str().unwrap());
        let Some(why) = published.get(id) else { continue };
        let answers: Vec<String> = columns.iter().map(|c| answer(&c.outcome["cases"][index], id)).collect();
        if answers.iter().all(String::is_empty) {
            continue;
        }
        let (level, best) = (case["level"].as_str().unwrap(), case["best"].as_str().unwrap());
        writeln!(out, "| {id} {name} | {level} | {best} | {} | {why} |", answers.join(" | ")).unwrap();
    }
    out
}

/// What a server did, where that is not the best.
fn answer(case: &Value, id: &str) -> String {
    assert_eq!(case["id"], id, "each server is played the same cases");
    let answer = case["answer"].as_str().unwrap_or("not played").replace('|', "\\|");
    match case["verdict"].as_str() {
        Some("best") => String::new(),
        Some("outside") => format!("**{answer}**"),
        _ => answer,
    }
}
