//! The options of a listener that show on the wire, one test each, named after the option.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use enjamb_tests::peer::{Element, Peer, refused, stream_fault};
use enjamb_tests::server::{Config, SECRET, Server, binary};
use enjamb_tests::wire::{Wire, digest_of, has_header, header};

const HOST: &str = "host.example";

fn start(lines: &str) -> Server {
    Config::new(&[HOST]).listener(lines).start()
}

/// `sender` writes a message, and `receiver` gets it next.
fn assert_reaches(sender: &mut Peer, receiver: &mut Peer) {
    sender.message(&receiver.domain, "reaches", "x");
    receiver.stanza("reaches");
}

#[test]
fn access_denies_a_sender_with_not_allowed() {
    let server = Config::new(&[HOST])
        .listener("")
        .listener("access = \"component\"")
        .more(
            "[acl]\nblocked = [{user = \"spammer\", server = \"evil.example\"}, {server_glob = \"*.spam.example\"}]\n\
             [access]\ncomponent = [{acl = \"blocked\", value = \"deny\"}, {acl = \"all\", value = \"allow\"}]\n",
        )
        .start();
    let mut guarded = Peer::online(server.addr(1), "guarded.example");
    let mut evil = Peer::online(server.addr(0), "evil.example");
    let mut spam = Peer::online(server.addr(0), "a.spam.example");
    for from in ["spammer@evil.example", "SPAMMER@evil.example/r"] {
        evil.send(&format!("<message from='{from}' to='guarded.example' id='no'/>"));
        let fault = evil.fault("no");
        assert_eq!((&*fault.condition, &*fault.kind), ("not-allowed", "cancel"));
    }
    spam.message("guarded.example", "no", "x");
    assert_eq!(spam.fault("no").condition, "not-allowed");
    guarded.assert_quiet();
    evil.send("<message from='friend@evil.example' to='guarded.example' id='yes'/>");
    guarded.stanza("yes");
    // The rule is about who sends to its components, not about whom they send to.
    assert_reaches(&mut guarded, &mut spam);
}

#[test]
fn access_none_lets_nobody_in() {
    let server = start("access = \"none\"");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.message("comp.example", "self", "x");
    assert_eq!(comp.fault("self").condition, "not-allowed");
}

#[test]
fn password_is_each_listeners_own() {
    let server = Config::of_text(2, |ports| {
        let listener =
            |port, password| format!("[[listen.service]]\nport = {port}\npassword = \"{password}\"\n");
        let listeners = listener(ports[0], "the first one's") + &listener(ports[1], "gehe\u{ef}m \u{1F511}");
        format!("[general]\nhosts = [\"{HOST}\"]\n{listeners}")
    });
    let server = server.start();
    let consent = |listener: usize, password: &str| {
        let mut wire = Wire::connect(server.addr(listener));
        let id = wire.open(header("comp.example").as_bytes()).expect("a header");
        wire.send(format!("<handshake>{}</handshake>", digest_of(&id, password)).as_bytes(), None);
        wire.half_close();
        wire.wait(Duration::from_secs(5), |_| false);
        wire.text().contains("<handshake/>")
    };
    assert!(consent(0, "the first one's"));
    assert!(consent(1, "gehe\u{ef}m \u{1F511}"));
    assert!(!consent(0, "gehe\u{ef}m \u{1F511}"));
    assert!(!consent(1, "the first one's"));
}

/// How long it takes to get three times `rate` bytes and a ping through a listener.
fn time_for_three_buckets(addr: SocketAddr, rate: usize) -> Duration {
    let mut comp = Peer::online(addr, "comp.example");
    let begun = Instant::now();
    let body = "x".repeat(rate / 10);
    for n in 0..30 {
        comp.message(HOST, &format!("m{n}"), &body);
    }
    let answers = comp.sync();
    assert_eq!(answers.len(), 30, "nothing is dropped");
    begun.elapsed()
}

#[test]
fn shaper_rule_slows_and_drops_nothing() {
    for option in ["shaper_rule", "shaper"] {
        let server = Config::new(&[HOST])
            .listener(&format!("{option} = \"slow\""))
            .more("[shaper.slow]\nmax_rate = 20_000\n")
            .start();
        // One bucket is full at the start, two must come in at 20,000 bytes a second.
        let took = time_for_three_buckets(server.addr(0), 20_000);
        assert!(took >= Duration::from_millis(1500), "{option}: {took:?}");
        assert!(took < Duration::from_secs(10), "{option}: {took:?}");
    }
}

