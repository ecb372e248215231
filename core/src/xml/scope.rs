//! Namespaces in scope: which prefix stands for what, and where it is declared.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::XmlFault;
use super::names::{is_portable_namespace, is_portable_namespace_byte};
use super::tag::Span;
use super::text::reference;
use crate::namespaces as ns;

/// A prefix and its namespace name.
pub(crate) type Prefix = (Cow<'static, str>, Cow<'static, str>);

const USUAL: &[Prefix] = &[(Cow::Borrowed("stream"), Cow::Borrowed(ns::STREAMS))];

/// Prefixes that a stream header declared. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum HeaderPrefixes {
    /// `stream` alone. Apart from others, since nearly every header is so: it costs a connection no memory.
    #[default]
    Usual,
    Others(Arc<Vec<Prefix>>),
}

impl From<Vec<Prefix>> for HeaderPrefixes {
    fn from(mut prefixes: Vec<Prefix>) -> Self {
        if prefixes == USUAL {
            return Self::Usual;
        }
        prefixes.shrink_to_fit();
        Self::Others(Arc::new(prefixes))
    }
}

impl HeaderPrefixes {
    /// In the order of the header.
    pub(crate) fn as_slice(&self) -> &[Prefix] {
        match self {
            Self::Usual => USUAL,
            Self::Others(prefixes) => prefixes,
        }
    }
}

/// The same number for all of a header's declarations of one namespace.
pub(super) fn header_key(header: &[Prefix], uri: &[u8]) -> Option<u64> {
    header.iter().position(|(_, declared)| declared.as_bytes() == uri).map(|index| index as u64)
}

fn find<'a>(header: &'a [Prefix], prefix: &[u8]) -> Option<(usize, &'a str)> {
    let (index, (_, uri)) =
        header.iter().enumerate().find(|(_, (declared, _))| declared.as_bytes() == prefix)?;
    Some((index, uri))
}

/// The namespace that a header binds a prefix to.
pub(super) fn header_uri<'a>(header: &'a [Prefix], prefix: &str) -> Option<&'a str> {
    find(header, prefix.as_bytes()).map(|(_, uri)| uri)
}

/// Where a namespace is declared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Namespace {
    /// In the element: the namespace name as written.
    Inner(Span),
    /// In the stream header: which of its declarations.
    Header(usize),
    /// It is `xml`.
    Xml,
}

/// A declaration inside the element that is scanned.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) prefix: Span,
    pub(super) uri: Span,
    /// The same for the same namespace, so that attributes are told apart without looking at it again.
    pub(super) key: u64,
    pub(super) depth: u16,
}

/// A number that stands for a namespace name: FNV-1a. A sender that finds two names with one number can only make
/// stanzas that are refused, so its weakness opens nothing.
pub(super) fn namespace_key(uri: &[u8]) -> u64 {
    let hash = uri.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    // Apart from the small numbers of the header's.
    hash | (1 << 63)
}

/// What a prefix stands for.
pub(super) struct Resolved<'a> {
    pub(super) uri: &'a [u8],
    pub(super) key: u64,
    /// The bit of the stream header's declaration, if it is one of those.
    pub(super) inherited: u32,
    pub(super) declared: Namespace,
}

/// Looks a prefix up: in the open elements, the innermost first, then in the stream header.
pub(super) fn resolve<'a>(
    declared: &[Declared],
    input: &'a [u8],
    header: &'a [Prefix],
    prefix: &[u8],
) -> Result<Resolved<'a>, XmlFault> {
    if prefix == b"xml" {
        let uri = ns::XML.as_bytes();
        return Ok(Resolved { uri, key: namespace_key(uri), inherited: 0, declared: Namespace::Xml });
    }
    if let Some(inner) = declared.iter().rev().find(|declared| declared.prefix.of(input) == prefix) {
        let declared = Namespace::Inner(inner.uri);
        return Ok(Resolved { uri: inner.uri.of(input), key: inner.key, inherited: 0, declared });
    }
    match find(header, prefix) {
        Some((index, uri)) => {
            let key = header_key(header, uri.as_bytes()).unwrap_or(index as u64);
            let declared = Namespace::Header(index);
            Ok(Resolved { uri: uri.as_bytes(), key, inherited: 1 << index, declared })
        }
        None => Err(XmlFault::NotWellFormed("a namespace prefix that is not declared")),
    }
}

/// Namespaces in XML 1.0, section 3, and what receivers differ on. `prefix` is empty for the default.
pub(super) fn check_namespace(prefix: &[u8], uri: &[u8]) -> Result<(), XmlFault> {
    if (prefix == b"xml") != (uri == ns::XML.as_bytes()) {
        return Err(XmlFault::NotWellFormed("the prefix xml or its namespace bound to another"));
    }
    if prefix == b"xmlns" || uri == ns::XMLNS.as_bytes() {
        return Err(XmlFault::NotWellFormed("the prefix xmlns or its namespace declared"));
    }
    if uri.is_empty() && !prefix.is_empty() {
        return Err(XmlFault::NotWellFormed("a prefix bound to no namespace"));
    }
    if is_portable_namespace(uri) { Ok(()) } else { Err(XmlFault::UnportableNamespace) }
}

/// Where the first character is, in a namespace name as written, for which [`check_namespace`] refuses it.
#[cold]
pub(super) fn unportable_at(written: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = written.get(at) {
        let (fits, next) = match reference(written, at) {
            Ok(Some(found)) if byte == b'&' => {
                (u8::try_from(found.stands_for).is_ok_and(is_portable_namespace_byte), found.end)
            }
            _ => (is_portable_namespace_byte(byte), at + 1),
        };
        if !fits {
            break;
        }
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn only_a_header_that_declares_what_nearly_all_do_is_kept_without_memory() {
        let kept = |pairs: &[(&str, &str)]| {
            let owned = |text: &str| Cow::from(String::from(text));
            let pairs: Vec<Prefix> = pairs.iter().map(|&(prefix, uri)| (owned(prefix), owned(uri))).collect();
            let kept = HeaderPrefixes::from(pairs.clone());
            assert_eq!(kept.as_slice(), pairs);
            kept
        };
        assert_eq!(kept(&[("stream", ns::STREAMS)]), HeaderPrefixes::Usual);
        for odd in [
            &[][..],
            &[("s", ns::STREAMS)],
            &[("stream", "urn:x")],
            &[("stream", ns::STREAMS), ("x", "urn:x")],
            &[("x", "urn:x"), ("stream", ns::STREAMS)],
        ] {
            assert!(matches!(kept(odd), HeaderPrefixes::Others(_)), "{odd:?}");
        }
    }
}
