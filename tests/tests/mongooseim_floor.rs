//! The cases of MongooseIM's own tests of its component listener, byte by byte: what an operator who comes from
//! there relies on.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use enjamb_tests::peer::{Element, Peer, refused};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, header};

const HOST: &str = "localhost";

fn start(lines: &str) -> Server {
    Config::new(&[HOST]).listener(lines).start()
}

fn items(asker: &mut Peer, host: &str) -> Vec<String> {
    let query = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let from = asker.domain.clone();
    asker.send(&format!("<iq type='get' id='items' from='{from}' to='{host}'>{query}</iq>"));
    let answer = asker.stanza("items");
    assert_eq!(answer.attribute("type"), Some("result"), "{}", answer.xml);
    let items =
        answer.tree.starts().filter(|start| start.is("http://jabber.org/protocol/disco#items", "item"));
    items.map(|item| item.attribute("jid").expect("an item has a jid").to_owned()).collect()
}

/// `sender` writes to `receiver`, which gets it as it was sent.
fn assert_reaches(sender: &mut Peer, receiver: &mut Peer, from: &str, to: &str) {
    let sent = format!("<message type='chat' from='{from}' to='{to}' id='m'><body>Hi!</body></message>");
    sender.send(&sent);
    assert_eq!(receiver.stanza("m").tree, Element::new(&sent).tree);
}

#[test]
fn one_component_registers() {
    let server = start("");
    Peer::online(server.addr(0), "comp.example").assert_quiet();
}

#[test]
fn two_components_register_and_write_to_each_other() {
    let server = start("");
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    assert_reaches(&mut one, &mut two, "a@one.example/r", "b@two.example");
    assert_reaches(&mut two, &mut one, "two.example", "one.example");
}

#[test]
fn two_listeners_serve_one_set_of_components() {
    let server = Config::new(&[HOST]).listener("").listener("").start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(1), "two.example");
    assert_reaches(&mut one, &mut two, "one.example", "two.example");
    assert_reaches(&mut two, &mut one, "two.example", "one.example");
}

#[test]
fn a_component_reconnects_after_a_dirty_disconnect() {
    let server = start("");
    drop(Peer::online(server.addr(0), "comp.example"));
    let mut other = Peer::online(server.addr(0), "other.example");
    let mut again = Peer::online(server.addr(0), "comp.example");
    assert_reaches(&mut other, &mut again, "other.example", "comp.example");
}

#[test]
fn a_wrong_password_is_refused() {
    let server = start("");
    let mut wire = Wire::connect(server.addr(0));
    wire.open(header("comp.example").as_bytes()).expect("a header is answered");
    wire.send(b"<handshake>", None);
    wire.send("0".repeat(40).as_bytes(), None);
    wire.send(b"</handshake>", None);
    wire.finish();
    let fault = enjamb_tests::peer::stream_fault(&wire).expect("an error ends it");
    assert_eq!(fault.condition, "not-authorized");
    assert!(fault.text.contains("handshake"), "{fault:?}");
    // The domain was never taken.
    Peer::online(server.addr(0), "comp.example").assert_quiet();
}

#[test]
fn registering_twice_is_a_conflict_and_the_first_one_stays() {
    let server = start("");
    let mut first = Peer::online(server.addr(0), "comp.example");
    let fault = refused(server.addr(0), &header("comp.example"));
    assert_eq!(fault.condition, "conflict");
    assert!(fault.text.contains("comp.example"), "{fault:?}");
    first.assert_quiet();
}

#[test]
fn registering_an_existing_host_is_a_conflict() {
    for lines in ["", "conflict_behaviour = \"kick_old\""] {
        let server = start(lines);
        assert_eq!(refused(server.addr(0), &header(HOST)).condition, "conflict");
    }
}

#[test]
fn disco_lists_components() {
    let server = start("");
    let mut one = Peer::online(server.addr(0), "one.example");
    assert_eq!(items(&mut one, HOST), ["one.example"]);
    let mut two = Peer::online(server.addr(0), "two.example");
    assert_eq!(items(&mut one, HOST), ["one.example", "two.example"]);
    two.close();
    assert_eq!(items(&mut one, HOST), ["one.example"]);
}

#[test]
fn kick_old_replaces_the_first_one() {
    let server = start("conflict_behaviour = \"kick_old\"");
    let mut first = Peer::online(server.addr(0), "comp.example");
    let mut other = Peer::online(server.addr(0), "other.example");
    let mut second = Peer::online(server.addr(0), "comp.example");
    let fault = first.stream_fault();
    assert_eq!((&*fault.condition, &*fault.text), ("conflict", "Replaced by new connection"));
    assert_reaches(&mut other, &mut second, "other.example", "comp.example");
    // The old one's end does not take the domain from the new one.
    drop(first);
    assert_reaches(&mut second, &mut other, "comp.example", "other.example");
    second.assert_quiet();
}