#[test]
fn shaper_rule_none_does_not_slow() {
    let server = start("shaper_rule = \"none\"");
    let took = time_for_three_buckets(server.addr(0), 20_000);
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[test]
fn a_shaper_slows_its_own_component_only() {
    let server = Config::new(&[HOST])
        .listener("shaper_rule = \"slow\"")
        .listener("")
        .more("[shaper.slow]\nmax_rate = 1000\n")
        .start();
    let mut slow = Peer::online(server.addr(0), "slow.example");
    let mut one = Peer::online(server.addr(1), "one.example");
    slow.message("one.example", "big", &"x".repeat(3000));
    let begun = Instant::now();
    for _ in 0..20 {
        one.assert_quiet();
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    one.stanza("big");
}

#[test]
fn max_fsm_queue_ends_a_component_that_does_not_read() {
    let own = Config::new(&[HOST]).listener("max_fsm_queue = 100");
    let general = Config::of_text(1, |ports| {
        let listener = format!("[[listen.service]]\nport = {}\npassword = \"{SECRET}\"\n", ports[0]);
        format!("[general]\nhosts = [\"{HOST}\"]\nmax_fsm_queue = 100\n{listener}")
    });
    for config in [own, general] {
        let server = config.start();
        let mut stuck = Peer::online(server.addr(0), "stuck.example");
        let mut sender = Peer::online(server.addr(0), "sender.example");
        // The systems' own buffers hold some megabytes; the queue is what comes after them.
        let body = "x".repeat(8000);
        let mut bounced = Vec::new();
        for n in 0..4000 {
            sender.message("stuck.example", &format!("m{n}"), &body);
            if n % 50 == 49 {
                bounced = sender.sync();
            }
            if !bounced.is_empty() {
                break;
            }
        }
        assert!(!bounced.is_empty(), "4000 stanzas of 8 kB were taken for somebody who does not read");
        let fault = stuck.stream_fault();
        assert_eq!(fault.condition, "resource-constraint");
        bounced.extend(sender.sync());
        assert!(bounced.iter().any(|e| e.condition() == "recipient-unavailable"), "{bounced:?}");
        sender.message("stuck.example", "after", "x");
        assert_eq!(sender.fault("after").condition, "remote-server-not-found");
        // Each is either here or came back, none both.
        let text = stuck.wire.text();
        let got: HashSet<_> =
            text.split(" id='").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
        for element in &bounced {
            let id = element.attribute("id").expect("an id");
            assert!(!got.contains(id), "{id} was bounced and delivered");
        }
    }
}

#[test]
fn max_connections_makes_the_next_one_wait_in_the_backlog() {
    let server = start("max_connections = 2\nnum_acceptors = 4");
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let mut third = Wire::connect(server.addr(0));
    third.send(header("three.example").as_bytes(), None);
    assert!(!third.wait(Duration::from_millis(400), has_header), "it is served over the limit");
    assert!(!third.closed());
    assert_reaches(&mut one, &mut two);
    two.close();
    assert!(third.wait(Duration::from_secs(5), has_header), "it is not served once there is room");
}

#[test]
fn state_timeout_is_for_each_step_and_a_stream_error() {
    let server = start("state_timeout = 600");
    let ends = |wire: &mut Wire| {
        let begun = Instant::now();
        wire.wait(Duration::from_secs(5), |_| false);
        let fault = stream_fault(wire).unwrap_or_else(|| panic!("no stream error: {}", wire.text()));
        assert_eq!(fault.condition, "connection-timeout");
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
        fault.text
    };
    let mut silent = Wire::connect(server.addr(0));
    assert!(ends(&mut silent).contains("header"));
    let mut opened = Wire::connect(server.addr(0));
    opened.wait(Duration::from_millis(400), |_| false);
    // A step of its own: it has all of its time, though the first took long.
    opened.open(header("comp.example").as_bytes()).expect("a header");
    assert!(ends(&mut opened).contains("handshake"));
    // A bound component is under no such limit.
    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.wire.wait(Duration::from_millis(1000), |_| false);
    comp.assert_quiet();
}

#[test]
fn domains_are_the_only_ones_that_may_connect() {
    let server = start("domains = [\"comp.example\", \"*.bots.example\"]");
    for domain in ["other.example", "bots.example", "a.comp.example", "xcomp.example"] {
        let fault = refused(server.addr(0), &header(domain));
        assert_eq!(fault.condition, "host-unknown");
        assert!(fault.text.contains(domain), "{fault:?} does not name {domain}");
    }
    Peer::online(server.addr(0), "COMP.example").assert_quiet();
    Peer::online(server.addr(0), "one.bots.example").assert_quiet();
}

#[test]
fn domains_are_compared_with_the_names_to_be_bound() {
    let server = start("domains = [\"muc.host.example\"]");
    Peer::subdomain(server.addr(0), "muc", HOST).assert_quiet();
    let prefix = header("other").replace(" to=", " is_subdomain='true' to=");
    assert_eq!(refused(server.addr(0), &prefix).condition, "host-unknown");
}

#[test]
fn domains_are_known_while_nobody_is_connected_for_them() {
    let server = start("domains = [\"comp.example\", \"*.bots.example\", \"away.example\"]");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for away in ["away.example", "one.bots.example"] {
        comp.message(&format!("u@{away}"), "away", "x");
        let fault = comp.fault("away");
        assert_eq!((&*fault.condition, &*fault.kind), ("remote-server-timeout", "wait"), "{away}");
    }
    comp.message("nowhere.example", "unknown", "x");
    let fault = comp.fault("unknown");
    assert_eq!((&*fault.condition, &*fault.kind), ("remote-server-not-found", "cancel"));
    assert!(fault.text.contains("nowhere.example"), "{fault:?}");
}

#[test]
fn ip_address_is_loopback_unless_set() {
    let config = Config::of_text(1, |ports| {
        format!(
            "[general]\nhosts = [\"{HOST}\"]\n[[listen.service]]\nport = {}\npassword = \"p\"\n",
            ports[0]
        )
    });
    let server = config.start();
    assert!(server.addr(0).ip().is_loopback());
    server.wait_for_log("127.0.0.1");
    // Its own port, on an address that is not the one that it listens on.
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], server.addr(0).port()));
    assert!(TcpStream::connect(elsewhere).is_err(), "it listens on more than 127.0.0.1");
}

