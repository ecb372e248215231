//! What an uplink does on its switch: it comes and leaves, its stream begins and ends, and its domain is watched.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::announced::Kind;
use super::directory::Directory;
use super::handover::drop_answered;
use super::metrics::Metric;
use super::ports::Switch;
use super::shared::{PortInfo, PortRole, UplinkRole};
use super::unsent::{Unsent, give_noting};
use crate::close::ReleaseReason;
use crate::config::ListenerConfig;
use crate::jid::{Domain, Jid};
use crate::queue::{Buffer, HoldTerms, Intake, Queue};
use crate::router::{AttachError, DefaultRoute, DomainPattern, NameChange, PortId};
use crate::stanza::{Envelope, Stanza};
use crate::time::Instant;

impl<P: Clone + AsRef<PortInfo>> Directory<P> {
    /// Notes that uplinks are to look at their domains, which have changed hands.
    pub(super) fn tell_uplinks(&mut self, changes: &[NameChange]) {
        for change in changes {
            let (NameChange::Bound(_, name) | NameChange::Released(_, name)) = change;
            let DomainPattern::Exact(name) = name else { continue };
            let uplink = self.router.own_default_route(name.as_str()).and_then(|id| self.ports.get(&id));
            let Some(uplink) = uplink.filter(|port| port.as_ref().uplink().is_some()).cloned() else {
                continue;
            };
            if matches!(change, NameChange::Bound(..)) {
                self.domains.closing.remove(name);
            }
            self.domains.changed.push(uplink);
        }
    }

    /// The settings of an uplink's queue, as one `Arc` for all that have the same.
    fn shared_listener(&mut self, listener: ListenerConfig) -> Arc<ListenerConfig> {
        let key = |of: &ListenerConfig| (of.limits.stanza, of.queue_mark, of.stall);
        let last = &mut self.domains.uplink_listener;
        match last {
            Some(last) if key(last) == key(&listener) => Arc::clone(last),
            _ => Arc::clone(last.insert(Arc::new(listener))),
        }
    }

    /// Keeps what the server behind an uplink has announced to `name`. False: there is no room for it.
    pub(crate) fn announce(&mut self, name: &Domain, kind: Kind, from: Domain, stanza: &Stanza<'_>) -> bool {
        self.domains.announced.entry(name.clone()).or_default().keep(kind, from, stanza)
    }

    /// Forgets what was announced to `name`: the stream on which it came has ended.
    pub(crate) fn forget_announced(&mut self, name: &Domain) {
        self.domains.announced.remove(name);
    }

    /// What a component that is bound now is told first.
    pub(crate) fn announced_to(&self, port: PortId) -> impl Iterator<Item = &[u8]> {
        let is_any = !self.domains.announced.is_empty();
        let names = is_any.then(|| self.router.port_names(port)).flatten().map(|(_, names)| names);
        let kept = names.into_iter().flatten().filter_map(|name| self.domains.announced.get(name));
        kept.flat_map(|kept| kept.iter())
    }
}

/// Makes the port of an uplink. Its stream is not there yet.
pub(crate) fn attach_uplink<S: Switch>(
    switch: &S,
    role: UplinkRole,
    listener: ListenerConfig,
    hold: HoldTerms,
    now: Instant,
) -> Result<S::Port, AttachError> {
    switch.write(|directory| {
        if directory.shutting_down {
            return Err(AttachError::Ended);
        }
        let listener = directory.shared_listener(listener);
        let id = directory.next_id();
        let route = DefaultRoute::Of(Vec::from([role.domain.clone()]));
        directory.router.attach(id, Vec::new(), route, Arc::clone(&listener.policy), now)?;
        directory.around += usize::from(!role.local_routing);
        let mut queue = directory.new_queue(switch.shared(), None);
        queue.set_intake(Intake::Away);
        if !hold.time.is_zero() {
            queue.state_mut(|| switch.shared().new_state()).open_hold(hold, switch.shared().held(), None);
        }
        let role = PortRole::Uplink(Arc::new(role));
        let port = switch.add_port(PortInfo { id, listener, role }, queue);
        directory.ports.insert(id, port.clone());
        directory.complete(switch, &[], &ReleaseReason::Released);
        Ok(port)
    })
}

/// Forgets an uplink, whose stream is down: what is held for it goes back.
pub(crate) fn detach_uplink<S: Switch>(switch: &S, port: &S::Port, now: Instant) {
    let id = port.as_ref().id;
    switch.write(|directory| {
        directory.ports.remove(&id);
        let local_routing = port.as_ref().uplink().is_none_or(|uplink| uplink.local_routing);
        directory.around -= usize::from(!local_routing);
        directory.router.detach(id, now);
        switch.queue(port, |queue| queue.set_hold_over(true));
        directory.complete(switch, core::slice::from_ref(port), &ReleaseReason::Released);
        // It has said already what it did not send.
        directory.domains.leaving.remove(&id);
        directory.sweep.note_ended(switch.shared(), id);
        directory.domains.unsettled.insert(None);
    });
    let waiting = switch.queue(port, |queue| queue.take_waiting());
    switch.wake_all(waiting);
    switch.remove_port(port);
    switch.deadline_changed();
}

