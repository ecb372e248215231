//! The names, their holders, and the table that answers who holds one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::listing::Listing;
use super::pattern::{DomainPattern, DomainSet};
use super::policy::{BindPolicy, Claim, PortId};
use crate::jid::Domain;

/// The holder of a name, the same for every sender.
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
    /// What the hosts list.
    pub(super) listing: Listing,
    /// Of the components, those with a prefix; two may not have the same, be there hosts or not.
    pub(super) prefixes: BTreeMap<Domain, PortId>,
    /// Every name that is held, for look-up alone: its order is none.
    pub(super) names: HashMap<Domain, Holder>,
    /// Prefix components that would hold a name if its holder did not, first come first. Such a name is held.
    pub(super) waiting: BTreeMap<Domain, Vec<PortId>>,
    pub(super) known: DomainSet,
    /// How often a name was looked up.
    #[cfg(test)]
    pub(crate) look_ups: core::sync::atomic::AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Component {
    pub(super) claim: Claim,
    pub(super) policy: Arc<BindPolicy>,
    /// The names that it holds, or waits for.
    pub(super) names: Vec<Domain>,
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

    /// Sets the names that are known while nobody is bound to them: those of all listeners' `domains`. A listener that
    /// lists none does not get them.
    pub fn set_known(&mut self, known: impl IntoIterator<Item = DomainPattern>) {
        self.known = known.into_iter().collect();
    }

    /// Lists hidden components, too. Call it before the first is bound.
    pub(crate) fn list_hidden(&mut self, list_hidden: bool) {
        self.listing.with_hidden = list_hidden;
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

    /// What a host lists in disco#items (XEP-0030 section 4), in order: every component with a name of its own, and of each
    /// prefix the name under this host. Nothing for a domain that is not a host of ours.
    pub fn items(&self, host: &str) -> impl Iterator<Item = &Domain> {
        self.listing.of(self.is_host(host).then_some(host))
    }
}