#[test]
fn backlog_holds_those_that_are_not_accepted_yet() {
    let server = start("backlog = 2\nmax_connections = 1");
    let _one = Peer::online(server.addr(0), "one.example");
    // Linux takes one more than the backlog says; all others would wait for their handshake with the system.
    let mut waiting: Vec<_> =
        (0..3).map(|_| TcpStream::connect(server.addr(0)).expect("in the backlog")).collect();
    let over = TcpStream::connect_timeout(&server.addr(0), Duration::from_millis(300));
    assert!(over.is_err(), "the backlog is longer than it was set");
    waiting.clear();
}

#[test]
fn reuse_port_lets_two_servers_share_a_port() {
    let shared = start("reuse_port = true");
    let second = run_beside(&shared);
    assert!(second.is_none(), "the second server ended: {second:?}");
    let alone = start("");
    let (code, log) = run_beside(&alone).expect("two servers without reuse_port can't share a port");
    assert_eq!(code, Some(1));
    assert!(log.contains(&alone.addr(0).to_string()) && log.contains("in use"), "{log}");
}

/// Starts a second server with the same file: its exit code and what it said, or `None` if it runs.
fn run_beside(server: &Server) -> Option<(Option<i32>, String)> {
    let mut second = Command::new(binary())
        .args(["serve", "--config"])
        .arg(server.config_path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + Duration::from_secs(1);
    while second.try_wait().expect("it is ours").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let ended = second.try_wait().expect("it is ours").is_some();
    let _ = second.kill();
    let out = second.wait_with_output().expect("it is ours");
    ended.then(|| (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned()))
}

#[test]
fn max_stanza_size_is_enforced_while_reading() {
    let server = start("max_stanza_size = 20_000");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let frame = "<message from='comp.example' to='comp.example' id='m'><body></body></message>".len();
    comp.message("comp.example", "m", &"x".repeat(20_000 - frame));
    comp.stanza("m");
    // It never ends, and is refused all the same.
    comp.send("<message from='comp.example' to='comp.example'><body>");
    comp.send(&"x".repeat(20_000));
    let fault = comp.stream_fault();
    assert_eq!(fault.condition, "policy-violation");
    assert!(fault.text.contains("20000"), "{fault:?}");
}

#[test]
fn max_stanza_size_holds_for_what_is_delivered() {
    let server = Config::new(&[HOST]).listener("").listener("max_stanza_size = 10_000").start();
    let mut sender = Peer::online(server.addr(0), "sender.example");
    let mut small = Peer::online(server.addr(1), "small.example");
    sender.message("small.example", "big", &"x".repeat(10_000));
    let fault = sender.fault("big");
    assert_eq!((&*fault.condition, &*fault.kind), ("policy-violation", "modify"));
    sender.message("small.example", "fits", "x");
    small.stanza("fits");
}

#[test]
fn keepalive_is_a_space_after_silence_and_off_with_zero() {
    let server = Config::new(&[HOST]).listener("keepalive = 1").listener("keepalive = 0").start();
    let mut kept = Peer::online(server.addr(0), "kept.example");
    let mut left = Peer::online(server.addr(1), "left.example");
    let mut early = Wire::connect(server.addr(0));
    early.open(header("early.example").as_bytes()).expect("a header");
    let before = kept.wire.received().len();
    kept.wire.wait(Duration::from_millis(2600), |_| false);
    assert_eq!(kept.wire.received()[before..].to_vec(), b"  ".to_vec());
    left.wire.wait(Duration::from_millis(1), |_| false);
    assert!(left.wire.received().ends_with(b"<handshake/>"));
    // None before the handshake is done.
    early.wait(Duration::from_millis(1), |_| false);
    assert!(!early.received().ends_with(b" "), "{}", early.text());
    kept.assert_quiet();
}

#[test]
fn listen_component_is_another_name_of_listen_service() {
    let server = Config::of_text(2, |ports| {
        let [one, two] = ports else { unreachable!("two were asked for") };
        format!(
            "[general]\nhosts = [\"{HOST}\"]\n[[listen.component]]\nport = {one}\npassword = \"{SECRET}\"\n\
             [[listen.service]]\nport = {two}\npassword = \"{SECRET}\"\n"
        )
    });
    let server = server.start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(1), "two.example");
    assert_reaches(&mut one, &mut two);
}

