//! The scan against other parsers, on stanzas with something wrong or odd in them: it accepts what they accept,
//! but for the rules in [`differences`](enjamb_tests::differences), and what it hands on they all accept and read alike.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::sync::Arc;

use enjamb_core::stream::{Acceptor, Handshake, ServerEvent, ServerStream};
use enjamb_core::{Instant, Limits, Secret, StanzaKind, StreamError, StreamId};
use enjamb_tests::corpus::{self, proof};
use enjamb_tests::cuts::Random;
use enjamb_tests::differences::{Parser, has_gap, line_ends, may_refuse, roxmltree_misreads};
use enjamb_tests::local_server::domain;
use enjamb_tests::mutants::mutant;
use enjamb_tests::tree::Tree;

/// How many mutants; the environment variable ENJAMB_MUTANTS asks for another number.
const MUTANTS: usize = 40_000;
/// One in N of the documents that were handed on goes to expat as well.
const EXPAT_SHARE: usize = 4;
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='comp.example'>";
const RECEIVING: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' from='x' id='1'>";
const TRAILER: &[u8] = b"</stream:stream>";

fn open_stream(out: &mut Vec<u8>) -> ServerStream {
    let id = StreamId::from_text("1").unwrap();
    let acceptor = Acceptor::new(domain("host.example"), id, Arc::new(Limits::default()), Instant::ORIGIN);
    let (_, Handshake::Opened(opened)) = acceptor.process(Instant::ORIGIN, HEADER, out) else {
        panic!("the header is right")
    };
    let acceptor = opened.accept(Instant::ORIGIN, [Secret::new("s")].into(), out);
    let handshake = format!("<handshake>{}</handshake>", proof("1", "s"));
    let (_, Handshake::Authenticated(proved)) = acceptor.process(Instant::ORIGIN, handshake.as_bytes(), out)
    else {
        panic!("so is this")
    };
    proved.bind(Instant::ORIGIN, false, out)
}

/// What the core makes of the bytes behind a login.
struct Ours {
    /// Each first-level element; those that may be routed with their addresses and what is handed on.
    elements: Vec<Option<Delivery>>,
    /// Offset behind the last thing taken.
    consumed: usize,
    end: End,
    /// All that was answered, from the header on.
    out: Vec<u8>,
}

struct Delivery {
    kind: StanzaKind,
    from: String,
    to: String,
    id: Option<String>,
    type_: Option<String>,
    bytes: Vec<u8>,
}

enum End {
    Waits,
    Closed,
    Failed(StreamError),
}

fn ours(input: &[u8]) -> Ours {
    let mut out = Vec::new();
    let mut stream = open_stream(&mut out);
    let (mut elements, mut consumed) = (Vec::new(), 0);
    let end = loop {
        match stream.process(Instant::ORIGIN, &input[consumed..], &mut out) {
            Err(error) => break End::Failed(error),
            Ok(step) => {
                consumed += step.consumed;
                match step.event {
                    None => break End::Waits,
                    Some(ServerEvent::Closed) => break End::Closed,
                    Some(ServerEvent::Stanza(stanza)) => {
                        let mut bytes = Vec::new();
                        stanza.append_to(&mut bytes);
                        elements.push(Some(Delivery {
                            kind: stanza.kind(),
                            from: stanza.from().unwrap().as_str().into(),
                            to: stanza.to().unwrap().as_str().into(),
                            id: stanza.id().map(Into::into),
                            type_: stanza.stanza_type().map(Into::into),
                            bytes,
                        }));
                    }
                    Some(_) => elements.push(None),
                }
            }
        }
    };
    Ours { elements, consumed, end, out }
}

/// By roxmltree, whose gaps are not rxml's, where it can.
fn read(document: &[u8]) -> Result<Tree, String> {
    if roxmltree_misreads(document) { Tree::by_rxml(document) } else { Tree::by_roxmltree(document) }
}

#[derive(Default)]
struct Counts {
    accepted: usize,
    delivered: usize,
    refused_by_rule: usize,
    gaps: usize,
    documents: Vec<(Vec<u8>, Tree)>,
}

