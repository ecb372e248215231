//! Where stanzas for a name go that no port holds: default routes, and names that were bound lately.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::policy::PortId;
use crate::jid::Domain;
use crate::time::Instant;

/// The default routes.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// Of ports that are bound to these names.
    of: BTreeMap<Domain, PortId>,
    /// Of all others.
    all: Option<PortId>,
}

impl Defaults {
    /// The default route of a port that is bound to `sender`.
    pub(super) fn of(&self, sender: Option<&str>) -> Option<PortId> {
        sender.and_then(|name| self.of.get(name).copied()).or(self.all)
    }

    /// The default route of a port that is bound to `name`, unless it is that of all.
    pub(super) fn own(&self, name: &str) -> Option<PortId> {
        self.of.get(name).copied()
    }

    /// The port that is the default route of `name` already, or of all.
    pub(super) fn taken(&self, name: Option<&Domain>) -> Option<PortId> {
        name.map_or(self.all, |name| self.of.get(name).copied())
    }

    pub(super) fn insert(&mut self, name: Option<Domain>, port: PortId) {
        match name {
            Some(name) => {
                self.of.insert(name, port);
            }
            None => self.all = Some(port),
        }
    }

    /// Forgets what a port was the default route of.
    pub(super) fn remove(&mut self, port: PortId) {
        self.of.retain(|_, held| *held != port);
        self.all = self.all.filter(|held| *held != port);
    }
}

/// How long a name stays here after its port has let go of it.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Names kept at once; a newer one takes the place of the oldest.
const MAX_KEPT: usize = 10_000;

/// Names that ports let go of lately. Stanzas for them stay here and do not take a default route: their component is
/// about to come back.
#[derive(Debug, Default)]
pub(super) struct Recent {
    kept: BTreeMap<Domain, u64>,
    /// In the order in which they came.
    order: BTreeMap<u64, (Instant, Domain)>,
    next: u64,
}

impl Recent {
    pub(super) fn has(&self, domain: &str) -> bool {
        self.kept.contains_key(domain)
    }

    /// When a port let go of a name, if that was lately.
    pub(super) fn since(&self, domain: &str) -> Option<Instant> {
        let (until, _) = self.order.get(self.kept.get(domain)?)?;
        Some(Instant::from_origin(until.since(Instant::ORIGIN).saturating_sub(KEPT)))
    }

    /// A port let go of a name.
    pub(super) fn insert(&mut self, now: Instant, name: Domain) {
        self.remove(&name);
        self.kept.insert(name.clone(), self.next);
        self.order.insert(self.next, (now + KEPT, name));
        self.next += 1;
        self.expire(now);
    }

    /// Forgets the names whose time is over; whether there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.order.len();
        while let Some((_, (until, name))) = self.order.first_key_value()
            && (*until <= now || self.order.len() > MAX_KEPT)
        {
            self.remove(&name.clone());
        }
        self.order.len() < before
    }

    /// When the next name is to be forgotten.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.order.first_key_value().map(|(_, (until, _))| *until)
    }

    /// A port has taken it again.
    pub(super) fn remove(&mut self, name: &Domain) {
        if let Some(number) = self.kept.remove(name) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Domain {
        Domain::parse(&alloc::format!("a{number}.example")).unwrap()
    }

    #[test]
    fn names_are_kept_for_a_day_or_until_too_many_follow() {
        let mut recent = Recent::default();
        let start = Instant::ORIGIN;
        recent.insert(start, name(0));
        recent.insert(start + KEPT / 2, name(1));
        assert!(recent.has("a0.example") && recent.has("a1.example"));
        assert_eq!(recent.poll_timeout(), Some(start + KEPT));
        assert!(recent.expire(start + KEPT) && !recent.expire(start + KEPT));
        recent.insert(start + KEPT, name(2));
        assert!(!recent.has("a0.example") && recent.has("a1.example"));
        recent.remove(&name(1));
        assert!(!recent.has("a1.example") && recent.has("a2.example"));
        for number in 3..=MAX_KEPT + 2 {
            recent.insert(start + KEPT, name(number));
        }
        assert!(!recent.has("a2.example") && recent.has("a3.example"));
        assert_eq!((recent.kept.len(), recent.order.len()), (MAX_KEPT, MAX_KEPT));
    }
}
