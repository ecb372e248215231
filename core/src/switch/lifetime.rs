//! How a port comes to a switch and leaves it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::metrics::Metric;
use super::ports::Switch;
use super::shared::PortInfo;
use crate::close::{CloseReason, ReleaseReason};
use crate::config::ListenerConfig;
use crate::error::StreamErrorCause;
use crate::router::{AttachError, BindingChange, Claim, DefaultRoute};
use crate::time::Instant;

/// Makes a port for a connection that has come in.
pub(crate) fn connect<S: Switch>(switch: &S, listener: Arc<ListenerConfig>) -> S::Port {
    let port = switch.write(|directory| {
        let id = directory.next_id();
        let mut queue = directory.new_queue(switch.shared(), Some(listener.policy.realm));
        if directory.shutting_down {
            queue.order_end(StreamErrorCause::Shutdown);
        }
        let port = switch.add_port(PortInfo { id, listener, is_local: false }, queue);
        directory.ports.insert(id, port.clone());
        port
    });
    switch.metrics().add(Metric::Connections, 1);
    port
}

/// Makes a local port that holds all of its claims, or none.
pub(crate) fn attach<S: Switch>(
    switch: &S,
    claims: Vec<Claim>,
    route: DefaultRoute,
    listener: Arc<ListenerConfig>,
    now: Instant,
) -> Result<(S::Port, Vec<BindingChange>), AttachError> {
    switch.write(|directory| {
        if directory.shutting_down {
            return Err(AttachError::Ended);
        }
        let id = directory.next_id();
        let changes = directory.router.attach(id, claims, route, Arc::clone(&listener.policy), now);
        directory.publish(&ReleaseReason::Released);
        let changes = changes?;
        let mut queue = directory.new_queue(switch.shared(), None);
        queue.set_open(true);
        let port = switch.add_port(PortInfo { id, listener, is_local: true }, queue);
        directory.ports.insert(id, port.clone());
        switch.shared().bump();
        Ok((port, changes))
    })
}

/// Forgets a local port; its queue takes nothing more. Returns the names that others got or lost.
pub(crate) fn detach<S: Switch>(switch: &S, port: &S::Port, now: Instant) -> Vec<BindingChange> {
    let id = port.as_ref().id;
    let changes = switch.change(|directory| {
        directory.ports.remove(&id);
        directory.router.detach(id, now)
    });
    close(switch, port);
    changes
}

/// Takes a port's names and forgets it; its queue takes nothing more. Returns the names that others got or lost.
pub(crate) fn unbind<S: Switch>(
    switch: &S,
    port: &S::Port,
    now: Instant,
    reason: &CloseReason,
) -> Vec<BindingChange> {
    let id = port.as_ref().id;
    let changes = switch.write(|directory| {
        directory.ports.remove(&id);
        let was_bound = directory.router.claim(id).is_some();
        let changes = directory.router.unbind(id, now);
        if !was_bound {
            return changes;
        }
        directory.publish(&ReleaseReason::Closed(reason.clone()));
        switch.shared().bump();
        changes
    });
    close(switch, port);
    changes
}

fn close<S: Switch>(switch: &S, port: &S::Port) {
    let waiting = switch.queue(port, |queue| {
        queue.set_open(false);
        queue.take_waiting()
    });
    // Their stanzas go elsewhere now, or come back: no need to wait until this port's output is written.
    switch.wake_all(waiting);
}
