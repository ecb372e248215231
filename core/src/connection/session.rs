//! What a connection is on its switch: its port, how far its stream is, and what it delivers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::ending::Ending;
use super::event::{ConnectionEvent, Events};
use super::phase::Phase;
use super::progress::{Budget, Next, window};
use crate::close::CloseReason;
use crate::jid::Domain;
use crate::router::BindingChange;
use crate::shaper::Shaper;
use crate::stream::{Rejected, Rest, ServerEvent, ServerStream, Step};
use crate::switch::{Delivery, DeliveryContext, ListenerConfig, Metric, Outcome, Switch, Unsent, unbind};
use crate::time::{Instant, Now};

/// A connection without its input and output.
pub(super) struct Session<S: Switch> {
    pub(super) port: S::Port,
    pub(super) phase: Phase,
    /// The next stanza waits for room until then.
    pub(super) retry_at: Option<Instant>,
    // Boxed, as most connections have none of it, or are idle.
    pub(super) shaper: Option<Box<Shaper>>,
    pub(super) delivery: Option<Box<Delivery<S::Port>>>,
    pub(super) events: Option<Box<Events>>,
    /// It was bound, at some time.
    pub(super) bound: bool,
    pub(super) domain: Option<Domain>,
    pub(super) closed: Option<Box<Closed>>,
}

/// Why the stream is over, the names that others got over it, stanzas for it that were not sent, and what is left to do.
pub(super) struct Closed {
    pub(super) reason: CloseReason,
    pub(super) changes: Vec<BindingChange>,
    /// How many were answered or counted, and those that are left.
    pub(super) unsent: u64,
    pub(super) left: Vec<Unsent>,
    pub(super) ending: Ending,
    /// What the component still sends on a stream that the server's end has ended.
    pub(super) rest: Option<Box<Rest>>,
    /// What was not sent is not in the output any more, if it is to be held.
    pub(super) is_cut: bool,
    /// The last event is there.
    pub(super) told: bool,
}

impl<S: Switch> Session<S> {
    pub(super) fn new(port: S::Port, phase: Phase) -> Self {
        Self {
            port,
            phase,
            retry_at: None,
            shaper: None,
            delivery: None,
            events: None,
            bound: false,
            domain: None,
            closed: None,
        }
    }

    pub(super) fn listener(&self) -> &Arc<ListenerConfig> {
        &self.port.as_ref().listener
    }

    /// The stream is over; what is left of the output is still to be written.
    pub(super) fn close(&mut self, switch: &S, now: Now, reason: CloseReason) {
        if self.closed.is_none() {
            if !self.bound && matches!(reason, CloseReason::Error(_)) {
                switch.metrics().add(Metric::FailedNegotiations, 1);
            }
            let changes = unbind(switch, &self.port, now.monotonic, &reason);
            let ending = Ending::begin(&self.listener().limits, now.monotonic);
            self.closed = Some(Box::new(Closed {
                reason,
                changes,
                unsent: 0,
                left: Vec::new(),
                ending,
                rest: None,
                is_cut: false,
                told: false,
            }));
            // The last words are in the output. A step that has taken the phase does not give it back.
            self.phase = Phase::Ended;
        }
    }
}

impl<S: Switch> Session<S> {
    /// Bytes of the input that the next step is to see. How it is cut makes no difference but this: others have their turn
    /// while a large stanza is scanned.
    pub(super) fn window(&self) -> usize {
        if let Phase::Open(stream) = &self.phase {
            window(stream.reach(), stream.limits())
        } else {
            usize::MAX
        }
    }

    /// Takes at most one event from `input`.
    pub(super) fn step(
        &mut self,
        switch: &S,
        now: Now,
        input: &[u8],
        budget: &mut Budget,
        out: &mut Vec<u8>,
    ) -> (usize, Next) {
        match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Open(mut stream) => {
                let taken = self.open_step(switch, now, &mut stream, input, out);
                budget.spend_scan(stream.take_work());
                if taken.1 == Next::Input {
                    budget.spend_blanks(taken.0);
                }
                if let Some(delivery) = &mut self.delivery {
                    budget.spend(delivery.take_work());
                }
                if self.closed.is_none() {
                    self.phase = Phase::Open(stream);
                }
                taken
            }
            Phase::Ended => (input.len(), Next::Input),
            negotiating => self.negotiate(switch, now, negotiating, input, out),
        }
    }

    fn open_step(
        &mut self,
        switch: &S,
        now: Now,
        stream: &mut ServerStream,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> (usize, Next) {
        // Looked at where it is: a stanza is too large to be moved about for each that passes.
        let consumed = match &stream.process(now.monotonic, input, out) {
            Ok(Step { consumed, event: None }) => return (*consumed, Next::Input),
            Ok(Step { consumed, event: Some(ServerEvent::Stanza(stanza)) }) => {
                let (source, has_names) = (&self.port, stream.is_subdomain());
                let context = DeliveryContext { switch, now, source, has_names, may_answer: true };
                let delivery = self.delivery.get_or_insert_default();
                match delivery.deliver(&context, stanza, out) {
                    Outcome::Done => self.retry_at = None,
                    Outcome::ForeignFrom => {
                        self.retry_at = None;
                        let refused = stream.refuse_sender(stanza, out);
                        self.refused(switch, refused);
                    }
                    Outcome::Blocked { until } => {
                        self.retry_at = Some(until);
                        return (consumed - stream.put_back(), Next::Room);
                    }
                }
                *consumed
            }
            Ok(Step { consumed, event: Some(ServerEvent::Rejected(refused)) }) => {
                self.refused(switch, refused.clone());
                *consumed
            }
            Ok(Step { consumed, event: Some(ServerEvent::Pong) }) => *consumed,
            Ok(Step { consumed, event: Some(ServerEvent::Closed) }) => {
                self.close(switch, now, CloseReason::ByPeer);
                *consumed
            }
            Err(error) => {
                self.close(switch, now, CloseReason::Error(error.clone()));
                return (input.len(), Next::Input);
            }
        };
        (consumed, Next::More)
    }

    /// Ends a batch of deliveries.
    #[inline(always)]
    pub(super) fn end_batch(&mut self, switch: &S, now: Now) {
        let Some(delivery) = &mut self.delivery else { return };
        if let Some(bounced) = delivery.end_batch(switch, now.monotonic) {
            self.events.get_or_insert_default().push(ConnectionEvent::Bouncing(bounced));
        }
    }

    fn refused(&mut self, switch: &S, refused: Rejected) {
        let metric = if refused.answered { Metric::Rejected } else { Metric::DroppedRejected };
        switch.metrics().add(metric, 1);
        self.events.get_or_insert_default().push_refused(refused);
    }
}
