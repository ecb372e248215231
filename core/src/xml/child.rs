//! The child of a request, which says what is asked: read where it stands, without a parser.

use super::names::leading_blanks;
use super::rewrite;
use super::scan::Head;
use super::scope::{Prefix, header_uri};
use super::tag::checked_start_tag;

/// The first child element of a stanza that the scan took.
#[derive(Debug)]
pub(crate) struct Child<'a> {
    local: &'a [u8],
    /// Its namespace name as it is written; empty where it is the stanza's own.
    namespace: &'a [u8],
    has_node: bool,
}

impl<'a> Child<'a> {
    /// Looks for it behind the stanza's start tag. `header`: the prefixes that only the sender's header declared. `None` if it
    /// does not end within [`NEAR`]: it asks for nothing that a host knows, and this costs nothing for its length.
    pub(crate) fn first(bytes: &'a [u8], head: &Head, header: &'a [Prefix]) -> Option<Self> {
        let tag = &bytes[..(head.end as usize).min(NEAR)];
        let bytes = &bytes[..bytes.len().min(head.end as usize + NEAR)];
        let (name, attributes) = checked_start_tag(bytes, first_child(bytes, head)?)?;
        let prefix = name.prefix(bytes);
        let declares = |written: &[u8]| match prefix {
            b"" => written == b"xmlns",
            prefix => written.strip_prefix(b"xmlns:") == Some(prefix),
        };
        let (mut namespace, mut has_node, mut end) = (None, false, name.end());
        for attribute in attributes {
            let written = attribute.name.whole(bytes);
            has_node |= written == b"node";
            end = attribute.whole.end as usize;
            if declares(written) {
                namespace = Some(attribute.value.of(bytes));
            }
        }
        let behind = &bytes[end..];
        if !matches!(behind.get(leading_blanks(behind)), Some(b'>' | b'/')) {
            return None;
        }
        if namespace.is_none() && !prefix.is_empty() {
            let (_, mut attributes) = checked_start_tag(tag, 0)?;
            let outer = attributes.find(|attribute| declares(attribute.name.whole(tag)));
            let uri = || header_uri(header, core::str::from_utf8(prefix).ok()?);
            namespace = outer.map(|outer| outer.value.of(tag)).or_else(|| uri().map(str::as_bytes));
        }
        Some(Self { local: name.local(bytes), namespace: namespace.unwrap_or_default(), has_node })
    }

    /// Is it the element of that name in that namespace?
    pub(crate) fn is(&self, name: &str, namespace: &str) -> bool {
        self.local == name.as_bytes() && rewrite::same_value(self.namespace, namespace.as_bytes())
    }

    /// It has a `node`, as a request of service discovery may (XEP-0030).
    pub(crate) fn has_node(&self) -> bool {
        self.has_node
    }
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
}
