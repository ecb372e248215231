//! How a port comes to a switch and leaves it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::metrics::Metric;
use super::ports::Switch;
use super::shared::{PortInfo, PortRole};
use crate::close::{CloseReason, ReleaseReason};
use crate::config::ListenerConfig;
use crate::error::StreamErrorCause;
use crate::queue::Intake;
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
        let port = switch.add_port(PortInfo { id, listener, role: PortRole::Connection }, queue);
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
        let changes = match changes {
            Ok(changes) => changes,
            Err(error) => {
                directory.complete(switch, &[], &ReleaseReason::Released);
                return Err(error);
            }
        };
        let mut queue = directory.new_queue(switch.shared(), None);
        queue.set_intake(Intake::Open);
        let port = switch.add_port(PortInfo { id, listener, role: PortRole::Local }, queue);
        directory.ports.insert(id, port.clone());
        directory.complete(switch, &[], &ReleaseReason::Released);
        Ok((port, changes))
    })
}

/// Forgets a local port; its queue takes nothing more. Returns the names that others got or lost.
pub(crate) fn detach<S: Switch>(switch: &S, port: &S::Port, now: Instant) -> Vec<BindingChange> {
    let id = port.as_ref().id;
    let changes = switch.write(|directory| {
        directory.ports.remove(&id);
        let changes = directory.router.detach(id, now);
        directory.complete(switch, core::slice::from_ref(port), &ReleaseReason::Released);
        directory.sweep.note_ended(switch.shared(), id);
        changes
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
        // One that was replaced has lost its names before, and what it asked is still noted.
        directory.sweep.note_ended(switch.shared(), id);
        if was_bound {
            directory.complete(switch, core::slice::from_ref(port), &ReleaseReason::Closed(reason.clone()));
        }
        changes
    });
    close(switch, port);
    changes
}

fn close<S: Switch>(switch: &S, port: &S::Port) {
    let waiting = switch.queue(port, |queue| {
        queue.set_intake(Intake::Closed);
        queue.take_waiting()
    });
    // Their stanzas go elsewhere now, or come back: no need to wait until this port's output is written.
    switch.wake_all(waiting);
}
