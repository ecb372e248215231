//! `enjamb probe`, the command, against our server.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;

use enjamb_probe::{scripts, streams};
use enjamb_tests::bad_streams::setting;
use enjamb_tests::server::{Config, SECRET, binary};
use serde_json::Value;

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

/// Plays these cases against a server of their own; gives how many were played, and how many answers were the best.
fn played(cases: &[String]) -> (u64, u64) {
    let server = setting().start();
    let output = probe(server.addr(0), &["--json", "--answer-within", "20", "--only", &cases.join(",")]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outside: Vec<&Value> =
        report["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == "outside").collect();
    assert!(outside.is_empty(), "{outside:#?}");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary = |key: &str| report["summary"][key].as_u64().unwrap();
    (summary("played"), summary("best"))
}

#[test]
fn our_server_is_within_the_rules_and_mostly_at_its_best() {
    let ids = streams().into_iter().map(|case| case.id);
    let ids: Vec<String> = ids.chain(scripts().into_iter().map(|script| script.id.to_string())).collect();
    // Most of the time is spent waiting for what must not come.
    let (played, best) = thread::scope(|scope| {
        let parts: Vec<_> =
            ids.chunks(ids.len().div_ceil(8)).map(|part| scope.spawn(|| played(part))).collect();
        let sums = parts.into_iter().map(|part| part.join().unwrap());
        sums.fold((0, 0), |sums, part| (sums.0 + part.0, sums.1 + part.1))
    });
    assert_eq!(usize::try_from(played), Ok(ids.len()));
    assert!(best * 100 >= played * 95, "{best} of {played}");
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
