//! A component, and all that its server may say.

use alloc::format;
use alloc::string::ToString;

use super::*;

mod pings;
mod skipping;

const T: Instant = Instant::ORIGIN;
const HEADER: &str = "<stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='a.example' id='1'>";

fn own() -> Domain {
    Domain::parse("a.example").unwrap()
}

fn initiator(out: &mut Vec<u8>) -> Initiator {
    Initiator::connect(own(), false, Secret::new("s"), Arc::default(), T, out)
}

fn established_with(limits: Limits) -> ClientStream {
    let mut out = Vec::new();
    let initiator = Initiator::connect(own(), false, Secret::new("s"), Arc::new(limits), T, &mut out);
    let (_, next) = initiator.process(T, format!("{HEADER}<handshake/>").as_bytes(), &mut out);
    let Initiating::Established(stream) = next else { panic!("it is accepted") };
    *stream
}

/// What becomes of a component that hears this in pieces of `cut` bytes, and all that it says behind its header.
fn hears(input: &str, cut: usize) -> (Result<Box<ClientStream>, StreamError>, String) {
    let (mut header, mut out) = (Vec::new(), Vec::new());
    let mut initiator = initiator(&mut header);
    let mut pending = Vec::new();
    for piece in input.as_bytes().chunks(cut) {
        pending.extend_from_slice(piece);
        let (consumed, next) = initiator.process(T, &pending, &mut out);
        pending.drain(..consumed);
        initiator = match next {
            Initiating::Reading(initiator) => initiator,
            Initiating::Established(stream) => return (Ok(stream), String::from_utf8(out).unwrap()),
            Initiating::Failed(error) => return (Err(error), String::from_utf8(out).unwrap()),
        };
    }
    panic!("it still waits after {input}");
}

/// The error that this gives, and what is said about it, however it is cut.
fn fails(input: &str) -> (String, String) {
    let told = |cut| {
        let (result, out) = hears(input, cut);
        (result.expect_err("it fails").to_string(), out)
    };
    let whole = told(usize::MAX);
    for cut in [1, 2, 7] {
        assert_eq!(told(cut), whole, "{input} in pieces of {cut}");
    }
    whole
}

fn established() -> ClientStream {
    established_with(Limits::default())
}

/// What comes of `input` at once, and what is said.
fn told(stream: &mut ClientStream, input: &str) -> (Result<String, StreamError>, String) {
    let mut out = Vec::new();
    let told = stream.process(T, input.as_bytes(), &mut out).map(|step| match step.event {
        Some(ClientEvent::Stanza(stanza)) => format!("{:?}", stanza.kind()),
        other => format!("{other:?}"),
    });
    (told, String::from_utf8(out).unwrap())
}

#[test]
fn a_header_without_an_id_can_not_be_answered() {
    let said = "the server's stream header has no id";
    let (error, out) = fails(&HEADER.replace(" id='1'", ""));
    assert_eq!((error, &*out), (format!("undefined-condition: {said}"), "</stream:stream>"));
}

#[test]
fn a_header_that_closes_the_stream_is_its_end() {
    let (error, out) = fails(&HEADER.replace('>', "/>"));
    assert!(error.ends_with("the server ended the stream instead of accepting the handshake"), "{error}");
    assert!(out.ends_with("</handshake></stream:stream>"), "{out}");
}

#[test]
fn a_server_that_speaks_no_component_protocol_is_left() {
    for (said, error) in [
        ("HTTP/1.1 400 Bad Request\r\n", "not-well-formed: not well-formed: "),
        (
            &*HEADER.replace("jabber:component:accept", "jabber:client"),
            "invalid-namespace: the default namespace",
        ),
        ("<!DOCTYPE html>", "restricted-xml: a document type declaration may not appear on a stream"),
    ] {
        let (told, out) = fails(said);
        assert!(told.starts_with(error), "{told}");
        assert_eq!(out, "</stream:stream>");
    }
}

