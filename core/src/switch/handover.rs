//! How the state of a domain goes from port to port.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::directory::Directory;
use super::ports::Switch;
use super::shared::{PortInfo, PortRole};
use crate::close::ReleaseReason;
use crate::config::ListenerConfig;
use crate::jid::Domain;
use crate::queue::{Buffer, DomainState};
use crate::router::{DomainPattern, NameChange};

impl<P: Clone + AsRef<PortInfo>> Directory<P> {
    /// Completes a step that changed who holds what, and in which the ports `ended` have lost all that they held: state goes
    /// where the names went, and those who watch are told why names were released.
    pub(super) fn complete<S: Switch<Port = P>>(&mut self, switch: &S, ended: &[P], reason: &ReleaseReason) {
        let changes = self.router.take_changes();
        self.hand_over(switch, &changes, ended);
        if self.feed.is_watched() {
            self.feed.publish(changes, reason);
        }
        switch.shared().bump();
    }

    /// Moves the state of names that changed hands: from ports that have ended to places, and from places to the ports that
    /// hold the names now. Called with all changes of one step, while the directory is written.
    fn hand_over<S: Switch<Port = P>>(&mut self, switch: &S, changes: &[NameChange], ended: &[P]) {
        for port in ended {
            let names = changes.iter().filter_map(|change| match change {
                NameChange::Released(id, DomainPattern::Exact(name)) if *id == port.as_ref().id => {
                    Some(name.clone())
                }
                _ => None,
            });
            self.leave_state(switch, port, names.map(Some).collect());
        }
        for change in changes {
            if let NameChange::Bound(id, DomainPattern::Exact(name)) = change
                && let Some(port) = self.ports.get(id)
                && let Some(place) = self.domains.places.remove(&Some(name.clone()))
            {
                let state = switch.queue(&place, |queue| {
                    queue.set_open(false);
                    queue.take_state()
                });
                switch.queue(port, |queue| queue.put_state(state));
                switch.remove_port(&place);
            }
        }
    }

    /// Takes the state out of the queue of a port that has lost its names.
    fn leave_state<S: Switch<Port = P>>(&mut self, switch: &S, port: &P, mut names: Vec<Option<Domain>>) {
        let state = switch.queue(port, |queue| {
            // Nothing comes in behind it.
            queue.set_open(false);
            queue.take_state()
        });
        let Some(mut state) = state else { return };
        let last = names.pop().flatten();
        for name in names.iter().flatten() {
            let theirs = state.split(|domain| domain == name.as_str());
            self.put_in_place(switch, port, Some(name), theirs);
        }
        self.put_in_place(switch, port, last.as_ref(), state);
        names.push(last);
        self.domains.leaving.insert(port.as_ref().id, names);
    }

    fn put_in_place<S: Switch<Port = P>>(
        &mut self,
        switch: &S,
        port: &P,
        name: Option<&Domain>,
        state: Box<DomainState>,
    ) {
        let listener = Arc::clone(&port.as_ref().listener);
        let name = name.cloned();
        let place = match self.domains.places.get(&name) {
            Some(place) => place.clone(),
            None => self.add_place(switch, name, listener),
        };
        switch.queue(&place, |queue| queue.put_state(Some(state)));
    }

    fn add_place<S: Switch<Port = P>>(
        &mut self,
        switch: &S,
        name: Option<Domain>,
        listener: Arc<ListenerConfig>,
    ) -> P {
        let id = self.next_id();
        let queue = self.new_queue(switch.shared(), None);
        let place = switch.add_port(PortInfo { id, listener, role: PortRole::Place }, queue);
        self.domains.places.insert(name, place.clone());
        place
    }

    /// The port whose queue has the state of `name`: its holder, else its place.
    pub(super) fn state_of(&self, name: &Option<Domain>) -> Option<&P> {
        let held = name.as_ref().and_then(|name| self.router.holder_port(name));
        held.and_then(|id| self.ports.get(&id)).or_else(|| self.domains.places.get(name))
    }
}

/// A port that has ended says what it did not send: `rest`, and what it did not take. Returns what comes back to its
/// senders.
pub(crate) fn leave<S: Switch>(switch: &S, port: &S::Port, rest: Buffer) -> [Buffer; 2] {
    let id = port.as_ref().id;
    let (begun, queued) = switch.queue(port, |queue| (queue.begun(&rest), queue.close()));
    if switch.read(|directory| directory.domains.is_leaving(id)) {
        switch.write(|directory| {
            for name in directory.domains.leaving.remove(&id).unwrap_or_default() {
                if let Some(holder) = directory.state_of(&name).cloned() {
                    switch.queue(&holder, |queue| queue.note_end(id, begun));
                    directory.domains.unsettled.insert(name);
                }
            }
        });
        switch.deadline_changed();
    }
    [rest, queued]
}
