//! Users whom a component saw available through an uplink, to be taken back when the server stays away (RFC 6121, 4.5).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::stanza::{Envelope, Stanza, StanzaKind};
use crate::xml::escape::push_attribute;

/// Pairs of addresses that are noted. What comes over it is not.
const MAX_PAIRS: usize = 10_000;

/// Pairs of addresses: the first was available to the second.
#[derive(Debug, Default)]
pub(super) struct Presences(BTreeSet<(String, String)>);

impl Presences {
    /// The component gets this stanza.
    pub(super) fn note(&mut self, stanza: &Stanza<'_>) {
        if stanza.kind() != StanzaKind::Presence {
            return;
        }
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return };
        let pair = || (String::from(from.as_str()), String::from(to.as_str()));
        match stanza.stanza_type().as_deref() {
            None if self.0.len() < MAX_PAIRS => {
                self.0.insert(pair());
            }
            Some("unavailable" | "error") => {
                self.0.remove(&pair());
            }
            _ => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next pair.
    pub(super) fn take(&mut self) -> Option<(String, String)> {
        self.0.pop_first()
    }
}

/// Appends that `from` is unavailable to `to`.
pub(super) fn append_unavailable(from: &str, to: &str, out: &mut Vec<u8>) -> Envelope {
    let start = out.len();
    out.extend_from_slice(b"<presence");
    for (name, value) in [("from", from), ("to", to), ("type", "unavailable")] {
        push_attribute(out, name, value);
    }
    out.extend_from_slice(b"/>");
    Envelope::of_answer(StanzaKind::Presence, &out[start..])
}
