//! What changed on a switch, for those who watch it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::close::ReleaseReason;
use crate::router::{DomainPattern, NameChange, PortId};

/// A change of who holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchEvent {
    /// A port holds a name, or a wildcard, now.
    Bound {
        /// The port.
        port: PortId,
        /// What it holds.
        name: DomainPattern,
    },
    /// It does not hold it any more.
    Released {
        /// The port.
        port: PortId,
        /// What it held.
        name: DomainPattern,
        /// Why.
        reason: ReleaseReason,
    },
    /// The watcher was too slow: this many changes are missing here.
    Missed(u64),
}

/// Changes that are kept for those who have not looked at them yet.
const MAX_KEPT: usize = 1024;

/// The latest changes, kept while somebody watches.
#[derive(Debug, Default)]
pub(super) struct Feed {
    watchers: usize,
    kept: VecDeque<SwitchEvent>,
    /// The number of the first that is kept.
    first: u64,
}

/// How far a watcher has looked. Make it with [`Switch::watch`](super::Switch::watch), and give it back with
/// [`Switch::unwatch`](super::Switch::unwatch).
#[derive(Debug)]
pub struct Watcher {
    next: u64,
}

impl Feed {
    pub(super) fn is_watched(&self) -> bool {
        self.watchers > 0
    }

    pub(super) fn watch(&mut self) -> Watcher {
        self.watchers += 1;
        Watcher { next: self.first + self.kept.len() as u64 }
    }

    pub(super) fn unwatch(&mut self) {
        self.watchers = self.watchers.saturating_sub(1);
        if self.watchers == 0 {
            self.first += self.kept.len() as u64;
            self.kept = VecDeque::new();
        }
    }

    /// Notes what the router has changed. `reason` says why names were released, unless their host was removed.
    pub(super) fn publish(&mut self, changes: Vec<NameChange>, reason: &ReleaseReason) {
        for change in changes {
            let event = match change {
                NameChange::Bound(port, name) => SwitchEvent::Bound { port, name },
                NameChange::Released(port, name) => {
                    SwitchEvent::Released { port, name, reason: reason.clone() }
                }
            };
            if self.kept.len() == MAX_KEPT {
                self.kept.pop_front();
                self.first += 1;
            }
            self.kept.push_back(event);
        }
    }

    /// The next change that a watcher has not seen.
    pub(super) fn next(&self, watcher: &mut Watcher) -> Option<SwitchEvent> {
        let missed = self.first.saturating_sub(watcher.next);
        if missed > 0 {
            watcher.next = self.first;
            return Some(SwitchEvent::Missed(missed));
        }
        let event = self.kept.get((watcher.next - self.first) as usize)?;
        watcher.next += 1;
        Some(event.clone())
    }
}
