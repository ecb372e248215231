//! Both sides against each other and against bytes.

mod negotiation;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::handshake::{Secret, StreamId};
use crate::jid::Domain;
use crate::limits::Limits;
use crate::time::Instant;

const T: Instant = Instant::ORIGIN;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

/// Takes a server and a component through the handshake.
fn established(header: &[u8]) -> ServerStream {
    let limits = Arc::new(Limits::default());
    let id = StreamId::from_text("abc").unwrap();
    let mut out = Vec::new();
    let (used, next) = Acceptor::new(domain("host.example"), id, limits, T).process(T, header, &mut out);
    assert_eq!(used, header.len());
    let Handshake::Opened(opened) = next else { panic!("not opened: {}", String::from_utf8_lossy(&out)) };
    let acceptor = opened.accept(T, [Secret::new("s")].into(), &mut out);
    let proof = [b"<handshake>", &Secret::new("s").handshake("abc")[..], b"</handshake>"].concat();
    let (used, next) = acceptor.process(T, &proof, &mut out);
    assert_eq!(used, proof.len());
    let Handshake::Authenticated(proved) = next else {
        panic!("not proved: {}", String::from_utf8_lossy(&out))
    };
    proved.bind(T, true, &mut out)
}

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='comp.example'>";

/// What the stream delivers and answers for `input` in pieces of `cut` bytes.
fn run(header: &[u8], input: &[u8], cut: usize) -> (String, String) {
    let mut stream = established(header);
    let (mut delivered, mut out) = (Vec::new(), Vec::new());
    let mut pending = Vec::new();
    for piece in input.chunks(cut) {
        pending.extend_from_slice(piece);
        loop {
            let Ok(step) = stream.process(T, &pending, &mut out) else { return text(delivered, out) };
            let more = step.event.is_some();
            if let Some(ServerEvent::Stanza(stanza)) = &step.event {
                stanza.append_to(&mut delivered);
            }
            let consumed = step.consumed;
            pending.drain(..consumed);
            if !more {
                break;
            }
        }
    }
    text(delivered, out)
}

fn text(delivered: Vec<u8>, out: Vec<u8>) -> (String, String) {
    (String::from_utf8(delivered).unwrap(), String::from_utf8(out).unwrap())
}

/// Runs it whole and in pieces, and gives what all of them give.
fn all_cuts(header: &[u8], input: &[u8]) -> (String, String) {
    let whole = run(header, input, usize::MAX);
    for cut in [1, 2, 3, 5, 7, 16] {
        assert_eq!(run(header, input, cut), whole, "in pieces of {cut}");
    }
    whole
}

/// What a server with these limits says to these bytes, up to its error or the end of the stream, however they are cut.
fn ended(input: &str, limits: &Arc<Limits>) -> (Option<String>, String) {
    let told = |cut| {
        let (id, mut out) = (StreamId::from_text("abc").unwrap(), Vec::new());
        let mut acceptor = Acceptor::new(domain("host.example"), id, Arc::clone(limits), T);
        let (mut start, mut end) = (0, 0);
        loop {
            let (consumed, next) = acceptor.process(T, &input.as_bytes()[start..end], &mut out);
            start += consumed;
            acceptor = match next {
                Handshake::Reading(acceptor) => {
                    assert!(end < input.len(), "it is not refused: {input}");
                    end = input.len().min(end.saturating_add(cut));
                    acceptor
                }
                Handshake::Opened(opened) => opened.accept(T, [Secret::new("s")].into(), &mut out),
                Handshake::Authenticated(_) => panic!("nothing is proved: {input}"),
                Handshake::Closed => return (None, String::from_utf8(out).unwrap()),
                Handshake::Failed(error) => {
                    return (Some(alloc::format!("{error}")), String::from_utf8(out).unwrap());
                }
            };
        }
    };
    let whole = told(usize::MAX);
    for cut in [1, 2, 7, 64] {
        assert_eq!(told(cut), whole, "{input} in pieces of {cut}");
    }
    whole
}

