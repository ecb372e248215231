//! One stream of an uplink: what the server sends goes to the component, and what is for the server goes out.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::event::Events;
use super::presence::Presences;
use crate::connection::{Budget, ClientConnection, Progress};
use crate::error::StreamErrorCause;
use crate::jid::{Domain, Jid};
use crate::queue::{Collected, FREE};
use crate::stanza::{Stanza, StanzaKind};
use crate::stanza_error::{ErrorType, RejectReason, StanzaCondition, StanzaError};
use crate::switch::{AnnouncementKind, Delivery, DeliveryContext, Metric, Outcome, Switch, replay};
use crate::time::{Instant, Now};

/// One stream of an uplink, from the connection on which it begins.
pub(super) struct Stream<S: Switch> {
    pub(super) connection: ClientConnection,
    pub(super) delivery: Option<Box<Delivery<S::Port>>>,
    /// Since when stanzas flow.
    pub(super) established_at: Option<Instant>,
    /// The next stanza from the server waits for its component until then.
    pub(super) retry_at: Option<Instant>,
    /// The id of the last ping to the component. If it comes back from the server, two servers feed each other.
    pub(super) loop_ping: String,
    pub(super) has_loop: bool,
    /// Some of what was read is counted as a partial stanza's.
    is_counted: bool,
    /// When to give memory back if nothing happens before.
    pub(super) idle_at: Option<Instant>,
}

/// How long nothing happens before memory is given back.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// What the stream needs of its uplink.
pub(super) struct Surroundings<'a, S: Switch> {
    pub(super) switch: &'a S,
    pub(super) port: &'a S::Port,
    pub(super) domain: &'a Domain,
    pub(super) now: Now,
    pub(super) events: &'a mut Events,
    pub(super) presences: Option<&'a mut Presences>,
}

impl<S: Switch> Stream<S> {
    pub(super) fn new(connection: ClientConnection) -> Self {
        let loop_ping = String::new();
        Self {
            connection,
            delivery: None,
            established_at: None,
            retry_at: None,
            loop_ping,
            has_loop: false,
            is_counted: false,
            idle_at: None,
        }
    }

    /// Takes what the server sent.
    pub(super) fn process(
        &mut self,
        mut around: Surroundings<'_, S>,
        input: &[u8],
        budget: &mut Budget,
    ) -> Progress {
        let Self { connection, delivery, retry_at, loop_ping, has_loop, idle_at, .. } = self;
        let now = around.now;
        *idle_at = Some(now.monotonic + IDLE);
        let delivery = delivery.get_or_insert_default();
        let progress = connection.process_answering(now, input, budget, |stanza, out, budget| {
            if is_ping_of(stanza, loop_ping) {
                *has_loop = true;
                around.switch.metrics().add(Metric::DroppedRejected, 1);
                return true;
            }
            *retry_at = around.take(stanza, delivery, out);
            budget.spend(delivery.take_work());
            retry_at.is_none()
        });
        if delivery.has_batch() {
            delivery.end_batch(around.switch, now.monotonic);
        }
        progress
    }

    /// Counts what is kept of a partial stanza, as for a component. What one read may leave is not counted.
    pub(super) fn count_partial(&mut self, switch: &S, port: &S::Port, now: Now, kept: usize) {
        let bytes = if kept > FREE { kept } else { 0 };
        let was_counted = mem::replace(&mut self.is_counted, bytes > 0);
        if bytes == 0 && !was_counted {
            return;
        }
        if !switch.queue(port, |queue| queue.note_partial(bytes)) {
            self.connection.fail(now, StreamErrorCause::PoolEmpty { free: FREE }.into());
        }
    }

    /// Takes what others left for the server, if nothing is being written, and the switch's order to end.
    pub(super) fn collect(&mut self, switch: &S, port: &S::Port, now: Now) -> Option<StreamErrorCause> {
        let output = self.connection.output();
        let listener = &port.as_ref().listener;
        let (order, collected) = switch.queue(port, |queue| {
            let collected = queue.collect(now.monotonic, output, listener);
            (queue.take_order(), collected)
        });
        if let Some(Collected { waiting, held }) = collected {
            switch.wake_all(waiting);
            replay(switch, now, port, held, output);
        }
        order
    }

