//! Ports for code in the same process: a server's users, a bridge, a gateway to other servers.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`LocalPort`]: what to call, and when |
//! | `config` | [`PortConfig`], and [`SendError`] |
//! | `incoming` | [`Incoming`]: a stanza that such a port got |
//!
//! With a runtime, use the `LocalPort` of `enjamb-runtime`, which has futures in place of wake-ups.

mod config;
mod incoming;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

pub use config::{PortConfig, SendError, Senders};
pub use incoming::{Batch, Incoming};

use crate::connection::Budget;
use crate::error::StreamErrorCause;
use crate::limits::Limits;
use crate::queue::{Buffer, Collected};
use crate::router::{AttachError, BindingChange, Claim, PortId};
use crate::stanza::{AddressFault, OwnedStanza, Stanza};
use crate::stanza_error::RejectReason;
use crate::switch::{
    Delivery, DeliveryContext, Metric, Outcome, Switch, Unsent, attach, detach, leave, replay,
};
use crate::time::{Instant, Now};
use crate::xml::names::leading_blanks;
use crate::xml::scan::{Progress, Scan};
use crate::xml::scope::HeaderPrefixes;

/// A port of a switch with code in this process behind it. No component takes a name from it, whatever its listener's
/// conflict behaviour.
///
/// | when | what |
/// | --- | --- |
/// | the switch woke it, and while `poll` returns [`PortState::More`] | [`poll`](Self::poll) |
/// | there is something to say | [`send`](Self::send) |
/// | the time of [`poll_timeout`](Self::poll_timeout) has come | [`poll`](Self::poll), or the `send` that was full |
/// | names come and go | [`add`](Self::add), [`remove`](Self::remove) |
/// | it ends | [`detach`](Self::detach) |
///
/// A port that is dropped without `detach` leaves its names behind. All calls take the switch that it was attached to, and
/// times of one clock that never runs backwards.
///
/// ```
/// use std::time::Duration;
///
/// use enjamb_core::jid::Domain;
/// use enjamb_core::port::{LocalPort, PortConfig, PortState};
/// use enjamb_core::router::Claim;
/// use enjamb_core::switch::{LocalSwitch, SwitchConfig};
/// use enjamb_core::{Instant, Now};
///
/// let now = Now { monotonic: Instant::ORIGIN, unix: Duration::from_secs(1_800_000_000) };
/// let switch = LocalSwitch::new(SwitchConfig::new([]));
/// let claim = |name| Domain::parse(name).map(Claim::Domain);
/// let (mut echo, _) = LocalPort::attach(&switch, PortConfig::new([claim("echo.example")?]), now)?;
/// let (mut user, _) = LocalPort::attach(&switch, PortConfig::new([claim("user.example")?]), now)?;
///
/// user.send(&switch, now, b"<message from='user.example' to='echo.example'/>")?;
/// assert_eq!(switch.poll_wake(), Some(echo.id()));
/// echo.poll(&switch, now, |stanza, out| {
///     let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { return };
///     out.extend_from_slice(format!("<message from='{to}' to='{from}'/>").as_bytes());
/// })?;
/// let state = user.poll(&switch, now, |stanza, _| {
///     assert_eq!(stanza.as_bytes(), b"<message from='echo.example' to='user.example'/>");
/// })?;
/// assert_eq!(state, PortState::Idle);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LocalPort<S: Switch> {
    port: S::Port,
    /// What was taken from the queue, and answers to what the port sent.
    inbox: Buffer,
    /// What was written while stanzas were visited, and waits for room, from `routed` on.
    outbox: Vec<u8>,
    routed: usize,
    delivery: Box<Delivery<S::Port>>,
    /// Some of what visits wrote was routed since the last batch ended.
    has_routed: bool,
    scan: Scan,
    /// What the switch says at once to what the port sends.
    answer: Vec<u8>,
    retry_at: Option<Instant>,
    order: Option<StreamErrorCause>,
}

/// What a local port has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortState {
    /// Nothing, until the switch wakes it.
    Idle,
    /// There is more: poll again soon. Others have their turn first.
    More,
    /// A receiver of what was written has no room: poll again when woken, and at that time at the latest.
    Blocked {
        /// That time.
        until: Instant,
    },
    /// The switch ends it: detach it.
    Ended(StreamErrorCause),
}

