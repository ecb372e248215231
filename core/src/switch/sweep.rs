//! How all state is looked at once a second, in shares.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::ops::Bound;
use core::time::Duration;

use super::shared::SwitchShared;
use crate::jid::Domain;
use crate::router::PortId;
use crate::time::Instant;

/// How often all state is looked at.
const ROUND: Duration = Duration::from_secs(1);
/// Ports that are looked at in one share.
pub(super) const PORTS: usize = 64;
/// Requests that are answered, and stanzas that are looked at, in one share: some 0.1 ms.
pub(super) const ANSWERS: usize = 64;

/// How far the look at all state is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The next round begins then, if none is going on.
    next: Instant,
    /// The last port of this round that was looked at.
    at: Option<Cursor>,
    /// Ports that have ended since the last round, and before it, in order: requests that they asked are forgotten.
    ended: Vec<PortId>,
    ended_before: Arc<[PortId]>,
}

#[derive(Clone, Debug)]
enum Cursor {
    Port(Option<PortId>),
    Place(Option<Domain>),
}

impl Sweep {
    /// A port has ended.
    pub(super) fn note_ended(&mut self, shared: &SwitchShared, port: PortId) {
        if shared.has_state() {
            self.ended.push(port);
        }
    }

    /// Whether a round begins with the next share.
    pub(super) fn begins(&self, now: Instant) -> bool {
        self.at.is_none() && self.next <= now
    }

    /// Adds the next ports of a round to `ports`. Returns the ports that have ended before it began.
    pub(super) fn next<P: Clone>(
        &mut self,
        now: Instant,
        connected: &BTreeMap<PortId, P>,
        places: &BTreeMap<Domain, P>,
        ports: &mut Vec<P>,
    ) -> Arc<[PortId]> {
        if self.begins(now) {
            self.next = now + ROUND;
            self.at = Some(Cursor::Port(None));
            let mut ended = mem::take(&mut self.ended);
            ended.sort_unstable();
            self.ended_before = ended.into();
        }
        self.at = match self.at.take() {
            None => None,
            Some(Cursor::Port(last)) => {
                let last = share(connected, last, ports);
                Some(last.map_or(Cursor::Place(None), |last| Cursor::Port(Some(last))))
            }
            Some(Cursor::Place(last)) => share(places, last, ports).map(|last| Cursor::Place(Some(last))),
        };
        Arc::clone(&self.ended_before)
    }

    pub(super) fn poll_timeout(&self, shared: &SwitchShared) -> Option<Instant> {
        match &self.at {
            Some(_) => Some(Instant::ORIGIN),
            None => shared.has_state().then_some(self.next),
        }
    }
}

/// Adds what follows `last`. Returns the last of a full share.
fn share<K: Ord + Clone, P: Clone>(all: &BTreeMap<K, P>, last: Option<K>, ports: &mut Vec<P>) -> Option<K> {
    let begin = last.map_or(Bound::Unbounded, Bound::Excluded);
    let mut last = None;
    for (count, (key, port)) in all.range((begin, Bound::Unbounded)).take(PORTS).enumerate() {
        ports.push(port.clone());
        last = (count + 1 == PORTS).then(|| key.clone());
    }
    last
}
