//! How names change hands.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

use super::names::{Bound, Holder, NameChange, Router};
use super::pattern::DomainPattern;
use super::policy::{BindPolicy, Claim, ConflictBehaviour, PortId};
use crate::jid::{Domain, JidError};
use crate::time::Instant;

/// A component is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindOutcome {
    /// Who held one of its names before and holds nothing any more, in order of their numbers.
    pub replaced: Vec<PortId>,
    /// What became of their other names.
    pub changes: Vec<BindingChange>,
}

/// A prefix component got or lost one of its names without having asked at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingChange {
    /// It is bound to `name` now.
    Bound {
        /// The name.
        name: Domain,
        /// The component.
        conn: PortId,
    },
    /// It would be, but for another holder, and gets it as soon as that one lets go.
    Waits {
        /// The name.
        name: Domain,
        /// The component.
        conn: PortId,
        /// Who holds it; none where it is a host of ours.
        holder: Option<PortId>,
    },
    /// It would be, but the name is not among those that its listener may give. It never gets it.
    Denied {
        /// The name.
        name: Domain,
        /// The component.
        conn: PortId,
    },
    /// It is not bound to `name` any more; its stream lives on.
    Lost {
        /// The name.
        name: Domain,
        /// The component.
        conn: PortId,
    },
}

/// Why a component can't be bound (stream error `conflict`).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BindError {
    /// A name is one of our hosts, which no component can be.
    #[error("{0} is a host of this server")]
    HostOfOurs(Domain),
    /// A name has a holder, or another component has the same prefix.
    #[error("{name} is bound to connection {by}")]
    Taken {
        /// The name, or the prefix.
        name: Domain,
        /// Its holder.
        by: PortId,
    },
    /// A prefix makes a name with no host, with this one for this reason: it would be bound as nothing.
    #[error("the prefix makes no name with {host}: {error}")]
    NoName {
        /// The first host.
        host: Domain,
        /// Why not.
        error: JidError,
    },
    /// A name is not among those that the listener may give.
    #[error("the listener may not give {0}")]
    Denied(Domain),
    /// A host was added after the secrets of a prefix's names were asked for: what was proved says nothing of the new name.
    #[error("a host was added meanwhile")]
    HostsChanged,
    /// The connection is bound already; a component has one claim.
    #[error("connection {0} is bound already")]
    AlreadyBound(PortId),
}

/// A component holds the name of a host to be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{host} is bound to connection {by}")]
pub struct HostTaken {
    /// The host.
    pub host: Domain,
    /// The component that holds its name.
    pub by: PortId,
}

impl Router {
    /// The names that a claim would bind now: of a prefix, one for each host with which it makes a domain name; of a
    /// wildcard, none.
    #[must_use]
    pub fn names_of(&self, claim: &Claim) -> Vec<Domain> {
        match claim {
            Claim::Domain(name) | Claim::Host(name) => Vec::from([name.clone()]),
            Claim::Below(_) => Vec::new(),
            Claim::Prefix(prefix) => {
                self.hosts.iter().filter_map(|host| Domain::under(prefix, host).ok()).collect()
            }
        }
    }

    /// Binds all names of a claim or none. If its policy says so, a port that holds one of them is displaced with
    /// all its names in the same step.
    ///
    /// # Errors
    ///
    /// Nothing has changed then. [`BindError::HostOfOurs`] comes first, whatever the policy says, and
    /// [`BindError::Denied`] before [`BindError::Taken`].
    pub fn bind(
        &mut self,
        conn: PortId,
        claim: Claim,
        policy: Arc<BindPolicy>,
        now: Instant,
    ) -> Result<BindOutcome, BindError> {
        if self.ports.contains_key(&conn) {
            return Err(BindError::AlreadyBound(conn));
        }
        let names = self.names_of(&claim);
        if let Some(host) = names.iter().find(|name| self.is_host(name.as_str())) {
            return Err(BindError::HostOfOurs(host.clone()));
        }
        if let (Claim::Prefix(prefix), true, Some(host)) = (&claim, names.is_empty(), self.hosts.first())
            && let Err(error) = Domain::under(prefix, host)
        {
            return Err(BindError::NoName { host: host.clone(), error });
        }
        let asked = self.asked.remove(&conn).unwrap_or(self.hosts_added);
        if !policy.later_hosts && asked != self.hosts_added {
            return Err(BindError::HostsChanged);
        }
        if let Some(denied) = names.iter().find(|name| !self.may_hold(&policy, name)) {
            return Err(BindError::Denied(denied.clone()));
        }
        if let Some((name, by)) = names.iter().find_map(|name| Some((name, self.covers(&policy, name)?))) {
            return Err(BindError::Taken { name: name.clone(), by });
        }
        let mut taken: Vec<(&Domain, PortId)> = Vec::new();
        if let Claim::Prefix(prefix) = &claim {
            taken.extend(self.prefixes.get(prefix).map(|by| (prefix, *by)));
        }
        taken.extend(names.iter().filter_map(|name| Some((name, self.holder_port(name)?))));
        let stays = |by: PortId| {
            policy.conflict == ConflictBehaviour::Disconnect
                || self.ports.get(&by).is_some_and(|old| old.is_local || old.policy.realm != policy.realm)
        };
        if let Some(&(name, by)) = taken.iter().find(|(_, by)| stays(*by)) {
            return Err(BindError::Taken { name: name.clone(), by });
        }

        let replaced: BTreeSet<PortId> = taken.into_iter().map(|(_, by)| by).collect();
        let freed: Vec<Domain> = replaced.iter().flat_map(|old| self.release_for_now(*old, now)).collect();
        self.components += 1;
        let bound = Bound { claims: Vec::new(), policy, names: Vec::new(), is_local: false };
        self.ports.insert(conn, bound);
        self.give(conn, claim, names);
        Ok(BindOutcome { replaced: replaced.into_iter().collect(), changes: self.grant(freed) })
    }

