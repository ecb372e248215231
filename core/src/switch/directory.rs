//! The ports of a switch, and their names.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::fmt;

use super::domain::Domains;
use super::feed::{Feed, SwitchEvent, Watcher};
use super::shared::SwitchShared;
use super::sweep::Sweep;
use crate::config::SwitchConfig;
use crate::jid::Domain;
use crate::queue::{Queue, Share, Shares};
use crate::router::{PortId, Router};

/// The ports of a switch, and their names. A [`Switch`](super::Switch) keeps it; only the core looks inside.
pub struct Directory<P> {
    pub(crate) router: Router,
    pub(crate) ports: BTreeMap<PortId, P>,
    next: u64,
    pub(super) shutting_down: bool,
    pub(super) feed: Feed,
    pub(super) domains: Domains<P>,
    pub(super) sweep: Sweep,
    /// Uplinks that take stanzas between two of their domains.
    pub(super) around: usize,
    /// Of each realm that has ports, and of all local ports together.
    shares: BTreeMap<Option<u32>, WeakShares>,
}

/// They go with the last port.
type WeakShares = (Weak<Share>, Weak<Share>);

impl SwitchConfig {
    /// What a [`Switch`](super::Switch) keeps: what all ports use directly, and the directory.
    #[must_use]
    pub fn into_parts<P>(self) -> (SwitchShared, Directory<P>) {
        let shared = SwitchShared::new(self.info, self.max_queued);
        let mut directory = Directory::new(self.hosts, self.list_hidden);
        directory.domains.configure(self.domains);
        (shared, directory)
    }
}

impl<P> Directory<P> {
    fn new(hosts: impl IntoIterator<Item = Domain>, list_hidden: bool) -> Self {
        let mut router = Router::new(hosts);
        router.list_hidden(list_hidden);
        Self {
            router,
            ports: BTreeMap::new(),
            next: 0,
            shutting_down: false,
            feed: Feed::default(),
            domains: Domains::default(),
            sweep: Sweep::default(),
            around: 0,
            shares: BTreeMap::new(),
        }
    }

    /// An id that no port has had.
    pub(super) fn next_id(&mut self) -> PortId {
        let id = PortId(self.next);
        self.next += 1;
        id
    }

    /// An empty queue for a port of this realm; `None`: of a local port.
    pub(super) fn new_queue(&mut self, shared: &SwitchShared, realm: Option<u32>) -> Queue {
        let known = self.shares.get(&realm).and_then(|(queued, partial)| {
            Some(Shares { queued: queued.upgrade()?, partial: partial.upgrade()? })
        });
        Queue::new(known.unwrap_or_else(|| {
            self.shares.retain(|_, (queued, _)| queued.strong_count() > 0);
            let shares = shared.new_shares();
            let weak = (Arc::downgrade(&shares.queued), Arc::downgrade(&shares.partial));
            self.shares.insert(realm, weak);
            shares
        }))
    }

    pub(super) fn watch(&mut self) -> Watcher {
        self.feed.watch()
    }

    pub(super) fn unwatch(&mut self) {
        self.feed.unwatch();
    }

    pub(super) fn next_event(&self, watcher: &mut Watcher) -> Option<SwitchEvent> {
        self.feed.next(watcher)
    }

    /// Names the server if no other name fits: the first host.
    pub(crate) fn first_host(&self) -> Option<&Domain> {
        self.router.hosts().next()
    }
}

impl<P> fmt::Debug for Directory<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("connections", &self.ports.len())
            .field("bound", &self.router.bound())
            .finish_non_exhaustive()
    }
}
