//! Stanzas as types of `xmpp-parsers` and as `minidom` elements, and back.

#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::sync::Arc;

use enjamb_core::jid::Domain;
use enjamb_core::stream::{ClientEvent, ClientStream, Initiating, Initiator};
use enjamb_core::xso::{self, error::Error};
use enjamb_core::{Instant, Limits, OwnedStanza, Secret};
use enjamb_tests::corpus::{addressed, xep_stanzas};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::message::{Message, MessageType};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::presence::Presence;
use xmpp_parsers::stanza_error::DefinedCondition;

const HEADER: &str = "<stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:header' from='a.example' id='1'>";

/// A component's stream that the server has accepted.
fn stream() -> ClientStream {
    let (domain, secret) = (Domain::parse("a.example").unwrap(), Secret::new("s"));
    let (limits, mut out) = (Arc::new(Limits::default()), Vec::new());
    let mut initiator = Initiator::connect(domain, false, secret, limits, Instant::ORIGIN, &mut out);
    let input = format!("{HEADER}<handshake/>");
    let mut at = 0;
    loop {
        let (consumed, next) = initiator.process(Instant::ORIGIN, &input.as_bytes()[at..], &mut out);
        at += consumed;
        initiator = match next {
            Initiating::Reading(initiator) if at < input.len() => initiator,
            Initiating::Established(stream) => return *stream,
            Initiating::Reading(_) | Initiating::Failed(_) => panic!("it is accepted"),
        };
    }
}

/// What the component gets of these bytes.
fn received(stream: &mut ClientStream, bytes: &[u8]) -> OwnedStanza {
    let step = stream.process(Instant::ORIGIN, bytes, &mut Vec::new()).unwrap();
    assert_eq!(step.consumed, bytes.len(), "{}", String::from_utf8_lossy(bytes));
    let Some(ClientEvent::Stanza(stanza)) = step.event else { panic!("{:?}", step.event) };
    OwnedStanza::new(&stanza)
}

fn element(stream: &mut ClientStream, bytes: &[u8]) -> Element {
    received(stream, bytes).as_stanza().parse().unwrap()
}

/// The element with the stream around it, read by the parser alone.
fn in_its_stream(xml: &str) -> Element {
    let options = rxml::Options { max_token_length: 1 << 20, ..rxml::Options::default() };
    let stream = format!("{HEADER}{xml}</stream:stream>");
    let document: Element = xso::from_bytes_with_options(stream.as_bytes(), options).unwrap();
    document.children().next().unwrap().clone()
}

/// An element as text. Equal elements may hold a text in other pieces, which `==` takes for a difference.
fn written(element: &Element) -> String {
    String::from_utf8(xso::to_vec(element).unwrap()).unwrap()
}

#[test]
fn every_example_of_the_xeps_is_the_same_element_as_in_its_stream_there_and_back() {
    let mut stream = stream();
    let examples = xep_stanzas();
    assert_eq!(examples.len(), 4583);
    let mut compared = 0;
    for example in examples {
        let xml = addressed(&example.xml, "x@b.example/r", "a.example");
        let got = element(&mut stream, xml.as_bytes());
        let expected = in_its_stream(&xml);
        // `jabber:client` at the top is the component's namespace here, for all that inherits it.
        if expected.ns() == "jabber:component:accept" {
            assert_eq!(written(&got), written(&expected), "{}", example.name);
            compared += 1;
        }
        let again = element(&mut stream, written(&got).as_bytes());
        assert_eq!(written(&again), written(&got), "{}", example.name);
    }
    assert!(compared > 4000, "{compared} compared");
}

#[test]
fn what_only_the_stream_declares_and_what_is_written_unusually_is_understood() {
    let mut stream = stream();
    let long = "\u{e9}".repeat(50_000);
    for xml in [
        "<message to='a.example'><h:x h:y='1'/></message>".into(),
        "<s:message xmlns:s='jabber:component:accept' to='a.example'><s:body>x</s:body></s:message>".into(),
        "<message to='a.example'><body><![CDATA[<not> & markup]]>\r\n&#x1F98A;</body></message>".into(),
        format!("<message to='a.example' id='i'><x xmlns='urn:x' long='{long}'>{long}</x></message>"),
        "<presence\n\tto = \"a.example\"  />".into(),
    ] {
        assert_eq!(written(&element(&mut stream, xml.as_bytes())), written(&in_its_stream(&xml)));
    }
    // The parser takes no reference with that many digits; it is rewritten before.
    let digits = b"<message to='a.example'><body>&#0000000065;</body></message>";
    let message: Message = received(&mut stream, digits).as_stanza().parse().unwrap();
    assert_eq!(message.bodies.values().next().map(String::as_str), Some("A"));
    let client = "<message xmlns='jabber:client' to='a.example'><body>x</body></message>";
    let message: Message = received(&mut stream, client.as_bytes()).as_stanza().parse().unwrap();
    assert_eq!(message.bodies.values().next().map(String::as_str), Some("x"));
}

#[test]
fn a_stanza_is_its_own_type_and_no_other() {
    let mut stream = stream();
    let xml = "<message type='chat' from='x@b.example/r' to='y@a.example' id='m'>\
        <body>caf\u{e9} &lt;3</body><x xmlns='urn:x'/></message>";
    let stanza = received(&mut stream, xml.as_bytes());
    let message: Message = stanza.as_stanza().parse().unwrap();
    assert_eq!(message.type_, MessageType::Chat);
    assert_eq!(message.from.unwrap().to_string(), "x@b.example/r");
    assert_eq!(message.bodies.values().next().map(String::as_str), Some("caf\u{e9} <3"));
    assert_eq!(message.payloads.len(), 1);
    assert!(matches!(stanza.as_stanza().parse::<Presence>(), Err(Error::TypeMismatch)));

    let xml = "<iq type='error' from='b.example' to='a.example' id='i'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    let iq: Iq = received(&mut stream, xml.as_bytes()).as_stanza().parse().unwrap();
    let Iq::Error { error, id, .. } = iq else { panic!("{iq:?}") };
    assert_eq!((error.defined_condition, &*id), (DefinedCondition::ItemNotFound, "i"));

    let improper = received(&mut stream, b"<iq type='get' from='b.example' to='a.example' id='i'/>");
    assert!(improper.as_stanza().parse::<Iq>().is_err());
    let stamped = received(&mut stream, b"<message to='a.example'/>");
    assert!(stamped.as_stanza().parse::<Message>().unwrap().id.is_none());
}
