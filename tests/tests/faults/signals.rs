//! 12: what signals do.

use std::fs;

use enjamb_tests::peer::Peer;
use enjamb_tests::server::{Config, SECRET};
use rustix::process::Signal;

const HOST: &str = "host.example";

#[test]
fn fault_12_usr1_logs_a_summary_and_usr2_does_nothing() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    one.message("two.example", "m", "text");
    two.stanza("m");
    server.signal(Signal::USR2);
    server.signal(Signal::USR1);
    let log = server.wait_for_log("SIGUSR1: summary");
    let line = log.lines().find(|line| line.contains("SIGUSR1: summary")).expect("it is there");
    for part in ["connections=2", "components=2", "delivered=1", "bound=2"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    server.signal(Signal::USR2);
    one.message("two.example", "n", "text");
    two.stanza("n");
}

#[test]
fn fault_12_the_end_logs_a_summary() {
    let mut server = Config::new(&[HOST]).listener("").start();
    let mut one = Peer::online(server.addr(0), "one.example");
    one.assert_quiet();
    assert_eq!(server.stop().code(), Some(0));
    assert!(server.log().contains("SIGTERM: summary"), "{}", server.log());
}

#[test]
fn fault_12_hup_warns_of_a_file_that_differs_from_what_runs() {
    let server = Config::new(&[HOST]).listener("").start();
    let text = fs::read_to_string(server.config_path()).expect("it is there");
    let write = |text: &str| fs::write(server.config_path(), text).expect("it is ours");
    server.signal(Signal::HUP);
    server.wait_for_log("is what runs");

    write(&text.replace(SECRET, "another-secret-0123456789").replace(HOST, "other.example"));
    server.signal(Signal::HUP);
    let log = server.wait_for_log("differs from what runs");
    let line = log.lines().find(|line| line.contains("differs from what runs")).expect("it is there");
    let differs = "differs=general.hosts, listen.service[0].password";
    assert!(line.contains("WARN") && line.contains(differs), "{line}");
    assert!(!log.contains("another-secret"), "{log}");

    write("[general");
    server.signal(Signal::HUP);
    server.wait_for_log("so a restart would fail; the first:");
    fs::remove_file(server.config_path()).expect("it is ours");
    server.signal(Signal::HUP);
    server.wait_for_log("can't be read, so a restart would fail");

    // Comments and blanks are no settings.
    write(&format!("# the same\n{}", text.replace(" = ", "=")));
    server.signal(Signal::HUP);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while server.log().matches("is what runs").count() < 2 {
        assert!(std::time::Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Peer::online(server.addr(0), "comp.example").assert_quiet();
}