#[test]
fn the_shape_of_a_mongooseim_file_starts_with_warnings_only() {
    let server = Config::of_text(3, |ports| {
        let text = std::fs::read_to_string(enjamb_tests::env::data().join("mongooseim-shape.toml"));
        let mut text =
            text.expect("it is committed").replace("password = \"secret\"", "password = \"s3cret\"");
        for (old, new) in ["8888", "8189", "8190"].iter().zip(ports) {
            assert!(text.contains(&format!("port = {old}\n")));
            text = text.replace(&format!("port = {old}\n"), &format!("port = {new}\n"));
        }
        text
    });
    let server = server.start();
    let mut first = Peer::online(server.addr(0), "first.example");
    let mut hidden = Peer::online(server.addr(1), "hidden.example");
    let mut kicked = Peer::online(server.addr(2), "kicked.example");
    assert_reaches(&mut first, &mut hidden);
    assert_reaches(&mut hidden, &mut kicked);
    let mut again = Peer::online(server.addr(2), "kicked.example");
    assert_eq!(kicked.stream_fault().condition, "conflict");
    assert_reaches(&mut first, &mut again);
    let query = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    first.send(&format!("<iq type='get' id='d' from='first.example' to='localhost'>{query}</iq>"));
    let items: Element = first.stanza("d");
    assert!(items.xml.contains("first.example") && !items.xml.contains("hidden.example"), "{}", items.xml);
    let log = server.log();
    assert!(log.contains("WARN") && !log.contains("ERROR"), "{log}");
    for section in ["listen.c2s", "modules.mod_roster", "s2s", "loglevel", "blocked"] {
        assert!(log.contains(section), "{section} is not warned of:\n{log}");
    }
}
