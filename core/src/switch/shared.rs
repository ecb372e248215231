//! What all ports of a switch use without asking its directory.

use alloc::boxed::Box;
use alloc::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::metrics::Metrics;
use crate::config::ListenerConfig;
use crate::host::HostInfo;
use crate::jid::Domain;
use crate::queue::{DomainState, Ledger, Pool, PoolPart, Queue, Share, Shares};
use crate::router::PortId;
use crate::stanza_error::StanzaError;
use crate::sync::{AtomicU64, Ordering};

/// A port as every other port may see it.
#[derive(Debug)]
pub struct PortInfo {
    pub(crate) id: PortId,
    pub(crate) listener: Arc<ListenerConfig>,
    pub(crate) role: PortRole,
}

/// What a port is for.
#[derive(Clone, Debug)]
pub(crate) enum PortRole {
    /// A component's connection.
    Connection,
    /// Code in this process.
    Local,
    /// Our own stream, as a component, to another server.
    Uplink(Arc<UplinkRole>),
    /// The state of a domain that no port holds.
    Place,
}

/// What an uplink is for its switch.
#[derive(Debug)]
pub(crate) struct UplinkRole {
    /// It is the default route of this name, and takes stanzas from nobody else.
    pub(crate) domain: Domain,
    /// Those with the same number lead to the same server.
    pub(crate) group: u32,
    /// Stanzas between two of the group's domains stay here.
    pub(crate) local_routing: bool,
}

impl PortInfo {
    /// The port's id.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.id
    }

    /// Nobody drives it: it keeps the state of a domain until the next port takes the name.
    #[doc(hidden)]
    #[must_use]
    pub fn is_place(&self) -> bool {
        matches!(self.role, PortRole::Place)
    }

    /// What it is as an uplink, if it is one.
    pub(crate) fn uplink(&self) -> Option<&UplinkRole> {
        if let PortRole::Uplink(role) = &self.role { Some(role) } else { None }
    }

    /// The error for a stanza that the port does not get, in words that fit to it.
    pub(super) fn in_its_words(&self, error: StanzaError) -> StanzaError {
        if self.uplink().is_some() { error.of_server() } else { error }
    }
}

/// What all ports of a switch use without asking its directory.
#[derive(Debug)]
pub struct SwitchShared {
    /// Grows with every change of who holds what, so that a connection may keep what it looked up.
    epoch: AtomicU64,
    info: HostInfo,
    metrics: Metrics,
    pool: Arc<Pool>,
    /// For partial stanzas.
    partial: Arc<Pool>,
    /// What the requests that are not answered may take of `pool`.
    requests: Arc<PoolPart>,
    /// What held stanzas may take of it.
    held: Arc<PoolPart>,
    hasher: DefaultHashBuilder,
}

impl SwitchShared {
    pub(super) fn new(info: HostInfo, max_queued: usize) -> Self {
        let pool = Arc::new(Pool::new(max_queued));
        Self {
            epoch: AtomicU64::new(1),
            info,
            metrics: Metrics::default(),
            requests: Arc::new(PoolPart::new(Arc::clone(&pool), 4)),
            held: Arc::new(PoolPart::new(Arc::clone(&pool), 2)),
            pool,
            partial: Arc::new(Pool::new(max_queued)),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Returns an empty state for a domain.
    pub(super) fn new_state(&self) -> Box<DomainState> {
        Box::new(DomainState::new(Ledger::new(Arc::clone(&self.requests), self.hasher.clone())))
    }

    /// Whether any domain has state that is to be looked at once a second.
    pub(super) fn has_state(&self) -> bool {
        self.requests.users() > 0
    }

    /// What held stanzas may take.
    pub(super) fn held(&self) -> &Arc<PoolPart> {
        &self.held
    }

    /// Stands still while the directory is looked at.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Called while the directory is written, and before a queue is closed over it: a sender that finds the queue
    /// closed then sees why.
    pub(super) fn bump(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn info(&self) -> &HostInfo {
        &self.info
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Shares in both pools, for the ports of one realm.
    pub(super) fn new_shares(&self) -> Shares {
        let share = |pool: &Arc<Pool>| Arc::new(Share::new(Arc::clone(pool)));
        Shares { queued: share(&self.pool), partial: share(&self.partial) }
    }

    /// The queue of a port that is over.
    pub(crate) fn closed_queue(&self) -> Queue {
        Queue::new(self.new_shares())
    }

    pub(super) fn set_max_queued(&self, bytes: usize) {
        self.pool.set_max(bytes);
        self.partial.set_max(bytes);
    }

    pub(super) fn queued(&self) -> usize {
        self.pool.taken()
    }
}
