//! What a listener grants to, and asks of, the components that connect to it.

use core::num::{NonZeroU64, NonZeroUsize};
use core::time::Duration;
use std::sync::Arc;

use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::router::{DomainPattern, Terms};

/// The settings of one listener. Make it with [`Listener::new`] and change what has to differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listener {
    /// What the handshake has to prove.
    pub secret: Secret,
    /// What its components are bound on: access, hidden, `from` check, conflict behaviour.
    pub terms: Arc<Terms>,
    /// What each stream may cost.
    pub limits: Arc<Limits>,
    /// The names that may connect; `None`: any that is no host of ours.
    pub domains: Option<Vec<DomainPattern>>,
    /// Bytes per second taken from each component; `None`: as fast as they come. Nothing is dropped, reading
    /// waits.
    pub rate: Option<NonZeroU64>,
    /// Stanzas that may wait for a component whose socket takes no bytes; over it the connection ends. `None`:
    /// only [`outbox_mark`](Self::outbox_mark) bounds them.
    pub max_queue: Option<NonZeroUsize>,
    /// Bytes waiting for a component over which its senders have to wait: 1 MiB.
    pub outbox_mark: usize,
    /// How long senders wait for a full receiver before their stanzas for it bounce: 5 s.
    pub stall: Duration,
    /// Idle time after which a connection gives its buffers back; at least a second.
    pub hibernate_after: Duration,
}

impl Listener {
    /// A listener with this secret and defaults for the rest.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self {
            secret,
            terms: Arc::new(Terms::default()),
            limits: Arc::new(Limits::default()),
            domains: None,
            rate: None,
            max_queue: None,
            outbox_mark: 1024 * 1024,
            stall: Duration::from_secs(5),
            hibernate_after: Duration::from_secs(1),
        }
    }

    /// May a component be bound as all of `names`?
    pub(super) fn allows(&self, names: &[Domain]) -> bool {
        self.domains.as_ref().is_none_or(|patterns| {
            names.iter().all(|name| patterns.iter().any(|pattern| pattern.matches(name.as_str())))
        })
    }
}
