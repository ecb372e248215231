//! What all ports of a switch use without asking its directory.

use alloc::boxed::Box;
use alloc::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::metrics::Metrics;
use crate::config::ListenerConfig;
use crate::host::HostInfo;
use crate::queue::{DomainState, Ledger, Pool, PoolPart, Queue, Share, Shares};
use crate::router::PortId;
use crate::sync::{AtomicU64, Ordering};

/// A port as every other port may see it.
#[derive(Debug)]
pub struct PortInfo {
    pub(crate) id: PortId,
    pub(crate) listener: Arc<ListenerConfig>,
    pub(crate) role: PortRole,
}

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortRole {
    /// A component's connection.
    Connection,
    /// Code in this process.
    Local,
    /// The state of a domain that no port holds.
    Place,
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
        self.role == PortRole::Place
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
