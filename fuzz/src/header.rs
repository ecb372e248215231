//! The stream header says to us what it says to libexpat.

use std::sync::Arc;

use enjamb_core::jid::Domain;
use enjamb_core::stream::{Acceptor, Handshake};
use enjamb_core::{Instant, StreamErrorCause, StreamId, XmlFault};

use crate::acceptor::check_output;
use crate::connection::{Connection, HANDSHAKE, Happened, RECEIVING, limits};
use crate::expat;
use crate::tree::{Event, Tree};

const STREAMS: &str = "http://etherx.jabber.org/streams";
const COMPONENT: &str = "jabber:component:accept";

/// Takes `data` as the first bytes of a connection.
///
/// # Panics
/// We take a header that expat refuses, or read another name, namespace, prefix, domain or `is_subdomain` in it; or hand on
/// its prefixes so that they mean something else; or refuse one as not well-formed that expat takes, but for a list; or our
/// answer is no document.
pub fn header_is_read_as_expat_does(data: &[u8]) {
    let host = Domain::parse("localhost").expect("it is a domain");
    let id = StreamId::from_text("3BF96D32").expect("letters and digits");
    let acceptor = Acceptor::new(host, id, Arc::new(limits()), Instant::ORIGIN);
    let mut out = Vec::new();
    let shown = String::from_utf8_lossy(data);
    let (consumed, next) = acceptor.process(Instant::ORIGIN, data, &mut out);
    match next {
        Handshake::Reading(_) => {
            assert!(out.is_empty() && consumed == 0);
            let (theirs, error) = expat::read(data, false);
            assert!(error.is_some() || theirs.root.is_none(), "only expat sees the header: {shown}");
        }
        Handshake::Opened(opened) => {
            assert!(out.is_empty());
            let header = &data[..consumed];
            let (theirs, error) = expat::read(header, false);
            assert_eq!(error, None, "only we take the header: {shown}");
            let root = theirs.root.expect("we have seen its end");
            assert_eq!(root.name, (STREAMS.into(), "stream".into()), "{shown}");
            let asked = Domain::parse(root.attribute("to").expect("it was taken as one with 'to'"));
            assert_eq!(asked.as_ref(), Ok(opened.domain()), "{shown}");
            let is_subdomain = matches!(root.attribute("is_subdomain"), Some("true" | "1"));
            assert_eq!(is_subdomain, opened.is_subdomain(), "{shown}");
            if !header.ends_with(b"/>") {
                assert_eq!(namespace_inside(header), COMPONENT, "{shown}");
                for prefix in names_behind(header, b"xmlns:") {
                    prefix_is_handed_on(header, prefix);
                }
            }
        }
        Handshake::Authenticated(_) | Handshake::Closed => panic!("the header is not answered yet: {shown}"),
        Handshake::Failed(error) => {
            let (theirs, refused) = expat::read(data, false);
            if let StreamErrorCause::EarlyXml(fault) = error.cause
                && !is_rule_of_ours(fault)
                && !is_other_encoding(data)
            {
                assert!(refused.is_some() || theirs.root.is_none(), "only we refuse: {fault}: {shown}");
            }
            check_output(&out, Some(&Happened::Failed(error)));
        }
    }
}

/// The default namespace that the header leaves to what follows.
fn namespace_inside(header: &[u8]) -> String {
    let (inside, _) = expat::read(&[header, b"<x/>"].concat(), false);
    match inside.tree.0.into_iter().next() {
        Some(Event::Start(element)) => element.name.0,
        other => panic!("an element inside the header's gives no event: {other:?}"),
    }
}

/// What may be the names of prefixes: not all that stand in the header need be declared.
fn names_behind<'a>(header: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let places = (0..header.len()).filter(move |&at| header[at..].starts_with(mark));
    let names = places.map(move |at| {
        let rest = &header[at + mark.len()..];
        &rest[..rest.iter().position(|byte| b" \t\r\n=<>'\"/&;".contains(byte)).unwrap_or(rest.len())]
    });
    names.filter(|name| !name.is_empty())
}

/// A prefix behind the header means the same to us and to expat, and to the receiver of a stanza that uses it.
fn prefix_is_handed_on(header: &[u8], prefix: &[u8]) {
    let stanza = [b"<message from='a.localhost' to='localhost'><", prefix, b":x/></message>"].concat();
    let (theirs, error) = expat::read(&[header, &stanza].concat(), false);
    let mut connection = Connection::new(limits(), false);
    for piece in [header, HANDSHAKE, &stanza] {
        connection.feed(piece);
    }
    let shown = String::from_utf8_lossy(header);
    match connection.events.last() {
        Some(Happened::Stanza(delivery)) => {
            let (got, got_error) = expat::read(&[RECEIVING, &delivery.bytes].concat(), false);
            assert_eq!((error, got_error), (None, None), "{shown}");
            assert_eq!(child(&got.tree), child(&theirs.tree), "{shown}");
        }
        Some(Happened::Failed(_)) => assert!(error.is_some(), "only we refuse a prefix: {shown}"),
        other => panic!("neither taken nor refused: {other:?}: {shown}"),
    }
}

/// The name of the first element inside the stanza.
fn child(tree: &Tree) -> Option<&(String, String)> {
    let mut starts = tree.0.iter().filter_map(|event| match event {
        Event::Start(element) => Some(&element.name),
        _ => None,
    });
    starts.nth(1)
}

/// May a header be refused that expat takes?
fn is_rule_of_ours(fault: XmlFault) -> bool {
    match fault {
        // expat is told that it is UTF-8, and does not compare that with what the declaration says.
        XmlFault::NotUtf8
        | XmlFault::Restricted(_)
        | XmlFault::UnportableName
        | XmlFault::UnportableNamespace
        | XmlFault::AmbiguousAttribute
        | XmlFault::LongName { .. }
        | XmlFault::LongReference { .. }
        | XmlFault::ManyAttributes { .. } => true,
        // `standalone` without `encoding` before it, which rxml does not take.
        XmlFault::NotWellFormed(what) => what.starts_with("'version' attribute must be followed by"),
        _ => false,
    }
}

/// expat takes UTF-16 and a byte order mark, whatever it is told; RFC 6120 section 11.6 allows neither.
fn is_other_encoding(data: &[u8]) -> bool {
    data.contains(&0)
        || [&b"\xef\xbb\xbf"[..], b"\xfe\xff", b"\xff\xfe"].iter().any(|mark| data.starts_with(mark))
}