#[test]
fn what_comes_instead_of_the_acceptance_ends_the_stream() {
    for (said, error, answer) in [
        (
            "</stream:stream>",
            "undefined-condition: the server ended the stream instead of accepting the handshake",
            "</stream:stream>",
        ),
        (
            "<handshake xmlns='urn:x'/>",
            "not-authorized: the first element must be a handshake",
            "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
        ),
        (
            "<message/>",
            "not-authorized: the first element must be a handshake",
            "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
        ),
        ("<handshake></b>", "not-well-formed: ", "<stream:error><not-well-formed "),
        // At the end of its start tag.
        ("<a></b>", "not-authorized: ", "<stream:error><not-authorized "),
        ("<a>", "not-authorized: ", "<stream:error><not-authorized "),
        ("<stream:stream>", "not-authorized: ", "<stream:error><not-authorized "),
        (
            "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            "not-authorized: the peer says no more than that",
            "</stream:stream>",
        ),
        (
            "\n<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            "host-unknown: the peer says no more than that",
            "</stream:stream>",
        ),
        ("<stream:error/>", "undefined-condition: the peer says no more than that", "</stream:stream>"),
    ] {
        let (told, out) = fails(&format!("{HEADER}{said}"));
        assert!(told.starts_with(error), "{said}: {told}");
        // The SHA-1 of the id and the secret.
        let behind = out.strip_prefix("<handshake>0d3af63f25971b9e0cddc6955d09130fd2b8bace</handshake>");
        let behind = behind.expect("it had proved its secret");
        assert!(behind.starts_with(answer) && behind.ends_with("</stream:stream>"), "{said}: {behind}");
    }
}

#[test]
fn the_servers_error_is_known_by_its_namespace_however_that_is_declared() {
    let conflict = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
    for error in [
        format!("<stream:error>{conflict}</stream:error>"),
        format!("<error xmlns='http://etherx.jabber.org/streams'>{conflict}</error>"),
        format!("<x:error xmlns:x='http://etherx.jabber.org/streams'>{conflict}</x:error>"),
    ] {
        let (told, _) = told(&mut established(), &format!(" {error}"));
        assert_eq!(told.expect_err("it ends the stream").condition.as_str(), "conflict", "{error}");
        let (told, _) = fails(&format!("{HEADER}{error}"));
        assert!(told.starts_with("conflict: "), "{error}: {told}");
    }
}

#[test]
fn of_the_servers_error_the_condition_and_some_words_are_kept() {
    let long = "\u{e9}".repeat(600);
    for (content, condition, words) in [
        ("", "undefined-condition", "the peer says no more than that".to_string()),
        ("<x xmlns='urn:x'/>", "undefined-condition", "the peer says no more than that".to_string()),
        (
            "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xml:lang='en'>one &lt;\n\t two</text>\
             <app xmlns='urn:app'>not this</app>",
            "conflict",
            "the peer says: one < two".into(),
        ),
        (
            &*format!("<text>{long}</text><text>more</text><reset/>"),
            "reset",
            format!("the peer says: {}", "\u{e9}".repeat(512)),
        ),
    ] {
        let mut stream = established();
        let (error, out) = told(&mut stream, &format!("<stream:error>{content}</stream:error><message/>"));
        let error = error.expect_err("it ends the stream");
        assert_eq!((error.condition.as_str(), error.cause.to_string()), (condition, words));
        assert_eq!(out, "</stream:stream>", "an error is not answered with another");
        let again = stream.process(T, b"<message/>", &mut Vec::new());
        assert_eq!(again.expect_err("it stays so"), error);
        assert_eq!(stream.handle_timeout(T, &mut Vec::new()), Err(error));
    }
}

#[test]
fn a_server_that_is_silent_is_given_up_on_step_by_step() {
    let step = Limits::default().negotiation_step;
    let mut out = Vec::new();
    for (input, late) in
        [("", "the server's stream header"), (HEADER, "the server's answer to the handshake")]
    {
        let (_, next) = initiator(&mut out).process(T, input.as_bytes(), &mut out);
        let Initiating::Reading(mut waiting) = next else { panic!("it waits") };
        assert_eq!(waiting.poll_timeout(), T + step);
        out.clear();
        assert_eq!(waiting.handle_timeout(T, &mut out), Ok(()));
        assert!(out.is_empty());
        let error = waiting.handle_timeout(T + step, &mut out).expect_err("it is late");
        assert_eq!(error.to_string(), format!("connection-timeout: {late} did not come within 5s"));
        assert_eq!(out, b"</stream:stream>");
        // It stays so, and says no more.
        assert_eq!(waiting.handle_timeout(T + step, &mut out), Err(error.clone()));
        let (consumed, next) = waiting.process(T + step, b"<handshake/>", &mut out);
        assert!(matches!(next, Initiating::Failed(again) if again == error));
        assert_eq!((consumed, &*out), (0, &b"</stream:stream>"[..]));
    }
}

