//! The stream header says to us what it says to libexpat.

use std::sync::Arc;

use enjamb_core::jid::Domain;
use enjamb_core::stream::{Accepting, Acceptor};
use enjamb_core::{Cause, Instant, StreamId, XmlFault};

use crate::acceptor::check_output;
use crate::connection::{Happened, limits};
use crate::expat;
use crate::tree::{Element, Event};

const STREAMS: &str = "http://etherx.jabber.org/streams";
const COMPONENT: &str = "jabber:component:accept";

/// Takes `data` as the first bytes of a connection.
///
/// # Panics
/// We take a header that expat refuses, or read another name, namespace, domain or `is_subdomain` in it; or refuse one as
/// not well-formed that expat takes, but for a list; or our answer is no document.
pub fn header_is_read_as_expat_does(data: &[u8]) {
    let host = Domain::parse("localhost").expect("it is a domain");
    let id = StreamId::from_text("3BF96D32").expect("letters and digits");
    let acceptor = Acceptor::new(host, id, Arc::new(limits()), Instant::ORIGIN);
    let mut out = Vec::new();
    let shown = String::from_utf8_lossy(data);
    let (consumed, next) = acceptor.process(data, &mut out);
    match next {
        Accepting::Reading(_) => {
            assert!(out.is_empty() && consumed == data.len());
            let theirs = expat::read(data, false);
            assert!(theirs.error.is_some() || theirs.root.is_none(), "only expat sees the header: {shown}");
        }
        Accepting::Opened(opened) => {
            assert!(out.is_empty());
            let header = &data[..consumed];
            let theirs = expat::read(header, false);
            assert_eq!(theirs.error, None, "only we take the header: {shown}");
            let root = theirs.root.expect("we have seen its end");
            assert_eq!(root.name, (STREAMS.into(), "stream".into()), "{shown}");
            let asked = Domain::parse(attribute(&root, "to").expect("it was taken as one with 'to'"));
            assert_eq!(asked.as_ref(), Ok(opened.domain()), "{shown}");
            let is_subdomain = matches!(attribute(&root, "is_subdomain"), Some("true" | "1"));
            assert_eq!(is_subdomain, opened.is_subdomain(), "{shown}");
            if !header.ends_with(b"/>") {
                assert_eq!(namespace_inside(header), COMPONENT, "{shown}");
            }
        }
        Accepting::Failed(error) => {
            let theirs = expat::read(data, false);
            if let Cause::EarlyXml(fault) = error.cause
                && !is_rule_of_ours(fault)
                && !is_other_encoding(data)
            {
                assert!(theirs.error.is_some() || theirs.root.is_none(), "only we refuse: {fault}: {shown}");
            }
            check_output(&out, Some(&Happened::Failed(error)));
        }
    }
}

fn attribute<'a>(element: &'a Element, name: &str) -> Option<&'a str> {
    let found =
        element.attributes.iter().find(|((namespace, local), _)| namespace.is_empty() && local == name);
    found.map(|(_, value)| &**value)
}

/// The default namespace that the header leaves to what follows.
fn namespace_inside(header: &[u8]) -> String {
    let inside = expat::read(&[header, b"<x/>"].concat(), false);
    match inside.tree.0.into_iter().next() {
        Some(Event::Start(element)) => element.name.0,
        other => panic!("an element inside the header's is none: {other:?}"),
    }
}

/// May a header be refused that expat takes?
fn is_rule_of_ours(fault: XmlFault) -> bool {
    match fault {
        // expat is told that it is UTF-8, and does not compare that with what the declaration says.
        XmlFault::NotUtf8
        | XmlFault::Restricted(_)
        | XmlFault::UnportableName
        | XmlFault::UnportableNamespace
        | XmlFault::LongName { .. }
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
