//! The children of a stanza, read where they stand, without a parser. The first child of a request says what is asked.

use super::names::leading_blanks;
use super::rewrite;
use super::scan::Head;
use super::scope::{Prefix, header_uri};
use super::tag::checked_start_tag;

/// A child element of a stanza that the scan took.
#[derive(Debug)]
pub(crate) struct Child<'a> {
    local: &'a [u8],
    /// Its namespace name as it is written; empty where it is the stanza's own.
    namespace: &'a [u8],
    has_node: bool,
}

impl<'a> Child<'a> {
    /// Looks for the first one behind the stanza's start tag. `header`: the prefixes that only the sender's header declared. `None` if it
    /// does not end within [`NEAR`]: it asks for nothing that a host knows, and this costs nothing for its length.
    pub(crate) fn first(bytes: &'a [u8], head: &Head, header: &'a [Prefix]) -> Option<Self> {
        let tag = &bytes[..(head.end as usize).min(NEAR)];
        let bytes = &bytes[..bytes.len().min(head.end as usize + NEAR)];
        let (mut child, prefix, end) = Self::at(bytes, first_child(bytes, head)?)?;
        if !matches!(bytes.get(end), Some(b'>' | b'/')) {
            return None;
        }
        if child.namespace.is_empty() && !prefix.is_empty() {
            let uri = || header_uri(header, core::str::from_utf8(prefix).ok()?);
            let outer = declared(tag, prefix).or_else(|| uri().map(str::as_bytes));
            child.namespace = outer.unwrap_or_default();
        }
        Some(child)
    }

    /// Reads the start tag at `at`, by itself. Returns its prefix as well, and where its `>` or `/>` is.
    fn at(bytes: &'a [u8], at: usize) -> Option<(Self, &'a [u8], usize)> {
        let (name, attributes) = checked_start_tag(bytes, at)?;
        let prefix = name.prefix(bytes);
        let (mut namespace, mut has_node, mut end) = (None, false, name.end());
        for attribute in attributes {
            let written = attribute.name.whole(bytes);
            has_node |= written == b"node";
            end = attribute.whole.end as usize;
            if declares(written, prefix) {
                namespace = Some(attribute.value.of(bytes));
            }
        }
        end += leading_blanks(bytes.get(end..)?);
        let namespace = namespace.unwrap_or_default();
        Some((Self { local: name.local(bytes), namespace, has_node }, prefix, end))
    }

    /// Is it the element of that name in that namespace?
    pub(crate) fn is(&self, name: &str, namespace: &str) -> bool {
        self.local == name.as_bytes() && self.is_in(namespace)
    }

    /// Is it in that namespace?
    pub(crate) fn is_in(&self, namespace: &str) -> bool {
        rewrite::same_value(self.namespace, namespace.as_bytes())
    }

    /// Is it the element of that name in the stanza's own namespace?
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.local == name.as_bytes() && self.namespace.is_empty()
    }

    /// It has a `node`, as a request of service discovery may (XEP-0030).
    pub(crate) fn has_node(&self) -> bool {
        self.has_node
    }
}

/// The child elements of a stanza as it was written for its receiver: checked, without CDATA sections, and with every prefix
/// that it uses declared.
pub(crate) fn children(stanza: &[u8]) -> impl Iterator<Item = Child<'_>> {
    let (mut at, mut depth) = (0, 0);
    core::iter::from_fn(move || {
        loop {
            at += memchr::memchr(b'<', stanza.get(at..)?)?;
            if stanza.get(at + 1) == Some(&b'/') {
                depth -= 1;
                at += 2;
                continue;
            }
            let (mut child, prefix, end) = Child::at(stanza, at)?;
            let is_empty = stanza.get(end) == Some(&b'/');
            let is_child = depth == 1;
            at = end + 1 + usize::from(is_empty);
            depth += i32::from(!is_empty);
            if is_child {
                if child.namespace.is_empty() && !prefix.is_empty() {
                    child.namespace = declared(stanza, prefix).unwrap_or_default();
                }
                return Some(child);
            }
        }
    })
}