#[test]
fn what_is_no_stanza_is_passed_over() {
    let mut stream = established();
    assert_eq!((stream.domain(), stream.is_closed()), (&own(), false));
    for (input, event) in [
        ("<message to='a.example' from='b.example'/>", "Message"),
        ("<iq/>", "Iq"),
        ("<x xmlns='urn:x'/>", "Some(Ignored)"),
        ("<error xmlns='urn:x'/>", "Some(Ignored)"),
        ("<stream:features/>", "Some(Ignored)"),
        ("<message from='@b'/>", "Some(Ignored)"),
        ("<iq type='result' id='enjamb-alive-1' from='a.example' to='a.example'/>", "Some(OwnPing)"),
        ("<iq type='result' id='enjamb-alive-1' from='b.example' to='a.example'/>", "Iq"),
        ("<presence", "None"),
    ] {
        let (told, out) = told(&mut established(), input);
        assert_eq!((told.as_deref(), &*out), (Ok(event), ""), "{input}");
    }
    let (told, out) = told(&mut stream, "</stream:stream>");
    assert_eq!((told.as_deref(), &*out), (Ok("Some(Closed)"), "</stream:stream>"));
    assert!(stream.is_closed());
}

#[test]
fn a_second_header_and_broken_xml_are_told_to_the_server() {
    for (input, condition) in [
        ("<stream:stream>", "invalid-xml"),
        ("<message></iq>", "not-well-formed"),
        ("words", "bad-format"),
        ("</x>", "not-well-formed"),
    ] {
        let mut stream = established();
        let (told, out) = told(&mut stream, input);
        assert_eq!(told.expect_err("it ends the stream").condition.as_str(), condition, "{input}");
        assert!(out.starts_with(&format!("<stream:error><{condition} ")), "{input}: {out}");
        assert!(stream.is_closed() && stream.poll_timeout().is_none());
    }
}

#[test]
fn an_end_is_said_once_and_a_lost_connection_is_not_spoken_to() {
    let (mut closed, mut lost) = (established(), established());
    let mut out = Vec::new();
    closed.close(&mut out);
    closed.close(&mut out);
    assert_eq!(out, b"</stream:stream>");
    lost.handle_eof();
    lost.close(&mut out);
    assert_eq!(out, b"</stream:stream>");
    for stream in [&mut closed, &mut lost] {
        assert!(stream.is_closed() && stream.poll_timeout().is_none());
        assert_eq!(stream.handle_timeout(T, &mut out), Ok(()));
        let step = stream.process(T, b"<message/>", &mut out).expect("it is no error");
        assert!(step.event.is_none() && step.consumed == 10);
    }
    assert_eq!(out, b"</stream:stream>");
}

#[test]
fn a_stanza_that_was_put_back_comes_again() {
    let mut stream = established();
    assert_eq!(stream.put_back(), 0, "nothing was given");
    let input = [b"<message id='1'/>".as_slice(), b"<message id='2'/>"].concat();
    let mut out = Vec::new();
    let consumed = stream.process(T, &input, &mut out).expect("a stanza").consumed;
    let back = stream.put_back();
    assert_eq!(consumed, back);
    assert!(stream.process(T, &input[..3], &mut out).expect("it waits").event.is_none());
    for id in ["1", "2"] {
        let step = stream.process(T, &input[if id == "1" { 0 } else { back }..], &mut out).expect("a stanza");
        let Some(ClientEvent::Stanza(stanza)) = step.event else { panic!("no stanza") };
        assert_eq!(stanza.id().as_deref(), Some(id));
    }
}

