//! The answer to a stanza over the limit, of which only the beginning was read.

use alloc::vec::Vec;

use crate::jid::{Domain, Jid};
use crate::stanza::{StanzaKind, address, expects_reply};
use crate::stanza_error::{Answer, StanzaError};
use crate::xml::scan::Head;

/// A stanza over [`Limits::stanza`](crate::Limits::stanza). Its rest is passed over as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLong<'b> {
    /// Iq, message or presence; `None` if the element is not a stanza.
    pub kind: Option<StanzaKind>,
    /// Whom it was for, if it names a valid address.
    pub to: Option<Jid<'b>>,
    /// Who sent it, if it names a valid address.
    pub from: Option<Jid<'b>>,
    /// A `policy-violation` went back; else it was dropped, and is to be counted.
    pub answered: bool,
}

impl<'b> TooLong<'b> {
    /// Answers a stanza that begins with `window`, in `out`, unless no error may answer it or an address is missing: from the
    /// stanza's `to`, or from `own` if that is another domain's.
    pub(super) fn refuse(window: &'b [u8], head: &Head, own: &Domain, out: &mut Vec<u8>) -> Self {
        let kind = StanzaKind::of(head);
        let valid = |value| address(window, value, &mut 0).ok();
        let (to, from) = (head.to.and_then(valid), head.from.and_then(valid));
        let mut answered = false;
        if let (Some(kind), Some(to), Some(from)) = (kind, &to, &from)
            && expects_reply(kind.as_str(), head.known_type(window))
        {
            Answer {
                name: kind.as_str(),
                namespace: None,
                from: if to.domain() == own.as_str() { to.as_str() } else { own.as_str() },
                to: &[from.as_str()],
                id: head.id.map(|value| value.span.quoted(window)),
            }
            .append(&StanzaError::too_long(window.len()), out);
            answered = true;
        }
        Self { kind, to, from, answered }
    }
}
