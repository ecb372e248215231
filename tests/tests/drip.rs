//! What a stanza costs grows with its length alone, however it comes in: no byte is looked at again and again, and
//! nothing in it costs more than its place. Measured by the clock, so only gross faults show: four times the bytes
//! may take eight times the time.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use enjamb_core::stream::{Acceptor, Handshake, ServerEvent, ServerStream};
use enjamb_core::{Instant, Limits, Secret, StreamId};
use enjamb_tests::corpus::proof;
use enjamb_tests::local_server::domain;

fn stream() -> ServerStream {
    let (limits, mut out) = (Arc::new(Limits::default()), Vec::new());
    let header = b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='comp.example'>";
    let acceptor =
        Acceptor::new(domain("host.example"), StreamId::from_text("1").unwrap(), limits, Instant::ORIGIN);
    let (_, Handshake::Opened(opened)) = acceptor.process(Instant::ORIGIN, header, &mut out) else {
        panic!()
    };
    let acceptor = opened.accept(Instant::ORIGIN, [Secret::new("s")].into(), &mut out);
    let handshake = format!("<handshake>{}</handshake>", proof("1", "s"));
    let (_, Handshake::Authenticated(proved)) =
        acceptor.process(Instant::ORIGIN, handshake.as_bytes(), &mut out)
    else {
        panic!()
    };
    proved.bind(Instant::ORIGIN, true, &mut out)
}

/// The time that a stanza takes in reads of `step` bytes, until it is written for its receiver.
fn time(stanza: &[u8], step: usize) -> Duration {
    let mut stream = stream();
    let (mut out, mut target) = (Vec::new(), Vec::new());
    let start = Clock::now();
    let mut end = 0;
    loop {
        end = stanza.len().min(end + step);
        let step = stream.process(Instant::ORIGIN, &stanza[..end], &mut out);
        match step.unwrap_or_else(|error| panic!("{error}")).event {
            Some(ServerEvent::Stanza(stanza)) => {
                stanza.append_to(&mut target);
                break;
            }
            Some(other) => panic!("{other:?}"),
            None => assert!(end < stanza.len(), "it ends"),
        }
    }
    assert!(target.ends_with(b"</message>"));
    start.elapsed()
}

/// A stanza of about this length, most of it `piece` over and over.
fn stanza(front: &str, piece: &str, back: &str, length: usize) -> Vec<u8> {
    let stanza = [front, &piece.repeat(length / piece.len()), back].concat();
    format!("<message to='peer.example'>{stanza}</message>").into_bytes()
}

fn is_linear(name: &str, make: impl Fn(usize) -> Vec<u8>) {
    for step in [1, usize::MAX / 2] {
        // A busy machine makes single runs long, never short.
        let least = |length: usize| (0..3).map(|_| time(&make(length), step)).min().unwrap_or_default();
        let (short, long) = (least(64 * 1024), least(256 * 1024));
        // The rest is for a machine that does something else in between; a quadratic scan takes seconds.
        let allowed = short * 8 + Duration::from_millis(300);
        assert!(long <= allowed, "{name} in reads of {step}: 64 KiB in {short:?}, 256 KiB in {long:?}");
    }
}

#[test]
fn every_kind_of_content_costs_its_length_in_one_byte_reads_too() {
    let cases = [
        ("one text", "<body>", "lorem ipsum ", "</body>"),
        ("one attribute", "<x a='", "lorem ipsum ", "'/>"),
        ("blanks in a tag", "<x", "   ", "/>"),
        ("a CDATA section", "<x><![CDATA[", "]]a<", "]]></x>"),
        ("empty CDATA sections", "<x>", "<![CDATA[]]>", "</x>"),
        ("many children", "<x>", "<a/>", "</x>"),
        ("many prefixed children", "<x xmlns:p='urn:p'>", "<p:a p:b='1'></p:a>", "</x>"),
        ("CR in text", "<x>", "\r", "</x>"),
        ("CR in an attribute", "<x a='", "\r", "'/>"),
        ("non-ASCII text", "<x>", "\u{e9}\u{6f22}\u{1f600}", "</x>"),
        ("references", "<x>", "&amp;&#x0000000041;", "</x>"),
        ("brackets", "<x>", "]]", "</x>"),
    ];
    for (name, front, piece, back) in cases {
        is_linear(name, |length| stanza(front, piece, back, length));
    }
}

/// Each pair of attributes once cost two walks through the prefixes and two copies of the namespaces: a minute for
/// half a megabyte.
#[test]
fn many_prefixes_of_long_namespaces_cost_their_bytes() {
    let tag: String = (0..120).map(|index| format!(" p{index}:a=''")).collect();
    let make = |length: usize| {
        let uri = "x".repeat(200);
        let declared: String =
            (0..120).map(|index| format!(" xmlns:p{index}='urn:{uri}&#x30;{index}'")).collect();
        stanza(&format!("<x{declared}>"), &format!("<x{tag}/>"), "</x>", length / 2)
    };
    is_linear("many prefixes", make);
    let stanza = make(1024 * 1024);
    let spent = time(&stanza, stanza.len());
    assert!(spent < Duration::from_secs(1), "{} bytes took {spent:?}", stanza.len());
}
