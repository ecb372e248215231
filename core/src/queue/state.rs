//! What of a domain outlives its connections.

use alloc::boxed::Box;

use super::ledger::Ledger;

/// What of a domain, or of the domains of one port, outlives its connections.
#[derive(Debug)]
pub(crate) struct DomainState {
    pub(super) ledger: Ledger,
}

impl DomainState {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// There is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.ledger.is_empty()
    }

    /// Takes over what another has.
    pub(super) fn join(&mut self, other: Self) {
        self.ledger.join(other.ledger);
    }

    /// Takes out what belongs to certain domains.
    pub(crate) fn split(&mut self, is_theirs: impl Fn(&str) -> bool) -> Box<Self> {
        Box::new(Self { ledger: self.ledger.split(is_theirs) })
    }
}
