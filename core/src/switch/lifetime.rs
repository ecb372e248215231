//! How a port comes to a switch and leaves it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::metrics::Metric;
use super::ports::Switch;
use super::shared::PortInfo;
use crate::config::ListenerConfig;
use crate::error::StreamErrorCause;
use crate::router::BindingChange;

/// Makes a port for a connection that has come in.
pub(crate) fn connect<S: Switch>(switch: &S, listener: Arc<ListenerConfig>) -> S::Port {
    let mut queue = switch.shared().new_queue();
    let port = switch.write(|directory| {
        let id = directory.next_id();
        if directory.shutting_down {
            queue.order_end(StreamErrorCause::Shutdown);
        }
        let port = switch.add_port(PortInfo { id, listener }, queue);
        directory.ports.insert(id, port.clone());
        port
    });
    switch.metrics().add(Metric::Connections, 1);
    port
}

/// Takes a port's names and forgets it; its queue takes nothing more. Returns the names that others got or lost.
pub(crate) fn unbind<S: Switch>(switch: &S, port: &S::Port) -> Vec<BindingChange> {
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
