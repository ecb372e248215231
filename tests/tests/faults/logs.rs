//! 13: one spelling of a field, and the last line of a component says whether it is connected.

use std::time::{Duration, Instant};

use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::header;

const HOST: &str = "host.example";

fn last_line_of(server: &Server, domain: &str) -> String {
    let field = format!("domain={domain} ");
    let log = server.log();
    let last = log.lines().rfind(|line| format!("{line} ").contains(&field));
    last.unwrap_or_else(|| panic!("no line of {domain}: {log}")).to_owned()
}

/// Until the last line says this: that of a component in a storm comes once it is over.
fn wait_for_last_line(server: &Server, domain: &str, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !last_line_of(server, domain).contains(what) {
        assert!(Instant::now() < deadline, "{what} is not in {}", last_line_of(server, domain));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn fault_13_after_a_storm_the_last_line_says_whether_it_is_connected() {
    let server = Config::new(&[HOST]).listener("").start();
    for _ in 0..100 {
        Peer::online(server.addr(0), "comp.example").close();
    }
    let mut stays = Peer::online(server.addr(0), "comp.example");
    wait_for_last_line(&server, "comp.example", "component is connected");
    stays.close();
    wait_for_last_line(&server, "comp.example", "component is away");
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("domain=comp.example")).count();
    assert!(lines < 130, "{lines} lines");
}

#[test]
fn fault_13_the_end_of_a_replaced_connection_is_no_end_of_the_component() {
    let server = Config::new(&[HOST]).listener("conflict_behaviour = \"kick_old\"").start();
    let mut old: Vec<_> = (0..20).map(|_| Peer::online(server.addr(0), "comp.example")).collect();
    let mut stays = old.pop().expect("there are twenty");
    for peer in &mut old {
        assert_eq!(peer.stream_fault().condition, "conflict");
    }
    drop(old);
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.log().matches("earlier connection closed").count() < 19 {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!server.log().contains("connection ended"), "{}", server.log());
    assert!(server.log().contains("holder="), "{}", server.log());
    stays.close();
    wait_for_last_line(&server, "comp.example", "connection ended");
}

#[test]
fn fault_13_a_field_has_one_spelling_and_lines_of_connections_name_the_listener() {
    let server = Config::new(&[HOST]).listener("domains = [\"*.example\"]").args(&["--log", "debug"]).start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut sub = Peer::subdomain(server.addr(0), "muc", HOST);
    refused(server.addr(0), &header("not.listed"));
    refused(server.addr(0), "<x>");
    comp.send("<message to='comp.example' from='other.example'/><message/><message to='a@@b'/>");
    comp.sync();
    sub.close();
    comp.close();
    server.wait_for_log("connection ended: closed by the other side");
    let log = server.wait_for_log("domain=not.listed");
    for line in log.lines().filter(|line| line.contains(" conn=")) {
        assert!(!line.contains("=\""), "a value in quotes: {line}");
        assert!(!line.contains(" name="), "another spelling: {line}");
        assert!(line.contains(&format!("listener={}", server.addr(0))), "no listener: {line}");
    }
    let listening = log.lines().find(|line| line.contains("listening for components")).expect("a line");
    assert!(listening.contains(&format!("listener={} ", server.addr(0))), "{listening}");
}

#[test]
fn fault_13_a_refused_stanza_is_logged_with_its_component_and_its_bad_address() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let long = "x".repeat(300);
    for (stanza, address) in [
        ("<message to='a@@b\u{202E}' id='1'/>".to_owned(), "address=a@@b\\u{202e}"),
        (
            "<message to='comp.example' from='eve@other.example/r' id='2'/>".to_owned(),
            "address=eve@other.example/r",
        ),
        (format!("<message to='{long}..example' id='3'/>"), &*format!("address={}...", &long[..80])),
    ] {
        comp.send(&stanza);
        comp.sync();
        let log = server.wait_for_log(address);
        let line = log.lines().find(|line| line.contains(address)).expect("it is there");
        assert!(line.contains("stanza refused") && line.contains("domain=comp.example"), "{line}");
    }
    comp.send("<message/>");
    comp.sync();
    let log = server.wait_for_log("a stanza must have a 'to'");
    let line = log.lines().find(|line| line.contains("a stanza must have a 'to'")).expect("it is there");
    assert!(line.contains("domain=comp.example") && !line.contains("address="), "{line}");
}