#[test]
fn a_plain_stanza_is_handed_on_byte_for_byte() {
    let stanza = "<message from='a@comp.example/r' to='peer.example' id='1'><body>x &amp; y</body></message>";
    assert_eq!(all_cuts(HEADER, stanza.as_bytes()), (stanza.into(), String::new()));
}

#[test]
fn fault_10_the_declarations_of_a_stanza_become_those_of_the_receivers_stream() {
    let accept = "jabber:component:accept";
    for (input, delivered) in [
        // Whatever their prefix and spelling, and wherever they stand.
        (
            "<message xmlns:a='jabber:client' from='comp.example' xmlns:b = \"jabber:&#115;erver\" to='P.example' xmlns:c='urn:c'><a:body/></message>".into(),
            format!("<message xmlns:a='{accept}' from='comp.example' xmlns:b = \"{accept}\" to='p.example' xmlns:c='urn:c'><a:body/></message>"),
        ),
        (
            "<c:message xmlns='jabber:server' xmlns:c='jabber:client' from='comp.example' to='p.example'/>".into(),
            format!("<message xmlns:c='{accept}' from='comp.example' to='p.example'/>"),
        ),
        (
            "<c:message xmlns:c='jabber:client'\r to='p.example' a='>\r'><c:a b='x&#0000000065;'><![CDATA[>]]></c:a></c:message>".into(),
            format!("<message from='comp.example' xmlns:c='{accept}'  to='p.example' a='> '><c:a b='x&#x41;'>&gt;</c:a></message>"),
        ),
        // Those further inside stay.
        (
            "<message from='comp.example' to='p.example'><f xmlns='urn:f'><c:message xmlns:c='jabber:client'/></f></message>".into(),
            "<message from='comp.example' to='p.example'><f xmlns='urn:f'><c:message xmlns:c='jabber:client'/></f></message>".into(),
        ),
        (
            "<c:message xmlns:c='jabber:client' from='comp.example' to='p.example'><f xmlns='urn:f'><message xmlns='jabber:client'/></f></c:message>".into(),
            format!("<message xmlns:c='{accept}' from='comp.example' to='p.example'><f xmlns='urn:f'><message xmlns='jabber:client'/></f></message>"),
        ),
    ] {
        let input: String = input;
        assert_eq!(all_cuts(HEADER, input.as_bytes()).0, delivered, "{input}");
    }
    // A prefix of the header, where the stanza has it, and where only something inside has.
    let header = b"<stream:stream xmlns:c='jabber:client' xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='comp.example'>";
    for (name, uri) in [("c:message", accept), ("message", "jabber:client")] {
        let input = format!("<{name} from='comp.example' to='p.example'><c:body/></{name}>");
        let delivered =
            format!("<message xmlns:c='{uri}' from='comp.example' to='p.example'><c:body/></message>");
        assert_eq!(all_cuts(header, input.as_bytes()).0, delivered);
    }
    // Under one name, these two attributes would be one.
    let twice =
        "<message xmlns:a='jabber:client' xmlns:b='jabber:component:accept' a:x='' b:x='' to='p.example'/>";
    let (delivered, out) = all_cuts(HEADER, twice.as_bytes());
    assert!(delivered.is_empty() && out.contains("<policy-violation"), "{out}");
}

