//! What an operator sees: log lines without secrets, an end in good order, and errors that say what is wrong.

use std::time::Duration;

use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::wire::{Wire, digest, digest_of, header};
use rustix::process::Signal;
use serde_json::Value;

const HOST: &str = "host.example";

/// What none of the log may hold: it stands in stanzas only.
const BODY: &str = "what-the-stanza-says";

/// Misbehaves in all the ways that are logged, and gives the digests that were on the wire.
fn misbehave(server: &Server) -> Vec<String> {
    let mut digests = Vec::new();
    let mut wrong = Wire::connect(server.addr(0));
    let id = wrong.open(header("wrong.example").as_bytes()).expect("a header");
    digests.extend([digest(&id), digest_of(&id, "a wrong secret")]);
    wrong.send(format!("<handshake>{}</handshake>", digests[1]).as_bytes(), None);
    wrong.finish();
    for to in ["not\u{1F480}\u{202E}a domain", "&#x9;&#xA;&#xD;", "a..b", "\u{85}\u{9b}31m", "x\u{2028}y"] {
        refused(server.addr(0), &header(to));
    }
    refused(server.addr(0), &header(HOST));
    refused(server.addr(0), &header("c.example").replace("component:accept", "client"));

    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.message("nowhere.example", "lost", BODY);
    comp.message("user\u{202E}@two  words\u{9b}", "to", BODY);
    comp.message("&#x9;&#xA;&#xD;ERROR forged line", "to", BODY);
    comp.send(&format!("<message from='eve.example' to='comp.example' id='{BODY}'/>"));
    comp.send(&format!("<{BODY} to='comp.example'/>"));
    comp.sync();
    comp.send(&format!("<message to='comp.example'><body>{BODY}</wrong></message>"));
    assert_eq!(comp.stream_fault().condition, "not-well-formed");

    let mut restricted = Peer::online(server.addr(0), "restricted.example");
    restricted.send(&format!("<!-- {BODY} \u{1b}[31m -->"));
    assert_eq!(restricted.stream_fault().condition, "restricted-xml");
    let mut comment = Peer::online(server.addr(0), "comment.example");
    comment.send(&format!("<message><!-- {BODY} --></message>"));
    assert_eq!(comment.stream_fault().condition, "restricted-xml");
    digests
}

fn assert_clean(log: &str, digests: &[String]) {
    for secret in digests.iter().map(String::as_str).chain([SECRET, "a wrong secret", BODY]) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    for character in log.chars() {
        let is_raw = character.is_control() && character != '\n';
        let is_trick =
            matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
        assert!(!is_raw && !is_trick, "{character:?} is in the log:\n{log:?}");
    }
    assert!(!log.lines().any(|line| line.starts_with("ERROR forged")), "{log}");
}

#[test]
fn no_secret_no_digest_no_content_and_no_control_character_is_logged() {
    for level in ["info", "debug", "trace"] {
        let server = Config::new(&[HOST]).listener("").args(&["--log", level]).start();
        let digests = misbehave(&server);
        let log = server.wait_for_log("restricted-xml");
        assert_clean(&log, &digests);
        for condition in
            ["not-authorized", "host-unknown", "conflict", "invalid-namespace", "not-well-formed"]
        {
            let line = log.lines().find(|line| line.contains(&format!("condition={condition}")));
            let line = line.unwrap_or_else(|| panic!("no line of {condition} in\n{log}"));
            assert!(line.contains("peer=127.0.0.1:") && line.contains("connection ended: "), "{line}");
            let cause = line.split("connection ended: ").nth(1).expect("it is there");
            assert!(cause.split(" conn=").next().is_some_and(|cause| cause.len() > 10), "no cause: {line}");
        }
    }
}

#[test]
fn the_json_log_is_json_on_every_line() {
    let mut server =
        Config::new(&[HOST]).listener("").args(&["--log-format", "json", "--log", "debug"]).start();
    let digests = misbehave(&server);
    server.wait_for_log("restricted-xml");
    server.stop();
    let log = server.log();
    assert_clean(&log, &digests);
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.len() > 15);
    for line in &lines {
        assert!(
            line["level"].is_string() && line["timestamp"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    let with = |key: &str, value: &str| lines.iter().find(|line| line[key] == value);
    let listening = with("message", "listening for components").expect("a line of the listener");
    for key in
        ["listener", "access", "shaper", "check_from", "conflict_behaviour", "max_fsm_queue", "domains"]
    {
        assert!(!listening[key].is_null(), "{key} is not in {listening}");
    }
    let refused = with("condition", "not-authorized").expect("a line of the wrong secret");
    assert_eq!(refused["domain"], "wrong.example");
    assert!(refused["conn"].is_u64() && refused["peer"].is_string(), "{refused}");
}

#[test]
fn refusals_are_counted_and_not_logged_each() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.send(&"<message/>".repeat(1000));
    assert_eq!(comp.sync().len(), 1000);
    comp.close();
    let log = server.wait_for_log("more stanzas were refused");
    let lines = log.lines().filter(|line| line.contains("stanza refused")).count();
    assert!((1..=10).contains(&lines), "{lines} lines for 1000 stanzas");
    let counted = log.split("suppressed=").nth(1).and_then(|rest| rest.split_whitespace().next());
    assert_eq!(counted, Some(&*(1000 - lines).to_string()), "{log}");
}

#[test]
fn a_subdomain_components_foreign_from_is_logged_too() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut muc = Peer::subdomain(server.addr(0), "muc", HOST);
    muc.send("<message from='muc.elsewhere.example' to='muc.host.example' id='m'/>");
    assert_eq!(muc.fault("m").condition, "bad-request");
    let log = server.wait_for_log("stanza refused");
    assert!(log.contains("the 'from' is not of the component's own domain"), "{log}");
}