/// The uplink's stream is there: what is held for it goes first.
pub(crate) fn set_up<S: Switch>(switch: &S, port: &S::Port) {
    switch.queue(port, |queue| queue.set_intake(Intake::Open));
}

/// The uplink's stream has ended: `output` is still written, if that can be, and `rest` is not. Returns what is not held.
pub(crate) fn set_away<S: Switch>(
    switch: &S,
    now: Instant,
    port: &S::Port,
    (output, rest): (&Buffer, Buffer),
    hold: HoldTerms,
) -> Unsent {
    let (id, shared) = (port.as_ref().id, switch.shared());
    let is_over = switch.read(|directory| directory.shutting_down || directory.domains.is_over);
    let is_held = !(is_over || hold.time.is_zero());
    let (unsent, answered, waiting) = switch.queue(port, |queue| {
        let begun = queue.begun(&rest);
        let mut unsent = [rest, queue.close()];
        queue.set_intake(Intake::Away);
        let told = queue.end_requests(id, begun).into_iter().collect();
        let answered = drop_answered(&mut unsent, begun, &told);
        if is_held {
            queue.state_mut(|| shared.new_state()).open_hold(hold, shared.held(), Some(id));
            queue.note_end(id, &mut unsent);
        }
        queue.note_in_flight(output, false);
        queue.end_full(now);
        (unsent, answered, queue.take_waiting())
    });
    switch.metrics().add(Metric::UnsentDropped, answered);
    // What is held is to be looked at, and those who asked something are to be told.
    switch.write(|directory| directory.domains.again.push(port.clone()));
    switch.deadline_changed();
    switch.wake_all(waiting);
    Unsent::of_server(unsent)
}

/// The port that holds a domain now, or when the last one let go of it.
pub(crate) fn holder<S: Switch>(switch: &S, domain: &Domain) -> (Option<PortId>, Option<Instant>) {
    let domain = domain.as_str();
    switch.read(|directory| (directory.router.owner(domain), directory.router.vacant_since(domain)))
}

/// Puts a request of the switch's own into the queue of `port`, on behalf of `uplink`. The answer is for nobody.
pub(crate) fn ask<S: Switch>(
    switch: &S,
    now: Instant,
    (uplink, port): (PortId, &S::Port),
    (from, to, id): (&Jid<'_>, &Jid<'_>, &str),
    write: impl FnOnce(&mut Vec<u8>) -> Envelope,
) {
    let (asked, new_state) = (port.as_ref().id, || switch.shared().new_state());
    let note = |queue: &mut Queue| queue.note_own_request(now, (uplink, asked), (from, to, id), new_state);
    if give_noting(switch, now, port, write, note) {
        switch.deadline_changed();
    }
}

/// How long stanzas for a domain wait for its component.
pub(crate) fn hold_time<S: Switch>(switch: &S, domain: &Domain) -> core::time::Duration {
    switch.read(|directory| directory.domains.config(domain.as_str()).hold)
}

/// Returns what is held for a domain that no port holds, and has nothing held for it from now on, until a port holds it or
/// [`end_closing`] is called. False: a port holds it.
pub(crate) fn begin_closing<S: Switch>(switch: &S, domain: &Domain) -> bool {
    let begins = switch.write(|directory| {
        if directory.router.owner(domain.as_str()).is_some() {
            return false;
        }
        directory.domains.closing.insert(domain.clone());
        if let Some(place) = directory.domains.places.get(domain).cloned() {
            switch.queue(&place, |queue| queue.set_hold_over(true));
            directory.domains.again.push(place);
        }
        switch.shared().bump();
        true
    });
    switch.deadline_changed();
    begins
}

/// Stanzas for the domain may be held again.
pub(crate) fn end_closing<S: Switch>(switch: &S, domain: &Domain) {
    switch.write(|directory| {
        if directory.domains.closing.remove(domain) {
            if let Some(place) = directory.domains.places.get(domain) {
                switch.queue(place, |queue| queue.set_hold_over(directory.domains.is_over));
            }
            switch.shared().bump();
        }
    });
}

/// Whether stanzas are held for a domain that no port holds.
pub(crate) fn has_held<S: Switch>(switch: &S, domain: &Domain) -> bool {
    let place = switch.read(|directory| directory.domains.places.get(domain).cloned());
    place.is_some_and(|place| switch.queue(&place, |queue| queue.has_held()))
}