/// Whether an attribute of this name declares the prefix; the default namespace if that is empty.
fn declares(attribute: &[u8], prefix: &[u8]) -> bool {
    match prefix {
        b"" => attribute == b"xmlns",
        prefix => attribute.strip_prefix(b"xmlns:") == Some(prefix),
    }
}

/// What the start tag of a stanza declares a prefix as.
fn declared<'a>(tag: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (_, mut attributes) = checked_start_tag(tag, 0)?;
    let outer = attributes.find(|attribute| declares(attribute.name.whole(tag), prefix));
    outer.map(|outer| outer.value.of(tag))
}

/// Bytes of a stanza's start tag, and behind it, that are looked at.
const NEAR: usize = 4096;

/// Where the first child begins; text and CDATA sections may stand before it.
fn first_child(bytes: &[u8], head: &Head) -> Option<usize> {
    let mut at = head.end as usize;
    loop {
        at += memchr::memchr(b'<', bytes.get(at..)?)?;
        match &bytes[at..] {
            [b'<', b'!', section @ ..] => at += 2 + memchr::memmem::find(section, b"]]>")?,
            [b'<', b'/', ..] => return None,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;
    use crate::limits::Limits;
    use crate::xml::scan::Scan;

    #[test]
    fn child_that_is_far_or_long_is_not_looked_for() {
        let asks = |tag: &str, before: &str, child: &str| {
            let request = format!("<iq{tag} xmlns:p='urn:xmpp:ping'>{before}{child}</iq>");
            let mut scan = Scan::default();
            scan.advance(request.as_bytes(), &Limits::default(), &[]).unwrap();
            Child::first(request.as_bytes(), scan.head(), &[])
                .map(|child| (child.is("ping", "urn:xmpp:ping"), child.has_node()))
        };
        let long = "x".repeat(4000);
        let sections = "<![CDATA[]]>".repeat(400);
        let child = "<ping xmlns='urn:xmpp:ping'/>";
        assert_eq!(asks("", "<![CDATA[]]> ", child), Some((true, false)));
        assert_eq!(
            asks("", "", &format!("<ping xmlns='urn:xmpp:ping' a='{long}' node=''/>")),
            Some((true, true))
        );
        assert_eq!(asks("", "", "<p:ping node=''\n/>"), Some((true, true)));
        assert_eq!(asks("", &sections, child), None);
        assert_eq!(asks("", "", &format!("<ping xmlns='urn:xmpp:ping' a='{long}' b='{long}'/>")), None);
        assert_eq!(asks(&format!(" a='{long}{long}'"), "", "<p:ping/>"), Some((false, false)));
    }

    #[test]
    fn children_are_found_at_one_depth_with_their_namespaces() {
        let stanza = "<message xmlns:p='urn:p' a='>'>x<body>1 &lt; 2</body ><a xmlns='urn:a'><b/><p:c>/></p:c></a>\
            <p:d/><q:e xmlns:q = \"urn:q\" b='/>'\n/>y</message>";
        let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
        let found: Vec<_> =
            children(stanza.as_bytes()).map(|child| (text(child.local), text(child.namespace))).collect();
        let wanted = [("body", ""), ("a", "urn:a"), ("d", "urn:p"), ("e", "urn:q")];
        assert_eq!(found, wanted.map(|(local, namespace)| (local.into(), namespace.into())));
        let spelled = b"<message><x xmlns='http://jabber.org/protocol/mu&#99;'/></message>";
        assert!(children(spelled).all(|child| child.is("x", "http://jabber.org/protocol/muc")));
        for empty in ["<message/>", "<message a='b' />", "<message></message>", "<message>text</message>"] {
            assert_eq!(children(empty.as_bytes()).count(), 0, "{empty}");
        }
    }
}
