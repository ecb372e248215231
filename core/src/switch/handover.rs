//! How the state of a domain goes from port to port.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::directory::Directory;
use super::domain::Leaving;
use super::metrics::Metric;
use super::ports::Switch;
use super::shared::{PortInfo, PortRole};
use crate::close::ReleaseReason;
use crate::jid::Domain;
use crate::queue::{Buffer, DomainState, HoldTerms, Intake};
use crate::router::{DomainPattern, NameChange, PortId};
use crate::stanza::Envelope;

impl<P: Clone + AsRef<PortInfo>> Directory<P> {
    /// Completes a step that changed who holds what, and in which the ports `ended` have lost all that they held: state goes
    /// where the names went, and those who watch are told why names were released.
    pub(super) fn complete<S: Switch<Port = P>>(&mut self, switch: &S, ended: &[P], reason: &ReleaseReason) {
        // Before a queue is closed: a sender that finds it closed looks up the route again.
        switch.shared().bump();
        let changes = self.router.take_changes();
        self.tell_uplinks(&changes);
        self.hand_over(switch, &changes, ended);
        if self.feed.is_watched() {
            self.feed.publish(changes, reason);
        }
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
                && let Some(port) = self.ports.get(id).cloned()
                && let Some(place) = self.domains.places.remove(name)
            {
                let state = switch.queue(&place, |queue| {
                    queue.set_intake(Intake::Closed);
                    queue.take_state()
                });
                let is_over = self.domains.is_over;
                switch.queue(&port, |queue| {
                    queue.put_state(state);
                    queue.set_hold_over(is_over);
                });
                switch.remove_port(&place);
                // It may have to be woken for that.
                self.domains.again.push(port);
            }
        }
    }

    /// Takes the state out of the queue of a port that has lost its names.
    fn leave_state<S: Switch<Port = P>>(&mut self, switch: &S, port: &P, mut names: Vec<Option<Domain>>) {
        let id = port.as_ref().id;
        let state = switch.queue(port, |queue| {
            // Nothing comes in behind it.
            queue.set_intake(Intake::Closed);
            queue.take_state()
        });
        for name in &mut names {
            name.take_if(|name| !self.domains.has_room(name.as_str()));
        }
        let terms_of =
            |name: &Option<Domain>| name.as_ref().and_then(|name| self.terms_of_held(name.as_str()));
        if names.is_empty() {
            names.push(None);
        }
        let terms: Vec<_> = names.iter().map(terms_of).collect();
        let is_held = terms.iter().any(Option::is_some);
        let Some(mut state) = state.or_else(|| is_held.then(|| switch.shared().new_state())) else { return };
        for (name, terms) in names.iter().zip(terms).skip(1) {
            let of_name = |domain: &str| name.as_ref().is_some_and(|name| name.as_str() == domain);
            let theirs = state.split(terms.unwrap_or(HoldTerms::NONE), of_name);
            self.put_in_place(switch, id, name.as_ref(), terms, theirs);
        }
        let first = names.first().and_then(Option::as_ref).cloned();
        let terms = first.as_ref().and_then(|name| self.terms_of_held(name.as_str()));
        self.put_in_place(switch, id, first.as_ref(), terms, state);
        self.domains.leaving.insert(id, Leaving { names, is_held });
    }

    fn put_in_place<S: Switch<Port = P>>(
        &mut self,
        switch: &S,
        ended: PortId,
        name: Option<&Domain>,
        terms: Option<HoldTerms>,
        mut state: Box<DomainState>,
    ) {
        if let Some(terms) = terms {
            state.open_hold(terms, switch.shared().held(), Some(ended));
        }
        if name.is_none() {
            state.forget_late();
        }
        let place = self.place(switch, name);
        switch.queue(&place, |queue| queue.put_state(Some(state)));
    }

    /// Returns the place of a domain, or the place for domains without a name. Makes it if it does not exist.
    fn place<S: Switch<Port = P>>(&mut self, switch: &S, name: Option<&Domain>) -> P {
        let known = match name {
            Some(name) => self.domains.places.get(name),
            None => self.domains.nameless.as_ref(),
        };
        if let Some(place) = known {
            return place.clone();
        }
        let listener = Arc::clone(&self.domains.listener);
        let id = self.next_id();
        let mut queue = self.new_queue(switch.shared(), None);
        queue.set_intake(Intake::Place);
        let place = switch.add_port(PortInfo { id, listener, role: PortRole::Place }, queue);
        match name {
            Some(name) => self.domains.places.insert(name.clone(), place.clone()),
            None => self.domains.nameless.replace(place.clone()),
        };
        place
    }

    /// Makes the place at which stanzas for a domain are held, if they are to be held and the place does not exist.
    pub(super) fn open_hold<S: Switch<Port = P>>(&mut self, switch: &S, domain: &str) {
        if let (Some(terms), Ok(name)) = (self.hold_terms(domain), Domain::parse(domain))
            && self.router.owner(domain).is_none()
        {
            let place = self.place(switch, Some(&name));
            let shared = switch.shared();
            switch.queue(&place, |queue| {
                queue.state_mut(|| shared.new_state()).open_hold(terms, shared.held(), None);
            });
            shared.bump();
        }
    }

    /// Returns everything that is held to its senders, and holds nothing from now on.
    pub(super) fn end_holding<S: Switch<Port = P>>(&mut self, switch: &S) {
        self.domains.is_over = true;
        let all: Vec<P> = self.ports.values().chain(self.domains.all_places()).cloned().collect();
        for port in all {
            let is_held = switch.queue(&port, |queue| {
                queue.set_hold_over(true);
                queue.has_held()
            });
            if is_held {
                self.domains.again.push(port);
            }
        }
        switch.shared().bump();
    }

    /// The port whose queue has the state of `name`: its holder, else its place.
    pub(super) fn state_of(&self, name: &Option<Domain>) -> Option<&P> {
        let Some(name) = name else { return self.domains.nameless.as_ref() };
        let held = self.router.holder_port(name);
        held.and_then(|id| self.ports.get(&id)).or_else(|| self.domains.places.get(name))
    }
}

