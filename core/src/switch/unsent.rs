//! What becomes of stanzas whose receiver ends before they are sent.

use super::metrics::Metric;
use super::ports::Switch;
use crate::error::StreamErrorCause;
use crate::queue::{Buffer, Offer};
use crate::stanza::Envelope;
use crate::stanza_error::StanzaError;
use crate::time::Instant;

/// Answers the stanzas that were put into a queue and never sent, of its two halves, to the port that holds their `from`
/// now. Counts those that no error may answer, and those whose sender is gone or full. Returns how many there were.
pub(crate) fn bounce_unsent<S: Switch>(
    switch: &S,
    now: Instant,
    cause: Option<&StreamErrorCause>,
    halves: [&Buffer; 2],
) -> u64 {
    let (mut bounced, mut dropped) = (0, 0);
    for (stanza, envelope) in halves.into_iter().flat_map(Buffer::unsent) {
        match envelope.and_then(|envelope| return_to_sender(switch, now, stanza, envelope)) {
            Some(()) => bounced += 1,
            None => dropped += 1,
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

fn return_to_sender<S: Switch>(switch: &S, now: Instant, stanza: &[u8], envelope: &Envelope) -> Option<()> {
    if !envelope.expects_reply(stanza) {
        return None;
    }
    let sender = envelope.sender(stanza)?;
    let port = switch.read(|directory| directory.way_back(&sender, || envelope.receiver(stanza)))?;
    let write = |out: &mut _| Some(StanzaError::recipient_gone().append_answer_by(envelope, stanza, out));
    let offer = switch.queue(&port, |queue| queue.offer(now, &port.as_ref().listener, None, write));
    let wake = matches!(offer, Offer::Taken { wake: true } | Offer::Rejected { wake: true, .. });
    if wake {
        switch.wake(&port);
    }
    matches!(offer, Offer::Taken { .. }).then_some(())
}
