//! How a stream is cut into reads makes no difference: the same stanzas are delivered, the same answers and
//! errors written, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::Limits;
use enjamb_core::connection::ConnectionEvent;
use enjamb_core::router::{BindPolicy, DomainPattern, PortId};
use enjamb_core::switch::{Metric, Switch};
use enjamb_probe::{Case, Names, Phase, streams, wire};
use enjamb_tests::corpus::{self, proof};
use enjamb_tests::cuts::Cut;
use enjamb_tests::local_server::{LocalServer, domain};

/// Everything that can be seen of a session from outside.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    events: Vec<String>,
    /// What the stanzas added to each counter.
    counted: Vec<u64>,
    sent: Vec<u8>,
    delivered: Vec<u8>,
    ended: bool,
}

const ID: &str = "6d2f1c0e";

fn login(server: &mut LocalServer, name: &str, secret: &str) -> PortId {
    let conn = server.connect(ID);
    server.receive(conn, wire::header(name).as_bytes());
    server.receive(conn, format!("<handshake>{}</handshake>", proof(ID, secret)).as_bytes());
    assert!(server.is_open(conn), "{name} logs in");
    conn
}

/// Events without the number of their connection, which is another for each. Rejected elements are counted: how many get
/// an event of their own depends on when the events are taken.
fn shown(events: &[ConnectionEvent], conn: PortId) -> Vec<String> {
    let refused = |event: &&ConnectionEvent| {
        matches!(event, ConnectionEvent::Rejected(_) | ConnectionEvent::MoreRejected(_))
    };
    events
        .iter()
        .filter(|event| !refused(event))
        .map(|event| format!("{event:?}").replace(&format!("{conn:?}"), "itself"))
        .collect()
}

impl Session {
    fn count(&self, metric: Metric) -> u64 {
        let place = Metric::ALL.iter().position(|one| *one == metric);
        self.counted[place.expect("all are counted")]
    }

    /// How many elements were dealt with.
    fn stanzas(&self) -> u64 {
        use Metric::{
            Answered, Bounced, DroppedByHost, DroppedRejected, DroppedUndeliverable, Rejected, Routed,
        };
        let all = [Answered, Bounced, Routed, DroppedByHost, DroppedRejected, DroppedUndeliverable, Rejected];
        all.iter().map(|metric| self.count(*metric)).sum()
    }

    fn is_closed_by_peer(&self) -> bool {
        self.events.last().is_some_and(|event| event.contains("reason: ByPeer"))
    }
}

fn play(server: &mut LocalServer, receiver: PortId, id: &str, bytes: &[u8], cut: &Cut) -> Session {
    // What connections before it asked is forgotten.
    server.pass(Duration::from_secs(1));
    let before = server.metrics();
    let conn = server.connect(id);
    server.take_out(receiver);
    for piece in cut.pieces(bytes) {
        server.receive(conn, piece);
        if server.has_ended(conn) {
            break;
        }
    }
    let session = Session {
        events: shown(server.events(conn), conn),
        counted: server.metrics().iter().zip(&before).map(|(after, before)| after - before).collect(),
        sent: server.take_out(conn),
        delivered: server.take_out(receiver),
        ended: server.has_ended(conn),
    };
    server.receive_eof(conn);
    session
}

fn test_server() -> (LocalServer, PortId) {
    let mut server = LocalServer::new(&["host.example"], "s3cret");
    let mut limits = Limits::default();
    limits.stanza = 262_144;
    server.listener.limits = Arc::new(limits);
    server.switch.set_known(vec![DomainPattern::Exact(domain("down.example"))]);
    let receiver = login(&mut server, "peer.example", "s3cret");
    (server, receiver)
}

/// Header and handshake, up to this phase.
fn opening(phase: Phase, header: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if phase != Phase::PreOpen {
        bytes.extend_from_slice(header);
    }
    if phase == Phase::Authed {
        bytes.extend_from_slice(format!("<handshake>{}</handshake>", proof(ID, "s3cret")).as_bytes());
    }
    bytes
}

/// The whole connection of a case: header and handshake, where they belong to it, and its bytes.
fn connection(case: &Case, names: &Names) -> Vec<u8> {
    let mut bytes = opening(case.phase, &case.header(names).unwrap());
    bytes.extend(case.payload(names, ID).unwrap());
    bytes
}