/// Whether what a port does not send is to be held, and it has not said yet what that is.
pub(crate) fn is_held<S: Switch>(switch: &S, port: &S::Port) -> bool {
    let id = port.as_ref().id;
    switch.read(|directory| directory.domains.leaving.get(&id).is_some_and(|leaving| leaving.is_held))
}

/// A port that has ended says what it did not send: `rest`, and what it did not take. Returns what comes back to its
/// senders.
pub(crate) fn leave<S: Switch>(switch: &S, port: &S::Port, rest: Buffer) -> [Buffer; 2] {
    let id = port.as_ref().id;
    let (begun, queued) = switch.queue(port, |queue| (queue.begun(&rest), queue.close()));
    let mut unsent = [rest, queued];
    if !switch.read(|directory| directory.domains.leaving.contains_key(&id)) {
        return unsent;
    }
    let answered = switch.write(|directory| {
        let Some(Leaving { names, .. }) = directory.domains.leaving.remove(&id) else { return 0 };
        let holders = names.iter().filter_map(|name| directory.state_of(name));
        let told: BTreeSet<u64> =
            holders.flat_map(|holder| switch.queue(holder, |queue| queue.end_requests(id, begun))).collect();
        let answered = drop_answered(&mut unsent, begun, &told);
        let is_one = names.len() == 1;
        for name in names {
            let Some(holder) = directory.state_of(&name).cloned() else { continue };
            if is_one {
                switch.queue(&holder, |queue| queue.note_end(id, &mut unsent));
            } else {
                let is_theirs = |envelope: Option<&Envelope>, stanza: &[u8]| {
                    envelope.is_some_and(|envelope| {
                        envelope.receiver(stanza).as_deref() == name.as_ref().map(Domain::as_str)
                    })
                };
                let mut theirs = unsent.each_mut().map(|half| half.take_unsent(is_theirs));
                switch.queue(&holder, |queue| queue.note_end(id, &mut theirs));
                for (half, theirs) in unsent.iter_mut().zip(&theirs) {
                    half.join(theirs);
                }
            }
            directory.domains.unsettled.insert(name);
        }
        answered
    });
    switch.metrics().add(Metric::UnsentDropped, answered);
    switch.deadline_changed();
    unsent
}

/// Takes out the requests at these positions of a queue: a second answer would be one too many. Returns how many they are.
pub(super) fn drop_answered(unsent: &mut [Buffer; 2], begun: i64, told: &BTreeSet<u64>) -> u64 {
    if told.is_empty() {
        return 0;
    }
    let mut positions = begun..;
    for half in unsent {
        half.take_unsent(|_, _| {
            let position = positions.next().and_then(|position| u64::try_from(position).ok());
            position.is_some_and(|position| told.contains(&position))
        });
    }
    told.len() as u64
}