#[test]
fn a_listener_is_logged_with_its_options() {
    let lines = "access = \"few\"\nshaper_rule = \"slow\"\ncheck_from = false\nconflict_behaviour = \"kick_old\"\n\
                 max_fsm_queue = 77\ndomains = [\"a.example\", \"*.b.example\"]";
    let more = "[shaper.slow]\nmax_rate = 4321\n[access]\nfew = [{acl = \"all\", value = \"allow\"}]\n";
    let server = Config::new(&[HOST]).listener(lines).more(more).start();
    let log = server.wait_for_log("check_from is off");
    let line = log.lines().find(|line| line.contains("listening for components")).expect("a line");
    for part in [
        &*server.addr(0).to_string(),
        "access=few",
        "shaper=4321 bytes/s",
        "check_from=false",
        "conflict_behaviour=kick_old",
        "max_fsm_queue=77 stanzas",
        "domains=a.example *.b.example",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn a_signal_ends_all_streams_with_system_shutdown_and_the_server_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Config::new(&[HOST]).listener("").start();
        let mut comps: Vec<_> =
            (0..5).map(|n| Peer::online(server.addr(0), &format!("c{n}.example"))).collect();
        let mut early = Wire::connect(server.addr(0));
        early.open(header("early.example").as_bytes()).expect("a header");
        let mut silent = Wire::connect(server.addr(0));
        server.signal(signal);
        for comp in &mut comps {
            assert_eq!(comp.stream_fault().condition, "system-shutdown");
        }
        for wire in [&mut early, &mut silent] {
            wire.wait(Duration::from_secs(5), |_| false);
            // One that no accept task had seen yet has nothing to be told.
            if !wire.received().is_empty() {
                let fault = enjamb_tests::peer::stream_fault(wire).expect("a stream error");
                assert_eq!(fault.condition, "system-shutdown");
            }
        }
        assert!(!early.received().is_empty());
        drop((comps, early, silent));
        let status = server.ended_within(Duration::from_secs(3)).expect("it ends");
        assert_eq!(status.code(), Some(0));
        assert!(server.wait_for_log("stopped").contains("telling"));
    }
}

#[test]
fn what_was_taken_is_delivered_before_the_server_stops() {
    let mut server = Config::new(&[HOST]).listener("").start();
    let mut receiver = Peer::online(server.addr(0), "receiver.example");
    let mut sender = Peer::online(server.addr(0), "sender.example");
    // So much that the system's buffers are full and the rest waits in the server.
    let (body, mut sent, mut taken) = ("x".repeat(8000), 0, 0);
    while taken == sent {
        for _ in 0..20 {
            sender.message("receiver.example", &format!("m{sent}"), &body);
            sent += 1;
        }
        // An answer says that all before it was taken. None comes once the outbox is full.
        if is_heard(&mut sender) {
            taken = sent;
        }
    }
    server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.stream_fault().condition, "system-shutdown");
    let text = receiver.wire.text();
    let got: Vec<_> = text.split(" id='m").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    assert!(taken > 100 && got.len() >= taken, "{} arrived of {taken} that were taken", got.len());
    assert!(got.iter().enumerate().all(|(n, id)| *id == n.to_string()), "not in order: {got:?}");
    drop((receiver, sender));
    assert_eq!(server.ended_within(Duration::from_secs(3)).and_then(|status| status.code()), Some(0));
}

/// Does the server still read from this component? It stops when a receiver is full.
fn is_heard(sender: &mut Peer) -> bool {
    sender.send(&format!("<iq type='get' id='heard' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>"));
    sender.next_xml(Duration::from_millis(400)).is_some()
}

/// A server with a component that reads nothing and for which more waits than the system's buffers hold.
fn with_a_stuck_component() -> (Server, [Peer; 2]) {
    let server = Config::new(&[HOST]).listener("").start();
    let stuck = Peer::online(server.addr(0), "stuck.example");
    let mut sender = Peer::online(server.addr(0), "sender.example");
    let message = format!("<message to='stuck.example'><body>{}</body></message>", "x".repeat(8000));
    loop {
        sender.send(&message.repeat(20));
        if !is_heard(&mut sender) {
            return (server, [stuck, sender]);
        }
    }
}

#[test]
fn a_component_that_does_not_read_keeps_the_server_for_a_few_seconds_only() {
    let (mut server, _peers) = with_a_stuck_component();
    server.signal(Signal::TERM);
    let status = server.ended_within(Duration::from_secs(9)).expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let (mut server, _peers) = with_a_stuck_component();
    server.signal(Signal::TERM);
    // It waits for the one that does not read.
    assert!(server.ended_within(Duration::from_millis(700)).is_none(), "it did not wait");
    server.signal(Signal::TERM);
    let status = server.ended_within(Duration::from_millis(700)).expect("it ends at once");
    assert_eq!(status.code(), Some(0));
    let said = server.wait_for_log("again");
    assert!(said.contains("WARN") && !said.contains("with 0 connections"), "{said}");
}
