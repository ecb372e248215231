//! What real component libraries send and bear, line by line of the list of their habits.

use std::collections::BTreeSet;
use std::time::Duration;

use enjamb_tests::judge;
use enjamb_tests::peer::{Peer, stream_fault};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, digest, has_handshake, header};

const WAIT: Duration = Duration::from_secs(5);
const STREAMS: &str = "http://etherx.jabber.org/streams";

fn start() -> Server {
    Config::new(&["host.example"]).listener("").start()
}

#[test]
fn headers_come_in_every_shape() {
    let server = start();
    for header in [
        format!("<stream:stream xmlns='jabber:component:accept' xmlns:stream='{STREAMS}' to='c.example'>"),
        format!(
            "<?xml version='1.0' encoding='UTF-8'?>\n<stream:stream to='c.example' xmlns:stream='{STREAMS}' xmlns='jabber:component:accept'>"
        ),
        format!(
            "<?xml version=\"1.0\"?> <stream:stream xmlns:stream=\"{STREAMS}\" to=\"c.example\" xmlns=\"jabber:component:accept\" >"
        ),
        format!(
            "<?xml version='1.0' encoding='utf-8' standalone='yes'?><stream:stream xmlns=\"jabber:component:accept\" to='c.example' xmlns:stream='{STREAMS}' version='1.0' xml:lang='de' from='who knows'\n>"
        ),
        format!(
            "<s:stream xmlns='jabber:component:accept' xmlns:s='{STREAMS}' to='c.example' id='mine' from='' unknown='x'>"
        ),
        format!("<stream xmlns='{STREAMS}' xmlns:c='jabber:component:accept' to='c.example'>"),
    ] {
        let mut wire = Wire::connect(server.addr(0));
        let outcome = wire.log_in(header.as_bytes());
        if header.starts_with("<stream ") {
            // Its default namespace is not the component's: the one shape that is not valid.
            assert!(outcome.is_err(), "{header}");
        } else {
            assert!(outcome.is_ok(), "{header}: {outcome:?}");
        }
        assert_eq!(judge::check(wire.received()), Ok(()));
        wire.finish();
    }
}

#[test]
fn handshakes_come_in_every_shape() {
    let server = start();
    for (before, after) in [
        ("<handshake>", "</handshake>"),
        ("\n<handshake xmlns='jabber:component:accept'>", "</handshake>"),
        (" \r\n\t<handshake>\n  ", "\n</handshake >"),
        ("<c:handshake xmlns:c='jabber:component:accept'>", "</c:handshake>"),
        ("<handshake x='y'><![CDATA[", "]]></handshake>"),
    ] {
        for upper in [false, true] {
            let mut wire = Wire::connect(server.addr(0));
            let id = wire.open(header("c.example").as_bytes()).expect("a header");
            let mut digest = digest(&id);
            if upper {
                digest.make_ascii_uppercase();
            }
            wire.send(format!("{before}{digest}{after}").as_bytes(), None);
            assert!(wire.wait(WAIT, has_handshake), "{before:?}: {}", wire.text());
            wire.finish();
        }
    }
}

#[test]
fn the_end_of_tcp_without_a_closing_tag_is_a_close_like_any_other() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "c.example");
    let mut other = Peer::online(server.addr(0), "other.example");
    comp.message("other.example", "last", "words");
    comp.wire.finish();
    assert!(comp.wire.text().ends_with("<handshake/></stream:stream>"), "{}", comp.wire.text());
    other.stanza("last");
    let log = server.wait_for_log("connection ended: closed by the other side");
    assert!(log.contains("domain=c.example"), "{log}");
}

#[test]
fn our_header_has_from_id_and_the_namespaces_and_nothing_else() {
    let server = start();
    let mut wire = Wire::connect(server.addr(0));
    let id = wire.open(header("c.example").as_bytes()).expect("a header");
    wire.wait(Duration::from_millis(200), |_| false);
    let text = wire.text();
    let (declaration, stream) = text.split_once("?>").expect("a declaration");
    assert_eq!(declaration, "<?xml version='1.0'");
    assert_eq!(stream.matches('<').count(), 1, "{stream}");
    let root = judge::read(stream.as_bytes()).expect("it is well-formed").root.expect("it is a start tag");
    assert!(root.is(STREAMS, "stream"), "{root:?}");
    assert_eq!((root.attribute("from"), root.attribute("id")), (Some("c.example"), Some(&*id)));
    assert_eq!(root.attributes.len(), 2, "{root:?}");
    assert!(stream.contains("xmlns='jabber:component:accept'") && stream.ends_with('>'), "{stream}");
    assert!(id.len() >= 32, "{id} has less than 128 bits in hexadecimal");
}

#[test]
fn every_header_has_an_id_of_its_own_a_refusing_one_too() {
    let server = start();
    let mut ids = BTreeSet::new();
    let headers =
        [header("c.example"), header("not a domain"), header("c.example").replace("accept", "connect")];
    for header in headers.iter().cycle().take(30) {
        let mut wire = Wire::connect(server.addr(0));
        wire.send(header.as_bytes(), None);
        wire.wait(WAIT, |bytes| bytes.contains(&b'>') && enjamb_tests::wire::has_header(bytes));
        wire.finish();
        let root = judge::read(wire.received()).expect("it is well-formed").root.expect("it is a start tag");
        let id = root.attribute("id").expect("an id");
        assert!(id.len() >= 32 && ids.insert(id.to_owned()), "{id} is short or was there before");
        let from = root.attribute("from").expect("a from");
        assert!(from == "c.example" || from == "host.example", "{from}");
    }
}