#[test]
fn what_may_not_be_handed_on_is_written_anew() {
    for (input, delivered) in [
        (
            "<message xmlns='jabber:client' from='comp.example' to='PEER.example.'><body/></message>",
            "<message from='comp.example' to='peer.example'><body/></message>",
        ),
        ("<message to='peer.example'/>", "<message from='comp.example' to='peer.example'/>"),
        (
            "<c:message xmlns:c='jabber:component:accept' from='comp.example' to='p.example'><c:body>x</c:body></c:message >",
            "<message xmlns:c='jabber:component:accept' from='comp.example' to='p.example'><c:body>x</c:body></message>",
        ),
        (
            "<c:message xmlns:c='jabber:client' from='comp.example' to='p.example'><c:body>x</c:body></c:message>",
            "<message xmlns:c='jabber:component:accept' from='comp.example' to='p.example'><c:body>x</c:body></message>",
        ),
        ("<message to='a&amp;b.example'/>", ""),
        (
            "<message from='comp.example' to='p&#x2e;example'><x><![CDATA[<&]]></x></message>",
            "<message from='comp.example' to='p.example'><x>&lt;&amp;</x></message>",
        ),
    ] {
        assert_eq!(all_cuts(HEADER, input.as_bytes()).0, delivered, "{input}");
    }
    let around_an_edit = "<message from='comp.example' to='P.example' a='>\r>' b='>'>x\r</message>";
    assert_eq!(
        all_cuts(HEADER, around_an_edit.as_bytes()).0,
        "<message from='comp.example' to='p.example' a='> >' b='>'>x\n</message>"
    );
    let header = b"<s:stream xmlns:foo='urn:foo' xmlns='jabber:component:accept' xmlns:s='http://etherx.jabber.org/streams' to='comp.example'>";
    assert_eq!(
        all_cuts(header, b"<message from='comp.example' to='p.example'><foo:x s:a='1'/></message></s:stream>"),
        ("<message xmlns:foo='urn:foo' xmlns:s='http://etherx.jabber.org/streams' from='comp.example' to='p.example'><foo:x s:a='1'/></message>".into(), "</stream:stream>".into())
    );
}

#[test]
fn refused_stanzas_are_answered_and_the_stream_lives_on() {
    let (delivered, out) = all_cuts(
        HEADER,
        b"<message from='a@evil.example' to='peer.example' id='1'/><iq type='result' id='2'/> <presence from='comp.example' to='p.example'/>",
    );
    assert_eq!(delivered, "<presence from='comp.example' to='p.example'/>");
    assert_eq!(out, "<message from='peer.example' to='comp.example' id='1' type='error'><error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>the &apos;from&apos; is not of the component&apos;s own domain</text></error></message>".replace("&apos;", "'"));
}

#[test]
fn an_attribute_given_twice_under_two_prefixes_is_seen_however_its_namespace_is_written() {
    let header = b"<s:stream xmlns:h='urn:h' xmlns:i='urn:h' xmlns='jabber:component:accept' xmlns:s='http://etherx.jabber.org/streams' to='comp.example'>";
    for (attributes, refused) in [
        ("xmlns:p='urn:x' xmlns:q='urn:x' p:a='' q:a=''", true),
        ("xmlns:p='urn:x' xmlns:q='urn:&#120;' p:a='' q:a=''", true),
        ("xmlns:p='urn:x' xmlns:q='urn:y' p:a='' q:a=''", false),
        ("xmlns:p='urn:x' xmlns:q='urn:x' p:a='' q:b='' a=''", false),
        ("xmlns:p='urn:&#104;' p:a='' h:a=''", true),
        ("h:a='' i:a=''", true),
        ("i:a='' xmlns:h='urn:z' h:a='' s:a=''", false),
        ("xml:lang='en' xmlns:xml='http://www.w3.org/XML/1998/namespace' h:lang=''", false),
    ] {
        let stanza = alloc::format!("<message to='p.example'><x {attributes}/></message>");
        let (_, out) = all_cuts(header, stanza.as_bytes());
        assert_eq!(out.contains("<not-well-formed"), refused, "{attributes}: {out}");
    }
}

#[test]
fn a_carriage_return_in_the_header_is_a_blank_as_everywhere() {
    let header = |to: &str| {
        alloc::format!(
            "<?xml version='1.0'?>\r\n<stream:stream\rxmlns='jabber:component:accept'\r\n xmlns:stream='http://etherx.jabber.org/streams' note='a\rb' to='{to}'>"
        )
    };
    established(header("comp.example").as_bytes());
    for bad in ["comp.example\r", "comp.example\r\n", "comp\r.example", "\rcomp.example"] {
        let (told, _) = ended(&header(bad), &Arc::default());
        assert!(told.is_some_and(|told| told.starts_with("host-unknown: ")), "{bad:?}");
    }
}

