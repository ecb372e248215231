//! How held stanzas go to the component that is back (XEP-0203).

use alloc::format;
use alloc::vec::Vec;

use super::metrics::Metric;
use super::ports::Switch;
use super::unsent::return_to_sender;
use crate::jid::Jid;
use crate::queue::{Buffer, Held};
use crate::router::Access;
use crate::stanza::{Envelope, StanzaKind};
use crate::stanza_error::StanzaError;
use crate::time::Now;
use crate::xml::child::children;
use crate::xml::escape::push_attribute;

const DELAY: &str = "urn:xmpp:delay";

/// Puts held stanzas into the port's other half, in order. The access rule of the port judges them, and says what that costs.
pub(crate) fn replay<S: Switch>(switch: &S, now: Now, port: &S::Port, held: Vec<Held>, output: &mut Buffer) {
    if held.is_empty() {
        return;
    }
    let listener = &port.as_ref().listener;
    for held in held {
        let domain = held.envelope.receiver(&held.bytes).unwrap_or_default();
        let error = if held.bytes.len() > listener.limits.stanza {
            Some(port.as_ref().in_its_words(StanzaError::too_long(listener.limits.stanza)))
        } else if !may_send(switch, &listener.policy.access, &held) {
            Some(StanzaError::access_denied(&domain))
        } else {
            None
        };
        match error {
            Some(error) => {
                let is_told = return_to_sender(switch, now.monotonic, &held.bytes, &held.envelope, &error);
                let metric = if is_told { Metric::HeldReturned } else { Metric::HeldDropped };
                switch.metrics().add(metric, 1);
            }
            None => {
                let host = switch.read(|directory| directory.first_host().cloned());
                // To a server we speak as the component that we are there, not as the server itself.
                let held_for = port.as_ref().uplink().map_or(&*domain, |uplink| uplink.domain.as_str());
                let from = host.as_ref().map_or(held_for, |host| host.as_str());
                output.push(held.taken, |out| append_stamped(&held, from, now, out));
                switch.metrics().add(Metric::HeldSent, 1);
            }
        }
    }
    switch.queue(port, |queue| queue.note_replayed(output));
}

fn may_send<S: Switch>(switch: &S, access: &Access, held: &Held) -> bool {
    if access.is_everyone() {
        return true;
    }
    let Some(from) = held.envelope.from(&held.bytes) else { return false };
    let Ok(from) = Jid::parse(&from) else { return false };
    access.allows(&from, switch.read(|directory| directory.router.is_host(from.domain())))
}

/// Appends a stanza as it was taken, a message with the time of that.
fn append_stamped(held: &Held, from: &str, now: Now, out: &mut Vec<u8>) -> Envelope {
    let stanza = &*held.bytes;
    let is_stamped = || children(stanza).any(|child| child.is("delay", DELAY));
    if held.envelope.kind() != StanzaKind::Message || is_stamped() {
        out.extend_from_slice(stanza);
        return held.envelope;
    }
    let age = now.monotonic.since(held.taken);
    let taken = Now { monotonic: held.taken, unix: now.unix.saturating_sub(age) };
    let stamp = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"<delay xmlns='");
        out.extend_from_slice(DELAY.as_bytes());
        out.push(b'\'');
        push_attribute(out, "from", from);
        out.extend_from_slice(format!(" stamp='{}'/>", taken.utc()).as_bytes());
    };
    // The end tag is the last one; without children the start tag may be all.
    if let Some(tag) = stanza.strip_suffix(b"/>") {
        out.extend_from_slice(tag);
        out.push(b'>');
        stamp(out);
        out.extend_from_slice(b"</message>");
    } else {
        let end = memchr::memmem::rfind(stanza, b"</").unwrap_or(stanza.len());
        out.extend_from_slice(&stanza[..end]);
        stamp(out);
        out.extend_from_slice(&stanza[end..]);
    }
    held.envelope
}
