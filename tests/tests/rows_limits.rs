//! The limits of a stream, each at its last good value and the first bad one.

use std::time::Duration;

use enjamb_tests::judge;
use enjamb_tests::peer::{Element, Peer, refused, stream_fault};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, digest, has_handshake, header};

const STREAM_END: Duration = Duration::from_secs(5);

fn start() -> Server {
    Config::new(&["host.example"]).listener("").start()
}

/// A header of exactly this many bytes.
fn header_of(bytes: usize) -> String {
    let plain = header("comp.example");
    let pad = bytes - plain.len() - " pad=''".len();
    plain.replace(" to=", &format!(" pad='{}' to=", "x".repeat(pad)))
}

/// A stanza that must come back as it was sent.
fn assert_passes(comp: &mut Peer, stanza: &str) {
    comp.send(stanza);
    assert_eq!(comp.stanza("m").tree, Element::new(stanza).tree);
}

/// A stanza that must end the stream.
fn assert_ends(server: &Server, stanza: &str, limit: &str) {
    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.send(stanza);
    let fault = comp.stream_fault();
    assert_eq!(fault.condition, "policy-violation", "{fault:?}");
    assert!(fault.text.contains(limit), "{fault:?} does not name the limit");
}

fn message(content: &str) -> String {
    format!("<message from='comp.example' to='comp.example' id='m'>{content}</message>")
}

#[test]
fn header_of_8_kib() {
    let server = start();
    Peer::with_header(server.addr(0), "comp.example", &header_of(8192)).assert_quiet();
    let fault = refused(server.addr(0), &header_of(8193));
    assert_eq!(fault.condition, "policy-violation");
    assert!(fault.text.contains("8192"), "{fault:?}");
}

#[test]
fn bytes_of_16_kib_before_authentication_blanks_included() {
    let server = start();
    let opening = header("comp.example");
    let handshake_length = "<handshake></handshake>".len() + 40;
    for (blanks, accepted) in
        [(16_384 - opening.len() - handshake_length, true), (16_384 - opening.len(), false)]
    {
        let mut wire = Wire::connect(server.addr(0));
        let id = wire.open(opening.as_bytes()).expect("a header");
        wire.send(" ".repeat(blanks).as_bytes(), None);
        wire.send(format!("<handshake>{}</handshake>", digest(&id)).as_bytes(), None);
        if accepted {
            assert!(wire.wait(STREAM_END, has_handshake), "{}", wire.text());
        } else {
            wire.wait(STREAM_END, |_| false);
            assert_eq!(stream_fault(&wire).expect("an error").condition, "policy-violation");
        }
        wire.finish();
    }
}

#[test]
fn blanks_before_authentication_end_without_a_handshake_too() {
    let server = start();
    let mut wire = Wire::connect(server.addr(0));
    wire.open(header("comp.example").as_bytes()).expect("a header");
    wire.send(" \n".repeat(9000).as_bytes(), None);
    wire.wait(STREAM_END, |_| false);
    assert_eq!(stream_fault(&wire).expect("an error").condition, "policy-violation");
}

#[test]
fn depth_of_128() {
    let server = start();
    let nested = |depth: usize| message(&("<a>".repeat(depth - 1) + &"</a>".repeat(depth - 1)));
    let mut comp = Peer::online(server.addr(0), "comp.example");
    assert_passes(&mut comp, &nested(128));
    comp.close();
    assert_ends(&server, &nested(129), "128");
}

#[test]
fn attributes_of_a_tag_128_namespaces_included() {
    let server = start();
    let tag = |plain: usize, namespaces: usize| {
        let mut tag = String::from("<a");
        tag.extend((0..plain).map(|n| format!(" a{n}=''")));
        tag.extend((0..namespaces).map(|n| format!(" xmlns:n{n}='urn:n'")));
        message(&(tag + "/>"))
    };
    let mut comp = Peer::online(server.addr(0), "comp.example");
    assert_passes(&mut comp, &tag(128, 0));
    assert_passes(&mut comp, &tag(64, 64));
    comp.close();
    assert_ends(&server, &tag(129, 0), "128");
    assert_ends(&server, &tag(65, 64), "128");
}

#[test]
fn name_of_256_bytes() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for name in ["a".repeat(256), "\u{e9}".repeat(128)] {
        assert_passes(&mut comp, &message(&format!("<{name}/>")));
        assert_passes(&mut comp, &message(&format!("<a {name}=''/>")));
    }
    comp.close();
    assert_ends(&server, &message(&format!("<{}/>", "a".repeat(257))), "256");
    assert_ends(&server, &message(&format!("<a {}=''/>", "a".repeat(257))), "256");
}

#[test]
fn stanza_of_1_mib() {
    let server = start();
    let frame = message("").len();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    assert_passes(&mut comp, &message(&"x".repeat((1 << 20) - frame)));
    // Blanks between stanzas belong to none.
    comp.send(&" ".repeat(3 << 20));
    comp.assert_quiet();
    comp.close();
    assert_ends(&server, &message(&"x".repeat((1 << 20) - frame + 1)), "1048576");
    // Blanks inside a tag do.
    assert_ends(&server, &format!("<message{}", " ".repeat(1 << 20)), "1048576");
}

#[test]
fn an_answer_is_hardly_longer_than_what_it_answers() {
    let server = start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for (quote, content) in
        [('"', "'"), ('\'', "\""), ('"', "'&quot;"), ('\'', "&#39;"), ('"', ">"), ('"', "&#39;&#34;")]
    {
        let long = content.repeat(100_000 / content.len());
        for stanza in [
            format!("<message to='nowhere.example' id={quote}{long}{quote}/>"),
            format!("<foo to='nowhere.example' id={quote}{long}{quote}/>"),
            format!(
                "<iq type='get' to='host.example' id={quote}{long}{quote}><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
        ] {
            comp.send(&stanza);
            let answer = comp.element();
            let most = stanza.len() * 6 / 5 + 1000;
            assert!(answer.xml.len() <= most, "{content}: {} for {}", answer.xml.len(), stanza.len());
            let sent = Element::new(&stanza);
            assert_eq!(answer.attribute("id"), sent.attribute("id"), "{content}");
        }
    }
    let long = "'".repeat(100_000);
    comp.send(&format!("<foo xmlns=\"urn:{long}\"/>"));
    assert!(comp.element().xml.len() < 102_000);
}

#[test]
fn what_is_made_longer_on_the_way_is_bounced_and_nothing_is_poisoned() {
    // Each '>' in text is written as an entity, once the stanza has to be rewritten.
    let server = Config::new(&["host.example"]).listener("max_stanza_size = 10_000").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    comp.send(&message(&format!("<b><![CDATA[{}]]></b>", "<".repeat(9000))));
    let fault = comp.fault("m");
    assert_eq!((&*fault.condition, &*fault.kind), ("policy-violation", "modify"));
    comp.assert_quiet();
    assert_eq!(judge::check(comp.wire.received()), Ok(()));
}