#[test]
fn a_component_of_a_prefix_says_so_and_is_not_asked_for_its_own_address() {
    let mut out = Vec::new();
    let component = Initiator::connect(own(), true, Secret::new("s"), Arc::default(), T, &mut out);
    assert!(out.ends_with(b" to='a.example' is_subdomain='true'>"));
    let input = format!("{HEADER}<handshake/>");
    let (consumed, next) = component.process(T, input.as_bytes(), &mut out);
    let Initiating::Established(mut stream) = next else { panic!("it is accepted") };
    assert_eq!(consumed, input.len());
    out.clear();
    let later = T + Limits::default().ping.unwrap() * 3;
    assert_eq!(stream.handle_timeout(later, &mut out), Ok(()));
    assert_eq!(out, b" ", "a keepalive, and no ping");
}

#[test]
fn a_stanza_that_named_no_address_gets_the_ones_it_is_sent_on_with() {
    let mut stream = established();
    let mut out = Vec::new();
    let step = stream.process(T, b"<message id='1'><a/>b<c/></message>", &mut out).expect("a stanza");
    let Some(ClientEvent::Stanza(stanza)) = step.event else { panic!("no stanza") };
    assert_eq!((stanza.to(), stanza.from(), stanza.children()), (None, None, 2));
    assert_eq!(stanza.content(), b"<a/>b<c/>");
    assert!(stanza.turned_back().is_none());
    let (from, to) =
        (crate::jid::Jid::parse("b.example").unwrap(), crate::jid::Jid::parse("c.example").unwrap());
    stanza.with_addresses(&from, &to).append_to(&mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<message from='b.example' to='c.example' id='1'><a/>b<c/></message>"
    );
}

/// What a server makes of a stanza at the edge of its limits, for its receiver.
fn handed_on(header: &str, stanza: &str) -> String {
    let id = crate::handshake::StreamId::from_text("abc").unwrap();
    let (host, mut out) = (Domain::parse("host.example").unwrap(), Vec::new());
    let acceptor = crate::stream::Acceptor::new(host, id, Arc::default(), T);
    let (_, crate::stream::Handshake::Opened(opened)) = acceptor.process(T, header.as_bytes(), &mut out)
    else {
        panic!("{}", String::from_utf8_lossy(&out))
    };
    let proof = [b"<handshake>", &Secret::new("s").handshake("abc")[..], b"</handshake>"].concat();
    let (_, shaking) = opened.accept(T, [Secret::new("s")].into(), &mut out).process(T, &proof, &mut out);
    let crate::stream::Handshake::Authenticated(proved) = shaking else { panic!("not proved") };
    let mut server = proved.bind(T, true, &mut out);
    let step = server.process(T, stanza.as_bytes(), &mut out).unwrap();
    let Some(crate::stream::ServerEvent::Stanza(stanza)) = step.event else { panic!("{:?}", step.event) };
    let mut handed_on = Vec::new();
    stanza.append_to(&mut handed_on);
    String::from_utf8(handed_on).unwrap()
}

#[test]
fn what_a_server_may_hand_on_ends_no_component_of_ours() {
    let header = |declared: &str| {
        format!(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
             to='comp.example'{declared}>"
        )
    };
    let counted = |n, each: fn(usize) -> String| (0..n).map(each).collect::<String>();
    // The longest name that a header may declare, as an attribute.
    let long = "p".repeat(256 - "xmlns:".len());
    let prefixes = counted(30, |n| format!(" xmlns:h{n}='urn:{n}'"));
    let inherited = counted(30, |n| format!("<h{n}:x/>"));
    for (header, stanza) in [
        // Its `from` is stamped on it.
        (header(""), format!("<message to='a.example'{}/>", counted(127, |n| format!(" a{n}=''")))),
        (
            header(&prefixes),
            format!("<message to='a.example'{}>{inherited}</message>", counted(127, |n| format!(" a{n}=''"))),
        ),
        (
            header(&prefixes),
            format!(
                "<message to='a.example'><x{}><y{}>{inherited}</y></x></message>",
                counted(128, |n| format!(" xmlns:x{n}='urn:x'")),
                counted(128, |n| format!(" xmlns:y{n}='urn:y'"))
            ),
        ),
        (
            header(&format!(" xmlns:{long}='urn:long'")),
            format!("<message to='a.example'><{long}:x/></message>"),
        ),
    ] {
        let bytes = handed_on(&header, &stanza);
        let mut component = established();
        assert_eq!(told(&mut component, &bytes).0.as_deref(), Ok("Message"), "{bytes}");
    }
}