#[test]
fn an_unexpected_stanza_name_is_a_bad_request_and_the_stream_lives() {
    let server = start("");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.send(
        "<unexpected from='a@comp.example' to='b@other.example' id='u'><x xmlns='urn:x'/></unexpected>",
    );
    let answer = comp.stanza("u");
    let fault = answer.fault().expect("an error");
    assert_eq!((answer.name(), &*fault.condition, &*fault.kind), ("unexpected", "bad-request", "modify"));
    comp.assert_quiet();
}

#[test]
fn an_invalid_to_is_a_bad_request_and_the_stream_lives() {
    let server = start("");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for to in ["", "@", "a@", "@b", "a@b/", "two words", "a@b@c"] {
        comp.message(to, "to", "x");
        let answer = comp.stanza("to");
        assert_eq!(answer.condition(), "bad-request", "{to:?}");
        assert_eq!((answer.attribute("from"), answer.attribute("to")), (Some(HOST), Some("comp.example")));
    }
    comp.send("<message from='comp.example' id='none'/>");
    assert_eq!(comp.fault("none").condition, "bad-request");
    comp.assert_quiet();
}

#[test]
fn an_invalid_from_is_a_bad_request_and_the_stream_lives() {
    let server = start("");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut other = Peer::online(server.addr(0), "other.example");
    for from in ["", "@", "a@", "@comp.example", "a b@comp.example", "comp.example/"] {
        comp.send(&format!("<message from='{from}' to='other.example' id='from'/>"));
        let answer = comp.stanza("from");
        assert_eq!(answer.condition(), "bad-request", "{from:?}");
        assert_eq!(answer.attribute("to"), Some("comp.example"), "{from:?}");
    }
    comp.assert_quiet();
    other.assert_quiet();
}

#[test]
fn a_from_of_another_domain_is_a_bad_request_and_the_stream_lives() {
    let server = start("");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut other = Peer::online(server.addr(0), "other.example");
    let foreign =
        ["elsewhere.example", "evil-comp.example", "sub.comp.example", "a@example", "other.example"];
    for from in foreign {
        comp.send(&format!("<message from='{from}' to='other.example' id='from'/>"));
        assert_eq!(comp.fault("from").condition, "bad-request", "{from}");
    }
    comp.assert_quiet();
    other.assert_quiet();
    // Only the domain is rewritten, in the form in which it is compared.
    comp.send("<message from='A@COMP.example/R' to='other.example' id='own'/>");
    assert_eq!(other.stanza("own").attribute("from"), Some("A@comp.example/R"));
}

#[test]
fn iq_and_presence_are_routed() {
    let server = start("");
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    for sent in [
        "<iq type='get' id='s' from='one.example' to='a@two.example/r'><q xmlns='urn:q'>?</q></iq>",
        "<iq type='set' id='s' from='one.example' to='two.example'><q xmlns='urn:q'/></iq>",
        "<iq type='result' id='s' from='one.example' to='two.example'/>",
        "<iq type='error' id='s' from='one.example' to='two.example'><error type='cancel'>\
         <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        "<presence id='s' from='a@one.example' to='b@two.example'/>",
        "<presence id='s' type='subscribe' from='a@one.example' to='b@two.example'><status>x</status></presence>",
        "<presence id='s' type='unavailable' from='a@one.example' to='b@two.example'/>",
        "<message id='s' type='groupchat' from='a@one.example' to='b@two.example'><subject/></message>",
    ] {
        one.send(sent);
        assert_eq!(two.stanza("s").tree, Element::new(sent).tree);
    }
    one.assert_quiet();
}

#[test]
fn with_check_from_off_any_valid_from_is_taken() {
    let server = start("check_from = false");
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    assert_reaches(&mut one, &mut two, "a@elsewhere.example/r", "two.example");
    // An error for such a stanza goes to who sent it, not to whom it names.
    one.send("<message from='two.example' to='nowhere.example' id='lost'/>");
    assert_eq!(one.fault("lost").condition, "remote-server-not-found");
    one.send("<message from='a b@two.example' to='two.example' id='bad'/>");
    assert_eq!(one.fault("bad").condition, "bad-request");
    two.assert_quiet();
}

#[test]
fn a_subdomain_is_registered_under_every_host() {
    let server = Config::new(&[HOST, "host.example"]).listener("").start();
    let mut muc = Peer::subdomain(server.addr(0), "muc", HOST);
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for host in [HOST, "host.example"] {
        let name = format!("muc.{host}");
        assert_reaches(&mut comp, &mut muc, "comp.example", &format!("room@{name}"));
        assert_reaches(&mut muc, &mut comp, &format!("room@{name}"), "comp.example");
        assert_eq!(items(&mut comp, host), ["comp.example".to_owned(), name]);
    }
    muc.close();
    comp.message("room@muc.localhost", "late", "x");
    assert_eq!(comp.fault("late").condition, "remote-server-not-found");
}

