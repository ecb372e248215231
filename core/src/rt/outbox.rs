//! Where other connections leave stanzas for one connection.

use core::task::{Context, Waker};
use std::sync::Arc;

use super::listener::Listener;
use super::outgoing::{Batch, Outgoing};
use super::pool::{Pool, Share};
use crate::error::Cause;
use crate::router::ConnId;
use crate::time::Instant;

/// One connection's outbox, behind its lock. Bounded by bytes, its own and those of all, and by stanzas where the
/// listener says so.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Batch,
    /// Only a bound connection takes stanzas.
    open: bool,
    /// What the connection took from here and has not written yet.
    in_flight_bytes: usize,
    in_flight_stanzas: usize,
    /// The memory that it takes meanwhile: what is written of a batch is given back with the rest of it.
    in_flight_memory: usize,
    share: Share,
    /// For what the connection has read of a stanza that is not whole.
    unfinished: Share,
    /// The socket takes no bytes at the moment.
    socket_full: bool,
    /// Since when stanzas were refused because it is full, until it has drained to half the mark.
    full_since: Option<Instant>,
    /// Senders that wait for room.
    senders: Vec<(ConnId, Waker)>,
    receiver: Option<Waker>,
    /// The receiver has been, or is about to be, woken for what is in here.
    notified: bool,
    /// The connection is to end for this reason. Boxed, as nearly none has one.
    order: Option<Box<Cause>>,
}

/// What became of a stanza that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is in; `wake` says that the receiver has to be woken once the batch is done.
    Taken { wake: bool },
    /// There is no room: try again when woken, or at that time.
    Full { until: Instant },
    /// There has been no room for too long.
    Stalled,
    /// All outboxes together hold as much as they may.
    PoolEmpty,
    /// More stanzas wait than may: the connection ends over it.
    Overflow,
    /// As it would be delivered it is larger than the receiver takes.
    TooBig,
    /// The connection is not bound any more.
    Closed,
}

impl Outbox {
    pub(super) fn new(pool: Arc<Pool>, unfinished: Arc<Pool>) -> Self {
        Self {
            queue: Batch::default(),
            open: false,
            in_flight_bytes: 0,
            in_flight_stanzas: 0,
            in_flight_memory: 0,
            share: Share::new(pool),
            unfinished: Share::new(unfinished),
            socket_full: false,
            full_since: None,
            senders: Vec::new(),
            receiver: None,
            notified: false,
            order: None,
        }
    }

