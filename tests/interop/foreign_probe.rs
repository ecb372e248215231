//! `enjamb probe`, the command, against Prosody and ejabberd.

use std::process::Command;

use enjamb_probe::{scripts, streams};
use enjamb_tests::foreign::{ForeignServer, Kind};
use enjamb_tests::server::{SECRET, binary};

const DOMAINS: [&str; 3] = ["comp.example", "peer.example", "down.example"];

/// Their answers are theirs; what is held here is that each case has one, and that the table is whole.
fn completes(kind: Kind) {
    let server = ForeignServer::start_for(kind, "host.example", &DOMAINS);
    // What does not come after a second is taken not to come: that is no verdict here.
    let mut command = Command::new(binary());
    command.env("ENJAMB_PROBE_SECRET", SECRET).arg("probe").arg(server.addr().to_string());
    let output = command.args(["--answer-within", "1"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{complaints}\n{said}");
    for case in streams() {
        assert!(said.contains(&case.id), "{} is not in\n{said}", case.id);
    }
    for script in scripts() {
        assert!(said.contains(script.name), "{script:?} is not in\n{said}");
    }
    let all = streams().len() + scripts().len();
    assert!(said.lines().any(|line| line.split_whitespace().take(2).eq(["all", &all.to_string()])), "{said}");
}

#[test]
fn prosody_is_probed_to_the_end() {
    completes(Kind::Prosody);
}

#[test]
fn ejabberd_is_probed_to_the_end() {
    completes(Kind::Ejabberd);
}
