//! What is due without a connection: tells askers that there will be no answer, and sorts held stanzas.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::directory::Directory;
use super::metrics::Metric;
use super::ports::Switch;
use super::shared::{PortInfo, SwitchShared};
use super::sweep::{ANSWERS, PORTS};
use super::unsent::{give_notice, return_to_sender};
use crate::queue::{Intake, Overdue, Returned, Sorted, Unanswered};
use crate::router::PortId;
use crate::stanza::Envelope;
use crate::stanza_error::StanzaError;
use crate::time::{Instant, Now};

impl<P: Clone + AsRef<PortInfo>> Directory<P> {
    /// The next ports whose state is to be looked at, those that have something to do at once first, and the ports that
    /// have ended.
    fn next_share(&mut self, shared: &SwitchShared, now: Instant) -> (Vec<P>, Arc<[PortId]>) {
        if self.router.expire(now) {
            shared.bump();
        }
        let mut ports = mem::take(&mut self.domains.again);
        self.domains.again = ports.split_off(ports.len().min(PORTS));
        while ports.len() < PORTS
            && let Some(name) = self.domains.next_unsettled()
        {
            ports.extend(self.state_of(&name).cloned());
        }
        if self.sweep.begins(now) {
            ports.extend(self.domains.nameless.clone());
        }
        let ended = self.sweep.next(now, &self.ports, &self.domains.places, &mut ports);
        (ports, ended)
    }

    /// Forgets the places of domains that have nothing left. Their ids are in order.
    fn close_places<S: Switch<Port = P>>(&mut self, switch: &S, emptied: &[PortId]) {
        switch.shared().bump();
        let is_left = |place: &mut P| {
            let is_left = emptied.binary_search(&place.as_ref().id).is_err()
                || !switch.queue(place, |queue| queue.has_no_state());
            if !is_left {
                switch.queue(place, |queue| queue.set_intake(Intake::Closed));
                switch.remove_port(place);
            }
            is_left
        };
        self.domains.places.retain(|_, place| is_left(place));
        self.domains.nameless.take_if(|place| !is_left(place));
    }

    /// Does a share of what is due.
    pub(super) fn do_share<S: Switch<Port = P>>(switch: &S, now: Now) {
        let (changed, (ports, ended)) = switch.write(|directory| {
            let changed = mem::take(&mut directory.domains.changed);
            (changed, directory.next_share(switch.shared(), now.monotonic))
        });
        changed.iter().for_each(|uplink| switch.wake(uplink));
        let (mut again, mut emptied) = (Vec::new(), Vec::new());
        let mut left = ANSWERS;
        for port in ports {
            if left == 0 {
                again.push(port);
                continue;
            }
            let mut sorted = SortedBatch::default();
            let (due, is_unsorted, had_held, is_empty) = switch.queue(&port, |queue| {
                queue.forget_askers(&ended);
                let had_held = queue.has_held();
                let due = queue.take_due(now.monotonic, left);
                let most = left - due.len();
                let is_unsorted = queue.sort_held(now.monotonic, most, |one| sorted.take(one));
                (due, is_unsorted, had_held, queue.has_no_state())
            });
            let is_more = is_unsorted || due.len() + sorted.looked_at == left;
            left = left.saturating_sub(due.len() + sorted.looked_at);
            due.iter().for_each(|request| tell(switch, now, port.as_ref(), request));
            sorted.finish(switch, now, port.as_ref());
            let is_place = port.as_ref().is_place();
            if is_empty && is_place {
                emptied.push(port.as_ref().id);
            }
            // What is held goes on, or what came behind it if all of it went back.
            if had_held && !is_unsorted && !is_place {
                switch.wake(&port);
            }
            if is_more {
                again.push(port);
            }
        }
        if !again.is_empty() {
            switch.write(|directory| directory.domains.again.extend(again));
        }
        if !emptied.is_empty() {
            emptied.sort_unstable();
            switch.write(|directory| directory.close_places(switch, &emptied));
        }
    }
}

/// What was decided about held stanzas while their queue was held.
#[derive(Default)]
struct SortedBatch {
    looked_at: usize,
    held: u64,
    coalesced: u64,
    dropped: u64,
    returned: Vec<(Returned, Envelope, Vec<u8>)>,
}

impl SortedBatch {
    fn take(&mut self, sorted: Sorted<'_>) {
        self.looked_at += 1;
        match sorted {
            Sorted::Held { replaced } => {
                self.held += 1;
                self.coalesced += replaced;
            }
            Sorted::Dropped => self.dropped += 1,
            Sorted::Returned(why, envelope, stanza) => self.returned.push((why, *envelope, stanza.to_vec())),
        }
    }

    /// Answers those that are returned, and counts all of them.
    fn finish<S: Switch>(self, switch: &S, now: Now, receiver: &PortInfo) {
        let metrics = switch.metrics();
        metrics.add(Metric::UnsentHeld, self.held);
        metrics.add(Metric::Held, self.held);
        metrics.add(Metric::Coalesced, self.coalesced);
        metrics.add(Metric::UnsentDropped, self.dropped);
        for (why, envelope, stanza) in self.returned {
            let (error, told, lost) = match why {
                Returned::Unsent => (StanzaError::not_held(), Metric::UnsentBounced, Metric::UnsentDropped),
                Returned::Full => (StanzaError::hold_full(), Metric::UnsentBounced, Metric::UnsentDropped),
                Returned::Expired => {
                    (StanzaError::held_too_long(), Metric::HeldReturned, Metric::HeldDropped)
                }
            };
            let error = receiver.in_its_words(error);
            let is_told = return_to_sender(switch, now.monotonic, &stanza, &envelope, &error);
            metrics.add(if is_told { told } else { lost }, 1);
        }
    }
}

/// Tells the asker of a request that nobody will answer it.
fn tell<S: Switch>(switch: &S, now: Now, asked: &PortInfo, request: &Unanswered) {
    let (metric, error) = match request.why {
        Overdue::Ended => (Metric::RequestsEnded, StanzaError::ended_before_answer()),
        Overdue::TimedOut => (Metric::RequestsTimedOut, StanzaError::no_answer()),
    };
    switch.metrics().add(metric, 1);
    let asker = switch.read(|directory| directory.ports.get(&request.asker).cloned());
    let Some(asker) = asker else { return };
    let (from, to, id) = (request.to(), request.from(), request.id());
    let error = asked.in_its_words(error);
    give_notice(switch, now.monotonic, &asker, |out| error.append_iq_answer(from, to, id, out));
}
