//! Namespaces in scope: which prefix stands for what, and where it is declared.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::XmlFault;
use super::escape::push_value;
use super::names::{is_portable_namespace, is_portable_namespace_byte};
use super::order::{Found, Order, hash};
use super::span::Span;
use super::text::reference;
use crate::namespaces as ns;

/// A prefix of a stream header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) name: Cow<'static, str>,
    pub(crate) uri: Cow<'static, str>,
    key: u64,
}

impl Prefix {
    pub(super) fn new(name: Cow<'static, str>, uri: Cow<'static, str>) -> Self {
        let key = namespace_key(uri.as_bytes());
        Self { name, uri, key }
    }

    /// Appends a declaration of it that means `uri`, as a stanza has it that uses it.
    pub(crate) fn declare(&self, uri: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b" xmlns:");
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"='");
        push_value(out, uri, b'\'');
        out.push(b'\'');
    }
}

static USUAL: [Prefix; 1] = [Prefix {
    name: Cow::Borrowed("stream"),
    uri: Cow::Borrowed(ns::STREAMS),
    key: namespace_key(ns::STREAMS.as_bytes()),
}];

/// Prefixes that a stream header declared. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum HeaderPrefixes {
    /// `stream` alone. Apart from others, since nearly every header is so: it costs a connection no memory.
    #[default]
    Usual,
    Others(Arc<[Prefix]>),
}

/// From pairs of a prefix and its namespace name.
impl From<Vec<(Cow<'static, str>, Cow<'static, str>)>> for HeaderPrefixes {
    fn from(pairs: Vec<(Cow<'static, str>, Cow<'static, str>)>) -> Self {
        let mut prefixes: Vec<_> = pairs.into_iter().map(|(name, uri)| Prefix::new(name, uri)).collect();
        if prefixes == USUAL {
            return Self::Usual;
        }
        prefixes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self::Others(prefixes.into())
    }
}

impl HeaderPrefixes {
    /// The most bytes that they add to a stanza. That of the streams namespace does not count, as no stanza can do without.
    pub(crate) fn longest_addition(&self) -> usize {
        let mut declared = Vec::new();
        for prefix in self.as_slice().iter().filter(|prefix| prefix.uri != ns::STREAMS) {
            prefix.declare(&prefix.uri, &mut declared);
        }
        declared.len()
    }

    /// In the order of their names.
    pub(crate) fn as_slice(&self) -> &[Prefix] {
        match self {
            Self::Usual => &USUAL,
            Self::Others(prefixes) => prefixes,
        }
    }
}

fn find(header: &[Prefix], prefix: &[u8]) -> Option<usize> {
    header.binary_search_by(|declared| declared.name.as_bytes().cmp(prefix)).ok()
}

/// The namespace that a header binds a prefix to.
pub(super) fn header_uri<'a>(header: &'a [Prefix], prefix: &str) -> Option<&'a str> {
    find(header, prefix.as_bytes()).map(|index| &*header[index].uri)
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    pub(super) prefix: Span,
    pub(super) uri: Span,
    /// The same for the same namespace, so that attributes are told apart without looking at it again.
    pub(super) key: u64,
    pub(super) depth: u16,
}

/// A number that stands for a namespace name: FNV-1a. A sender that finds two names with one number can only make
/// stanzas that are refused, so its weakness opens nothing.
pub(super) const fn namespace_key(uri: &[u8]) -> u64 {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < uri.len() {
        hash = (hash ^ uri[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    hash
}

/// What a prefix stands for.
#[derive(Clone, Copy)]
pub(super) struct Resolved<'a> {
    pub(super) uri: &'a [u8],
    pub(super) key: u64,
    /// The bit of the stream header's declaration, if it is one of those.
    pub(super) inherited: u32,
    pub(super) declared: Namespace,
}

/// The prefixes that the open elements declare.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// The innermost last.
    declared: Vec<Declared>,
    /// By prefix, once they are more than a few. It stays until none is left, so that a declaration that comes and goes costs
    /// one step.
    order: Order,
}

impl Scope {
    /// Up to this many are compared one by one.
    const FEW: usize = 8;

    pub(super) fn len(&self) -> usize {
        self.declared.len()
    }

    pub(super) fn push(&mut self, declared: Declared, input: &[u8]) {
        self.declared.push(declared);
        if !self.order.is_empty() {
            self.note(self.declared.len() - 1, input);
        } else if self.declared.len() > Self::FEW {
            (0..self.declared.len()).for_each(|place| self.note(place, input));
        }
    }

    fn note(&mut self, place: usize, input: &[u8]) {
        let prefix = self.declared[place].prefix.of(input);
        let at = self.find(prefix, input).map_or_else(|at| at, |found| found.behind);
        self.order.insert(at, hash(prefix), place);
    }

    /// Takes back the declarations of an element that ends.
    #[inline(always)]
    pub(super) fn close(&mut self, depth: u16, input: &[u8]) {
        if self.declared.last().is_some_and(|last| last.depth == depth) {
            self.pop(depth, input);
        }
    }

    fn pop(&mut self, depth: u16, input: &[u8]) {
        while let Some(last) = self.declared.last().filter(|last| last.depth == depth) {
            if let Ok(found) = self.find(last.prefix.of(input), input) {
                self.order.remove(found);
            }
            self.declared.pop();
        }
    }

    fn find(&self, prefix: &[u8], input: &[u8]) -> Result<Found, usize> {
        self.order.find(hash(prefix), |place| self.declared[place].prefix.of(input).cmp(prefix))
    }

    fn innermost(&self, prefix: &[u8], input: &[u8]) -> Option<&Declared> {
        if self.order.is_empty() {
            return self.declared.iter().rev().find(|declared| declared.prefix.of(input) == prefix);
        }
        self.find(prefix, input).ok().map(|found| &self.declared[found.place])
    }

    /// Looks a prefix up: in the open elements, the innermost first, then in the stream header.
    pub(super) fn resolve<'a>(
        &self,
        input: &'a [u8],
        header: &'a [Prefix],
        prefix: &[u8],
    ) -> Result<Resolved<'a>, XmlFault> {
        if prefix == b"xml" {
            let (uri, key) = const { (ns::XML.as_bytes(), namespace_key(ns::XML.as_bytes())) };
            return Ok(Resolved { uri, key, inherited: 0, declared: Namespace::Xml });
        }
        if let Some(inner) = self.innermost(prefix, input) {
            let declared = Namespace::Inner(inner.uri);
            return Ok(Resolved { uri: inner.uri.of(input), key: inner.key, inherited: 0, declared });
        }
        match find(header, prefix) {
            Some(index) => {
                let Prefix { uri, key, .. } = &header[index];
                let declared = Namespace::Header(index);
                Ok(Resolved { uri: uri.as_bytes(), key: *key, inherited: 1 << index, declared })
            }
            None => Err(XmlFault::NotWellFormed("a namespace prefix that is not declared")),
        }
    }

    pub(super) fn release(&mut self) {
        self.declared.shrink_to(0);
        self.order.release();
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
            let mut pairs: Vec<_> = pairs.iter().map(|&(prefix, uri)| (owned(prefix), owned(uri))).collect();
            let kept = HeaderPrefixes::from(pairs.clone());
            pairs.sort();
            let of = |prefix: &Prefix| (prefix.name.clone(), prefix.uri.clone());
            assert_eq!(kept.as_slice().iter().map(of).collect::<Vec<_>>(), pairs);
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
