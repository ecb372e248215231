//! XML as RFC 6120 section 11 allows it, and nothing else.
//!
//! | file | what it does |
//! | --- | --- |
//! | `scan` | finds where a first-level element ends and checks it strictly on the way, once per byte |
//! | `skip` | finds where an element ends that nobody reads, and keeps nothing of it |
//! | `scope` | which prefix stands for which namespace |
//! | `order` | finds a name among many |
//! | `tag`, `attributes`, `span`, `text`, `names` | the scan's parts: start tags, their pieces, character data, characters |
//! | `child` | a stanza's children: for the host that answers, and for what may be held |
//! | `rescope` | which declarations of a stanza mean the stream's own namespace under another name |
//! | `rewrite` | copies a scanned stanza and rewrites the parts that may not be delivered as they came |
//! | `escape` | the one writer of attribute values and text |
//!
//! The scan takes the place of a parser on the stanza path: what it accepts may be handed on byte for byte,
//! because every strict namespace-aware parser accepts it too and sees the same names, attributes and text.
//! Where real parsers differ (names that only XML's fifth edition allows, odd namespace names) it refuses;
//! where careless ones do (CDATA, bare CR, very long character references), `rewrite` writes it plainly.

mod attributes;
pub(crate) mod child;
pub(crate) mod escape;
pub(crate) mod names;
mod order;
pub(crate) mod rescope;
pub(crate) mod rewrite;
pub(crate) mod scan;
pub(crate) mod scope;
pub(crate) mod skip;
pub(crate) mod span;
pub(crate) mod tag;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use thiserror::Error;

/// Where in a first-level element something is wrong, and what.
///
/// The position counts bytes from the element's `<` to the first byte at fault: the byte that may not stand where
/// it stands, or the first one of a name, attribute, reference or tag that is wrong as a whole. It depends on the bytes
/// alone, never on how they were cut into reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{fault} (at byte {at} of the element)")]
pub struct XmlError {
    /// What is wrong.
    pub fault: XmlFault,
    /// Bytes between the start of the first-level element and the fault.
    pub at: usize,
}

impl XmlFault {
    pub(crate) const fn at(self, at: usize) -> XmlError {
        XmlError { fault: self, at }
    }
}

/// What is wrong with a piece of XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum XmlFault {
    /// It breaks XML 1.0 or Namespaces in XML 1.0.
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// RFC 6120 section 11.1 forbids it on a stream.
    #[error("{0} may not appear on a stream (RFC 6120, 11.1)")]
    Restricted(&'static str),
    /// The bytes are no UTF-8 (RFC 6120, 11.6).
    #[error("the bytes are not UTF-8 (RFC 6120, 11.6)")]
    NotUtf8,
    /// A name that not every XML parser accepts (XML 1.0, fourth against fifth edition).
    #[error("a name has a character that XML 1.0 allows only since its fifth edition")]
    UnportableName,
    /// A namespace name with a blank, a control or another character that no URI has.
    #[error("a namespace name has a character that no URI has")]
    UnportableNamespace,
    /// An attribute stands twice in a tag, under prefixes for two of the namespaces that are the stream's own here.
    #[error(
        "an attribute stands twice, in two of jabber:component:accept, jabber:client and jabber:server, which are one here"
    )]
    AmbiguousAttribute,
    /// A name is longer than [`Limits::name`](crate::Limits::name).
    #[error("a name is longer than {limit} bytes")]
    LongName {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A reference has more digits or letters than any character needs.
    #[error("a reference has more than {limit} digits or letters")]
    LongReference {
        /// The limit.
        limit: usize,
    },
    /// Elements are nested deeper than [`Limits::depth`](crate::Limits::depth).
    #[error("elements are nested deeper than {limit}")]
    TooDeep {
        /// The limit, the first-level element being 1.
        limit: usize,
    },
    /// A tag has more attributes than [`Limits::attributes`](crate::Limits::attributes).
    #[error("a tag has more than {limit} attributes")]
    ManyAttributes {
        /// The limit, namespace declarations included.
        limit: usize,
    },
    /// More prefixes are declared at once than [`Limits::namespaces`](crate::Limits::namespaces).
    #[error("more than {limit} namespace prefixes are declared at one place")]
    ManyNamespaces {
        /// The limit.
        limit: usize,
    },
}