#[test]
fn a_wrong_default_namespace_is_invalid_however_odd() {
    for namespace in ["jabber:component:accept ", "jabber:client", "", "a|b"] {
        let header = alloc::format!(
            "<s:stream xmlns='{namespace}' xmlns:s='http://etherx.jabber.org/streams' to='a.example'>"
        );
        let (told, _) = ended(&header, &Arc::default());
        assert!(told.is_some_and(|told| told.starts_with("invalid-namespace: ")), "{namespace:?}");
    }
}

#[test]
fn blanks_in_the_closing_tag_are_bounded_however_they_are_cut() {
    for (blanks, closes) in [(0, true), (1024, true), (1025, false), (4000, false)] {
        let tag = [b"</stream:stream", &b" ".repeat(blanks)[..], b">"].concat();
        let (_, out) = all_cuts(HEADER, &tag);
        assert_eq!(out == "</stream:stream>", closes, "{blanks} blanks: {out}");
    }
}

#[test]
fn the_answer_to_an_odd_element_has_its_namespace_as_every_parser_takes_it() {
    let (_, out) = all_cuts(HEADER, b"<x\rxmlns='urn:&#000000000120;'/>");
    assert!(
        out.starts_with("<x xmlns='urn:&#x78;' from='host.example' to='comp.example' type='error'>"),
        "{out}"
    );
}

#[test]
fn the_time_of_a_stanza_runs_from_its_first_byte() {
    for begin in ["<", "<!", "</", "<m", " <message to='"] {
        let mut stream = established(HEADER);
        let mut out = Vec::new();
        assert!(stream.process(T, begin.as_bytes(), &mut out).unwrap().event.is_none());
        let overdue = T + stream.limits().stanza_time;
        let error = stream.handle_timeout(overdue, &mut out).unwrap_err();
        assert_eq!(error.condition, crate::StreamCondition::ConnectionTimeout, "{begin}");
    }
}

#[test]
fn a_stanza_that_was_put_back_is_given_again() {
    let mut stream = established(HEADER);
    let mut out = Vec::new();
    let input = b" <presence from='comp.example' to='p.example'/><presence/>";
    let step = stream.process(T, input, &mut out).unwrap();
    assert!(matches!(step.event, Some(ServerEvent::Stanza(_))));
    let again = step.consumed - stream.put_back();
    let step = stream.process(T, &input[again..], &mut out).unwrap();
    let Some(ServerEvent::Stanza(stanza)) = step.event else { panic!() };
    assert_eq!(stanza.raw(), b"<presence from='comp.example' to='p.example'/>");
    let rest = &input[again + step.consumed..];
    assert_eq!(rest, b"<presence/>");
    assert!(matches!(stream.process(T, rest, &mut out).unwrap().event, Some(ServerEvent::Rejected(_))));
}

#[test]
fn a_component_of_ours_meets_a_server_of_ours() {
    let limits = Arc::new(Limits::default());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let client =
        Initiator::connect(domain("comp.example"), false, Secret::new("s"), Arc::clone(&limits), T, &mut up);
    let id = StreamId::from_random(1);
    let (_, next) = Acceptor::new(domain("host.example"), id, limits, T).process(T, &up, &mut down);
    let Handshake::Opened(opened) = next else { panic!() };
    let server = opened.accept(T, [Secret::new("s")].into(), &mut down);
    up.clear();
    let (_, next) = client.process(T, &down, &mut up);
    let Initiating::Reading(client) = next else { panic!() };
    let (_, next) = server.process(T, &up, &mut down);
    let Handshake::Authenticated(proved) = next else { panic!("{}", String::from_utf8_lossy(&up)) };
    down.clear();
    let mut server = proved.bind(T, true, &mut down);
    down.extend_from_slice(b"<message/>");
    let (used, next) = client.process(T, &down, &mut up);
    let Initiating::Established(mut client) = next else { panic!() };
    assert_eq!(&down[used..], b"<message/>");
    down.clear();
    server.fail(crate::error::StreamErrorCause::Shutdown.into(), &mut down);
    let error = client.process(T, &down, &mut up).unwrap_err();
    assert_eq!(alloc::format!("{error}"), "system-shutdown: the peer says: the server is shutting down");
}

