//! A stanza that owns its bytes.

use alloc::boxed::Box;
use core::fmt;

use super::borrowed::{Stanza, addresses};
use super::kind::StanzaKind;
use crate::jid::Jid;
use crate::xml::scan::{Head, Value};
use crate::xml::scope::HeaderPrefixes;

/// A stanza with its bytes. Use it if you can't borrow the input.
#[derive(Clone)]
pub struct OwnedStanza {
    bytes: Box<[u8]>,
    kind: StanzaKind,
    head: Head,
    prefixes: HeaderPrefixes,
    /// The addresses that are not as `bytes` have them: stamped, rewritten, or others.
    to: Option<Jid<'static>>,
    from: Option<Jid<'static>>,
}

impl OwnedStanza {
    /// Copies a stanza.
    #[must_use]
    pub fn new(stanza: &Stanza<'_>) -> Self {
        let Stanza { bytes, kind, head, .. } = *stanza;
        let own = |address: &Option<Jid<'_>>, written: Option<Value>| {
            let is_written =
                |jid: &Jid<'_>| written.is_some_and(|value| value.span.of(bytes) == jid.as_str().as_bytes());
            address.clone().filter(|jid| !is_written(jid)).map(Jid::into_owned)
        };
        let (to, from) = (own(&stanza.to, head.to), own(&stanza.from, head.from));
        Self { bytes: bytes.into(), kind, head, prefixes: stanza.prefixes.clone(), to, from }
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
        let (to, from) =
            addresses(&self.bytes, &self.head, &mut 0).expect("its addresses were valid when it was copied");
        let (to, from) = (self.to.clone().or(to), self.from.clone().or(from));
        Stanza::assemble(&self.bytes, self.kind, &self.head, &self.prefixes, (to, from))
    }
}

impl fmt::Debug for OwnedStanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_stanza().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::limits::Limits;
    use crate::xml::scan::Scan;

    #[test]
    fn a_copy_keeps_the_addresses_that_were_given_to_the_stanza() {
        for bytes in ["<message from='a.example' to='b.example/r'/>", "<message to='b.example'/>"] {
            let mut scan = Scan::default();
            assert!(scan.advance(bytes.as_bytes(), &Limits::default(), &[]).is_ok());
            let prefixes = HeaderPrefixes::Usual;
            let stanza = Stanza::new(bytes.as_bytes(), scan.head(), &prefixes).unwrap().unwrap();
            let [from, to] = ["c.example", "d.example/x"].map(|address| Jid::parse(address).unwrap());
            for stanza in [stanza.with_addresses(&from, &to), stanza] {
                let copy = OwnedStanza::new(&stanza);
                let written = |stanza: &Stanza<'_>| {
                    let mut out = Vec::new();
                    stanza.append_to(&mut out);
                    out
                };
                assert_eq!(copy.as_stanza().from(), stanza.from());
                assert_eq!(copy.as_stanza().to(), stanza.to());
                assert_eq!(written(&copy.as_stanza()), written(&stanza));
            }
        }
    }
}
