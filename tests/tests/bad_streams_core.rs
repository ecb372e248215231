//! The hostile and odd streams of `data/bad-streams` against the core's server, without a socket.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::sync::Arc;

use enjamb_core::Limits;
use enjamb_core::router::{BindPolicy, DomainPattern, PortId};
use enjamb_core::switch::Switch;
use enjamb_probe::cuts::Cut;
use enjamb_probe::{Case, Names, Observed, Phase, Verdict, streams, wire};
use enjamb_tests::corpus::proof;
use enjamb_tests::local_server::{LocalServer, domain};
use roxmltree::Document;

/// Cases whose outcome is outside `expect`, each with the reason. None may be missing, and none too many.
const EXCEPTIONS: &[(&str, &str)] = &[];

const QUESTION: &str = "<message from='comp.example' to='peer.example' id='PROBE'/>";

fn login(server: &mut LocalServer, name: &str, id: &str) -> PortId {
    let conn = server.connect(id);
    server.receive(conn, wire::header(name).as_bytes());
    server.receive(conn, handshake(id).as_bytes());
    assert!(server.is_open(conn), "{name} logs in");
    conn
}

fn handshake(id: &str) -> String {
    format!("<handshake>{}</handshake>", proof(id, "s3cret"))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.stanza = 262_144;
    limits
}

fn setting() -> LocalServer {
    let mut server = LocalServer::new(&["host.example"], "s3cret");
    server.listener.limits = Arc::new(limits());
    let listed = ["comp.example", "peer.example", "down.example"];
    let listed = listed.map(|name| DomainPattern::Exact(domain(name)));
    server.switch.set_known(listed.clone());
    server.listener.policy =
        Arc::new(BindPolicy { domains: Some(listed.into_iter().collect()), ..BindPolicy::default() });
    server
}

fn play(case: &Case, names: &Names, cut: &Cut) -> Observed {
    let mut server = setting();
    let receiver = login(&mut server, "peer.example", "r1");
    let mut received = String::from_utf8(server.take_out(receiver)).unwrap();
    let id = "5b1e0a77c4";
    let conn = server.connect(id);
    if case.phase != Phase::PreOpen {
        server.receive(conn, &case.header(names).unwrap());
    }
    if case.phase == Phase::Authed {
        server.receive(conn, handshake(id).as_bytes());
        assert!(server.is_open(conn), "{}", case.id);
    }
    let mut whole = server.take_out(conn);
    for piece in cut.pieces(&case.payload(names, id).unwrap()) {
        if !server.has_ended(conn) {
            server.receive(conn, piece);
        }
    }
    if case.half_close {
        server.receive_eof(conn);
    }
    let answer = server.take_out(conn);
    let mut observed = Observed { closed: server.has_ended(conn), ..Observed::default() };
    observed.read(&answer);
    whole.extend(answer);
    if !observed.closed {
        // What is wrong with the header shows in the answer to it; the rest needs the stream to live.
        if case.phase != Phase::PreOpen && !server.is_open(conn) {
            server.receive(conn, handshake(id).as_bytes());
        }
        observed.dead = case.phase != Phase::PreOpen && !server.is_open(conn);
        server.receive(conn, QUESTION.as_bytes());
        let after = server.take_out(conn);
        observed.dead |= case.phase == Phase::Authed && !(after.is_empty() && server.is_open(conn));
        whole.extend(after);
    }
    let delivered = String::from_utf8(server.take_out(receiver)).unwrap();
    if case.phase == Phase::Authed && !observed.closed {
        observed.dead |= !delivered.contains(QUESTION);
    }
    received += &delivered;
    observed.receiver_poisoned = refused(&received);
    if case.phase == Phase::Authed {
        observed.delivered = Some(delivered.replace(QUESTION, "")).filter(|rest| !rest.is_empty());
    }
    if !whole.is_empty() {
        observed.ill_formed = refused(&String::from_utf8(whole).unwrap());
    }
    observed
}

/// What another parser says of this stream.
fn refused(stream: &str) -> Option<String> {
    let trailer = if stream.ends_with("</stream:stream>") { "" } else { "</stream:stream>" };
    Document::parse(&format!("{stream}{trailer}")).err().map(|fault| fault.to_string())
}

fn judge(cut: impl Fn(u64) -> Cut) {
    let cases = streams();
    assert_eq!(cases.len(), 354);
    let names = Names::standard("s3cret");
    let (mut best, mut wrong, mut second) = (0, Vec::new(), Vec::new());
    for (case, seed) in cases.iter().zip(1..) {
        let observed = play(case, &names, &cut(seed));
        let verdict = case.verdict(&observed);
        let excepted = EXCEPTIONS.iter().any(|(id, _)| *id == case.id);
        if (verdict == Verdict::Outside) != excepted {
            wrong.push(format!("{} {} {observed}, not one of {:?}", case.id, case.name, case.expect));
        }
        if verdict == Verdict::Best {
            best += 1;
        } else {
            second.push(format!("{} {} {observed}, best {}", case.id, case.name, case.best));
        }
    }
    println!("best in {best} of {}; else:\n{}", cases.len(), second.join("\n"));
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(best * 100 >= cases.len() * 95, "the best outcome in {best} cases only");
}

#[test]
fn every_case_ends_as_it_may_and_nearly_all_as_they_should() {
    judge(|_| Cut::Whole);
}

#[test]
fn every_case_ends_so_in_one_byte_reads() {
    judge(|_| Cut::Every(1));
}

#[test]
fn every_case_ends_so_in_random_cuts() {
    judge(Cut::Random);
}