#[test]
fn bad_streams_end_alike_however_they_are_cut() {
    let (mut server, receiver) = test_server();
    let mut failures = Vec::new();
    let names = Names::standard("s3cret");
    for case in streams() {
        let bytes = connection(&case, &names);
        let whole = play(&mut server, receiver, ID, &bytes, &Cut::Whole);
        let cuts = if bytes.len() > 50_000 { vec![Cut::Every(1), Cut::Random(1)] } else { Cut::many(20) };
        for cut in cuts {
            let cut_up = play(&mut server, receiver, ID, &bytes, &cut);
            if cut_up != whole {
                failures.push(format!("{} {} {cut:?}:\n  {cut_up:?}\n  {whole:?}", case.id, case.name));
                break;
            }
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn stanzas_of_the_xeps_come_out_alike_however_they_are_cut() {
    let (mut server, receiver) = test_server();
    server.listener.policy = Arc::new(BindPolicy { check_from: false, ..BindPolicy::default() });
    let opening = opening(Phase::Authed, wire::header("comp.example").as_bytes());
    let mut delivered = 0;
    // In batches, since each takes its place behind another stanza that way; each with its own random cuts.
    for (batch, stanzas) in corpus::xep_stanzas().chunks(30).enumerate() {
        let mut bytes = opening.clone();
        for stanza in stanzas {
            bytes.extend_from_slice(corpus::addressed(&stanza.xml, "", "peer.example").as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(b"</stream:stream>");
        let whole = play(&mut server, receiver, ID, &bytes, &Cut::Whole);
        assert!(whole.is_closed_by_peer(), "{} ff.", stanzas[0].name);
        assert_eq!(whole.stanzas(), stanzas.len() as u64, "each stanza is counted once");
        delivered += whole.count(Metric::Routed);
        let sizes = [1, 2, 3, 5, 7, 16].map(Cut::Every).into_iter();
        let random = (0..20).map(|index| Cut::Random(batch as u64 * 20 + index));
        for cut in sizes.chain(random) {
            let cut_up = play(&mut server, receiver, ID, &bytes, &cut);
            assert_eq!(cut_up, whole, "{} ff. in {cut:?}", stanzas[0].name);
        }
    }
    assert_eq!(delivered, 4457, "all but the 126 iqs that RFC 6120 does not allow");
}

#[test]
fn sessions_of_real_clients_come_out_alike_however_they_are_cut() {
    let streams = corpus::client_streams();
    assert_eq!(streams.len(), 22);
    for stream in &streams {
        let mut server = LocalServer::new(&["localhost"], "s3cr3t");
        // They talked to both other components of their recording.
        let others =
            ["a.localhost", "b.localhost", "c.localhost"].iter().filter(|name| **name != stream.domain);
        let others: Vec<PortId> = others.map(|name| login(&mut server, name, "s3cr3t")).collect();
        let reads = Cut::Sizes(stream.reads.clone());
        let whole = play(&mut server, others[0], &stream.id, &stream.bytes, &Cut::Whole);
        assert_eq!(whole.count(Metric::Bound), 1, "{}: the handshake is right", stream.file);
        assert_eq!(whole.is_closed_by_peer(), stream.closes, "{}: {:?}", stream.file, whole.events);
        assert_eq!(whole.ended, stream.closes);
        assert_eq!(whole.stanzas(), stanzas_in(&stream.bytes) as u64, "{}: {whole:?}", stream.file);
        let refused = whole.count(Metric::Rejected) + whole.count(Metric::DroppedRejected);
        assert_eq!(refused, 0, "{}: {:#?}", stream.file, whole.events);
        for cut in Cut::many(20).into_iter().chain([reads]) {
            for other in &others {
                server.take_out(*other);
            }
            let cut_up = play(&mut server, others[0], &stream.id, &stream.bytes, &cut);
            assert_eq!(cut_up, whole, "{} in {cut:?}", stream.file);
        }
    }
}

/// First-level elements behind the handshake, as an independent parser counts them.
fn stanzas_in(bytes: &[u8]) -> usize {
    let mut text = String::from_utf8(bytes.to_vec()).expect("the recordings are UTF-8");
    if !text.trim_end().ends_with("</stream:stream>") {
        text.push_str("</stream:stream>");
    }
    let document = roxmltree::Document::parse(&text).expect("the recordings are well-formed");
    document.root_element().children().filter(roxmltree::Node::is_element).count() - 1
}
