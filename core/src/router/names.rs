//! The names, their holders, and the table that answers who holds one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::defaults::{Defaults, Recent};
use super::listing::Listing;
use super::pattern::{Below, DomainPattern, DomainSet};
use super::policy::{BindPolicy, Claim, PortId};
use crate::jid::Domain;
use crate::time::Instant;

/// Where stanzas for a name go.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// To the port that holds it, on these conditions.
    Port(PortId, &'a Arc<BindPolicy>),
    /// To the sender's default route.
    DefaultRoute(PortId),
    /// To a host of ours that no port holds.
    Host,
    /// Nowhere now; a listener lists the name, or it was bound lately.
    Away,
    /// Nowhere.
    Unknown,
}

/// The names, their holders, and what was asked for.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) hosts: BTreeSet<Domain>,
    /// Of those, the ones that are hosts because a port holds them.
    pub(super) port_hosts: BTreeSet<Domain>,
    pub(super) ports: BTreeMap<PortId, Bound>,
    /// Of the ports, components and not local ones.
    pub(super) components: usize,
    /// What the hosts list.
    pub(super) listing: Listing,
    /// Who has which prefix; two ports may not have the same, be there hosts or not.
    pub(super) prefixes: BTreeMap<Domain, PortId>,
    /// Every name that is held. Only for look-up: a hash map has no order to rely on.
    pub(super) names: HashMap<Domain, Holder>,
    /// Every wildcard that is held, by the name behind `*.`.
    pub(super) below: Below<PortId>,
    /// Ports with a prefix that would hold a name if its holder did not, first come first. Such a name is held.
    pub(super) waiting: BTreeMap<Domain, Vec<PortId>>,
    pub(super) known: DomainSet,
    pub(super) defaults: Defaults,
    pub(super) recent: Recent,
    /// How often a host was added.
    pub(super) hosts_added: u64,
    /// The same when these ports were asked for the secrets of their prefix's names.
    pub(super) asked: BTreeMap<PortId, u64>,
    /// What changed hands since somebody asked.
    pub(super) changes: Vec<NameChange>,
    /// How often a name was looked up.
    #[cfg(test)]
    pub(crate) look_ups: core::sync::atomic::AtomicUsize,
}

/// What a port has asked for, and got.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) claims: Vec<Claim>,
    pub(super) policy: Arc<BindPolicy>,
    /// The names that it holds, or waits for.
    pub(super) names: Vec<Domain>,
    /// It is a local port: no component takes a name from it.
    pub(super) is_local: bool,
}

/// Who holds a name.
#[derive(Debug)]
pub(crate) enum Holder {
    /// A host of ours, which answers itself.
    Host,
    /// A port. The name's first bytes are the port's prefix, if it is that of a prefix under a host.
    Port { id: PortId, policy: Arc<BindPolicy>, prefix: Option<u16> },
}

/// A name, or a wildcard, that a port holds now, or does not hold any more.
#[derive(Debug)]
pub(crate) enum NameChange {
    Bound(PortId, DomainPattern),
    Released(PortId, DomainPattern),
}