/// What is left of a port that was detached.
#[derive(Debug)]
#[non_exhaustive]
pub struct Detached {
    /// Stanzas for it that were not visited. They were answered with errors, or counted.
    pub unsent: u64,
    /// What was written while stanzas were visited, and found no room.
    pub unrouted: Vec<u8>,
    /// Names that others got over it.
    pub changes: Vec<BindingChange>,
}

/// Bytes that wait in the port over which what it sends is not answered: it does not look.
const MAX_ANSWERS: usize = 1024 * 1024;

impl<S: Switch> LocalPort<S> {
    /// Makes a port that holds all of its claims, or none.
    ///
    /// # Errors
    /// Another port holds one of them, or is that default route, or the switch is shutting down.
    pub fn attach(
        switch: &S,
        config: PortConfig,
        now: Now,
    ) -> Result<(Self, Vec<BindingChange>), AttachError> {
        let listener = Arc::new(config.listener());
        let PortConfig { claims, default_route, .. } = config;
        let (port, changes) = attach(switch, claims, default_route, listener, now.monotonic)?;
        let port = Self {
            port,
            inbox: Buffer::default(),
            outbox: Vec::new(),
            routed: 0,
            delivery: Box::default(),
            has_routed: false,
            scan: Scan::default(),
            answer: Vec::new(),
            retry_at: None,
            order: None,
        };
        Ok((port, changes))
    }