#[test]
fn delivered_stanzas_inherit_the_default_namespace() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "c.example");
    for xmlns in ["", "jabber:component:accept", "jabber:client", "jabber:server"] {
        for quote in ['\'', '"'] {
            let xmlns =
                if xmlns.is_empty() { String::new() } else { format!(" xmlns={quote}{xmlns}{quote}") };
            comp.send(&format!("<message{xmlns} to='c.example' id='m' from='c.example'/>"));
            let got = comp.stanza("m");
            assert!(!got.xml.contains("xmlns"), "{}", got.xml);
            let start = got.tree.starts().next().expect("it is an element");
            assert!(start.is("jabber:component:accept", "message"), "{start:?}");
        }
    }
    // Normalised at the top only: inside, what was another namespace stays one.
    comp.send(
        "<message to='c.example' id='m'><f xmlns='urn:f'><message xmlns='jabber:client'/></f></message>",
    );
    assert!(comp.stanza("m").xml.contains("<message xmlns='jabber:client'/>"));
    comp.send("<message xmlns='urn:other' to='c.example' id='m'/>");
    assert_eq!(comp.fault("m").condition, "bad-request");
}

#[test]
fn a_missing_from_is_stamped_and_an_empty_one_is_refused() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "c.example");
    let mut other = Peer::online(server.addr(0), "other.example");
    comp.send("<iq type='result' id='pong' to='other.example'/>");
    assert_eq!(other.stanza("pong").attribute("from"), Some("c.example"));
    comp.send("<message to='nowhere.example' id='lost'/>");
    assert_eq!(comp.stanza("lost").attribute("to"), Some("c.example"));
    comp.send("<message from='' to='other.example' id='empty'/>");
    assert_eq!(comp.fault("empty").condition, "bad-request");
    other.assert_quiet();
}

#[test]
fn a_stanza_comes_whole_in_one_write() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "c.example");
    let body = "\u{1F600}\u{e9}".repeat(2000);
    for n in 0..20 {
        let before = comp.wire.received().len();
        comp.message("c.example", &format!("m{n}"), &body);
        // The first read that gives anything gives all of it.
        comp.wire.wait(WAIT, |bytes| bytes.len() > before);
        let came = comp.wire.received()[before..].to_vec();
        assert!(came.starts_with(b"<message") && came.ends_with(b"</message>"), "{} bytes came", came.len());
        comp.stanza(&format!("m{n}"));
    }
}

#[test]
fn refusals_arrive_though_the_client_goes_on_sending() {
    let server = Config::new(&["host.example"]).listener("domains = [\"known.example\"]").start();
    for (opening, condition) in [
        (header("unknown.example"), "host-unknown"),
        (header("c.example").replace("component:accept", "client"), "invalid-namespace"),
        (header("c.example").replace(" to='c.example'", ""), "improper-addressing"),
    ] {
        for _ in 0..5 {
            let mut wire = Wire::connect(server.addr(0));
            // As clients that do not wait: all at once, and more than one segment of it.
            wire.send(opening.as_bytes(), None);
            wire.send(format!("<handshake>{}</handshake>", "0".repeat(40)).as_bytes(), None);
            wire.send(" ".repeat(32 * 1024).as_bytes(), None);
            wire.wait(WAIT, |_| false);
            let fault = stream_fault(&wire).unwrap_or_else(|| panic!("{condition} is lost: {}", wire.text()));
            assert_eq!(fault.condition, condition);
        }
    }
}

#[test]
fn an_iq_to_a_domain_that_is_not_served_never_vanishes() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "slidge.host.example");
    for (to, condition) in [
        ("example", "remote-server-not-found"),
        ("upload.host.example", "remote-server-not-found"),
        ("user@elsewhere.example/r", "remote-server-not-found"),
        ("user@host.example", "service-unavailable"),
        ("user@host.example/r", "service-unavailable"),
    ] {
        for kind in ["get", "set"] {
            comp.send(&format!("<iq type='{kind}' to='{to}' id='q'><q xmlns='urn:unknown'/></iq>"));
            assert_eq!(comp.fault("q").condition, condition, "{kind} {to}");
        }
    }
    // What is no request vanishes: nothing may answer it.
    comp.send("<iq type='result' to='elsewhere.example' id='r'/>");
    comp.send("<iq type='error' to='elsewhere.example' id='e'/>");
    comp.send("<message type='error' to='elsewhere.example' id='m'/>");
    comp.send("<presence type='unavailable' to='elsewhere.example' id='p'/>");
    comp.assert_quiet();
    comp.send("<presence type='probe' to='elsewhere.example' id='p'/>");
    assert_eq!(comp.fault("p").condition, "remote-server-not-found");
}

#[test]
fn stanzas_keep_their_order() {
    let server = start();
    let mut receiver = Peer::online(server.addr(0), "receiver.example");
    let mut sender = Peer::online(server.addr(0), "sender.example");
    let all: String = (0..2000)
        .map(|n| format!("<message from='sender.example' to='receiver.example' id='{n}'/>"))
        .collect();
    sender.send(&all);
    for n in 0..2000 {
        let xml = receiver.next_xml(WAIT).expect("all come");
        assert!(xml.contains(&format!("id='{n}'")), "{xml} instead of {n}");
    }
}
