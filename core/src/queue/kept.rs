//! What a queue keeps of its port's domains: requests that are not answered, and stanzas that are held.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::hold::{Hold, HoldOutcome, Sorted};
use super::ledger::{Answered, Request, RequestTerms, Unanswered};
use super::state::DomainState;
use super::{Buffer, Collected, Intake, Queue};
use crate::jid::Jid;
use crate::router::PortId;
use crate::stanza::Envelope;
use crate::time::Instant;

/// Bytes of held stanzas that a port gets at once.
const GIVEN: usize = 64 * 1024;
/// Bytes that a place keeps between two stanzas.
const SCRATCH: usize = 1024;

impl Queue {
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
        state.ledger.note(now, ports, self.taken - 1, request, terms, false)
    }

    /// Notes that the stanza that was just taken is a request of the switch's own: its answer is for nobody.
    pub(crate) fn note_own_request(
        &mut self,
        now: Instant,
        ports: (PortId, PortId),
        request: (&Jid<'_>, &Jid<'_>, &str),
        new_state: impl FnOnce() -> Box<DomainState>,
    ) {
        let state = self.state.get_or_insert_with(new_state);
        state.ledger.note(now, ports, self.taken - 1, request, &RequestTerms::OF_OWN, true);
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

    /// Returns the state; makes it first if the queue has no state yet.
    pub(crate) fn state_mut(&mut self, new_state: impl FnOnce() -> Box<DomainState>) -> &mut DomainState {
        self.state.get_or_insert_with(new_state)
    }

    /// Whether no state is left; what is empty is given back, unless stanzas may be held in it at any time.
    pub(crate) fn has_no_state(&mut self) -> bool {
        let may_hold = self.intake == Intake::Away;
        self.state.take_if(|state| state.is_empty() && !may_hold);
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

    #[cold]
    pub(super) fn give_held(&mut self, now: Instant) -> Option<Collected> {
        let held = self.hold_mut()?.give(now, GIVEN);
        (!held.is_empty()).then(|| Collected { held, ..Collected::default() })
    }

    /// Bytes that are held and go before what comes now, and how many may be.
    #[cold]
    pub(super) fn held_before(&self) -> Option<(usize, usize)> {
        self.hold().filter(|hold| !hold.is_empty()).map(|hold| (hold.bytes(), hold.terms().bytes))
    }

    fn hold(&self) -> Option<&Hold> {
        self.state.as_ref()?.hold.as_deref()
    }

    fn hold_mut(&mut self) -> Option<&mut Hold> {
        self.state.as_mut()?.hold.as_deref_mut()
    }

    /// Holds a stanza that `write` appends, if that is what becomes of stanzas here. `None`: it is held elsewhere now, or
    /// nowhere.
    #[cold]
    pub(crate) fn hold_stanza(
        &mut self,
        now: Instant,
        intake: Intake,
        write: impl FnOnce(&mut Vec<u8>) -> Option<Envelope>,
    ) -> Option<HoldOutcome> {
        if self.intake != intake || self.hold().is_none() {
            return None;
        }
        let mut scratch = mem::take(&mut self.incoming.bytes);
        let envelope = write(&mut scratch);
        let hold = |hold: &mut Hold| {
            envelope.map_or(HoldOutcome::Dropped, |envelope| hold.take(now, envelope, &scratch))
        };
        let outcome = self.hold_mut().map(hold);
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

    /// Nothing is held from now on, and all that is goes back; or it does not, after all.
    pub(crate) fn set_hold_over(&mut self, is_over: bool) {
        if let Some(hold) = self.hold_mut() {
            hold.set_over(is_over);
        }
    }

    /// Stanzas that were held and are with the port now take this much of its other half.
    pub(crate) fn note_replayed(&mut self, output: &Buffer) {
        self.oldest_in_flight = output.first_taken().map_or(0, |(_, _, taken)| taken.seconds());
        self.note_in_flight(output, false);
        self.lease.grow(self.incoming.load().memory + self.in_flight.memory, true);
    }
}
