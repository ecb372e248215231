//! A component's ping to itself, by which it finds a dead server.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::alive::{Alive, ID};
use crate::error::StreamError;
use crate::jid::Jid;
use crate::limits::Limits;
use crate::stanza::{Stanza, StanzaKind};
use crate::stanza_error::push_written;
use crate::time::Instant;
use crate::xml::escape::push_attribute;

/// Pings that must have come back before silence after the next one says that the server is dead.
const PROOFS: u32 = 3;

/// Asks, after some silence, whether the server is still there.
///
/// XEP-0114 does not tell a component what its server is called, so it asks itself: a ping to its own domain goes
/// through the server and comes back, be it as it was sent or as an error. Where a domain has several connections, the
/// server may give it to another one; so each knows its own pings, and answers those of the others.
#[derive(Debug)]
pub(super) struct OwnPing {
    /// `None` where the limits say that nobody asks.
    alive: Option<Alive>,
    /// What the ids of this stream's pings begin with.
    ids: String,
    /// Which of the last pings came back, one bit each, the lowest for the last one.
    returned: u32,
    /// A ping of another connection of the domain has come.
    is_shared: bool,
}

impl OwnPing {
    pub(super) fn new(stream_id: &str, limits: &Limits, now: Instant) -> Self {
        let alive = Alive::of_component(limits, now);
        Self { alive, ids: ids(stream_id), returned: 0, is_shared: false }
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Some(alive) = &mut self.alive {
            alive.heard(now);
        }
    }

    /// While nothing is read, nothing can be heard.
    pub(super) fn set_reading(&mut self, now: Instant, reading: bool) {
        if let Some(alive) = &mut self.alive {
            alive.set_reading(now, reading);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.alive.as_ref()?.poll_timeout()
    }

    /// Asks, or gives up on a server that returned the pings before.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        own: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        let Some(alive) = &mut self.alive else { return Ok(()) };
        let before = alive.pings();
        // The lowest bit stands for the ping that silence followed.
        let proofs = ((1 << PROOFS) - 1) << 1;
        alive.set_answers(!self.is_shared && self.returned & proofs == proofs);
        alive.handle_timeout(now, &self.ids, (own, own), out)?;
        if alive.pings() != before {
            self.returned <<= 1;
        }
        Ok(())
    }

    /// Takes a stanza that belongs to such pings; false if it is the application's. The answer to the ping of another
    /// connection goes to `out`.
    pub(super) fn takes(&mut self, stanza: &Stanza<'_>, own: &str, out: &mut Vec<u8>) -> bool {
        let is_own = |address: Option<&Jid<'_>>| address.is_some_and(|jid| jid.as_str() == own);
        if stanza.kind() != StanzaKind::Iq || !is_own(stanza.from()) || !is_own(stanza.to()) {
            return false;
        }
        // A ping with another id may be the application's own.
        let Some(id) = stanza.id().filter(|id| id.starts_with(ID)) else { return false };
        if let Some(number) = id.strip_prefix(&*self.ids) {
            self.note_return(number);
            return true;
        }
        match stanza.known_type() {
            Some("result" | "error") => true,
            Some("get") => {
                // A server that asks in the component's own name has no more than a number there.
                self.is_shared |= !id[ID.len()..].bytes().all(|byte| byte.is_ascii_digit());
                out.extend_from_slice(b"<iq type='result'");
                push_written(out, "id", stanza.written_id().unwrap_or(b"''"));
                push_attribute(out, "from", own);
                push_attribute(out, "to", own);
                out.extend_from_slice(b"/>");
                true
            }
            _ => false,
        }
    }

    /// A ping of ours has come back, or its answer.
    fn note_return(&mut self, number: &str) {
        let pings = self.alive.as_ref().map_or(0, Alive::pings);
        let Some(number) = number.parse().ok().filter(|number| (1..=pings).contains(number)) else { return };
        let age = u32::try_from(pings - number).unwrap_or(u32::MAX);
        self.returned |= 1_u32.checked_shl(age).unwrap_or(0);
    }
}

/// What the ids of a stream's pings begin with. A server gives no two streams one id, and nobody learns it from this.
fn ids(stream_id: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(b"enjamb ping\0");
    hash.update(stream_id.as_bytes());
    let first = hash.finalize().iter().take(8).fold(0_u64, |first, &byte| first << 8 | u64::from(byte));
    format!("{ID}{first:016x}-")
}
