//! Events of a connection: reports for the log, and questions that the driver answers.

use alloc::vec::Vec;

use crate::close::CloseReason;
use crate::jid::Domain;
use crate::router::{BindingChange, Claim, PortId};
use crate::stream::Rejected;

/// What happened on a connection. No event holds a secret, or the content of a stanza.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The component claims these names, and the listener has no secret of its own: look up theirs and call
    /// [`Connection::secrets`](super::Connection::secrets). The time for the handshake runs meanwhile.
    SecretsNeeded {
        /// What it claims. [`Switch::names_of`](crate::switch::Switch::names_of) has the names that it would get. One of the
        /// secrets has to be right for all of them; set [`BindPolicy::later_hosts`](crate::router::BindPolicy::later_hosts) to
        /// false if it need not be right for the names under other hosts.
        claim: Claim,
    },
    /// The component proved the secret and is bound; stanzas flow.
    Bound {
        /// Its domain, or with `is_subdomain` its prefix.
        domain: Domain,
        /// It is bound under every host.
        is_subdomain: bool,
        /// Connections that it replaced (`kick_old`).
        replaced: Vec<PortId>,
        /// Names that others got or lost over it.
        changes: Vec<BindingChange>,
    },
    /// An element that it sent was refused.
    Rejected(Rejected),
    /// That many more were refused without an event of their own: a log needs no line for each.
    MoreRejected(u64),
    /// Within this second, this many of its stanzas bounced: more than 1,000. It may be in a loop with its receiver. Said once a
    /// minute.
    Bouncing(u64),
    /// The connection is over. This is the last event.
    Closed {
        /// Its domain, if it got as far.
        domain: Option<Domain>,
        /// Why.
        reason: CloseReason,
        /// Stanzas for it that were not sent.
        unsent: u64,
        /// Names that others got over it.
        changes: Vec<BindingChange>,
    },
}

/// Events that were not taken yet, first come first.
#[derive(Debug, Default)]
pub(super) struct Events {
    queued: Vec<ConnectionEvent>,
    /// Elements refused without an event of their own.
    more_refused: u32,
}

/// Rejected elements that get an event of their own before the events are taken.
const MAX_QUEUED: usize = 8;

impl Events {
    pub(super) fn push(&mut self, event: ConnectionEvent) {
        self.queued.push(event);
    }

    pub(super) fn push_refused(&mut self, refused: Rejected) {
        if self.queued.len() < MAX_QUEUED {
            self.push(ConnectionEvent::Rejected(refused));
        } else {
            self.more_refused = self.more_refused.saturating_add(1);
        }
    }

    pub(super) fn take(&mut self) -> Option<ConnectionEvent> {
        if self.more_refused > 0 && !matches!(self.queued.first(), Some(ConnectionEvent::Rejected(_))) {
            return Some(ConnectionEvent::MoreRejected(core::mem::take(&mut self.more_refused).into()));
        }
        (!self.queued.is_empty()).then(|| self.queued.remove(0))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.more_refused == 0
    }
}
