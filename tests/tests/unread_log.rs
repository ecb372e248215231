//! A log that nobody reads: standard error is a pipe that is open and full.

use std::net::TcpStream;
use std::time::Duration;

use enjamb_tests::peer::Peer;
use enjamb_tests::proc::rss_kib;
use enjamb_tests::server::{Config, Server};
use rustix::process::Signal;

/// Connections that say nothing: two lines each at the level debug, several times what a pipe and the queue take.
const SILENT: usize = 4000;

/// What the lines that wait, and those who wrote them, may take together.
const MEMORY_KIB: u64 = 6 * 1024;

/// A server whose log has filled the pipe and the queue, with two components.
fn unread() -> (Server, [Peer; 2]) {
    let server = Config::new(&["host.example"]).listener("").args(&["--log", "debug"]).unread_log().start();
    let peers = ["one.example", "two.example"].map(|domain| Peer::online(server.addr(0), domain));
    let before = rss_kib(server.pid());
    for _ in 0..SILENT {
        drop(TcpStream::connect(server.addr(0)).expect("it accepts"));
    }
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("a log that nobody reads: {grown} KiB more");
    assert!(grown < MEMORY_KIB, "{grown} KiB more");
    (server, peers)
}

/// Stanzas go from one to the other, and come back as errors.
fn talk([one, two]: &mut [Peer; 2]) {
    for number in 0..100 {
        one.message("two.example", &format!("m{number}"), "x");
        one.message("nobody.example", &format!("n{number}"), "x");
    }
    assert_eq!(one.sync().len(), 100);
    for number in 0..100 {
        two.stanza(&format!("m{number}"));
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up_and_says_what_it_lost_once_it_is_read() {
    let (mut server, mut peers) = unread();
    talk(&mut peers);
    server.read_log();
    server.wait_for_log("lines of the log were dropped");
    talk(&mut peers);
    drop(peers);
    server.signal(Signal::TERM);
    assert_eq!(server.ended_within(Duration::from_secs(5)).and_then(|status| status.code()), Some(0));
    let log = server.wait_for_log("stopped");
    let number = |line: &str| line.split("dropped=").nth(1).and_then(|number| number.parse::<usize>().ok());
    let dropped: usize = log.lines().filter_map(number).sum();
    let silent =
        |line: &&str| line.contains("connection accepted") || line.contains("before its stream began");
    let lines = log.lines().filter(silent).count();
    println!("{lines} lines of silent connections, {dropped} dropped");
    assert!(lines < 2 * SILENT && lines + dropped >= 2 * SILENT, "{lines} lines, {dropped} dropped");
}

#[test]
fn a_server_whose_log_nobody_reads_ends_when_it_is_told_to() {
    let (mut server, mut peers) = unread();
    talk(&mut peers);
    drop(peers);
    server.signal(Signal::TERM);
    assert_eq!(server.ended_within(Duration::from_secs(9)).and_then(|status| status.code()), Some(0));
}