    /// The secrets of a port's names are asked for: they are proved under the hosts of now.
    pub(crate) fn note_asked(&mut self, conn: PortId) {
        self.asked.insert(conn, self.hosts_added);
    }

    /// Gives a claim to a port, whose `names` are free.
    pub(super) fn give(&mut self, conn: PortId, claim: Claim, names: Vec<Domain>) {
        let prefix = match &claim {
            Claim::Prefix(prefix) => {
                self.prefixes.insert(prefix.clone(), conn);
                Some(prefix.clone())
            }
            _ => None,
        };
        if let Some(bound) = self.ports.get_mut(&conn) {
            bound.claims.push(claim);
            bound.names.extend(names.iter().cloned());
        }
        for name in names {
            self.hold(name, conn, prefix.as_ref());
        }
    }

    /// Takes all names from a port, and gives those that a prefix waited for to it. Does nothing for one that is not
    /// bound. The names stay here for a day: no default route takes their stanzas.
    pub fn unbind(&mut self, conn: PortId, now: Instant) -> Vec<BindingChange> {
        let freed = self.release_for_now(conn, now);
        self.grant(freed)
    }

    fn release_for_now(&mut self, conn: PortId, now: Instant) -> Vec<Domain> {
        self.asked.remove(&conn);
        let freed = self.release(conn);
        freed.iter().for_each(|name| self.recent.insert(now, name.clone()));
        freed
    }

    /// Adds a host of ours. Every port with a prefix gets its name there, or waits for it if another holds it.
    /// Does nothing for a host that is there already; one that a port has made lasts longer than the port then.
    ///
    /// # Errors
    ///
    /// A component holds the host's own name; nothing has changed then.
    pub fn add_host(&mut self, host: Domain) -> Result<Vec<BindingChange>, HostTaken> {
        if self.hosts.contains(&host) {
            self.port_hosts.remove(&host);
            return Ok(Vec::new());
        }
        if let Some(by) = self.holder_port(&host) {
            return Err(HostTaken { host, by });
        }
        self.names.insert(host.clone(), Holder::Host);
        Ok(self.open_host(host))
    }

    /// Gives the ports with a prefix their names under a new host.
    pub(super) fn open_host(&mut self, host: Domain) -> Vec<BindingChange> {
        self.hosts_added += 1;
        let mut changes = Vec::new();
        for (prefix, name, conn) in self.prefix_names(&host) {
            let Some(bound) = self.ports.get(&conn) else { continue };
            let may_hold = self.may_hold(&bound.policy, &name) && self.covers(&bound.policy, &name).is_none();
            if !(bound.is_local || may_hold && bound.policy.later_hosts) {
                changes.push(BindingChange::Denied { name, conn });
                continue;
            }
            if let Some(bound) = self.ports.get_mut(&conn) {
                bound.names.push(name.clone());
            }
            if self.names.contains_key(name.as_str()) {
                let holder = self.holder_port(&name);
                self.waiting.entry(name.clone()).or_default().push(conn);
                changes.push(BindingChange::Waits { name, conn, holder });
            } else {
                self.hold(name.clone(), conn, Some(&prefix));
                changes.push(BindingChange::Bound { name, conn });
            }
        }
        self.hosts.insert(host);
        changes
    }

    /// Takes a host of ours away, and with it the name that each port with a prefix has there. Names of a port's own
    /// stay, wherever they lie. Does nothing for a domain that is not a host, or is a local port's.
    pub fn remove_host(&mut self, host: &Domain) -> Vec<BindingChange> {
        if !matches!(self.names.get(host.as_str()), Some(Holder::Host)) {
            return Vec::new();
        }
        self.close_host(host)
    }

