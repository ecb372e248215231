//! How a port gets its names and loses them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{ListenerConfig, Metric, PortInfo, Switch};
use crate::error::Cause;
use crate::queue::Queue;
use crate::router::{Bound, Change, Claim, Conflict};
use crate::time::Instant;

/// What a switch says to a port that claims names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// It holds them.
    Bound(Bound),
    /// It does not get them (stream error `conflict`).
    Rejected(Conflict),
    /// It is not decided yet: ask again when the port is woken, and at that time at the latest. The time for the
    /// handshake runs on.
    Pending {
        /// When to ask again.
        until: Instant,
    },
}

/// Makes a port for a connection that has come in.
pub(crate) fn connect<S: Switch>(switch: &S, listener: Arc<ListenerConfig>) -> S::Port {
    let shared = switch.shared();
    let mut queue = Queue::new(Arc::clone(&shared.pool), Arc::clone(&shared.partial));
    let port = switch.write(|directory| {
        let id = directory.next_id();
        if directory.shutting_down {
            queue.order_end(Cause::Shutdown);
        }
        let port = switch.add_port(PortInfo { id, listener }, queue);
        directory.ports.insert(id, port.clone());
        port
    });
    shared.metrics.add(Metric::Connections, 1);
    port
}

/// Binds a port, and unbinds the ports that it replaces, in one step that waits for nobody.
pub(super) fn bind<S: Switch>(switch: &S, port: &S::Port, claim: &Claim) -> Bind {
    let PortInfo { id, listener } = port.as_ref();
    let bound = switch.write(|directory| {
        let bound = directory.router.bind(*id, claim.clone(), Arc::clone(&listener.terms))?;
        switch.shared().bump();
        let replaced = bound.replaced.iter().filter_map(|id| directory.ports.get(id));
        let replaced: Vec<_> = replaced.cloned().collect();
        for old in &replaced {
            switch.queue(old, |queue| {
                queue.set_open(false);
                queue.order_end(Cause::Replaced);
            });
        }
        switch.queue(port, |queue| queue.set_open(true));
        Ok((bound, replaced))
    });
    match bound {
        Ok((bound, replaced)) => {
            replaced.iter().for_each(|old| switch.wake(old));
            switch.metrics().add(Metric::Bound, 1);
            Bind::Bound(bound)
        }
        Err(conflict) => Bind::Rejected(conflict),
    }
}

/// Takes a port's names and forgets it; its queue takes nothing more. Returns the names that others got or lost.
pub(crate) fn unbind<S: Switch>(switch: &S, port: &S::Port) -> Vec<Change> {
    let id = port.as_ref().id;
    let changes = switch.write(|directory| {
        directory.ports.remove(&id);
        if directory.router.claim(id).is_none() {
            return Vec::new();
        }
        let changes = directory.router.unbind(id);
        switch.shared().bump();
        changes
    });
    let waiting = switch.queue(port, |queue| {
        queue.set_open(false);
        queue.take_waiting()
    });
    // Their stanzas go elsewhere now, or come back: no need to wait until this port's output is written.
    switch.wake_all(waiting);
    changes
}
