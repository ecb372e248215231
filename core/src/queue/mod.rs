//! Stanzas on their way to one port: what others left for it, what is being written, and the memory both may take.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`Queue`]: where other ports leave stanzas for one port, and what both halves may hold |
//! | `buffer` | one half: what others left, or what the port writes, its own words among it |
//! | `state` | what of a domain outlives its connections |
//! | `hold` | stanzas that wait until their component is back |
//! | `fate` | which stanzas are held, and which give way to which |
//! | `ledger` | requests that were handed to a port and are not answered |
//! | `pool` | how many bytes may wait in all queues together, and of partial stanzas |

mod buffer;
mod fate;
mod hold;
mod ledger;
mod pool;
mod state;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

pub(crate) use buffer::Buffer;
pub(crate) use hold::{Held, HoldOutcome, HoldTerms, Returned, Sorted};
pub(crate) use ledger::{Answered, Ledger, Overdue, Request, RequestTerms, Unanswered};
pub(crate) use pool::{FREE, Pool, PoolPart, Share};
pub(crate) use state::DomainState;

use crate::config::ListenerConfig;
use crate::error::StreamErrorCause;
use crate::jid::Jid;
use crate::router::PortId;
use crate::stanza::Envelope;
use crate::stanza_error::StanzaError;
use crate::time::Instant;
use buffer::Load;
use hold::Hold;
use pool::PoolLease;

/// One port's queue. It is bounded by bytes, its own and those of all queues, and by stanzas if the listener says so.
///
/// It has two halves, so that nobody holds it while the port writes: what others left is in here, what the port took and
/// writes is with the port. Both count to what it may hold.
///
/// A [`Switch`](crate::switch::Switch) keeps it and hands it out; only the core looks inside.
#[derive(Debug)]
pub struct Queue {
    /// What others left.
    incoming: Buffer,
    /// Only a bound port takes stanzas.
    open: bool,
    /// What the port held of the other half when it looked in last.
    in_flight: Load,
    lease: PoolLease,
    /// For what the port has read of a stanza that is not whole.
    partial: PoolLease,
    /// The socket takes no bytes at the moment.
    socket_full: bool,
    /// Since when stanzas were refused because it is full, until it has drained to half the mark.
    full_since: Option<Instant>,
    /// How long it was full before, in all.
    full_time: Duration,
    /// Ports that wait for room.
    waiting: Vec<PortId>,
    /// The port has been, or is about to be, woken for what is in here.
    notified: bool,
    /// The port is to end for this reason. Boxed, as nearly none has one.
    order: Option<Box<StreamErrorCause>>,
    /// Stanzas that were ever put in here.
    taken: u64,
    /// What stays with the port's domains when the port ends.
    state: Option<Box<DomainState>>,
}

/// What the ports of one realm have taken of both pools.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    pub(crate) queued: Arc<Share>,
    /// For partial stanzas.
    pub(crate) partial: Arc<Share>,
}

/// What waits for a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Bytes that are not written.
    pub bytes: usize,
    /// Stanzas that are not written whole.
    pub stanzas: usize,
    /// When the oldest of them was put in, to the second.
    pub oldest: Option<Instant>,
    /// Since when stanzas are refused because it is full.
    pub full_since: Option<Instant>,
    /// How long it was full before that, in all.
    pub full_time: Duration,
}

/// What a port gets when it looks into its queue.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The ports that may go on.
    pub(crate) waiting: Vec<PortId>,
    /// Stanzas that were held.
    pub(crate) held: Vec<Held>,
}

/// Bytes of held stanzas that a port gets at once.
const GIVEN: usize = 64 * 1024;
/// Bytes that a place keeps between two stanzas.
const SCRATCH: usize = 1024;

/// Offsets into a queue are 32 bits: whatever the listener says, its senders wait at 1 GiB.
const MAX_MARK: usize = 1 << 30;

/// What became of a stanza that was offered to a queue.
#[derive(Debug)]
pub(crate) enum Offer {
    /// It is in; `wake` says that the port has to be woken once the batch is done.
    Taken { wake: bool },
    /// There is no room. The source is woken once there is; offer again then, and at that time at the latest.
    Full { until: Instant },
    /// The port is not bound any more: look up the way again.
    Closed,
    /// It is not taken: bounce it with this error. `wake` says that the port has to be woken at once, to end.
    Rejected { error: StanzaError, wake: bool },
}