#[test]
fn an_element_of_another_namespace_is_answered_under_its_own_name() {
    for (element, answer) in [
        ("<x:iq xmlns:x='urn:x' id='1'/>", "<iq xmlns='urn:x' "),
        ("<s:features/>", "<features xmlns='http://etherx.jabber.org/streams' "),
        ("<foo xmlns='urn:foo'/>", "<foo xmlns='urn:foo' "),
        ("<foo/>", "<foo from="),
        ("<xml:x/>", "<x xmlns='' from="),
    ] {
        let header = b"<s:stream xmlns='jabber:component:accept' xmlns:s='http://etherx.jabber.org/streams' to='comp.example'>";
        let (_, out) = all_cuts(header, element.as_bytes());
        assert!(out.starts_with(answer), "{element}: {out}");
    }
}

#[test]
fn a_header_that_names_no_domain_is_told_what_it_asked_for() {
    let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='a b&#10;'>";
    let (_, out) = ended(header, &Arc::default());
    assert!(out.contains("<host-unknown") && out.contains("\"a b\\n\""), "{out}");
}

#[test]
fn of_two_faults_in_one_text_the_first_is_told() {
    let input = [
        b"<message from='comp.example' to='p.example'><body>",
        "é\u{fffe}é".as_bytes(),
        b"\xff</body></message>",
    ]
    .concat();
    let (_, out) = all_cuts(HEADER, &input);
    assert!(out.contains("<not-well-formed"), "{out}");
}

#[test]
fn a_stream_that_has_ended_takes_what_comes_and_says_nothing() {
    let mut stream = established(HEADER);
    let mut out = Vec::new();
    assert_eq!((stream.domain(), stream.is_closed()), (&domain("comp.example"), false));
    stream.handle_eof();
    assert!(stream.is_closed() && stream.poll_timeout().is_none());
    stream.close(&mut out);
    stream.fail(crate::error::StreamErrorCause::Shutdown.into(), &mut out);
    let step = stream.process(T, b"<message/>", &mut out).unwrap();
    assert_eq!((step.consumed, step.event.is_none(), &*out), (10, true, &b""[..]));
    stream.release();
    assert_eq!(stream.handle_timeout(T, &mut out), Ok(()));
}

#[test]
fn the_time_of_a_stanza_stands_still_while_nothing_is_read() {
    let limits = Limits { keepalive: None, ..Limits::default() };
    let time = limits.stanza_time;
    let mut open = open::Open::new(Arc::new(limits), T);
    open.authenticated(T);
    let (half, mut out) = (time / 2, Vec::new());
    assert_eq!(open.poll_timeout(), None);
    assert!(open.next(T, b"<a>").is_ok_and(|next| next.1.is_none()));
    assert_eq!(open.poll_timeout(), Some(T + time));
    open.set_reading(T + half, true);
    open.set_reading(T + half, false);
    open.set_reading(T + half, false);
    // What was found of the stanza is kept.
    open.release();
    assert_eq!(open.poll_timeout(), None);
    let later = T + time * 3;
    assert_eq!(open.handle_timeout(later, &mut out), Ok(()));
    open.set_reading(later, true);
    assert_eq!(open.poll_timeout(), Some(later + half));
    let next = open.next(later, b"<a></a>").unwrap();
    assert!(matches!(next, (7, Some(open::First::Element(b"<a></a>")))));
    assert_eq!(open.poll_timeout(), None);
    // While it is not read, the time of one that begins does not.
    open.set_reading(later, false);
    assert!(open.next(later, b"<b").is_ok());
    assert_eq!(open.poll_timeout(), None);
}
