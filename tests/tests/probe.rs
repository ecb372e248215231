//! `enjamb probe`, the command, against our server, and against Prosody and ejabberd.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

use enjamb_probe::{scripts, streams};
use enjamb_tests::bad_streams::setting;
use enjamb_tests::foreign::{ForeignServer, Kind};
use enjamb_tests::server::{Config, SECRET, binary};
use serde_json::Value;

const DOMAINS: [&str; 3] = ["comp.example", "peer.example", "down.example"];

fn probe(addr: SocketAddr, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.env("ENJAMB_PROBE_SECRET", SECRET);
    command.arg("probe").arg(addr.to_string()).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn all() -> usize {
    streams().len() + scripts().len()
}

#[test]
fn our_server_is_within_the_rules_and_mostly_at_its_best() {
    let server = setting().start();
    let output = probe(server.addr(0), &["--json", "--answer-within", "20"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outside: Vec<&Value> =
        report["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == "outside").collect();
    assert!(outside.is_empty(), "{outside:#?}");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary = |key: &str| usize::try_from(report["summary"][key].as_u64().unwrap()).unwrap();
    assert_eq!(summary("played"), all());
    assert!(summary("best") * 100 >= all() * 95, "{}", report["summary"]);
}

/// Their answers are theirs; what is held here is that each case has one, and that the table is whole.
fn completes(kind: Kind) {
    let server = ForeignServer::start_for(kind, "host.example", &DOMAINS);
    // What does not come after a second is taken not to come: that is no verdict here.
    let output = probe(server.addr(), &["--answer-within", "1"]);
    let said = stdout(&output);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}\n{said}", stderr(&output));
    for case in streams() {
        assert!(said.contains(&case.id), "{} is not in\n{said}", case.id);
    }
    for script in scripts() {
        assert!(said.contains(script.name), "{script:?} is not in\n{said}");
    }
    assert!(
        said.lines().any(|line| line.split_whitespace().take(2).eq(["all", &all().to_string()])),
        "{said}"
    );
}

#[test]
fn prosody_is_probed_to_the_end() {
    completes(Kind::Prosody);
}

#[test]
fn ejabberd_is_probed_to_the_end() {
    completes(Kind::Ejabberd);
}

#[test]
fn an_answer_outside_the_rules_is_shown_with_what_was_wanted_and_gives_exit_code_1() {
    let lines = "domains = [\"comp.example\", \"peer.example\", \"down.example\"]\ncheck_from = false";
    let server = Config::new(&["host.example"]).listener(lines).start();
    let output = probe(server.addr(0), &["--only", "BS-176,BS-050", "--brief"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("BS-176 from-other-domain, a MUST"), "{said}");
    assert!(said.contains("wanted: invalid-from, or"), "{said}");
    assert!(said.contains("it did: delivered\n"), "{said}");
    assert!(said.contains("1 answer of 2 is outside the rules. 1 breaks a MUST."), "{said}");
    assert!(!said.contains("BS-050"), "--brief leaves out what is well: {said}");
}

#[test]
fn under_other_names_and_without_a_second_component_it_plays_what_it_can() {
    let server = Config::new(&["localhost"]).listener("").start();
    let output =
        probe(server.addr(0), &["--domain", "bot.localhost", "--only", "BS-050,BS-080,BS-207,C-105"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("All 2 answers are within the rules"), "{said}");
    assert!(said.contains("2 cases were left out: they need --peer."), "{said}");
    let both = ["--domain", "bot.localhost", "--peer", "b.localhost", "--only", "BS-207,BS-353,C-093,C-118"];
    let output = probe(server.addr(0), &both);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("All 4 answers are within the rules"), "{}", stdout(&output));
}

#[test]
fn every_cut_plays_the_cases_again() {
    let server = setting().start();
    let output = probe(server.addr(0), &["--cuts", "whole,bytes,random", "--only", "BS-050", "--seed", "7"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in ["wrong-stream-ns ", "wrong-stream-ns (bytes)", "wrong-stream-ns (random)"] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn another_machine_is_not_probed_unless_the_user_says_so() {
    let output = probe("192.0.2.1:5347".parse().unwrap(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--i-may-probe-this-host"), "{}", stderr(&output));
}

#[test]
fn what_stands_in_the_way_is_named_with_what_to_do() {
    let server = setting().start();
    let refused = |output: Output, words: &[&str]| {
        assert_eq!(output.status.code(), Some(2));
        let said = stderr(&output);
        assert!(words.iter().all(|word| said.contains(word)) && !said.contains(SECRET), "{said}");
    };
    refused(
        probe(server.addr(0), &["--secret", "wrong"]),
        &["comp.example can't log in", "not-authorized", "--secret"],
    );
    refused(probe(server.addr(0), &["--domain", "no.example"]), &["no.example", "host-unknown", "--domain"]);
    refused(probe(server.addr(0), &["--only", "no-such-case"]), &["--only", "--list"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(probe(nobody, &[]), &["does not accept a connection"]);
}

#[test]
fn the_list_needs_no_server() {
    let output = Command::new(binary()).args(["probe", "--list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    assert!(
        said.contains("BS-050") && said.contains("C-093") && said.contains("order-of-a-thousand"),
        "{said}"
    );
}
