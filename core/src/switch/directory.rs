//! The ports of a switch, and their names.

use alloc::collections::BTreeMap;
use core::fmt;

use super::feed::{Feed, SwitchEvent, Watcher};
use crate::close::ReleaseReason;
use crate::jid::Domain;
use crate::router::{PortId, Router};

/// The ports of a switch, and their names. A [`Switch`](super::Switch) keeps it; only the core looks inside.
pub struct Directory<P> {
    pub(crate) router: Router,
    pub(crate) ports: BTreeMap<PortId, P>,
    next: u64,
    pub(super) shutting_down: bool,
    feed: Feed,
}

impl<P> Directory<P> {
    pub(super) fn new(hosts: impl IntoIterator<Item = Domain>, list_hidden: bool) -> Self {
        let mut router = Router::new(hosts);
        router.list_hidden(list_hidden);
        Self { router, ports: BTreeMap::new(), next: 0, shutting_down: false, feed: Feed::default() }
    }

    /// An id that no port has had.
    pub(super) fn next_id(&mut self) -> PortId {
        let id = PortId(self.next);
        self.next += 1;
        id
    }

    /// Tells those who watch what changed hands, and why names were released.
    pub(super) fn publish(&mut self, reason: &ReleaseReason) {
        if self.feed.is_watched() {
            let changes = self.router.take_changes();
            self.feed.publish(changes, reason);
        }
    }

    pub(super) fn watch(&mut self) -> Watcher {
        let watcher = self.feed.watch();
        self.router.note_changes(true);
        watcher
    }

    pub(super) fn unwatch(&mut self) {
        self.feed.unwatch();
        self.router.note_changes(self.feed.is_watched());
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
