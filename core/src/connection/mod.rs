//! A connection between a component and a server, either side of it: bytes and time in, bytes and events out.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`Connection`]: the server's side; what to call, and when |
//! | `client` | [`ClientConnection`]: the component's side |
//! | `session` | the connection on its switch, without its input and output |
//! | `negotiate` | from the first byte to the bound component |
//! | `phase` | how far a connection is |
//! | `ending` | the end: the last bytes are written, our side is shut, the rest is read |
//! | `event` | [`ConnectionEvent`] |
//! | `progress` | [`Progress`], [`Transmit`], [`Budget`]: how far the input is dealt with, what to write, how much to do at once |
//!
//! A server without a runtime, with a listener and two components, is the example `listener-poll` of the repository.

mod client;
mod ending;
mod event;
mod negotiate;
mod phase;
mod progress;
mod session;
#[cfg(test)]
pub(crate) mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

pub use client::{ClientConnection, ClientConnectionEvent};
use ending::Ending;
pub use event::ConnectionEvent;
pub use negotiate::refusal;
use phase::Phase;
use progress::OWN_MARK;
pub use progress::{Budget, Next, Progress, Transmit, Written};
use session::{Closed, Session};

pub use crate::close::{CloseReason, ReleaseReason};
pub use crate::stanza_error::RejectReason;
pub use crate::stream::Rejected;

use crate::error::{StreamError, StreamErrorCause};
use crate::handshake::{Secret, StreamId};
use crate::limits::Limits;
use crate::queue::{Buffer, Collected, FREE};
use crate::router::PortId;
use crate::switch::{ListenerConfig, Metric, PortInfo, Switch, Unsent, is_held, leave, replay};
use crate::time::{Instant, Now};

/// Unsent stanzas that are answered at once when a connection ends.
const FIRST_SHARE: usize = 64;
/// Those that are answered in each call after that, some 2 µs each.
const NEXT_SHARE: usize = 2;

/// One component's connection to a server.
///
/// It does all of XEP-0114's server side: negotiation, binding on the [`Switch`], delivery to other ports, limits,
/// keepalive, the end. It has no socket and no clock. Its driver calls
///
/// | when | what |
/// | --- | --- |
/// | bytes came | [`process`](Self::process), with all input that is not consumed yet |
/// | the switch woke it, or after any other call | [`poll_output`](Self::poll_output), and [`wrote`](Self::wrote) |
/// | before it reads | [`read_budget`](Self::read_budget) |
/// | the time of [`poll_timeout`](Self::poll_timeout) has come | [`handle_timeout`](Self::handle_timeout), then `process` |
/// | the input ended, the transport broke | [`handle_eof`](Self::handle_eof), [`handle_error`](Self::handle_error) |
/// | at any time | [`poll_event`](Self::poll_event) |
///
/// until `poll_output` gives [`Transmit::Done`]. A connection that is dropped before leaves its place behind: call
/// [`abandon`](Self::abandon) first.
///
/// All calls take the switch that the connection was made on, and times of one clock that never runs backwards.
pub struct Connection<S: Switch> {
    session: Session<S>,
    output: Buffer,
    next: Next,
    /// Bytes of the input that were not consumed. At most a stanza's and a read's.
    kept: u32,
    /// Some of them are counted as a partial stanza's.
    is_counted: bool,
    /// Reading goes on.
    reading: bool,
    /// Reading waits for the shaper, and for nothing else.
    wants_tokens: bool,
    /// What the negotiation took is not given back yet.
    has_leftovers: bool,
    /// When to give memory back if nothing happens before.
    idle_at: Option<Instant>,
}

impl<S: Switch> Connection<S> {
    /// Takes over a connection that came in. `id` is fresh and random: at least 128 bits of it, drawn by the caller
    /// (RFC 6120, 4.7.3).
    #[must_use]
    pub fn new(switch: &S, listener: Arc<ListenerConfig>, id: StreamId, now: Now) -> Self {
        let (port, phase) = negotiate::begin(switch, listener, id, now);
        Self {
            session: Session::new(port, phase),
            output: Buffer::default(),
            next: Next::Input,
            kept: 0,
            is_counted: false,
            reading: true,
            wants_tokens: false,
            has_leftovers: true,
            idle_at: None,
        }
    }

