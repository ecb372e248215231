//! What is due without a connection: those who asked something are told that there will be no answer.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::directory::Directory;
use super::metrics::Metric;
use super::ports::Switch;
use super::shared::PortInfo;
use super::sweep::ANSWERS;
use crate::queue::{Offer, Overdue, Unanswered};
use crate::router::PortId;
use crate::stanza_error::StanzaError;
use crate::time::{Instant, Now};

impl<P: Clone + AsRef<PortInfo>> Directory<P> {
    /// The next ports whose state is to be looked at, those that have something to do at once first, and the ports that
    /// have ended.
    fn next_share(&mut self, now: Instant) -> (Vec<P>, Arc<[PortId]>) {
        let unsettled = self.domains.take_unsettled();
        let mut ports = mem::take(&mut self.domains.again);
        ports.extend(unsettled.iter().filter_map(|name| self.state_of(name).cloned()));
        let ended = self.sweep.next(now, &self.ports, &self.domains.places, &mut ports);
        (ports, ended)
    }

    /// Forgets the places of domains that have nothing left. Their ids are in order.
    fn close_places<S: Switch<Port = P>>(&mut self, switch: &S, emptied: &[PortId]) {
        self.domains.places.retain(|_, place| {
            let is_left = emptied.binary_search(&place.as_ref().id).is_err()
                || !switch.queue(place, |queue| queue.has_no_state());
            if !is_left {
                switch.queue(place, |queue| queue.set_open(false));
                switch.remove_port(place);
            }
            is_left
        });
    }

    /// Does a share of what is due.
    pub(super) fn do_share<S: Switch<Port = P>>(switch: &S, now: Now) {
        let (ports, ended) = switch.write(|directory| directory.next_share(now.monotonic));
        let (mut again, mut emptied) = (Vec::new(), Vec::new());
        for port in ports {
            let (due, is_empty) = switch.queue(&port, |queue| {
                queue.forget_askers(&ended);
                (queue.take_due(now.monotonic, ANSWERS), queue.has_no_state())
            });
            due.iter().for_each(|request| tell(switch, now, request));
            if is_empty && port.as_ref().is_place() {
                emptied.push(port.as_ref().id);
            }
            if due.len() == ANSWERS {
                again.push(port);
            }
        }
        if !again.is_empty() {
            switch.write(|directory| directory.domains.again = again);
        }
        if !emptied.is_empty() {
            emptied.sort_unstable();
            switch.write(|directory| directory.close_places(switch, &emptied));
        }
    }
}

/// Tells the asker of a request that nobody will answer it.
fn tell<S: Switch>(switch: &S, now: Now, request: &Unanswered) {
    let (metric, error) = match request.why {
        Overdue::Ended => (Metric::RequestsEnded, StanzaError::ended_before_answer()),
        Overdue::TimedOut => (Metric::RequestsTimedOut, StanzaError::no_answer()),
    };
    switch.metrics().add(metric, 1);
    let asker = switch.read(|directory| directory.ports.get(&request.asker).cloned());
    let Some(asker) = asker else { return };
    let (from, to, id) = (request.to(), request.from(), request.id());
    let write = |out: &mut Vec<u8>| Some(error.append_iq_answer(from, to, id, out));
    let listener = &asker.as_ref().listener;
    let offer = switch.queue(&asker, |queue| queue.offer(now.monotonic, listener, None, write));
    if let Offer::Taken { wake: true } | Offer::Rejected { wake: true, .. } = offer {
        switch.wake(&asker);
    }
}
