//! Stanzas on their way to one port: what others left for it, what is being written, and the memory both may take.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`Queue`]: where other ports leave stanzas for one port, and what both halves may hold |
//! | `buffer` | one half: what others left, or what the port writes, its own words among it |
//! | `state` | what of a domain outlives its connections |
//! | `hold` | stanzas that wait until their component is back |
//! | `fate` | which stanzas are held, and which give way to which |
//! | `kept` | what a queue keeps of its port's domains |
//! | `ledger` | requests that were handed to a port and are not answered |
//! | `pool` | how many bytes may wait in all queues together, and of partial stanzas |

mod buffer;
mod fate;
mod hold;
mod kept;
mod ledger;
mod pool;
mod state;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

pub(crate) use buffer::Buffer;
pub(crate) use fate::Towards;
pub(crate) use hold::{Held, HoldOutcome, HoldTerms, Returned, Sorted};
pub(crate) use ledger::{Answered, Ledger, Overdue, RequestTerms, Unanswered};
pub(crate) use pool::{FREE, Pool, PoolPart, Share};
pub(crate) use state::DomainState;

use crate::config::ListenerConfig;
use crate::error::StreamErrorCause;
use crate::router::PortId;
use crate::stanza::Envelope;
use crate::stanza_error::StanzaError;
use crate::time::Instant;
use buffer::Load;
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
    intake: Intake,
    /// What the port held of the other half when it looked in last.
    in_flight: Load,
    /// When the first of that was put in when the port took it, in seconds.
    oldest_in_flight: u32,
    /// When the first of what others left was put in.
    oldest: u32,
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

/// What becomes of a stanza that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// The port is not bound, or has ended.
    Closed,
    /// It is put in here.
    Open,
    /// No port holds the domain: it is held until one does.
    Place,
    /// The port's stream is down: it is held until the next one, if stanzas are held for the port.
    Away,
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

/// What a port gets when it looks into its queue, beside what is in its other half then.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The ports that may go on.
    pub(crate) waiting: Vec<PortId>,
    /// Stanzas that were held.
    pub(crate) held: Vec<Held>,
}

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
    /// The port's stream is down. It is to be held, and this became of it; `None`: nothing is held.
    Away(Option<HoldOutcome>),
    /// It is not taken: bounce it with this error. `wake` says that the port has to be woken at once, to end.
    Rejected { error: StanzaError, wake: bool },
}

impl Queue {
    pub(crate) fn new(Shares { queued, partial }: Shares) -> Self {
        Self {
            incoming: Buffer::default(),
            intake: Intake::Closed,
            in_flight: Load::default(),
            oldest_in_flight: 0,
            oldest: 0,
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

    pub(crate) fn set_intake(&mut self, intake: Intake) {
        self.intake = intake;
    }

    /// Offers a stanza that `write` appends, on behalf of `source`, which is woken once there is room.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        listener: &ListenerConfig,
        source: Option<PortId>,
        write: impl FnOnce(&mut Vec<u8>) -> Option<Envelope>,
    ) -> Offer {
        match self.intake {
            Intake::Open => {}
            Intake::Closed | Intake::Place => return Offer::Closed,
            Intake::Away => return Offer::Away(self.hold_stanza(now, Intake::Away, write)),
        }
        let incoming = self.incoming.load();
        let held = if self.state.is_some() { self.held_before() } else { None };
        // It queues behind what is held, and nobody waits for that.
        if held.is_some_and(|(bytes, most)| bytes + incoming.bytes >= most) {
            return rejected(StanzaError::hold_full());
        }
        let queued = incoming.stanzas + self.in_flight.stanzas;
        if let Some(max) = listener.max_queue.filter(|max| self.socket_full && queued >= max.get()) {
            self.intake = Intake::Closed;
            self.order_end(StreamErrorCause::LongQueue { limit: max.get() });
            return Offer::Rejected { error: StanzaError::recipient_gone(), wake: true };
        }
        if held.is_none() && incoming.bytes + self.in_flight.bytes >= listener.queue_mark.min(MAX_MARK) {
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
        let taken = now.seconds();
        self.incoming.note_stanza(taken, envelope);
        if incoming.stanzas == 0 {
            self.oldest = taken;
        }
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
    ) -> Option<Collected> {
        self.notified = false;
        let mut collected = None;
        if output.is_empty() {
            if self.state.is_some() {
                collected = self.give_held(now);
            }
            let is_next = self.state.is_none() || !self.has_held() && collected.is_none();
            if is_next && !self.incoming.is_empty() {
                mem::swap(&mut self.incoming, output);
                self.oldest_in_flight = self.oldest;
            }
        }
        self.note_in_flight(output, false);
        if self.full_since.is_some() {
            let waiting = self.take_waiting_if_drained(now, listener);
            collected.get_or_insert_default().waiting = waiting;
        }
        collected
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
        if self.full_since.is_none() {
            return Vec::new();
        }
        self.end_full(now);
        self.take_waiting()
    }

    /// It is not full any more.
    pub(crate) fn end_full(&mut self, now: Instant) {
        self.full_time += self.full_since.take().map_or(Duration::ZERO, |since| now.since(since));
    }

    /// The ports that wait for room, if there will never be any.
    pub(crate) fn take_waiting(&mut self) -> Vec<PortId> {
        mem::take(&mut self.waiting)
    }

    /// The port is over: gives the stanzas that it did not take.
    pub(crate) fn close(&mut self) -> Buffer {
        self.intake = Intake::Closed;
        // What is bounced now needs room in the queues of others.
        self.lease.shrink(0);
        self.partial.shrink(0);
        mem::take(&mut self.incoming)
    }

    /// What an operator sees of it.
    pub(crate) fn status(&self) -> QueueStatus {
        let (incoming, in_flight) = (self.incoming.load(), self.in_flight);
        let oldest = match (in_flight.stanzas, incoming.stanzas) {
            (0, 0) => None,
            (0, _) => Some(self.oldest),
            _ => Some(self.oldest_in_flight),
        };
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
            intake: Intake::Open,
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