fn check(input: &[u8], counts: &mut Counts) -> Result<(), String> {
    let whole = [input, TRAILER].concat();
    let document = line_ends(&[HEADER, &whole].concat());
    let ours = ours(&whole);
    let rxml = Tree::by_rxml(&document);
    answers_are_sound(&ours, counts)?;
    let tree = match (&ours.end, &rxml) {
        (End::Failed(error), Ok(_)) if !may_refuse(Parser::Rxml, error, &whole) => {
            return Err(format!("only we refuse: {error}"));
        }
        (End::Waits, Ok(_)) => return Err("only rxml sees the end".into()),
        (End::Failed(_) | End::Waits, rxml) => {
            counts.refused_by_rule += usize::from(rxml.is_ok());
            None
        }
        // Ended by an element of the streams namespace or an early closing tag: the rest is nobody's.
        (End::Closed, _) if ours.consumed < whole.len() => None,
        (End::Closed, Ok(tree)) => {
            counts.accepted += 1;
            Some(tree.clone())
        }
        (End::Closed, Err(_)) if has_gap(Parser::Rxml, input) => {
            counts.gaps += 1;
            None
        }
        (End::Closed, Err(why)) => return Err(format!("only rxml refuses: {why}")),
    };
    if ours.elements.is_empty() {
        return Ok(());
    }
    // What came before the fault is right, whatever came then.
    let before = line_ends(&[HEADER, &whole[..ours.consumed]].concat());
    let closed = [&before[..], TRAILER].concat();
    let read = match read(&before).or_else(|_| read(&closed)) {
        Ok(read) => read,
        // What neither can read; expat sees what is made of it.
        Err(_) if roxmltree_misreads(&before) && has_gap(Parser::Rxml, &before) => return Ok(()),
        Err(why) => return Err(format!("what came: {why}")),
    };
    if let Some(tree) = tree.filter(|tree| *tree != read) {
        return Err(format!("rxml and roxmltree differ on what came: {tree:?} {read:?}"));
    }
    let elements = read.elements();
    if elements.len() != ours.elements.len() {
        return Err(format!("{} elements, and not {}", ours.elements.len(), elements.len()));
    }
    for (element, delivery) in elements.into_iter().zip(&ours.elements) {
        if let Some(delivery) = delivery {
            delivery_is_sound(element, delivery, counts)?;
        }
    }
    Ok(())
}

fn delivery_is_sound(element: Tree, delivery: &Delivery, counts: &mut Counts) -> Result<(), String> {
    for (name, ours) in [("id", &delivery.id), ("type", &delivery.type_)] {
        if element.attribute(name) != ours.as_deref() {
            return Err(format!("{name} is {:?}, not {ours:?}", element.attribute(name)));
        }
    }
    let wanted = element.delivered(delivery.kind, &delivery.from, &delivery.to);
    let document = [RECEIVING, &delivery.bytes, TRAILER].concat();
    let shown = || String::from_utf8_lossy(&delivery.bytes).into_owned();
    for (parser, got) in [("rxml", Tree::by_rxml(&document)), ("roxmltree", read(&document))] {
        match got.map(|tree| tree.delivered(delivery.kind, &delivery.from, &delivery.to)) {
            Err(why) => return Err(format!("poison for {parser}: {why}: {}", shown())),
            Ok(tree) if tree != wanted => {
                return Err(format!("{parser} reads it differently: {}\n{tree:?}\n{wanted:?}", shown()));
            }
            Ok(_) => {}
        }
    }
    // Without the check's own change of addresses: they stand there as the core gave them.
    let got = Tree::by_rxml(&document)?;
    if got.attribute("to") != Some(&delivery.to) || got.attribute("from") != Some(&delivery.from) {
        return Err(format!("other addresses than those routed by: {}", shown()));
    }
    if delivery.bytes.contains(&b'\r') || delivery.bytes.windows(9).any(|nine| nine == b"<![CDATA[") {
        return Err(format!("a CR or a CDATA section: {}", shown()));
    }
    counts.delivered += 1;
    if counts.delivered.is_multiple_of(EXPAT_SHARE) {
        counts.documents.push((document, got));
    }
    Ok(())
}

/// What we write ourselves is well-formed to every parser, whatever it answers.
fn answers_are_sound(ours: &Ours, counts: &mut Counts) -> Result<(), String> {
    let mut out = ours.out.clone();
    if matches!(ours.end, End::Waits) {
        out.extend_from_slice(TRAILER);
    }
    let shown = || String::from_utf8_lossy(&out).into_owned();
    let rxml = Tree::by_rxml(&out).map_err(|why| format!("rxml refuses our answers: {why}: {}", shown()))?;
    let rox =
        Tree::by_roxmltree(&out).map_err(|why| format!("roxmltree refuses them: {why}: {}", shown()))?;
    if rxml != rox {
        return Err(format!("rxml and roxmltree differ on our answers: {}", shown()));
    }
    if out.len() > 800 && counts.documents.len() < MUTANTS / EXPAT_SHARE {
        counts.documents.push((out, rxml));
    }
    Ok(())
}