    /// The connection's port on the switch.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.session.port.as_ref().id
    }

    /// The same, as the switch refers to it.
    #[must_use]
    pub fn port(&self) -> &S::Port {
        &self.session.port
    }

    fn limits(&self) -> &Limits {
        &self.session.listener().limits
    }

    /// Takes events from `input`, which begins with the first byte that was not consumed yet and only grows at its
    /// end. Stanzas go to other ports, and answers to the output. How the input is cut into calls makes no difference.
    /// Once the stream is over, the input is consumed and nothing happens.
    #[must_use = "it says how many bytes to drop from the input"]
    pub fn process(&mut self, switch: &S, now: Now, input: &[u8], budget: &mut Budget) -> Progress {
        if let Some(closed) = &mut self.session.closed {
            let Closed { ending, rest, .. } = &mut **closed;
            let (progress, elements) = ending.read_on(rest, now.monotonic, input, budget);
            switch.metrics().add(Metric::DroppedUndeliverable, elements);
            return progress;
        }
        let new = input.len().saturating_sub(self.kept as usize);
        if let Some(shaper) = &mut self.session.shaper {
            shaper.take(new);
        }
        let Self { session, output, next, .. } = self;
        let mut consumed = 0;
        *next = Next::More;
        while *next == Next::More && !budget.is_spent() {
            if output.own() > OWN_MARK {
                *next = Next::Room;
                break;
            }
            budget.spend(1);
            let before = output.own();
            let rest = &input[consumed..];
            let shown = &rest[..rest.len().min(session.window())];
            let taken;
            (taken, *next) = output.append(|out| session.step(switch, now, shown, budget, out));
            budget.spend_output(output.own() - before);
            consumed += taken;
            if *next == Next::Input && shown.len() < rest.len() {
                *next = Next::More;
            }
        }
        session.end_batch(switch, now);
        if session.closed.is_some() {
            self.cut_for_hold(switch);
        }
        self.kept = u32::try_from(input.len() - consumed).unwrap_or(u32::MAX);
        if self.next == Next::Input {
            self.count_partial(switch, now);
        }
        if new > 0 || consumed > 0 {
            self.note_activity(now);
        }
        Progress { consumed, next: self.next }
    }

    /// Counts what is kept of a partial stanza. What one read may leave is nobody else's business.
    fn count_partial(&mut self, switch: &S, now: Now) {
        let kept = self.kept as usize;
        let bytes = if kept > FREE { kept } else { 0 };
        if bytes == 0 && !self.is_counted {
            return;
        }
        self.is_counted = bytes > 0;
        if switch.queue(&self.session.port, |queue| queue.note_partial(bytes))
            || self.session.closed.is_some()
        {
            return;
        }
        let error = StreamError::from(StreamErrorCause::PoolEmpty { free: FREE });
        if let Phase::Open(stream) = &mut self.session.phase {
            self.output.append(|out| stream.fail(error.clone(), out));
        }
        self.session.close(switch, now, CloseReason::Error(error));
        self.cut_for_hold(switch);
    }

    /// Takes what other ports left, and the switch's order to end, which nothing else takes; says what to write. Call it
    /// once for a new connection, whenever the switch woke it, and until it gives [`Transmit::Nothing`].
    pub fn poll_output(&mut self, switch: &S, now: Now) -> Transmit<'_> {
        if self.session.closed.is_none() {
            let Self { session: Session { port, .. }, output, .. } = self;
            let (order, collected) = switch.queue(port, |queue| {
                let collected = queue.collect(now.monotonic, output, &port.as_ref().listener);
                (queue.take_order(), collected)
            });
            if let Some(Collected { waiting, held }) = collected {
                switch.wake_all(waiting);
                replay(switch, now, port, held, output);
            }
            if let Some(cause) = order {
                self.obey(switch, now, cause);
            }
        }
        let closed = self.session.closed.as_ref();
        let what = Ending::transmit(closed.map(|closed| &closed.ending), self.output.pending());
        let is_left = closed.is_some_and(|closed| !closed.left.is_empty());
        if what == Transmit::Done && is_left { Transmit::Nothing } else { what }
    }

    /// Notes what became of the output.
    pub fn wrote(&mut self, switch: &S, now: Now, written: Written) {
        match written {
            Written::Bytes(n) => {
                let delivered = self.output.advance(n.min(self.output.pending().len()));
                switch.metrics().add(Metric::Delivered, delivered.into());
                if let Phase::Open(stream) = &mut self.session.phase {
                    stream.wrote(now.monotonic);
                    if self.has_leftovers && self.output.is_empty() {
                        // At once: between the lasting memory of the next connections it would leave gaps that nobody
                        // fills.
                        self.has_leftovers = false;
                        self.release(switch);
                    }
                }
                self.note_activity(now);
            }
            // The bounds on what waits for a full socket count from now on.
            Written::Full => {
                switch.queue(&self.session.port, |queue| queue.note_in_flight(&self.output, true));
            }
            Written::Shut => self.settle(switch, now, |ending, limits| ending.shut(limits, now.monotonic)),
        }
    }

    /// Writes all output to `out`, as to a transport that takes everything, and shuts the write side if that is due. Returns
    /// whether it did anything. For connections in memory, and for tests.
    pub fn write_to(&mut self, switch: &S, now: Now, out: &mut Vec<u8>) -> bool {
        let mut worked = false;
        loop {
            let written = match self.poll_output(switch, now) {
                Transmit::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    Written::Bytes(bytes.len())
                }
                Transmit::Shutdown => Written::Shut,
                Transmit::Nothing | Transmit::Done => return worked,
            };
            self.wrote(switch, now, written);
            worked = true;
        }
    }

    /// Ends the connection for a reason that came from the switch.
    fn obey(&mut self, switch: &S, now: Now, cause: StreamErrorCause) {
        let unsent = if matches!(cause, StreamErrorCause::Shutdown) {
            // What was taken is still sent.
            self.output.join(&switch.queue(&self.session.port, |queue| queue.close()));
            None
        } else {
            Some(self.output.cut())
        };
        let error = StreamError::from(cause.clone());
        let phase = mem::replace(&mut self.session.phase, Phase::Ended);
        let rest = self.output.append(|out| match (phase, &cause) {
            // What is on its way is to be counted.
            (Phase::Open(stream), StreamErrorCause::Shutdown) => stream.say_end(&error, out),
            (phase, _) => {
                phase.refuse(error.clone(), out);
                None
            }
        });
        self.session.close(switch, now, CloseReason::Error(error));
        if let Some(closed) = &mut self.session.closed {
            closed.rest = rest;
        }
        if let (Some(unsent), Some(closed)) = (unsent, &mut self.session.closed) {
            closed.is_cut = true;
            closed.left.push(Unsent::new(leave(switch, &self.session.port, unsent), Some(&cause)));
        }
        self.bounce(switch, now, FIRST_SHARE);
    }

    /// Once the stream is over, what is to be held for the next connection is not written to this one.
    fn cut_for_hold(&mut self, switch: &S) {
        let Self { session: Session { closed: Some(closed), port, .. }, output, .. } = self else { return };
        if !mem::replace(&mut closed.is_cut, true) && is_held(switch, port) {
            closed.left.push(Unsent::new(leave(switch, port, output.cut()), None));
        }
    }

    /// How many bytes may be read now; `usize::MAX`: as many as you like. 0: none, until the time of
    /// [`poll_timeout`](Self::poll_timeout), a wake-up, or until output was written. Time in which this is 0 does not
    /// count against a stanza that has begun.
    pub fn read_budget(&mut self, now: Now) -> usize {
        if let Some(closed) = &self.session.closed {
            return closed.ending.read_budget(closed.rest.is_some());
        }
        let may_read = self.next == Next::Input && self.may_answer();
        let budget = if may_read { self.tokens(now.monotonic) } else { 0 };
        self.wants_tokens = may_read && budget == 0;
        if self.reading != (budget > 0) {
            self.reading = budget > 0;
            if let Phase::Open(stream) = &mut self.session.phase {
                stream.set_reading(now.monotonic, self.reading);
            }
        }
        budget
    }

    fn tokens(&mut self, now: Instant) -> usize {
        match &mut self.session.shaper {
            // What comes behind the handshake in the same read is shaped with the next.
            None if !self.session.bound => self.limits().negotiation,
            None => usize::MAX,
            Some(shaper) => match (shaper.allowance(now), shaper.poll_timeout()) {
                (_, Some(_)) => 0,
                (allowance, None) => allowance,
            },
        }
    }

    /// Whether there is room for what the stream may have to say.
    fn may_answer(&self) -> bool {
        self.output.own() <= OWN_MARK
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all. It may change with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Some(closed) = &self.session.closed {
            // What is left to answer goes on at once.
            return if closed.left.is_empty() { closed.ending.poll_timeout() } else { Some(Instant::ORIGIN) };
        }
        let retry_at = self.session.retry_at.filter(|_| self.next == Next::Room && self.may_answer());
        let tokens_at = self.session.shaper.as_ref().filter(|_| self.wants_tokens);
        let tokens_at = tokens_at.and_then(|shaper| shaper.poll_timeout());
        let phase_at = self.session.phase.poll_timeout();
        [phase_at, retry_at, tokens_at, self.idle_at].into_iter().flatten().min()
    }

    /// Does what is due: a keepalive, the end of a stream that is late, memory given back. `process` and `read_budget`
    /// do the rest.
    pub fn handle_timeout(&mut self, switch: &S, now: Now) {
        if self.session.closed.is_some() {
            self.settle(switch, now, |ending, _| ending.handle_timeout(now.monotonic));
            self.bounce(switch, now, NEXT_SHARE);
            return;
        }
        if self.idle_at.is_some_and(|at| at <= now.monotonic) {
            self.idle_at = None;
            self.release(switch);
        }
        let Self { session: Session { phase, .. }, output, .. } = self;
        let result = output.append(|out| phase.handle_timeout(now.monotonic, out));
        if let Err(error) = result {
            self.session.close(switch, now, CloseReason::Error(error));
            self.cut_for_hold(switch);
        }
    }

    /// The input has ended: a read that [`read_budget`](Self::read_budget) allowed gave nothing. Input that was not
    /// processed is lost, so a poller's hang-up alone is no reason to call it.
    pub fn handle_eof(&mut self, switch: &S, now: Now) {
        if let Some(closed) = &mut self.session.closed {
            closed.ending.handle_eof();
            return;
        }
        if let Phase::Open(stream) = &mut self.session.phase {
            self.output.append(|out| stream.close(out));
        }
        self.session.close(switch, now, CloseReason::ByPeer);
        self.cut_for_hold(switch);
    }

    /// The connection is about to be dropped before it is over: does all that is left to do, in one piece.
    pub fn abandon(&mut self, switch: &S, now: Now, words: String) {
        self.handle_error(switch, now, words);
        self.bounce(switch, now, usize::MAX);
    }

    /// The transport broke, in the operating system's `words`: nothing more can be written.
    pub fn handle_error(&mut self, switch: &S, now: Now, words: String) {
        self.session.close(switch, now, CloseReason::Broken(words));
        self.settle(switch, now, |ending, _| *ending = Ending::Done);
    }

    /// Whether the stream is over. What is left of the output is still to be written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session.closed.is_some()
    }

    /// Goes on with the end. Once nothing more will be written, stanzas for the component that were not sent are
    /// answered, or counted, and the last event is there to be taken.
    fn settle(&mut self, switch: &S, now: Now, go_on: impl FnOnce(&mut Ending, &Limits)) {
        let Self { session: Session { closed: Some(closed), port, .. }, .. } = self else { return };
        let was_flushing = closed.ending.is_flushing();
        go_on(&mut closed.ending, &port.as_ref().listener.limits);
        if !was_flushing || closed.ending.is_flushing() {
            return;
        }
        // A batch that an access rule of the application's own has broken off by a panic.
        if let Some(delivery) = &mut self.session.delivery {
            delivery.end_batch(switch, now.monotonic);
        }
        // An order that it did not live to obey, if it broke.
        let order = switch.queue(port, |queue| queue.take_order());
        switch.metrics().add(Metric::Torn, self.output.is_torn().into());
        let unsent = leave(switch, port, mem::take(&mut self.output));
        closed.left.push(Unsent::new(unsent, order.as_ref()));
        self.bounce(switch, now, FIRST_SHARE);
    }

    /// Answers the next stanzas that were not sent, at most `most`: others have their turn between two shares. Once none is
    /// left and nothing more will be written, the last event is there.
    fn bounce(&mut self, switch: &S, now: Now, most: usize) {
        let Self { session: Session { closed: Some(closed), port, domain, events, .. }, .. } = self else {
            return;
        };
        let mut rest = most;
        for unsent in &mut closed.left {
            let done = unsent.bounce(switch, now.monotonic, rest);
            closed.unsent += done;
            rest -= done as usize;
        }
        closed.left.retain(|unsent| !unsent.is_empty());
        if !closed.left.is_empty() || closed.ending.is_flushing() || mem::replace(&mut closed.told, true) {
            return;
        }
        switch.remove_port(port);
        let (reason, changes) = (closed.reason.clone(), mem::take(&mut closed.changes));
        let event = ConnectionEvent::Closed { domain: domain.take(), reason, unsent: closed.unsent, changes };
        events.get_or_insert_default().push(event);
    }

    /// Answers [`SecretsNeeded`](ConnectionEvent::SecretsNeeded): the handshake has to prove one of these. None: it can
    /// prove nothing, so that nobody learns which names have a secret. Call [`process`](Self::process) then. Does
    /// nothing if the connection has not asked, or has ended meanwhile. After
    /// [`Limits::negotiation_step`] they come too late, and the stream ends with `internal-server-error`.
    pub fn secrets(&mut self, switch: &S, now: Now, secrets: impl Into<Arc<[Secret]>>) {
        let Self { session, output, .. } = self;
        output.append(|out| session.secrets(switch, now, secrets.into(), out));
    }

    /// Answers [`SecretsNeeded`](ConnectionEvent::SecretsNeeded) with `error`, which ends the stream (RFC 6120, 4.9):
    /// these names may not connect now. Does nothing if the connection has not asked, or has ended meanwhile.
    pub fn refuse(&mut self, switch: &S, now: Now, error: StreamError) {
        let Self { session, output, .. } = self;
        output.append(|out| session.refuse(switch, now, error, out));
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.session.events.as_mut()?.take()
    }

    fn note_activity(&mut self, now: Now) {
        if matches!(self.session.phase, Phase::Open(_)) {
            // Below a second, memory would go to and fro.
            let after = self.session.listener().hibernate_after.max(Duration::from_secs(1));
            self.idle_at = Some(now.monotonic + after);
        }
    }

    /// Gives memory back that the connection does not need while nothing happens.
    fn release(&mut self, switch: &S) {
        switch.queue(&self.session.port, |queue| queue.release());
        self.output.release();
        self.session.events.take_if(|events| events.is_empty());
        // Empty between batches, but for routes that are soon found again.
        self.session.delivery.take_if(|delivery| delivery.is_empty());
        if let Phase::Open(stream) = &mut self.session.phase {
            stream.release();
        }
    }
}

impl<S: Switch> AsRef<PortInfo> for Connection<S> {
    fn as_ref(&self) -> &PortInfo {
        self.session.port.as_ref()
    }
}
