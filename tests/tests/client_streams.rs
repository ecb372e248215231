//! What component libraries really sent, replayed byte for byte and read by read against the real server.

use std::time::Duration;

use enjamb_probe::STREAM;
use enjamb_tests::env;
use enjamb_tests::judge::{self, trees};
use enjamb_tests::peer::{Peer, first_element};
use enjamb_tests::server::Config;
use enjamb_tests::tree::{Element, Event, Tree};
use enjamb_tests::wire::{Wire, digest, handshake_end};

const HOST: &str = "localhost";
const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// A captured session, from `data/client-streams/INDEX.tsv`.
struct Session {
    file: String,
    domain: String,
    handshake: String,
    closes: bool,
    reads: Vec<usize>,
    bytes: Vec<u8>,
}

fn sessions() -> Vec<Session> {
    let dir = env::data().join("client-streams");
    let index = std::fs::read_to_string(dir.join("INDEX.tsv")).expect("it is committed");
    let sessions = index.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let bytes = std::fs::read(dir.join(fields[0])).expect("it is committed");
        let reads: Vec<usize> = fields[6].split(',').map(|size| size.parse().expect("a size")).collect();
        assert_eq!(
            (reads.iter().sum::<usize>(), bytes.len()),
            (bytes.len(), fields[4].parse().expect("a size"))
        );
        let closes = match fields[5] {
            "closing tag" => true,
            "no closing tag" => false,
            other => panic!("{other}"),
        };
        Session {
            file: fields[0].into(),
            domain: fields[1].into(),
            handshake: fields[3].into(),
            closes,
            reads,
            bytes,
        }
    });
    let sessions: Vec<_> = sessions.collect();
    assert_eq!(sessions.len(), 22);
    sessions
}

fn domain_of(jid: &str) -> &str {
    let bare = jid.split('/').next().unwrap_or_default();
    bare.rsplit('@').next().unwrap_or_default()
}

/// Where the first byte of a session's stanzas is, after the handshake.
fn stanzas_at(session: &Session) -> usize {
    let text = std::str::from_utf8(&session.bytes).expect("all are UTF-8");
    let digest = text.find(&session.handshake).expect("the handshake is in the session");
    digest + text[digest..].find('>').expect("the handshake ends") + 1
}

/// The stanzas of a session as they have to be delivered.
fn sent_stanzas(session: &Session) -> Vec<Tree> {
    // What inherits its namespace from the top moves with it into the component's.
    let text = std::str::from_utf8(&session.bytes[stanzas_at(session)..]).expect("all are UTF-8");
    let (mut stanzas, mut rest) = (String::new(), text);
    while let Some(end) = first_element(rest.as_bytes()) {
        let stanza = rest[..end].trim_start();
        let tag = stanza.find('>').expect("it begins with a tag");
        let start =
            ["jabber:client", "jabber:component:accept"].iter().fold(stanza[..tag].to_owned(), |tag, ns| {
                tag.replace(&format!(" xmlns='{ns}'"), "").replace(&format!(" xmlns=\"{ns}\""), "")
            });
        stanzas += &(start + &stanza[tag..]);
        rest = &rest[end..];
    }
    let mut trees = trees(stanzas.as_bytes());
    for tree in &mut trees {
        if tree.attribute("from").is_none() {
            let Some(Event::Start(start)) = tree.0.first_mut() else { panic!("{tree:?}") };
            start.attributes.push(((String::new(), "from".into()), session.domain.clone()));
            start.attributes.sort();
        }
    }
    trees
}

/// Sends a session as it was sent, with the handshake for the id that the server gives, and reads to the end.
fn replay(session: &Session, wire: &mut Wire, cuts: &mut dyn Iterator<Item = usize>) {
    let mut bytes = session.bytes.clone();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let digest_at = text.find(&session.handshake).expect("the handshake is in the session");
    let header_end = text[..digest_at].rfind("<handshake").expect("it is in an element");
    let (mut at, mut id) = (0, None);
    while at < bytes.len() {
        let end = bytes.len().min(at + cuts.next().expect("a size"));
        // No library sends its handshake before it has the id.
        if end > header_end && id.is_none() {
            wire.send(&bytes[at..header_end], None);
            let got = wire.open(b"").unwrap_or_else(|came| panic!("{}: {came}", session.file));
            bytes[digest_at..digest_at + 40].copy_from_slice(digest(&got).as_bytes());
            id = Some(got);
            at = header_end;
        }
        assert_eq!(wire.send(&bytes[at..end], None), end - at, "{}: {}", session.file, wire.text());
        at = end;
    }
    if !session.closes {
        // The library just ended its connection.
        wire.half_close();
    }
    wire.wait(Duration::from_secs(10), |_| false);
}

fn assert_served(session: &Session, mut cuts: impl Iterator<Item = usize>) {
    let server = Config::new(&[HOST]).listener("").start();
    let other = if session.domain == "a.localhost" { "b.localhost" } else { "a.localhost" };
    let mut peer = Peer::online(server.addr(0), other);
    let mut wire = Wire::connect(server.addr(0));
    replay(session, &mut wire, &mut cuts);

    let name = &session.file;
    assert!(wire.closed(), "{name}: the server does not close");
    assert!(wire.received().ends_with(b"</stream:stream>"), "{name}: {}", wire.text());
    assert!(!wire.text().contains("<stream:error"), "{name}: {}", wire.text());
    let sent = sent_stanzas(session);
    let to = |tree: &Tree| domain_of(tree.attribute("to").expect("all have one")).to_owned();

    let delivered: Vec<_> = sent.iter().filter(|tree| to(tree) == other).collect();
    let got: Vec<_> = delivered.iter().map(|_| peer.element()).collect();
    for (got, sent) in got.iter().zip(&delivered) {
        assert_eq!(got.tree, **sent, "{name}");
    }
    // One library was captured logging in and out, and nothing else.
    assert_eq!(delivered.is_empty(), name == "xmppjs.short.c2s.xml", "{name}");
    peer.assert_quiet();

    // What nobody serves comes back, in the order sent; what was for itself came to itself.
    let after = handshake_end(wire.received()).expect("it was logged in");
    let answers = trees(&wire.received()[after..]);
    let others: Vec<_> = sent.iter().filter(|tree| to(tree) != other).collect();
    assert_eq!(answers.len(), others.len(), "{name}: {answers:?}");
    for (answer, sent) in answers.iter().zip(others) {
        let (from, type_) = (answer.attribute("from"), answer.attribute("type"));
        assert_eq!((from, type_), (sent.attribute("to"), Some("error")), "{name}");
        assert_eq!(answer.attribute("id"), sent.attribute("id"), "{name}");
        let is_condition = |start: &Element| start.is(STANZA_ERRORS, "remote-server-not-found");
        assert!(answer.starts().any(is_condition), "{name}: {answer:?}");
    }
    let whole = [STREAM.as_bytes(), &wire.received()[after..]].concat();
    assert_eq!(judge::check(&whole), Ok(()), "{name}");
}

#[test]
fn every_session_is_served_in_the_reads_in_which_it_came() {
    for session in sessions() {
        assert_served(&session, session.reads.iter().copied());
    }
}

#[test]
fn every_session_is_served_in_one_write() {
    for session in sessions() {
        assert_served(&session, std::iter::repeat(usize::MAX / 2));
    }
}

#[test]
fn every_session_is_served_byte_by_byte() {
    for session in sessions() {
        assert_served(&session, std::iter::repeat(1));
    }
}