    pub(super) fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// Offers a stanza that `write` appends.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        listener: &Listener,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Offer {
        if !self.open {
            return Offer::Closed;
        }
        let waiting = self.queue.ends.len() + self.in_flight_stanzas;
        if let Some(most) = listener.max_queue.filter(|most| self.socket_full && waiting >= most.get()) {
            self.open = false;
            self.order_end(Cause::LongQueue { limit: most.get() });
            return Offer::Overflow;
        }
        if self.queue.bytes.len() + self.in_flight_bytes >= listener.outbox_mark {
            let since = *self.full_since.get_or_insert(now);
            let until = since + listener.stall;
            return if until <= now { Offer::Stalled } else { Offer::Full { until } };
        }
        // A receiver that was given up on has to make room first: no stanza overtakes one that bounced.
        if self.full_since.is_some_and(|since| since + listener.stall <= now) {
            return Offer::Stalled;
        }
        let before = self.queue.bytes.len();
        write(&mut self.queue.bytes);
        if self.queue.bytes.len() - before > listener.limits.stanza {
            self.queue.bytes.truncate(before);
            // It may have been several times as long as what was received.
            self.queue.bytes.shrink_to(listener.outbox_mark);
            return Offer::TooBig;
        }
        if !self.share.grow(self.queue.bytes.len() + self.in_flight_memory) {
            self.queue.bytes.truncate(before);
            return Offer::PoolEmpty;
        }
        self.queue.ends.push(self.queue.bytes.len() as u32);
        let wake = !self.notified && !self.socket_full;
        self.notified |= wake;
        Offer::Taken { wake }
    }

    /// Wakes this sender once there is room.
    pub(super) fn wait_for_room(&mut self, sender: ConnId, waker: &Waker) {
        match self.senders.iter_mut().find(|(other, _)| *other == sender) {
            Some((_, known)) => known.clone_from(waker),
            None => self.senders.push((sender, waker.clone())),
        }
    }

    /// Orders the connection to end; the first order counts.
    pub(super) fn order_end(&mut self, cause: Cause) {
        self.order.get_or_insert_with(|| Box::new(cause));
    }

    pub(super) fn take_order(&mut self) -> Option<Cause> {
        self.order.take().map(|order| *order)
    }

    /// What the receiver is to be woken with.
    pub(super) fn take_receiver(&mut self) -> Option<Waker> {
        self.receiver.take()
    }

    /// The receiver looks in: what is here moves to `outgoing`, which is empty, and the receiver is woken for
    /// the next. Gives the senders that may go on.
    pub(super) fn collect(
        &mut self,
        cx: &Context<'_>,
        outgoing: &mut Outgoing,
        listener: &Listener,
    ) -> Vec<(ConnId, Waker)> {
        match &mut self.receiver {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.receiver = Some(cx.waker().clone()),
        }
        self.notified = false;
        if outgoing.is_empty() && !self.queue.is_empty() {
            core::mem::swap(&mut self.queue, &mut outgoing.batch);
        }
        self.note_in_flight(outgoing, false);
        self.let_senders_go(listener)
    }

    /// Notes how much of what the receiver took is not out.
    pub(super) fn note_in_flight(&mut self, outgoing: &Outgoing, socket_full: bool) {
        self.in_flight_bytes = outgoing.pending().len();
        self.in_flight_stanzas = outgoing.waiting();
        self.in_flight_memory = outgoing.memory();
        self.share.shrink(self.queue.bytes.len() + self.in_flight_memory);
        self.socket_full = socket_full;
    }

    /// Notes how much the connection has read of a stanza that is not whole. Says whether it may hold that.
    pub(super) fn note_unfinished(&mut self, bytes: usize) -> bool {
        self.unfinished.shrink(bytes);
        self.unfinished.grow(bytes)
    }

    fn let_senders_go(&mut self, listener: &Listener) -> Vec<(ConnId, Waker)> {
        if self.full_since.is_none()
            || self.queue.bytes.len() + self.in_flight_bytes > listener.outbox_mark / 2
        {
            return Vec::new();
        }
        self.full_since = None;
        core::mem::take(&mut self.senders)
    }

    /// The senders that wait for room, if there will never be any.
    pub(super) fn take_senders(&mut self) -> Vec<(ConnId, Waker)> {
        core::mem::take(&mut self.senders)
    }

    /// The connection is over: gives the stanzas that nobody took.
    pub(super) fn close(&mut self) -> Batch {
        self.open = false;
        self.receiver = None;
        // What is bounced now needs room in the outboxes of others.
        self.share.shrink(0);
        self.unfinished.shrink(0);
        core::mem::take(&mut self.queue)
    }

    pub(super) fn release(&mut self) {
        self.queue.release();
        self.senders.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroUsize;

    use super::*;
    use crate::handshake::Secret;

    #[test]
    fn a_queue_that_runs_over_while_the_server_stops_changes_nothing_about_the_reason() {
        let mut listener = Listener::new(Secret::new("s"));
        listener.max_queue = NonZeroUsize::new(1);
        let mut outbox = Outbox {
            open: true,
            socket_full: true,
            in_flight_stanzas: 1,
            ..Outbox::new(Arc::new(Pool::new(usize::MAX)), Arc::new(Pool::new(usize::MAX)))
        };
        outbox.order_end(Cause::Shutdown);
        assert_eq!(outbox.offer(Instant::ORIGIN, &listener, |_| ()), Offer::Overflow);
        assert_eq!(outbox.take_order(), Some(Cause::Shutdown));
    }
}