impl Holder {
    /// The host under which a prefix has this name.
    pub(super) fn host_of<'a>(&self, name: &'a Domain) -> Option<&'a str> {
        match self {
            Self::Port { prefix: Some(prefix), .. } => name.as_str().get(usize::from(*prefix) + 1..),
            Self::Port { prefix: None, .. } | Self::Host => None,
        }
    }
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
    #[inline]
    pub(crate) fn holder(&self, domain: &str) -> Option<&Holder> {
        #[cfg(test)]
        self.look_ups.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        self.names.get(domain)
    }

    /// Whether `domain`, a canonical name, is a host of ours, be it one that a port holds.
    #[must_use]
    pub fn is_host(&self, domain: &str) -> bool {
        #[cfg(test)]
        self.look_ups.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        self.hosts.contains(domain)
    }

    /// Who holds the wildcard that covers `domain`, a canonical name: the longest one.
    pub(super) fn wildcard(&self, domain: &str) -> Option<PortId> {
        self.below.get(domain).copied()
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

    /// Which port holds `domain`, a canonical name, itself or by a wildcard.
    #[must_use]
    pub fn owner(&self, domain: &str) -> Option<PortId> {
        match self.holder(domain) {
            Some(Holder::Port { id, .. }) => Some(*id),
            Some(Holder::Host) => None,
            None => self.wildcard(domain),
        }
    }

    /// Whether `domain`, a canonical name, is bound to `conn` right now: it may send from there. A prefix that
    /// waits for a name does not speak for it.
    #[must_use]
    pub fn speaks_for(&self, conn: PortId, domain: &str) -> bool {
        self.owner(domain) == Some(conn)
    }

    /// The name that a component is bound to, if it has one of its own.
    pub(crate) fn own_name(&self, conn: PortId) -> Option<&str> {
        match self.claim(conn)? {
            Claim::Domain(name) => Some(name.as_str()),
            _ => None,
        }
    }

    /// What a port asked for first: all that a component asks for.
    #[must_use]
    pub fn claim(&self, conn: PortId) -> Option<&Claim> {
        self.ports.get(&conn)?.claims.first()
    }

    /// What its listener granted to a component, or a local port to itself.
    #[must_use]
    pub fn policy(&self, conn: PortId) -> Option<&Arc<BindPolicy>> {
        self.ports.get(&conn).map(|bound| &bound.policy)
    }

    /// What changed hands since it was asked last.
    pub(crate) fn take_changes(&mut self) -> Vec<NameChange> {
        core::mem::take(&mut self.changes)
    }

    pub(super) fn note(&mut self, change: NameChange) {
        self.changes.push(change);
    }

    /// The ports that hold something, or ask for it, with what that is and the names that they have.
    pub(crate) fn port_names(&self, port: PortId) -> Option<(&[Claim], impl Iterator<Item = &Domain>)> {
        let bound = self.ports.get(&port)?;
        let names = bound.names.iter().filter(move |name| self.holder_port(name) == Some(port));
        Some((&bound.claims, names))
    }

    /// How many local ports there are.
    pub(crate) fn local_ports(&self) -> usize {
        self.ports.len() - self.components
    }

    /// How many components are bound.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.components
    }

    /// Where stanzas for `domain`, a canonical name, go, without asking whether the sender may. `sender` is the name
    /// that the sending port is bound to, if its default route is to be taken.
    #[must_use]
    #[inline]
    pub fn route_domain(&self, domain: &str, sender: Option<&str>) -> Destination<'_> {
        match self.holder(domain) {
            Some(Holder::Port { id, policy, .. }) => Destination::Port(*id, policy),
            Some(Holder::Host) => Destination::Host,
            None => self.route_elsewhere(domain, sender),
        }
    }

    /// The same for a name that nobody holds.
    #[cold]
    fn route_elsewhere(&self, domain: &str, sender: Option<&str>) -> Destination<'_> {
        if self.known.lists(domain) {
            return Destination::Away;
        }
        let by_wildcard = self.wildcard(domain);
        if let Some((id, policy)) = by_wildcard.and_then(|id| Some((id, self.policy(id)?))) {
            return Destination::Port(id, policy);
        }
        match self.default_route(sender) {
            Some(_) if self.recent.has(domain) => Destination::Away,
            Some(id) => Destination::DefaultRoute(id),
            None if self.known.matches(domain) => Destination::Away,
            None => Destination::Unknown,
        }
    }

    /// Whether a port has held `domain`, a canonical name, within the last 24 hours.
    pub(crate) fn was_held(&self, domain: &str) -> bool {
        self.recent.has(domain)
    }

    /// When a port let go of `domain`, a canonical name, if no port holds it and that was within the last 24 hours.
    pub(crate) fn vacant_since(&self, domain: &str) -> Option<Instant> {
        self.recent.since(domain)
    }

    /// Forgets the names that ports held more than 24 hours ago; whether there were any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        self.recent.expire(now)
    }

    /// When to call [`expire`](Self::expire), if at all.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.recent.poll_timeout()
    }

    /// The default route that takes what `sender` sends to `domain`, unless that name is held or stays here.
    pub(crate) fn default_route_to(&self, domain: &str, sender: Option<&str>) -> Option<PortId> {
        let elsewhere = self.holder(domain).is_none().then(|| self.route_elsewhere(domain, sender))?;
        if let Destination::DefaultRoute(id) = elsewhere { Some(id) } else { None }
    }

    /// The default route of a port that is bound to `name`, unless it is that of all.
    pub(crate) fn own_default_route(&self, name: &str) -> Option<PortId> {
        self.defaults.own(name)
    }

    /// The default route of a port that is bound to `sender`.
    fn default_route(&self, sender: Option<&str>) -> Option<PortId> {
        self.defaults.of(sender)
    }

    /// What a host lists in disco#items (XEP-0030 section 4), in order: every name that a port holds as its own, and of
    /// each prefix the name under this host. Nothing for a domain that is not a host of ours.
    pub fn items(&self, host: &str) -> impl Iterator<Item = &Domain> {
        self.listing.of(self.is_host(host).then_some(host))
    }
}
