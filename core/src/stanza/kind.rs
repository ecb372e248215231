//! The kinds of stanzas, and what RFC 6120 asks of each.

use core::fmt;

use crate::xml::rewrite;
use crate::xml::scan::{Head, TopLevel};

/// The three kinds of stanza (RFC 6120, 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StanzaKind {
    /// A request, or the answer to one.
    Iq,
    /// Something pushed to somebody.
    Message,
    /// Availability, and subscriptions to it.
    Presence,
}

impl StanzaKind {
    /// Which kind of stanza an element is, if any.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        match head.top {
            TopLevel::Iq => Some(Self::Iq),
            TopLevel::Message => Some(Self::Message),
            TopLevel::Presence => Some(Self::Presence),
            TopLevel::Handshake | TopLevel::StreamError | TopLevel::Other => None,
        }
    }

    /// The element's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iq => "iq",
            Self::Message => "message",
            Self::Presence => "presence",
        }
    }
}

impl fmt::Display for StanzaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Is it no iq, or one that RFC 6120 section 8.2.3 allows: with an id, one of the four types, and exactly one child in
/// a request? Strict receivers end their stream over others.
pub(crate) fn is_proper(bytes: &[u8], kind: StanzaKind, head: &Head) -> bool {
    kind != StanzaKind::Iq
        || (head.id.is_some()
            && match head.known_type(bytes) {
                Some("get" | "set") => head.children == 1,
                Some("result" | "error") => true,
                _ => false,
            })
}

/// May an error answer an element of that name and type?
pub(crate) fn expects_reply(name: &str, known_type: Option<&str>) -> bool {
    match (name, known_type) {
        (_, Some("error")) | ("iq", Some("result")) => false,
        ("presence", kind) => matches!(kind, None | Some("subscribe" | "probe")),
        _ => true,
    }
}

impl Head {
    /// The `type` of the element, empty if no rule here asks for it.
    pub(crate) fn known_type(&self, bytes: &[u8]) -> Option<&'static str> {
        self.type_.map(|value| known_type(value.span.of(bytes)))
    }
}

pub(super) fn known_type(written: &[u8]) -> &'static str {
    let known = ["get", "set", "result", "error", "subscribe", "probe"];
    known.into_iter().find(|known| rewrite::same_value(written, known.as_bytes())).unwrap_or_default()
}
