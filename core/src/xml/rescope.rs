//! Which declarations of a first-level element are rewritten: what they call the stream's own namespace is called
//! `jabber:component:accept` on the receiver's stream (RFC 6120, 4.8.3).

use super::rewrite::same_value;
use super::scope::namespace_key;
use super::span::Span;
use super::tag::attributes_from;
use crate::namespaces as ns;

/// Components are to write `jabber:component:accept`; old libraries write the other two.
pub(super) fn is_content_namespace(uri: &[u8]) -> bool {
    is_foreign(uri) || same_value(uri, ns::COMPONENT.as_bytes())
}

/// One number for the keys of the three, which are one namespace for the receiver; others stay themselves.
pub(super) fn content_group(key: u64) -> u64 {
    const COMPONENT: u64 = namespace_key(ns::COMPONENT.as_bytes());
    const CLIENT: u64 = namespace_key(ns::CLIENT.as_bytes());
    const SERVER: u64 = namespace_key(ns::SERVER.as_bytes());
    if matches!(key, CLIENT | SERVER) { COMPONENT } else { key }
}

/// Is it one of the other two?
pub(crate) fn is_foreign(uri: &[u8]) -> bool {
    [ns::CLIENT, ns::SERVER].iter().any(|known| same_value(uri, known.as_bytes()))
}

/// The values between these offsets of a scanned start tag, each behind a blank or a closing quote, that bind a prefix
/// to one of the other two.
pub(crate) fn foreign_declarations(bytes: &[u8], from: usize, to: usize) -> impl Iterator<Item = Span> {
    attributes_from(bytes, from)
        .take_while(move |attribute| (attribute.whole.end as usize) <= to)
        .filter(|attribute| attribute.name.prefix(bytes) == b"xmlns" && is_foreign(attribute.value.of(bytes)))
        .map(|attribute| attribute.value)
}
