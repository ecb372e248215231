//! Every example stanza of the XEPs through the real server, from one component to another.

use std::thread;
use std::time::Duration;

use enjamb_probe::STREAM;
use enjamb_tests::env;
use enjamb_tests::judge::{self, trees};
use enjamb_tests::peer::{Peer, elements};
use enjamb_tests::server::{Config, Server};
use serde::Deserialize;

#[derive(Deserialize)]
struct Example {
    xep: String,
    n: u32,
    kind: String,
    xml: String,
    /// Why RFC 6120, 8.2.3 does not allow this iq.
    invalid: Option<String>,
}

/// An example as it is sent from a.example to b.example.
struct Sent {
    name: String,
    xml: String,
    /// As it is to arrive: `jabber:client` and `jabber:server` at the top are the component's namespace there, for
    /// all that inherits it.
    arrives: String,
    /// It may not be delivered; `true`: it is answered.
    refused: Option<bool>,
}

fn corpus() -> Vec<Sent> {
    let text =
        std::fs::read_to_string(env::data().join("xep-stanzas/stanzas.jsonl")).expect("it is committed");
    let examples: Vec<Example> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(examples.len(), 4583);
    assert_eq!(examples.iter().filter(|example| example.invalid.is_some()).count(), 126);
    examples
        .into_iter()
        .map(|example| {
            let (attributes, rest) = start_tag(&example.xml, &example.kind);
            let with = |keep: &dyn Fn(&str) -> bool| {
                let kept: String =
                    attributes.iter().filter(|(n, _)| keep(n)).map(|(_, written)| *written).collect();
                format!("<{}{kept} to='b.example' from='a.example'{rest}", example.kind)
            };
            let kind = attributes.iter().find(|(name, _)| *name == "type").map_or("", |(_, written)| written);
            let is_answer = kind.contains("result") || kind.contains("error");
            Sent {
                name: format!("XEP-{} #{}", example.xep, example.n),
                xml: with(&|name| !matches!(name, "to" | "from")),
                arrives: with(&|name| !matches!(name, "to" | "from" | "xmlns")),
                refused: example.invalid.map(|_| !is_answer),
            }
        })
        .collect()
}

/// The attributes of a stanza's start tag, each as it is written with the blanks before it, and what follows them.
fn start_tag<'x>(xml: &'x str, name: &str) -> (Vec<(&'x str, &'x str)>, &'x str) {
    let mut rest =
        xml.strip_prefix('<').and_then(|xml| xml.strip_prefix(name)).expect("no example has a prefix");
    let mut attributes = Vec::new();
    loop {
        let blanks = rest.len() - rest.trim_start().len();
        if rest[blanks..].starts_with(['/', '>']) {
            return (attributes, rest);
        }
        let equals = rest.find('=').expect("an attribute has a value");
        let open = equals + 1 + rest[equals + 1..].find(['\'', '"']).expect("a value has quotes");
        let quote = rest[open..].chars().next().expect("just found");
        let close = open + 1 + rest[open + 1..].find(quote).expect("a value ends");
        attributes.push((rest[blanks..equals].trim(), &rest[..=close]));
        rest = &rest[close + 1..];
    }
}

fn start() -> (Server, Peer, Peer) {
    let server = Config::new(&["host.example"]).listener("").start();
    let sender = Peer::online(server.addr(0), "a.example");
    let receiver = Peer::online(server.addr(0), "b.example");
    (server, sender, receiver)
}

/// Sends the corpus in pieces of this size and compares what arrives.
fn assert_all_arrive(sent: &[Sent], piece: usize) {
    let (_server, mut sender, mut receiver) = start();
    let bytes: String = sent.iter().map(|sent| sent.xml.as_str()).collect();
    let before = receiver.wire.received().len();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = bytes.as_bytes();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(piece.min(rest.len()));
                assert_eq!(
                    sender.wire.send(now, None),
                    now.len(),
                    "the stream ended: {}",
                    sender.wire.text()
                );
                rest = later;
            }
            sender.send("<message to='b.example' id='the-end'/>");
        });
        // Two million writes take a while where others want the machine, too.
        let limit = Duration::from_secs(300);
        let is_last = |bytes: &[u8]| bytes.ends_with(b" id='the-end'/>");
        assert!(receiver.wire.wait(limit, is_last), "the last one does not come");
    });
    let received = receiver.wire.received()[before..].to_vec();
    let mut got = trees(&received);
    got.pop();
    let arriving: String =
        sent.iter().filter(|sent| sent.refused.is_none()).map(|sent| sent.arrives.as_str()).collect();
    let expected = trees(arriving.as_bytes());
    let names: Vec<_> = sent.iter().filter(|sent| sent.refused.is_none()).map(|sent| &sent.name).collect();
    assert_eq!(got.len(), expected.len());
    for ((got, expected), name) in got.iter().zip(&expected).zip(names) {
        assert_eq!(got, expected, "{name}");
    }
    // Each that may not be delivered and asks for something has its error, in order; nothing else came back.
    let answers = sender.sync();
    let refused: Vec<_> = sent.iter().filter(|sent| sent.refused == Some(true)).collect();
    assert_eq!(answers.len(), refused.len());
    for (answer, sent) in answers.iter().zip(refused) {
        let fault = answer.fault().unwrap_or_else(|| panic!("{}: {}", sent.name, answer.xml));
        assert_eq!((&*fault.condition, &*fault.kind), ("bad-request", "modify"), "{}", sent.name);
        let addresses = (answer.attribute("from"), answer.attribute("to"));
        assert_eq!(addresses, (Some("b.example"), Some("a.example")), "{}", sent.name);
    }
}

#[test]
fn all_arrive_as_the_same_xml() {
    assert_all_arrive(&corpus(), usize::MAX);
}

#[test]
fn all_arrive_as_the_same_xml_byte_by_byte() {
    assert_all_arrive(&corpus(), 1);
}

#[test]
fn each_iq_that_is_not_allowed_is_answered_or_dropped_and_the_stream_lives() {
    let (_server, mut sender, mut receiver) = start();
    for sent in corpus().iter().filter(|sent| sent.refused.is_some()) {
        sender.send(&sent.xml);
        let answers = sender.sync();
        let conditions: Vec<_> = answers.iter().map(|answer| answer.condition()).collect();
        let expected: &[&str] = if sent.refused == Some(true) { &["bad-request"] } else { &[] };
        assert_eq!(conditions, expected, "{}: {}", sent.name, sent.xml);
    }
    receiver.assert_quiet();
}

#[test]
fn the_corpus_is_cut_and_addressed_as_it_should_be() {
    let corpus = corpus();
    let all: String = corpus.iter().map(|sent| sent.xml.as_str()).collect();
    let cut = elements(all.as_bytes());
    assert_eq!(cut.len(), corpus.len());
    for (cut, sent) in cut.iter().zip(&corpus) {
        assert_eq!(*cut, sent.xml, "{}", sent.name);
    }
    assert_eq!(judge::check(format!("{STREAM}{all}").as_bytes()), Ok(()));
}
