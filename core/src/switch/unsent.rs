//! What becomes of stanzas whose receiver ends before they are sent.

use super::metrics::Metric;
use super::ports::Switch;
use crate::error::StreamErrorCause;
use crate::limits::Limits;
use crate::queue::Offer;
use crate::stanza::{Rooms, Stanza};
use crate::stanza_error::StanzaError;
use crate::time::Instant;
use crate::xml::scan::{Progress, Scan};
use crate::xml::scope::HeaderPrefixes;

/// Answers stanzas that were put into a queue and never sent, to the port that holds their `from` now. Counts those that
/// no error may answer, and those whose sender is gone or full. Returns how many there were.
pub(crate) fn bounce_unsent<'b, S: Switch>(
    switch: &S,
    now: Instant,
    cause: Option<&StreamErrorCause>,
    stanzas: impl Iterator<Item = &'b [u8]>,
) -> u64 {
    // Made once for all of them.
    let mut reader = Reader::default();
    let (mut bounced, mut dropped) = (0, 0);
    for bytes in stanzas {
        if return_to_sender(switch, now, &mut reader, bytes).is_some() {
            bounced += 1;
        } else {
            dropped += 1;
        }
    }
    if matches!(cause, Some(StreamErrorCause::Replaced)) {
        switch.metrics().add(Metric::UnsentReplaced, bounced + dropped);
    } else {
        switch.metrics().add(Metric::UnsentBounced, bounced);
        switch.metrics().add(Metric::UnsentDropped, dropped);
    }
    bounced + dropped
}

/// Reads stanzas that we wrote.
#[derive(Default)]
struct Reader {
    scan: Scan,
    rooms: Rooms,
}

fn return_to_sender<S: Switch>(switch: &S, now: Instant, reader: &mut Reader, bytes: &[u8]) -> Option<()> {
    // We wrote it, so the scan accepts it with no prefix from outside; the limits that it was taken under do not matter
    // any more.
    let mut limits = Limits::default();
    (limits.depth, limits.attributes, limits.namespaces) = (usize::MAX, usize::MAX, usize::MAX);
    limits.name = usize::MAX;
    let Reader { scan, rooms } = reader;
    let Ok(Progress::Whole(_)) = scan.advance(bytes, &limits, &[]) else {
        *scan = Scan::default();
        return None;
    };
    let stanza = Stanza::new(bytes, scan.head(), &HeaderPrefixes::Usual, rooms)?.ok()?;
    if !stanza.expects_reply() {
        return None;
    }
    let sender = stanza.from()?;
    let port = switch.read(|directory| {
        let id = directory.router.owner(sender.domain())?;
        directory.ports.get(&id).cloned()
    })?;
    let write = |out: &mut _| StanzaError::recipient_gone().append_answer_to(&stanza, out);
    let offer = switch.queue(&port, |queue| queue.offer(now, &port.as_ref().listener, None, write));
    let wake = matches!(offer, Offer::Taken { wake: true } | Offer::Rejected { wake: true, .. });
    if wake {
        switch.wake(&port);
    }
    matches!(offer, Offer::Taken { .. }).then_some(())
}
