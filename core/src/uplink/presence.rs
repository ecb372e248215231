//! Users whom a component saw available through an uplink, to be taken back when the server stays away (RFC 6121, 4.5).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::stanza::{Envelope, Stanza, StanzaKind};
use crate::xml::escape::push_attribute;

/// What the note may take. Pairs that come over it are not noted.
const MAX_BYTES: usize = 2 << 20;
/// What a pair takes beside its addresses.
const OVERHEAD: usize = 64;

/// Pairs of addresses, with a line end between them, which no address holds: the first was available to the second.
#[derive(Debug, Default)]
pub(super) struct Presences {
    pairs: BTreeSet<Box<str>>,
    bytes: usize,
}

impl Presences {
    /// The component gets this stanza.
    pub(super) fn note(&mut self, stanza: &Stanza<'_>) {
        if stanza.kind() != StanzaKind::Presence {
            return;
        }
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return };
        let pair = || [from.as_str(), "\n", to.as_str()].concat();
        match stanza.stanza_type().as_deref() {
            None => {
                let pair = pair();
                let cost = pair.len() + OVERHEAD;
                if self.bytes + cost <= MAX_BYTES && self.pairs.insert(pair.into()) {
                    self.bytes += cost;
                }
            }
            Some("unavailable" | "error") => {
                let pair = self.pairs.take(&*pair());
                self.forget(pair.as_deref());
            }
            _ => {}
        }
    }

    fn forget(&mut self, pair: Option<&str>) {
        self.bytes -= pair.map_or(0, |pair| pair.len() + OVERHEAD);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Takes the next pair.
    pub(super) fn take(&mut self) -> Option<(String, String)> {
        let pair = self.pairs.pop_first()?;
        self.forget(Some(&*pair));
        pair.split_once('\n').map(|(from, to)| (from.into(), to.into()))
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
