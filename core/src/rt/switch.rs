//! Who is connected: the router, and an outbox for each connection.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::counters::{Count, Counters};
use super::listener::Listener;
use super::outbox::Outbox;
use super::pool::Pool;
use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::error::Cause;
use crate::host::{HostFacts, HostInfo};
use crate::jid::Domain;
use crate::router::{Bound, Change, Claim, Conflict, ConnId, DomainPattern, HostTaken, Router};

/// The bytes that may wait in all outboxes together, unless set: 256 MiB.
const QUEUED: usize = 256 << 20;

/// What the connections of one server share. Cheap to share in an [`Arc`]; every method may be called from
/// any thread.
pub struct Switch {
    state: RwLock<State>,
    /// Grows with every change of who is bound to what, so that a connection may keep what it looked up.
    epoch: AtomicU64,
    info: HostInfo,
    utc: fn() -> String,
    list_hidden: bool,
    counters: Counters,
    pool: Arc<Pool>,
    /// For stanzas that are not whole.
    unfinished: Arc<Pool>,
    /// How often the state was looked at; no lock of loom's, which would try all orders of it.
    #[cfg(test)]
    pub(super) reads: core::sync::atomic::AtomicUsize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) router: Router,
    pub(super) ports: BTreeMap<ConnId, Arc<Port>>,
    next: u64,
    shutting_down: bool,
}

/// A connection as the others see it.
pub(super) struct Port {
    pub(super) id: ConnId,
    pub(super) listener: Arc<Listener>,
    outbox: Mutex<Outbox>,
}

impl Port {
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // A panic elsewhere can't leave an outbox between two states that matter.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection's task.
    pub(super) fn wake(&self) {
        let receiver = self.outbox().take_receiver();
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

impl Switch {
    /// A switch for these hosts. `utc` gives the time as XEP-0082 writes it, such as `2026-11-22T18:00:00Z`;
    /// `list_hidden` makes disco#items list hidden components as well.
    #[must_use]
    pub fn new(
        hosts: impl IntoIterator<Item = Domain>,
        info: HostInfo,
        utc: fn() -> String,
        list_hidden: bool,
    ) -> Self {
        let state = State { router: Router::new(hosts), ..State::default() };
        Self {
            state: RwLock::new(state),
            epoch: AtomicU64::new(1),
            info,
            utc,
            list_hidden,
            counters: Counters::default(),
            pool: Arc::new(Pool::new(QUEUED)),
            unfinished: Arc::new(Pool::new(QUEUED)),
            #[cfg(test)]
            reads: core::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Sets the names that are known also while nobody is connected for them: those of every listener's
    /// `domains`.
    pub fn set_known(&self, patterns: Vec<DomainPattern>) {
        let mut state = self.write();
        state.router.set_known(patterns);
        self.bump(&state);
    }

    /// Adds a host: components bound with a prefix get their name under it at once. The changes are for the
    /// log.
    ///
    /// # Errors
    /// A component holds the host's own name; nothing has changed then.
    pub fn add_host(&self, host: Domain) -> Result<Vec<Change>, HostTaken> {
        let mut state = self.write();
        let changes = state.router.add_host(host);
        self.bump(&state);
        changes
    }

    /// Removes a host: components bound with a prefix lose their name under it and live on.
    pub fn remove_host(&self, host: &Domain) -> Vec<Change> {
        let mut state = self.write();
        let changes = state.router.remove_host(host);
        self.bump(&state);
        changes
    }

    /// Ends every connection with `system-shutdown`, and each that comes later. What waits in their outboxes
    /// is written first, within the time that the limits give.
    pub fn shut_down(&self) {
        let ports: Vec<_> = {
            let mut state = self.write();
            state.shutting_down = true;
            state.ports.values().cloned().collect()
        };
        for port in ports {
            port.outbox().order_end(Cause::Shutdown);
            port.wake();
        }
    }

    /// Sets how many bytes may wait in all outboxes together, beside 64 KiB in each: 256 MiB unless set. Over
    /// it, a stanza for a component for which more than 64 KiB wait bounces at once, `resource-constraint`. As much
    /// again may be kept of stanzas that are not whole; over it, the stream of a component that goes on with one of
    /// more than 64 KiB ends, `resource-constraint`.
    pub fn set_max_queued(&self, bytes: usize) {
        self.pool.set_most(bytes);
        self.unfinished.set_most(bytes);
    }

    /// How many of those bytes are taken, in steps of 64 KiB for each outbox.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.pool.taken()
    }

    /// How many connections there are, authenticated or not.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.read().ports.len()
    }

    /// How many components are bound.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.read().router.bound()
    }

    /// The numbers to graph.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn info(&self) -> &HostInfo {
        &self.info
    }

    /// Names us where no other name fits: the first host.
    pub(super) fn first_host(&self) -> Option<Domain> {
        self.read().router.hosts().next().cloned()
    }

    pub(super) fn connect(&self, listener: Arc<Listener>) -> Arc<Port> {
        let mut state = self.write();
        let id = ConnId(state.next);
        state.next += 1;
        let outbox = Outbox::new(Arc::clone(&self.pool), Arc::clone(&self.unfinished));
        let port = Arc::new(Port { id, listener, outbox: Mutex::new(outbox) });
        if state.shutting_down {
            port.outbox().order_end(Cause::Shutdown);
        }
        state.ports.insert(id, Arc::clone(&port));
        self.counters.add(Count::Connections, 1);
        port
    }

    /// Binds a connection, and unbinds whom it replaces, in one step that waits for nobody.
    pub(super) fn bind(&self, port: &Port, claim: Claim) -> Result<Bound, Conflict> {
        let mut state = self.write();
        let bound = state.router.bind(port.id, claim, Arc::clone(&port.listener.terms))?;
        self.bump(&state);
        let replaced: Vec<_> = bound.replaced.iter().filter_map(|id| state.ports.get(id)).cloned().collect();
        for old in &replaced {
            let mut outbox = old.outbox();
            outbox.set_open(false);
            outbox.order_end(Cause::Replaced);
        }
        port.outbox().set_open(true);
        drop(state);
        for old in replaced {
            old.wake();
        }
        self.counters.add(Count::Bound, 1);
        Ok(bound)
    }

    /// Unbinds a connection and forgets it.
    pub(super) fn disconnect(&self, port: &Port) -> Vec<Change> {
        let mut state = self.write();
        state.ports.remove(&port.id);
        if state.router.claim(port.id).is_none() {
            return Vec::new();
        }
        let changes = state.router.unbind(port.id);
        self.bump(&state);
        changes
    }

    /// Stands still while the state is looked at.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Of a change of who is bound to what, while the state is held, and before an outbox is closed over it: who finds
    /// one closed then sees why.
    fn bump(&self, _: &RwLockWriteGuard<'_, State>) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        #[cfg(test)]
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostFacts for Switch {
    fn items(&self, host: &str) -> Vec<Domain> {
        let Ok(host) = Domain::parse(host) else { return Vec::new() };
        let mut items = self.read().router.items_as_they_came(&host, self.list_hidden);
        items.sort_unstable();
        items
    }

    fn utc(&self) -> String {
        (self.utc)()
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, bound) = (self.connections(), self.bound());
        f.debug_struct("Switch")
            .field("connections", &connections)
            .field("bound", &bound)
            .finish_non_exhaustive()
    }
}