/// With the feature `interop` expat reads the same in the documents that are kept for it.
#[cfg(feature = "interop")]
fn expat_agrees(documents: &[(Vec<u8>, Tree)]) {
    for (document, tree) in documents {
        assert_eq!(
            enjamb_tests::expat::tree(document).as_ref(),
            Ok(tree),
            "{}",
            String::from_utf8_lossy(document)
        );
    }
}

#[cfg(not(feature = "interop"))]
fn expat_agrees(_: &[(Vec<u8>, Tree)]) {}

fn stanzas() -> Vec<String> {
    let odd = [
        "<message to='peer.example' id='&quot;1'><body>a\rb\r\nc<![CDATA[d]]]]>></body><x xmlns='urn:x' xmlns:p='urn:p' p:a='>' a=\"'\"/></message >",
        "<p:message xmlns:p='jabber:client' to='Peer.Example.' from='a@b.example/\u{e9}' type='chat' ><p:body/></p:message>",
        "<iq xmlns='jabber:server' type='get' id='1' to='peer&#x2e;example'>\n<q xmlns='' stream:y='1'/></iq>",
    ];
    let addressed =
        |stanza: corpus::XepStanza| corpus::addressed(&stanza.xml, "comp.example", "peer.example");
    let small = corpus::xep_stanzas().into_iter().filter(|stanza| stanza.xml.len() < 350).step_by(9);
    // One in three mutants is of an odd stanza: there is more to go wrong.
    let small: Vec<String> = small.map(addressed).collect();
    let odd = odd.iter().cycle().take(small.len() / 2).map(|stanza| (*stanza).to_owned());
    odd.chain(small.iter().cloned()).collect()
}

#[test]
fn mutants_are_accepted_and_handed_on_as_other_parsers_read_them() {
    let stanzas = stanzas();
    let mutants =
        std::env::var("ENJAMB_MUTANTS").map_or(MUTANTS, |number| number.parse().expect("it is a number"));
    let mut random = Random::new(mutants as u64);
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    for _ in 0..mutants {
        let (stanza, other) = (random.one_of(&stanzas).clone(), random.one_of(&stanzas).clone());
        let input = mutant(stanza.as_bytes(), other.as_bytes(), &mut random);
        if let Err(why) = check(&input, &mut counts) {
            failures.push(format!("{why}\n    {:?}", String::from_utf8_lossy(&input)));
        }
    }
    println!(
        "accepted {}, delivered {}, refused by rules of ours {}, gaps of rxml {}, to expat {}",
        counts.accepted,
        counts.delivered,
        counts.refused_by_rule,
        counts.gaps,
        counts.documents.len()
    );
    failures.truncate(20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(counts.accepted > mutants / 20 && counts.delivered > mutants / 20, "most mutants are too broken");
    assert!(counts.refused_by_rule > 0 && counts.gaps > 0, "the lists of exceptions are void");
    expat_agrees(&counts.documents);
}

#[test]
fn stanzas_of_the_xeps_are_handed_on_as_they_are_read() {
    let mut counts = Counts::default();
    for stanza in corpus::xep_stanzas() {
        let input = corpus::addressed(&stanza.xml, "comp.example", "peer.example");
        check(input.as_bytes(), &mut counts).unwrap_or_else(|why| panic!("{}: {why}", stanza.name));
    }
    assert_eq!(counts.accepted, 4583);
    assert_eq!(counts.delivered, 4457, "all but the iqs that RFC 6120 does not allow");
    expat_agrees(&counts.documents);
}

#[cfg(feature = "interop")]
#[test]
fn expat_is_asked_and_can_refuse() {
    assert!(enjamb_tests::expat::tree(b"<a><b x='1' x='1'/></a>").is_err());
    let good = b"<a><b xmlns='urn:b'>x<![CDATA[y]]></b></a>".to_vec();
    let tree = Tree::by_roxmltree(&good).unwrap();
    expat_agrees(&[(good, tree)]);
}
