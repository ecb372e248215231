//! The names, their holders, and the table that answers who holds one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use hashbrown::HashMap;

use super::access::Access;
use super::pattern::{DomainPattern, Known};
use crate::jid::Domain;

/// The number of a port, as the switch gave it; never used twice in one switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u64);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a component asks to be bound as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The name itself.
    Domain(Domain),
    /// `PREFIX.HOST` for every host of ours (`is_subdomain` on the stream header).
    Prefix(Domain),
}

/// What becomes of a component whose name a newcomer claims (`conflict_behaviour` of the newcomer's listener).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConflictBehaviour {
    /// It stays, and the newcomer is refused.
    #[default]
    Disconnect,
    /// It goes, and the newcomer has the name in the same step.
    KickOld,
}

/// What a listener grants to its components.
#[derive(Debug, Clone)]
pub struct BindPolicy {
    /// Left out of the items of a host, unless they are asked for with the hidden ones.
    pub hidden: bool,
    /// Stanzas may come from names that the component is bound to only.
    pub check_from: bool,
    /// Who may send to the component.
    pub access: Access,
    /// What happens when its name is taken.
    pub conflict: ConflictBehaviour,
}

impl Default for BindPolicy {
    /// A listener of which nothing but the secret is set.
    fn default() -> Self {
        Self {
            hidden: false,
            check_from: true,
            access: Access::Everyone,
            conflict: ConflictBehaviour::Disconnect,
        }
    }
}

/// Who answers to a name, whoever asks.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// This component, on these conditions.
    Component(PortId, &'a Arc<BindPolicy>),
    /// A host of ours.
    Host,
    /// Nobody now; a listener lists the name.
    Away,
    /// Nobody.
    Unknown,
}

/// The names, their holders, and what was asked for.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) hosts: BTreeSet<Domain>,
    pub(super) components: BTreeMap<PortId, Component>,
    /// Of the components, those that are not hidden.
    pub(super) visible: BTreeSet<PortId>,
    /// Of the components, those with a prefix; two may not have the same, be there hosts or not.
    pub(super) prefixes: BTreeMap<Domain, PortId>,
    /// Every name that is held, for look-up alone: its order is none.
    pub(super) names: HashMap<Domain, Holder>,
    /// Prefix components that would hold a name if its holder did not, first come first. Such a name is held.
    pub(super) waiting: BTreeMap<Domain, Vec<PortId>>,
    known: Known,
    /// How often a name was looked up.
    #[cfg(test)]
    pub(crate) look_ups: core::sync::atomic::AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Component {
    pub(super) claim: Claim,
    pub(super) policy: Arc<BindPolicy>,
}

/// Who holds a name.
#[derive(Debug)]
pub(crate) enum Holder {
    Host,
    Component(PortId, Arc<BindPolicy>),
}

impl Router {
    /// A router for these hosts, with nothing bound.
    pub fn new(hosts: impl IntoIterator<Item = Domain>) -> Self {
        let hosts: BTreeSet<Domain> = hosts.into_iter().collect();
        let names = hosts.iter().map(|host| (host.clone(), Holder::Host)).collect();
        Self { hosts, names, ..Self::default() }
    }

    /// The hosts, in order.
    pub fn hosts(&self) -> impl Iterator<Item = &Domain> {
        self.hosts.iter()
    }

    /// Who holds `domain`, a canonical name: the one look-up that all that is asked about a name comes from.
    pub(crate) fn holder(&self, domain: &str) -> Option<&Holder> {
        #[cfg(test)]
        self.look_ups.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        self.names.get(domain)
    }

    /// Whether `domain`, a canonical name, is a host of ours.
    #[must_use]
    pub fn is_host(&self, domain: &str) -> bool {
        matches!(self.holder(domain), Some(Holder::Host))
    }

    /// Replaces the list of names that may connect: those are known also while nobody is there for them.
    pub fn set_known(&mut self, patterns: Vec<DomainPattern>) {
        self.known = Known::new(patterns);
    }

    /// Who holds `domain`, a canonical name; a host's name is held by no connection.
    #[must_use]
    pub fn owner(&self, domain: &str) -> Option<PortId> {
        match self.holder(domain) {
            Some(Holder::Component(conn, _)) => Some(*conn),
            Some(Holder::Host) | None => None,
        }
    }

    /// Whether `domain`, a canonical name, is bound to `conn` right now: it may send from there. A prefix that
    /// waits for a name does not speak for it.
    #[must_use]
    pub fn speaks_for(&self, conn: PortId, domain: &str) -> bool {
        self.owner(domain) == Some(conn)
    }

    /// What a component is bound as.
    #[must_use]
    pub fn claim(&self, conn: PortId) -> Option<&Claim> {
        self.components.get(&conn).map(|component| &component.claim)
    }

    /// What its listener granted to a component.
    #[must_use]
    pub fn policy(&self, conn: PortId) -> Option<&Arc<BindPolicy>> {
        self.components.get(&conn).map(|component| &component.policy)
    }

    /// How many components are bound.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.components.len()
    }

    /// Who answers to `domain`, a canonical name, without asking whether the sender may.
    #[must_use]
    pub fn route_domain(&self, domain: &str) -> Destination<'_> {
        match self.holder(domain) {
            Some(Holder::Component(conn, policy)) => Destination::Component(*conn, policy),
            Some(Holder::Host) => Destination::Host,
            None if self.known.matches(domain) => Destination::Away,
            None => Destination::Unknown,
        }
    }

    /// What a host lists in disco#items (XEP-0030 section 4), in order: every component with a name of its own,
    /// and of each prefix the name under this host. Nothing for a domain that is no host of ours.
    #[must_use]
    pub fn items(&self, host: &Domain, with_hidden: bool) -> Vec<Domain> {
        let mut items = self.items_as_they_came(host, with_hidden);
        items.sort_unstable();
        items
    }

    /// The same in no order of names, for whoever holds a lock that others wait for.
    pub(crate) fn items_as_they_came(&self, host: &Domain, with_hidden: bool) -> Vec<Domain> {
        if !self.hosts.contains(host) {
            return Vec::new();
        }
        let name_of = |conn: &PortId| match self.claim(*conn)? {
            Claim::Domain(name) => Some(name.clone()),
            Claim::Prefix(prefix) => {
                Domain::under(prefix, host).ok().filter(|name| self.speaks_for(*conn, name.as_str()))
            }
        };
        if with_hidden {
            self.components.keys().filter_map(name_of).collect()
        } else {
            // The hidden ones are not even passed over: what this takes shows in how long it gets.
            self.visible.iter().filter_map(name_of).collect()
        }
    }
}