impl Queue {
    pub(crate) fn new(Shares { queued, partial }: Shares) -> Self {
        Self {
            incoming: Buffer::default(),
            open: false,
            in_flight: Load::default(),
            lease: PoolLease::new(queued),
            partial: PoolLease::new(partial),
            socket_full: false,
            full_since: None,
            full_time: Duration::ZERO,
            waiting: Vec::new(),
            notified: false,
            order: None,
            taken: 0,
            state: None,
        }
    }

    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// Offers a stanza that `write` appends, on behalf of `source`, which is woken once there is room.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        listener: &ListenerConfig,
        source: Option<PortId>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<Envelope>,
    ) -> Offer {
        if !self.open {
            return Offer::Closed;
        }
        let incoming = self.incoming.load();
        if let Some(hold) = self.hold().filter(|hold| !hold.is_empty()) {
            // It queues behind what is held, and nobody waits for that.
            if hold.bytes() + incoming.bytes >= hold.terms().bytes {
                return rejected(StanzaError::hold_full());
            }
        }
        let queued = incoming.stanzas + self.in_flight.stanzas;
        if let Some(max) = listener.max_queue.filter(|max| self.socket_full && queued >= max.get()) {
            self.open = false;
            self.order_end(StreamErrorCause::LongQueue { limit: max.get() });
            return Offer::Rejected { error: StanzaError::recipient_gone(), wake: true };
        }
        let is_behind = self.hold().is_some_and(|hold| !hold.is_empty());
        if !is_behind && incoming.bytes + self.in_flight.bytes >= listener.queue_mark.min(MAX_MARK) {
            let until = *self.full_since.get_or_insert(now) + listener.stall;
            if until <= now {
                return rejected(StanzaError::queue_full());
            }
            self.wait_for_room(source);
            return Offer::Full { until };
        }
        // A receiver that was given up on has to make room first: no stanza overtakes one that bounced.
        if self.full_since.is_some_and(|since| since + listener.stall <= now) {
            return rejected(StanzaError::queue_full());
        }
        let holds_nothing = incoming.memory + self.in_flight.memory == 0;
        let bytes = &mut self.incoming.bytes;
        let before = bytes.len();
        let envelope = write(bytes);
        if bytes.len() - before > listener.limits.stanza {
            bytes.truncate(before);
            // It may have been several times as long as what was received.
            bytes.shrink_to(listener.queue_mark);
            return rejected(StanzaError::too_long(listener.limits.stanza));
        }
        if !self.lease.grow(bytes.len() + self.in_flight.memory, holds_nothing) {
            bytes.truncate(before);
            return rejected(StanzaError::pool_empty());
        }
        self.incoming.note_stanza(buffer::seconds(now), envelope);
        self.taken += 1;
        let wake = !self.notified && !self.socket_full;
        self.notified |= wake;
        Offer::Taken { wake }
    }

    fn wait_for_room(&mut self, source: Option<PortId>) {
        self.waiting.extend(source.filter(|source| !self.waiting.contains(source)));
    }

    /// Orders the port to end; the first order counts.
    pub(crate) fn order_end(&mut self, cause: StreamErrorCause) {
        self.order.get_or_insert_with(|| Box::new(cause));
    }

    pub(crate) fn take_order(&mut self) -> Option<StreamErrorCause> {
        self.order.take().map(|order| *order)
    }

    /// The port looks in: what is here moves to `output`, if that is empty, and the port is woken for the next stanza.
    /// What was held comes first, and is for the caller to put there.
    pub(crate) fn collect(
        &mut self,
        now: Instant,
        output: &mut Buffer,
        listener: &ListenerConfig,
    ) -> Collected {
        self.notified = false;
        let mut held = Vec::new();
        if output.is_empty() {
            if let Some(hold) = self.hold_mut() {
                held = hold.give(now, GIVEN);
            }
            if held.is_empty() && !self.incoming.is_empty() && self.hold().is_none_or(Hold::is_empty) {
                mem::swap(&mut self.incoming, output);
            }
        }
        self.note_in_flight(output, false);
        Collected { waiting: self.take_waiting_if_drained(now, listener), held }
    }

    fn hold(&self) -> Option<&Hold> {
        self.state.as_ref()?.hold.as_deref()
    }

    fn hold_mut(&mut self) -> Option<&mut Hold> {
        self.state.as_mut()?.hold.as_deref_mut()
    }

    /// Holds a stanza that `write` appends, for a domain that no port holds. `None`: it is held elsewhere now.
    pub(crate) fn hold_stanza(
        &mut self,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>) -> Envelope,
    ) -> Option<HoldOutcome> {
        if !self.open {
            return None;
        }
        let mut scratch = mem::take(&mut self.incoming.bytes);
        let envelope = write(&mut scratch);
        let outcome = self.hold_mut().map(|hold| hold.take(now, envelope, &scratch));
        scratch.clear();
        scratch.shrink_to(SCRATCH);
        self.incoming.bytes = scratch;
        outcome
    }

    /// Looks at held stanzas that have something to be decided about, at most `most`; whether there are more.
    pub(crate) fn sort_held(&mut self, now: Instant, most: usize, each: impl FnMut(Sorted<'_>)) -> bool {
        self.hold_mut().is_some_and(|hold| {
            hold.sort(now, most, each);
            hold.has_unsorted()
        })
    }

    /// Whether stanzas that were held wait for the port.
    pub(crate) fn has_held(&self) -> bool {
        self.hold().is_some_and(|hold| !hold.is_empty())
    }

    /// How many stanzas are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.hold().map_or(0, Hold::len)
    }

    /// Nothing is held from now on, and all that is goes back.
    pub(crate) fn end_hold(&mut self) {
        if let Some(hold) = self.hold_mut() {
            hold.end();
        }
    }

    /// Stanzas that were held and are with the port now take this much of its other half.
    pub(crate) fn note_replayed(&mut self, output: &Buffer) {
        self.note_in_flight(output, false);
        self.lease.grow(self.incoming.load().memory + self.in_flight.memory, true);
    }

    /// Notes how much of what the port took is not out.
    pub(crate) fn note_in_flight(&mut self, output: &Buffer, socket_full: bool) {
        self.in_flight = output.load();
        self.lease.shrink(self.incoming.load().memory + self.in_flight.memory);
        self.socket_full = socket_full;
    }

    /// The port has taken all that it held for good; `rest` is left. Returns the ports that may go on.
    pub(crate) fn note_taken(
        &mut self,
        now: Instant,
        rest: &Buffer,
        listener: &ListenerConfig,
    ) -> Vec<PortId> {
        self.note_in_flight(rest, false);
        self.take_waiting_if_drained(now, listener)
    }

    /// Notes how much the port has read of a stanza that is not whole. Says whether it may hold that.
    pub(crate) fn note_partial(&mut self, bytes: usize) -> bool {
        self.partial.shrink(bytes);
        self.partial.grow(bytes, false)
    }

    fn take_waiting_if_drained(&mut self, now: Instant, listener: &ListenerConfig) -> Vec<PortId> {
        let queued = self.incoming.load().bytes + self.in_flight.bytes;
        if queued > listener.queue_mark / 2 {
            return Vec::new();
        }
        let Some(since) = self.full_since.take() else { return Vec::new() };
        self.full_time += now.since(since);
        self.take_waiting()
    }

    /// The ports that wait for room, if there will never be any.
    pub(crate) fn take_waiting(&mut self) -> Vec<PortId> {
        mem::take(&mut self.waiting)
    }

    /// The port is over: gives the stanzas that it did not take.
    pub(crate) fn close(&mut self) -> Buffer {
        self.open = false;
        // What is bounced now needs room in the queues of others.
        self.lease.shrink(0);
        self.partial.shrink(0);
        mem::take(&mut self.incoming)
    }

    /// Notes that the stanza that was just taken is a request. False: there is no room to note it.
    pub(crate) fn note_request(
        &mut self,
        now: Instant,
        ports: (PortId, PortId),
        request: (&Jid<'_>, &Jid<'_>, &str),
        terms: &RequestTerms,
        new_state: impl FnOnce() -> Box<DomainState>,
    ) -> bool {
        let state = self.state.get_or_insert_with(new_state);
        state.ledger.note(now, ports, self.taken - 1, request, terms)
    }

    /// The port sends an answer to a request.
    pub(crate) fn answer(&mut self, from: &Jid<'_>, to: &Jid<'_>, id: &str) -> Answered {
        self.state.as_mut().map_or(Answered::Unknown, |state| state.ledger.answer(from, to, id))
    }

    /// The answer to this request has to wait, and so the request does.
    pub(crate) fn restore(&mut self, request: Request, new_state: impl FnOnce() -> Box<DomainState>) {
        self.state_mut(new_state).ledger.restore(request);
    }

    /// How many of the stanzas that were ever put in here were written at least in part, if `rest` is what was not; below 0
    /// if stanzas that were held are in it, which came before all others.
    pub(crate) fn begun(&self, rest: &Buffer) -> i64 {
        self.taken as i64 - (rest.unsent().count() + self.incoming.unsent().count()) as i64
    }

    /// A port that had this state has ended. Returns the positions of requests in its queue whose askers were told something.
    pub(crate) fn end_requests(&mut self, port: PortId, begun: i64) -> Vec<u64> {
        let begun = begun.try_into().unwrap_or_default();
        self.state.as_mut().map(|state| state.ledger.note_end(port, begun)).unwrap_or_default()
    }

    /// The same: takes what it did not send, if that is to be held.
    pub(crate) fn note_end(&mut self, port: PortId, unsent: &mut [Buffer; 2]) {
        let hold = self.hold_mut().filter(|hold| hold.expects(port));
        if let Some(hold) = hold {
            hold.take_unsent(port, mem::take(unsent));
        }
    }

    /// The requests whose askers are to be told that nobody answers, at most `most`.
    pub(crate) fn take_due(&mut self, now: Instant, most: usize) -> Vec<Unanswered> {
        let unsent = self.incoming.load().stanzas + self.in_flight.stanzas;
        let begun = self.taken.saturating_sub(unsent as u64);
        self.state.as_mut().map(|state| state.ledger.take_due(now, most, begun)).unwrap_or_default()
    }

    /// Forgets what ports asked that have ended; they are in order.
    pub(crate) fn forget_askers(&mut self, ended: &[PortId]) {
        if let Some(state) = self.state.as_mut().filter(|_| !ended.is_empty()) {
            state.ledger.forget_askers(ended);
        }
    }

    /// The state, made if there is none.
    pub(crate) fn state_mut(&mut self, new_state: impl FnOnce() -> Box<DomainState>) -> &mut DomainState {
        self.state.get_or_insert_with(new_state)
    }

    /// Whether no state is left; what is empty is given back.
    pub(crate) fn has_no_state(&mut self) -> bool {
        self.state.take_if(|state| state.is_empty());
        self.state.is_none()
    }

    pub(crate) fn take_state(&mut self) -> Option<Box<DomainState>> {
        self.state.take().filter(|state| !state.is_empty())
    }

    pub(crate) fn put_state(&mut self, state: Option<Box<DomainState>>) {
        match (&mut self.state, state) {
            (Some(own), Some(other)) => own.join(*other),
            (own @ None, state) => *own = state,
            (Some(_), None) => {}
        }
    }

    /// What an operator sees of it.
    pub(crate) fn status(&self) -> QueueStatus {
        let (incoming, in_flight) = (self.incoming.load(), self.in_flight);
        let oldest = in_flight.oldest.or(incoming.oldest);
        QueueStatus {
            bytes: incoming.bytes + in_flight.bytes,
            stanzas: incoming.stanzas + in_flight.stanzas,
            oldest: oldest.map(buffer::time),
            full_since: self.full_since,
            full_time: self.full_time,
        }
    }

    pub(crate) fn release(&mut self) {
        self.incoming.release();
        self.waiting.shrink_to(0);
    }
}

fn rejected(error: StanzaError) -> Offer {
    Offer::Rejected { error, wake: false }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroUsize;

    use super::*;
    use crate::handshake::Secret;

    #[test]
    fn overflow_during_shutdown_keeps_the_first_reason() {
        let mut listener = ListenerConfig::new(Secret::new("s"));
        listener.max_queue = NonZeroUsize::new(1);
        let share = Arc::new(Share::new(Arc::new(Pool::new(usize::MAX))));
        let mut queue = Queue {
            open: true,
            socket_full: true,
            in_flight: Load { stanzas: 1, ..Load::default() },
            ..Queue::new(Shares { queued: Arc::clone(&share), partial: share })
        };
        queue.order_end(StreamErrorCause::Shutdown);
        let offer = queue.offer(Instant::ORIGIN, &listener, None, |_| None);
        assert!(matches!(offer, Offer::Rejected { wake: true, .. }), "{offer:?}");
        assert_eq!(queue.take_order(), Some(StreamErrorCause::Shutdown));
    }
}