#[test]
fn a_subdomain_must_send_from_prefix_and_host() {
    let server = Config::new(&[HOST, "host.example"]).listener("").start();
    let mut muc = Peer::subdomain(server.addr(0), "muc", HOST);
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for from in
        ["muc", "localhost", "muc.elsewhere.example", "muc.comp.example", "amuc.localhost", "comp.example"]
    {
        muc.send(&format!("<message from='{from}' to='comp.example' id='bad'/>"));
        assert_eq!(muc.fault("bad").condition, "bad-request", "{from}");
    }
    // It has several names, so that none can be put in for it.
    muc.send("<message to='comp.example' id='none'/>");
    assert_eq!(muc.fault("none").condition, "bad-request");
    muc.assert_quiet();
    comp.assert_quiet();
}

#[test]
fn a_subdomain_conflicts_under_any_host() {
    let server = Config::new(&[HOST, "host.example"]).listener("").start();
    let _exact = Peer::online(server.addr(0), "muc.host.example");
    let prefix = header("muc").replace(" to=", " is_subdomain='true' to=");
    assert_eq!(refused(server.addr(0), &prefix).condition, "conflict");
    // All or none: nothing of it is left under the other host.
    Peer::online(server.addr(0), "muc.localhost").assert_quiet();
}

#[test]
fn a_prefix_that_makes_no_name_with_a_host_is_refused_before_it_is_bound_as_nothing() {
    let server = Config::new(&[HOST]).listener("").listener("domains = [\"muc.localhost\"]").start();
    for listener in [0, 1] {
        let fault =
            refused(server.addr(listener), &header("[::1]").replace(" to=", " is_subdomain='true' to="));
        assert_eq!(fault.condition, "host-unknown");
        assert!(fault.text.contains("[::1].localhost"), "{}", fault.text);
    }
}

#[test]
fn a_host_answers_what_it_is_asked_and_nothing_else() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut ask = |kind: &str, to: &str, payload: &str| {
        comp.send(&format!("<iq type='{kind}' id='q' to='{to}'>{payload}</iq>"));
        comp.stanza("q")
    };
    let answer = ask("get", HOST, "<time xmlns='urn:xmpp:time'/>");
    let utc = answer.xml.split("<utc>").nth(1).and_then(|rest| rest.split('<').next()).expect("a time");
    let read = Command::new("date").args(["-u", "-d", utc, "+%s"]).output().expect("coreutils are there");
    let said: u64 = String::from_utf8_lossy(&read.stdout).trim().parse().unwrap_or_else(|_| panic!("{utc}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("1970 is over").as_secs();
    assert!(utc.ends_with('Z') && said.abs_diff(now) < 60, "{utc}");
    assert!(answer.xml.contains("<tzo>+00:00</tzo>"), "{}", answer.xml);
    let info = "http://jabber.org/protocol/disco#info";
    for (kind, to, payload, condition) in [
        ("get", HOST, format!("<query xmlns='{info}' node='x'/>"), "item-not-found"),
        ("set", HOST, "<time xmlns='urn:xmpp:time'/>".into(), "service-unavailable"),
        ("get", HOST, "<time xmlns='urn:other'/>".into(), "service-unavailable"),
        ("get", "user@localhost", "<time xmlns='urn:xmpp:time'/>".into(), "service-unavailable"),
        ("get", "localhost/resource", format!("<query xmlns='{info}'/>"), "service-unavailable"),
    ] {
        assert_eq!(ask(kind, to, &payload).condition(), condition, "{kind} {to} {payload}");
    }
    for to in [HOST, "user@localhost"] {
        comp.message(to, "m", "x");
        assert_eq!(comp.fault("m").condition, "service-unavailable");
        comp.send(&format!("<presence to='{to}' id='p'/><presence type='probe' to='{to}' id='p'/>"));
    }
    comp.assert_quiet();
}

#[test]
fn hidden_components_are_routed_to_and_not_listed() {
    let server = Config::new(&[HOST]).listener("").listener("hidden_components = true").start();
    let mut shown = Peer::online(server.addr(0), "shown.example");
    let mut hidden = Peer::online(server.addr(1), "hidden.example");
    assert_reaches(&mut shown, &mut hidden, "shown.example", "hidden.example");
    for asker in [&mut shown, &mut hidden] {
        assert_eq!(items(asker, HOST), ["shown.example"]);
    }
}
