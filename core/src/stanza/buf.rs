//! A stanza that owns its bytes.

use alloc::boxed::Box;
use core::fmt;

use super::{Kind, Rooms, Stanza, addresses};
use crate::jid::Jid;
use crate::xml::scan::Head;
use crate::xml::scope::HeaderPrefixes;

/// A stanza with its bytes, for whoever can't borrow the input.
#[derive(Clone)]
pub struct StanzaBuf {
    bytes: Box<[u8]>,
    kind: Kind,
    head: Head,
    prefixes: HeaderPrefixes,
    /// The sender, where the stream stamped it.
    stamped: Option<Jid<'static>>,
}

impl StanzaBuf {
    /// Copies a stanza.
    #[must_use]
    pub fn new(stanza: &Stanza<'_>) -> Self {
        let stamped = stanza.from.clone().filter(|_| stanza.head.from.is_none()).map(Jid::into_owned);
        let prefixes = stanza.prefixes.clone();
        Self { bytes: stanza.bytes.into(), kind: stanza.kind, head: stanza.head, prefixes, stamped }
    }

    /// The stanza as it was received.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The stanza, without a second scan.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "what is copied was checked, and does not change")]
    pub fn as_stanza(&self) -> Stanza<'_> {
        let (to, from) = addresses(&self.bytes, &self.head, &mut Rooms::default())
            .expect("its addresses were valid when it was copied");
        let from = self.stamped.clone().or(from);
        Stanza::assemble(&self.bytes, self.kind, &self.head, &self.prefixes, (to, from))
    }
}

impl fmt::Debug for StanzaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_stanza().fmt(f)
    }
}
