//! The child of a request, which says what is asked: read where it stands, without a parser.

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
    /// Looks for it behind the stanza's start tag. `header`: the prefixes that only the sender's header declared.
    pub(crate) fn first(bytes: &'a [u8], head: &Head, header: &'a [Prefix]) -> Option<Self> {
        let (name, attributes) = checked_start_tag(bytes, first_child(bytes, head)?)?;
        let prefix = name.prefix(bytes);
        let declares = |written: &[u8]| match prefix {
            b"" => written == b"xmlns",
            prefix => written.strip_prefix(b"xmlns:") == Some(prefix),
        };
        let (mut namespace, mut has_node) = (None, false);
        for attribute in attributes {
            let written = attribute.name.whole(bytes);
            has_node |= written == b"node";
            if declares(written) {
                namespace = Some(attribute.value.of(bytes));
            }
        }
        if namespace.is_none() && !prefix.is_empty() {
            let (_, mut attributes) = checked_start_tag(bytes, 0)?;
            let outer = attributes.find(|attribute| declares(attribute.name.whole(bytes)));
            let uri = || header_uri(header, core::str::from_utf8(prefix).ok()?);
            namespace = outer.map(|outer| outer.value.of(bytes)).or_else(|| uri().map(str::as_bytes));
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