    /// The port's id on the switch.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.port.as_ref().id
    }

    /// The port, as the switch refers to it.
    #[must_use]
    pub fn port(&self) -> &S::Port {
        &self.port
    }

    /// Holds one name more. Returns what changed for ports with a prefix.
    ///
    /// # Errors
    /// Another port holds it, or this one has ended.
    pub fn add(&mut self, switch: &S, claim: Claim) -> Result<Vec<BindingChange>, AttachError> {
        switch.change(|directory| directory.router.add_claim(self.id(), claim))
    }

    /// Lets go of a claim. What waits here for its names is still visited. Does nothing if the port does not have it.
    pub fn remove(&mut self, switch: &S, now: Now, claim: &Claim) -> Vec<BindingChange> {
        switch.change(|directory| directory.router.remove_claim(self.id(), claim, now.monotonic))
    }

    /// Visits the stanzas that wait for the port, in order. What `visit` appends to its second argument, any number of
    /// whole stanzas, is routed when it returns. Does at most one [`Budget`]'s work.
    ///
    /// # Errors
    /// What the last visit wrote can't be sent. The rest of it is discarded; the port goes on.
    pub fn poll(
        &mut self,
        switch: &S,
        now: Now,
        mut visit: impl FnMut(&Incoming<'_>, &mut Vec<u8>),
    ) -> Result<PortState, SendError> {
        let mut visited = 0;
        let result = self.poll_batch(switch, now, &mut visit, &mut visited);
        switch.metrics().add(Metric::Delivered, visited);
        if mem::take(&mut self.has_routed) {
            self.delivery.end_batch(switch, now.monotonic);
        }
        result
    }

    fn poll_batch(
        &mut self,
        switch: &S,
        now: Now,
        visit: &mut dyn FnMut(&Incoming<'_>, &mut Vec<u8>),
        visited: &mut u64,
    ) -> Result<PortState, SendError> {
        let mut budget = Budget::default();
        loop {
            if !self.outbox.is_empty()
                && let Some(until) = self.route_outbox(switch, now, &mut budget)?
            {
                return Ok(PortState::Blocked { until });
            }
            if self.inbox.is_empty() && !self.collect(switch, now) {
                return Ok(self.order.clone().map_or(PortState::Idle, PortState::Ended));
            }
            if budget.is_spent() {
                return Ok(PortState::More);
            }
            budget.spend(1);
            if let Some((bytes, envelope)) = self.inbox.first() {
                budget.spend_transfer(bytes.len());
                if let Some(envelope) = envelope {
                    visit(&Incoming::new(bytes, envelope), &mut self.outbox);
                }
                let taken = bytes.len();
                *visited += u64::from(self.inbox.advance(taken));
            }
        }
    }

    /// Takes all stanzas that wait for the port, to be looked at while it sends. `None`: there are none. An answer to what
    /// it sends comes in the next batch. This is for code that waits between two stanzas; [`poll`](Self::poll) allocates
    /// nothing for a batch.
    pub fn take(&mut self, switch: &S, now: Now) -> Option<Batch> {
        if self.inbox.is_empty() && !self.collect(switch, now) {
            return None;
        }
        let batch = Batch::new(mem::take(&mut self.inbox));
        switch.metrics().add(Metric::Delivered, batch.len() as u64);
        // All of it is taken: senders that waited for room go on.
        let Self { port, inbox, .. } = self;
        let waiting =
            switch.queue(port, |queue| queue.note_taken(now.monotonic, inbox, &port.as_ref().listener));
        switch.wake_all(waiting);
        Some(batch)
    }

    /// The switch has ended the port, and nothing is left to visit: detach it.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.order.is_some() && self.inbox.is_empty()
    }

    /// The switch has answered what the port sent, or left something that it has not visited.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Takes what others left; whether there is any. Those that waited for room go on.
    fn collect(&mut self, switch: &S, now: Now) -> bool {
        let Self { port, inbox, order, .. } = self;
        let collected = switch.queue(port, |queue| {
            if order.is_none()
                && let Some(cause) = queue.take_order()
            {
                *order = Some(cause);
            }
            queue.collect(now.monotonic, inbox, &port.as_ref().listener)
        });
        if let Some(Collected { waiting, held }) = collected {
            switch.wake_all(waiting);
            replay(switch, now, port, held, inbox);
        }
        !inbox.is_empty()
    }

    /// Routes what was written by visits. Returns a time if it waits for room. Not inlined: a visit that writes nothing does
    /// not need its stack.
    #[inline(never)]
    fn route_outbox(
        &mut self,
        switch: &S,
        now: Now,
        budget: &mut Budget,
    ) -> Result<Option<Instant>, SendError> {
        self.has_routed = true;
        let outbox = mem::take(&mut self.outbox);
        let result = loop {
            self.routed += leading_blanks(&outbox[self.routed..]);
            let rest = &outbox[self.routed..];
            if rest.is_empty() {
                break Ok(None);
            }
            budget.spend(1);
            match self.send_first(switch, now, rest) {
                Ok(sent) => self.routed += sent,
                Err(SendError::Full { until }) => {
                    self.outbox = outbox;
                    self.retry_at = Some(until);
                    return Ok(Some(until));
                }
                Err(error) => break Err(error),
            }
        };
        self.outbox = outbox;
        self.outbox.clear();
        // What a long answer took is given back.
        self.outbox.shrink_to(64 * 1024);
        (self.routed, self.retry_at) = (0, None);
        result
    }

    /// Sends one stanza, whole, with its `to` and its `from`. Errors for it, and answers of the switch's own hosts, come
    /// back as stanzas of the port.
    ///
    /// # Errors
    /// It is not taken. [`SendError::Full`] also if what was written by a visit waits for room.
    pub fn send(&mut self, switch: &S, now: Now, stanza: &[u8]) -> Result<(), SendError> {
        self.check_order()?;
        let end = stanza.len() - stanza.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = leading_blanks(&stanza[..end]);
        // Looked at first: none of two is sent.
        let limits = Arc::clone(&self.port.as_ref().listener.limits);
        let length = self.length_of_first(&stanza[start..end], &limits)?;
        if start + length != end {
            return Err(SendError::NotOne);
        }
        let result = self.deliver_scanned(switch, now, &stanza[start..end]);
        self.delivery.end_batch(switch, now.monotonic);
        result
    }

    /// [`send`](Self::send) for a stanza that was read before, without a second scan.
    ///
    /// # Errors
    /// As there.
    pub fn send_stanza(&mut self, switch: &S, now: Now, stanza: &OwnedStanza) -> Result<(), SendError> {
        self.check_order()?;
        let result = self.deliver(switch, now, &stanza.as_stanza());
        self.delivery.end_batch(switch, now.monotonic);
        result
    }

    /// What was written by a visit goes first.
    fn check_order(&self) -> Result<(), SendError> {
        match self.retry_at {
            Some(until) if !self.outbox.is_empty() => Err(SendError::Full { until }),
            _ => Ok(()),
        }
    }

    /// Sends the first stanza of `bytes`; returns its length.
    fn send_first(&mut self, switch: &S, now: Now, bytes: &[u8]) -> Result<usize, SendError> {
        let limits = Arc::clone(&self.port.as_ref().listener.limits);
        let length = self.length_of_first(bytes, &limits)?;
        self.deliver_scanned(switch, now, &bytes[..length]).map(|()| length)
    }

    fn length_of_first(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, SendError> {
        if bytes.first() != Some(&b'<') {
            return Err(SendError::NotOne);
        }
        let window = &bytes[..bytes.len().min(limits.stanza)];
        let scanned = self.scan.advance(window, limits, HeaderPrefixes::Usual.as_slice());
        if let Ok(Progress::Whole(length)) = scanned {
            return Ok(length);
        }
        self.scan = Scan::default();
        Err(match scanned {
            Err(error) => SendError::Xml(error),
            Ok(Progress::Partial) if bytes.len() > limits.stanza => {
                SendError::TooLong { limit: limits.stanza }
            }
            Ok(_) => SendError::NotOne,
        })
    }

    /// Routes the stanza that was scanned last.
    fn deliver_scanned(&mut self, switch: &S, now: Now, bytes: &[u8]) -> Result<(), SendError> {
        let head = *self.scan.head();
        let stanza = match Stanza::new(bytes, &head, &HeaderPrefixes::Usual) {
            None => return Err(SendError::Rejected(RejectReason::NoStanza)),
            Some(Err(AddressFault::To(error))) => {
                return Err(SendError::Rejected(RejectReason::BadTo(error)));
            }
            Some(Err(AddressFault::From(error))) => {
                return Err(SendError::Rejected(RejectReason::BadFrom(error)));
            }
            Some(Ok(stanza)) => stanza,
        };
        self.deliver(switch, now, &stanza)
    }

    fn deliver(&mut self, switch: &S, now: Now, stanza: &Stanza<'_>) -> Result<(), SendError> {
        if stanza.to().is_none() {
            return Err(SendError::Rejected(RejectReason::NoTo));
        }
        if stanza.from().is_none() {
            return Err(SendError::Rejected(RejectReason::NoFrom));
        }
        if !stanza.is_proper() {
            return Err(SendError::Rejected(RejectReason::ImproperIq));
        }
        let source = &self.port;
        let may_answer = self.inbox.pending().len() <= MAX_ANSWERS;
        let context = DeliveryContext { switch, now, source, has_names: true, may_answer };
        match self.delivery.deliver(&context, stanza, &mut self.answer) {
            Outcome::Done => {}
            Outcome::ForeignFrom => return Err(SendError::Rejected(RejectReason::ForeignFrom)),
            Outcome::Blocked { until } => return Err(SendError::Full { until }),
        }
        self.take_answer(switch, now);
        if !self.inbox.is_empty() {
            switch.wake(&self.port);
        }
        Ok(())
    }

    /// Has the port visit what the switch said to what it sent.
    fn take_answer(&mut self, switch: &S, now: Now) {
        if self.answer.is_empty() {
            return;
        }
        let mut scan = Scan::default();
        let limits = Limits { stanza: usize::MAX, ..Limits::default() };
        let scanned = scan.advance(&self.answer, &limits, HeaderPrefixes::Usual.as_slice());
        if scanned == Ok(Progress::Whole(self.answer.len()))
            && let Some(Ok(stanza)) = Stanza::new(&self.answer, scan.head(), &HeaderPrefixes::Usual)
        {
            self.inbox.push(now.monotonic, |bytes| stanza.append_noting(bytes));
            switch.metrics().add(Metric::Notices, 1);
        }
        self.answer.clear();
    }

    /// When to call [`poll`](Self::poll) although nobody woke the port, if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Ends the port: frees its names, and answers the stanzas that it has not visited.
    pub fn detach(mut self, switch: &S, now: Now) -> Detached {
        let changes = detach(switch, &self.port, now.monotonic);
        let mut unsent = Unsent::new(leave(switch, &self.port, mem::take(&mut self.inbox)), None);
        let unsent = unsent.bounce(switch, now.monotonic, usize::MAX);
        switch.remove_port(&self.port);
        self.outbox.drain(..self.routed);
        Detached { unsent, unrouted: self.outbox, changes }
    }
}
