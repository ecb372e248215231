//! Each scenario for a moment against our server: what is measured is not looked at, but that it is.

#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::path::Path;
use std::process::{Command, Output};

use enjamb_tests::server::{Config, SECRET, binary};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    // It writes below target/.
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_enjamb-bench"));
    bench.args(arguments).current_dir(repository).output().unwrap()
}

fn data() -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/xep-stanzas/stanzas.jsonl");
    data.display().to_string()
}

#[test]
fn every_scenario_gives_its_figures() {
    let server = Config::new(&["localhost"]).listener("").start();
    let (target, pid, corpus) = (server.addr(0).to_string(), server.pid().to_string(), data());
    let scenarios: [(&[&str], &str); 13] = [
        (&["pairs", "-n", "2"], "p99_us"),
        (&["pairs", "-n", "2", "--rate", "500"], "sent_late_p99_us"),
        (&["pairs", "-n", "2", "--corpus", &corpus], "per_cpu_second"),
        (&["pairs", "-n", "1", "-W", "1000", "-S", "2000"], "per_cpu_second"),
        (&["fan-in", "-n", "3"], "per_cpu_second"),
        (&["fan-out", "-n", "3"], "per_cpu_second"),
        (&["mesh", "-n", "3", "-W", "4"], "per_cpu_second"),
        (&["mesh", "-n", "3", "--rate", "500"], "sent_late_p99_us"),
        (&["echo"], "p50_us"),
        (&["storm", "-N", "60"], "connects_per_cpu_second"),
        (&["herd", "-N", "60"], "kib_per_connection"),
        (&["among", "-N", "60"], "cpu_us_per_stanza"),
        (&["fairness"], "p99_times"),
    ];
    for (scenario, figure) in scenarios {
        let common = ["--target", &target, "--secret", SECRET, "--pid", &pid, "--seconds", "0.1", "--json"];
        let output = bench(&[&["run"], scenario, &common].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{scenario:?}: {said}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(value[figure].is_number(), "{scenario:?}: {value}");
    }
}

#[test]
fn what_fails_is_said() {
    let server = Config::new(&["localhost"]).listener("").start();
    let target = server.addr(0).to_string();
    let said = |more: &[&str]| {
        let output = bench(&[&["run", "--target", &target, "--seconds", "0.1"], more].concat());
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["--secret", "wrong"]).contains("not-authorized"));
    let text = said(&["--secret", SECRET, "fan-in", "-n", "60000"]);
    assert!(text.contains("60000") && text.contains("10000"), "{text}");
}

#[test]
fn servers_are_compared_and_a_page_is_written() {
    let directory = binary().with_file_name(format!("bench-smoke-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let page = directory.join("performance.md");
    let (server, report, corpus) = (binary().display().to_string(), page.display().to_string(), data());
    let output = bench(&[
        "compare",
        "--server",
        &server,
        "--servers",
        "enjamb,route,relay",
        "--only",
        "n8,corpus,echo,timetable,fairness,storm,herd,among10,among100",
        "--repetitions",
        "1",
        "--seconds",
        "0.1",
        "-N",
        "60",
        "--corpus",
        &corpus,
        "--report",
        &report,
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&page).unwrap();
    let row = text.lines().find(|line| line.starts_with("| stanzas per CPU-second, 8 pairs, W=64")).unwrap();
    assert_eq!(row.matches('(').count(), 3, "{row}");
    assert!(text.contains("- jabberd2: left out of this run"), "{text}");
    let drawn = std::fs::read_dir(directory.join("img")).unwrap().count();
    assert_eq!(drawn, text.matches("](img/").count());
    std::fs::remove_dir_all(&directory).unwrap();
}
