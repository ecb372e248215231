//! What of a domain outlives its connections.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::hold::{Hold, HoldTerms};
use super::ledger::Ledger;
use super::pool::PoolPart;
use crate::router::PortId;

/// What of a domain, or of the domains of one port, outlives its connections.
#[derive(Debug)]
pub(crate) struct DomainState {
    pub(super) ledger: Ledger,
    /// What waits until a component is back, if it may be held.
    pub(super) hold: Option<Box<Hold>>,
}

impl DomainState {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, hold: None }
    }

    /// There is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.ledger.is_empty() && self.hold.as_ref().is_none_or(|hold| hold.is_empty())
    }

    /// From now on stanzas may be held. If a port has just ended, it is still to say what it did not send.
    pub(crate) fn open_hold(&mut self, terms: HoldTerms, part: &Arc<PoolPart>, ended: Option<PortId>) {
        let new = || Box::new(Hold::new(terms, Arc::clone(part)));
        let hold = self.hold.get_or_insert_with(new);
        hold.set_terms(terms);
        if let Some(port) = ended {
            hold.expect(port);
        }
    }

    /// No port will come that could answer late.
    pub(crate) fn forget_late(&mut self) {
        self.ledger.forget_late();
    }

    /// Takes over what another has.
    pub(super) fn join(&mut self, other: Self) {
        self.ledger.join(other.ledger);
        match (&mut self.hold, other.hold) {
            (Some(own), Some(other)) => own.join(*other),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }

    /// Takes out what belongs to certain domains, on these terms.
    pub(crate) fn split(&mut self, terms: HoldTerms, is_theirs: impl Fn(&str) -> bool) -> Box<Self> {
        let ledger = self.ledger.split(&is_theirs);
        let hold = self.hold.as_mut().map(|hold| Box::new(hold.split(terms, is_theirs)));
        Box::new(Self { ledger, hold })
    }
}