    /// Forgets a host, and the names that ports with a prefix have under it.
    pub(super) fn close_host(&mut self, host: &Domain) -> Vec<BindingChange> {
        self.hosts.remove(host);
        self.port_hosts.remove(host);
        self.names.remove(host.as_str());
        let mut freed = Vec::from([host.clone()]);
        let mut changes = Vec::new();
        for (_, name, conn) in self.prefix_names(host) {
            if let Some(bound) = self.ports.get_mut(&conn) {
                bound.names.retain(|held| *held != name);
            }
            if self.let_go(&name, conn) {
                changes.push(BindingChange::Lost { name: name.clone(), conn });
                freed.push(name);
            }
        }
        changes.extend(self.grant(freed));
        changes
    }

    /// The name that each port with a prefix has, or would have, under a host.
    fn prefix_names(&self, host: &Domain) -> Vec<(Domain, Domain, PortId)> {
        let name_of = |(prefix, conn): (&Domain, &PortId)| {
            Some((prefix.clone(), Domain::under(prefix, host).ok()?, *conn))
        };
        self.prefixes.iter().filter_map(name_of).collect()
    }

    /// Whether a listener with this policy may give a name to a component.
    fn may_hold(&self, policy: &BindPolicy, name: &Domain) -> bool {
        match &policy.domains {
            Some(domains) => domains.matches(name.as_str()),
            None => !self.known.matches(name.as_str()),
        }
    }

    /// The local port whose wildcard covers a name, so that only a listener that lists the name may give it.
    fn covers(&self, policy: &BindPolicy, name: &Domain) -> Option<PortId> {
        self.wildcard(name.as_str()).filter(|_| policy.domains.is_none())
    }

    /// The port that holds this very name, not by a wildcard.
    pub(crate) fn holder_port(&self, name: &Domain) -> Option<PortId> {
        match self.holder(name.as_str()) {
            Some(Holder::Port { id, .. }) => Some(*id),
            Some(Holder::Host) | None => None,
        }
    }

    fn hold(&mut self, name: Domain, id: PortId, prefix: Option<&Domain>) {
        let bound = self.ports.get(&id).expect("only a port in the table is given a name");
        let prefix = prefix.and_then(|prefix| u16::try_from(prefix.as_str().len()).ok());
        let holder = Holder::Port { id, policy: Arc::clone(&bound.policy), prefix };
        if !self.hosts.contains(&name) {
            self.listing.insert(&bound.policy, &name, holder.host_of(&name));
        }
        self.recent.remove(&name);
        self.note(NameChange::Bound(id, DomainPattern::Exact(name.clone())));
        self.names.insert(name, holder);
    }

    /// Ends a port's hold of a name, or its wait for it; whether it was a hold.
    pub(super) fn let_go(&mut self, name: &Domain, conn: PortId) -> bool {
        if self.holder_port(name) == Some(conn) {
            if let Some(holder) = self.names.remove(name.as_str()) {
                self.listing.remove(name, holder.host_of(name));
            }
            self.note(NameChange::Released(conn, DomainPattern::Exact(name.clone())));
            return true;
        }
        if let Some(queue) = self.waiting.get_mut(name) {
            queue.retain(|waits| *waits != conn);
            if queue.is_empty() {
                self.waiting.remove(name);
            }
        }
        false
    }

    /// Forgets a port and returns the names that it held, for the caller to grant or take.
    fn release(&mut self, conn: PortId) -> Vec<Domain> {
        let Some(bound) = self.ports.get_mut(&conn) else { return Vec::new() };
        let mut names = core::mem::take(&mut bound.names);
        names.retain(|name| self.let_go(name, conn));
        if let Some(bound) = self.ports.remove(&conn) {
            self.components -= usize::from(!bound.is_local);
            for claim in bound.claims {
                if let Claim::Prefix(prefix) = claim {
                    self.prefixes.remove(&prefix);
                }
            }
        }
        names
    }

    /// Gives each name that has no holder to the first that waits for it.
    pub(super) fn grant(&mut self, freed: Vec<Domain>) -> Vec<BindingChange> {
        let mut changes = Vec::new();
        for name in freed {
            if self.names.contains_key(name.as_str()) {
                continue;
            }
            let Some(&conn) = self.waiting.get(&name).and_then(|queue| queue.first()) else { continue };
            self.let_go(&name, conn);
            let prefix = self.prefixes.iter().find(|(prefix, by)| {
                let host =
                    name.as_str().strip_prefix(prefix.as_str()).and_then(|rest| rest.strip_prefix('.'));
                **by == conn && host.is_some_and(|host| self.hosts.contains(host))
            });
            let prefix = prefix.map(|(prefix, _)| prefix.clone());
            self.hold(name.clone(), conn, prefix.as_ref());
            changes.push(BindingChange::Bound { name, conn });
        }
        changes
    }
}
