//! What becomes of stanzas whose receiver ends before they are sent.

use alloc::vec::Vec;

use super::metrics::Metric;
use super::ports::Switch;
use crate::error::StreamErrorCause;
use crate::queue::{Buffer, HoldOutcome, Offer, Queue};
use crate::stanza::Envelope;
use crate::stanza_error::StanzaError;
use crate::time::Instant;

/// Stanzas that were put into a queue and never sent, on their way back to the ports that hold their `from` now.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// The two halves of the queue, in order.
    halves: [Buffer; 2],
    /// The receiver was replaced.
    replaced: bool,
    /// The receiver is the server behind an uplink.
    is_of_server: bool,
}

impl Unsent {
    /// Those of a port that ends for this reason.
    pub(crate) fn new(halves: [Buffer; 2], cause: Option<&StreamErrorCause>) -> Self {
        let replaced = matches!(cause, Some(StreamErrorCause::Replaced));
        Self { halves, replaced, is_of_server: false }
    }

    /// Those of an uplink whose stream has ended.
    pub(crate) fn of_server(halves: [Buffer; 2]) -> Self {
        Self { halves, replaced: false, is_of_server: true }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.halves.iter().all(|half| half.first().is_none())
    }

    /// Answers the next stanzas, at most `most`. Counts those that no error may answer, and those whose sender is gone or
    /// full. Returns how many there were.
    pub(crate) fn bounce<S: Switch>(&mut self, switch: &S, now: Instant, most: usize) -> u64 {
        let (mut bounced, mut dropped) = (0, 0);
        for half in &mut self.halves {
            while bounced + dropped < most as u64
                && let Some((stanza, envelope)) = half.first()
            {
                let gone = StanzaError::recipient_gone();
                let error = if self.is_of_server { StanzaError::not_held().of_server() } else { gone };
                if envelope.is_some_and(|envelope| return_to_sender(switch, now, stanza, envelope, &error)) {
                    bounced += 1;
                } else {
                    dropped += 1;
                }
                half.drop_first();
            }
        }
        if self.replaced {
            switch.metrics().add(Metric::UnsentReplaced, bounced + dropped);
        } else {
            switch.metrics().add(Metric::UnsentBounced, bounced);
            switch.metrics().add(Metric::UnsentDropped, dropped);
        }
        bounced + dropped
    }
}

/// Answers a stanza that was taken with an error, if one may answer it. False if none may, or its sender is gone or full.
pub(super) fn return_to_sender<S: Switch>(
    switch: &S,
    now: Instant,
    stanza: &[u8],
    envelope: &Envelope,
    error: &StanzaError,
) -> bool {
    if !envelope.expects_reply(stanza) {
        return false;
    }
    let Some(sender) = envelope.sender(stanza) else { return false };
    let port = switch.read(|directory| directory.way_back(&sender, || envelope.receiver(stanza)));
    let Some(port) = port else { return false };
    give_notice(switch, now, &port, |out| error.append_answer_by(envelope, stanza, out))
}

/// Puts what `write` appends, of the switch's own making, into a port's queue. False if it is not taken.
pub(crate) fn give_notice<S: Switch>(
    switch: &S,
    now: Instant,
    port: &S::Port,
    write: impl FnOnce(&mut Vec<u8>) -> Envelope,
) -> bool {
    give_noting(switch, now, port, write, |_| {})
}

/// The same. `note` is called in the same step, if it is in the queue by then.
pub(super) fn give_noting<S: Switch>(
    switch: &S,
    now: Instant,
    port: &S::Port,
    write: impl FnOnce(&mut Vec<u8>) -> Envelope,
    note: impl FnOnce(&mut Queue),
) -> bool {
    let listener = &port.as_ref().listener;
    let offer = switch.queue(port, |queue| {
        let offer = queue.offer(now, listener, None, |out| Some(write(out)));
        if matches!(offer, Offer::Taken { .. }) {
            note(queue);
        }
        offer
    });
    if let Offer::Taken { wake: true } | Offer::Rejected { wake: true, .. } = offer {
        switch.wake(port);
    }
    let is_held = matches!(offer, Offer::Away(Some(HoldOutcome::Held { .. })));
    let is_taken = is_held || matches!(offer, Offer::Taken { .. });
    let metrics = switch.metrics();
    metrics.add(Metric::Notices, is_taken.into());
    if is_held {
        // It was in the queue for no time.
        metrics.add(Metric::UnsentHeld, 1);
        metrics.add(Metric::Held, 1);
    }
    is_taken
}