    /// Gives memory back that the stream does not need while nothing happens.
    pub(super) fn release(&mut self, switch: &S, port: &S::Port) {
        self.idle_at = None;
        self.connection.release();
        self.delivery.take_if(|delivery| delivery.is_empty());
        switch.queue(port, |queue| queue.release());
    }
}

impl<S: Switch> Surroundings<'_, S> {
    /// Takes one stanza of the server's. Returns a time if it waits for its component's room.
    fn take(
        &mut self,
        stanza: &Stanza<'_>,
        delivery: &mut Delivery<S::Port>,
        out: &mut Vec<u8>,
    ) -> Option<Instant> {
        let &mut Self { switch, port, domain, now, .. } = self;
        if let Some(error) = self.objection(stanza) {
            let is_answered = answer(stanza, domain, &error, out);
            let metric = if is_answered { Metric::Rejected } else { Metric::DroppedRejected };
            switch.metrics().add(metric, 1);
            return None;
        }
        if stanza.to().is_some_and(|to| to.as_str() == domain.as_str())
            && let Some(kind) = AnnouncementKind::of(stanza)
            && self.keep(stanza, kind)
        {
            return None;
        }
        let context = DeliveryContext { switch, now, source: port, has_names: false, may_answer: true };
        match delivery.deliver(&context, stanza, out) {
            Outcome::Done => {
                if let Some(presences) = &mut self.presences {
                    presences.note(stanza);
                }
                None
            }
            // An uplink may send from any address.
            Outcome::ForeignFrom => None,
            Outcome::Blocked { until } => Some(until),
        }
    }

    /// Why a stanza is not for the component.
    fn objection(&mut self, stanza: &Stanza<'_>) -> Option<StanzaError> {
        let domain = self.domain.as_str();
        let to = stanza.to().map(Jid::domain).unwrap_or_default();
        if to != domain {
            self.events.push_misaddressed(self.now.monotonic, to);
            let text = format!("this stream is for '{domain}' alone");
            return Some(StanzaError::new(StanzaCondition::RemoteServerNotFound, ErrorType::Cancel, text));
        }
        let reason = if stanza.from().is_none() {
            RejectReason::NoFrom
        } else if !stanza.is_proper() {
            RejectReason::ImproperIq
        } else {
            return None;
        };
        Some(StanzaError::new(StanzaCondition::BadRequest, ErrorType::Modify, reason.to_string()))
    }

    /// Keeps an announcement for the connections of the component that come later. True if no component is there now: it gets it
    /// when it comes.
    fn keep(&self, stanza: &Stanza<'_>, kind: AnnouncementKind) -> bool {
        let Some(from) = stanza.from().and_then(|from| Domain::parse(from.domain()).ok()) else {
            return false;
        };
        let (is_kept, is_away) = self.switch.write(|directory| {
            let is_kept = directory.announce(self.domain, kind, from, stanza);
            (is_kept, directory.router.owner(self.domain.as_str()).is_none())
        });
        let is_for_later = is_kept && is_away;
        self.switch.metrics().add(Metric::Kept, is_for_later.into());
        is_for_later
    }
}

/// Answers from `domain`: servers end the stream over another `from`. False if no error may answer it.
fn answer(stanza: &Stanza<'_>, domain: &Domain, error: &StanzaError, out: &mut Vec<u8>) -> bool {
    let Some(from) = stanza.from() else { return false };
    error.answer(&stanza.with_addresses(from, &Jid::of_domain(domain)), out)
}

/// Whether a stanza is the ping with this id that we sent to the component.
fn is_ping_of(stanza: &Stanza<'_>, id: &str) -> bool {
    stanza.kind() == StanzaKind::Iq
        && !id.is_empty()
        && stanza.known_type() == Some("get")
        && stanza.id().as_deref() == Some(id)
}
