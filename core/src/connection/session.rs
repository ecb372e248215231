//! What a connection is on its switch: its port, how far its stream is, and what it delivers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::ending::Ending;
use super::event::Events;
use super::phase::Phase;
use crate::close::CloseReason;
use crate::jid::Domain;
use crate::router::BindingChange;
use crate::shaper::Shaper;
use crate::switch::{Delivery, ListenerConfig, Metric, Switch, unbind};
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
    pub(super) unsent: u64,
    pub(super) ending: Ending,
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
            self.closed = Some(Box::new(Closed { reason, changes, unsent: 0, ending }));
            // The last words are in the output. A step that has taken the phase does not give it back.
            self.phase = Phase::Ended;
        }
    }
}
