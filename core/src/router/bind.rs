//! How names change hands.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

use super::names::{Component, Holder, Router};
use super::policy::{BindPolicy, Claim, ConflictBehaviour, PortId};
use crate::jid::{Domain, JidError};

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
    /// The names that a claim would bind now: of a prefix, one for each host with which it makes a domain name.
    #[must_use]
    pub fn names_of(&self, claim: &Claim) -> Vec<Domain> {
        match claim {
            Claim::Domain(name) => Vec::from([name.clone()]),
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
    ) -> Result<BindOutcome, BindError> {
        if self.components.contains_key(&conn) {
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
        if let Some(denied) = names.iter().find(|name| !self.may_hold(&policy, name)) {
            return Err(BindError::Denied(denied.clone()));
        }
        let mut taken: Vec<(&Domain, PortId)> = Vec::new();
        if let Claim::Prefix(prefix) = &claim {
            taken.extend(self.prefixes.get(prefix).map(|by| (prefix, *by)));
        }
        taken.extend(names.iter().filter_map(|name| Some((name, self.owner(name.as_str())?))));
        let stays = |by: PortId| {
            policy.conflict == ConflictBehaviour::Disconnect
                || self.policy(by).is_some_and(|old| old.realm != policy.realm)
        };
        if let Some(&(name, by)) = taken.iter().find(|(_, by)| stays(*by)) {
            return Err(BindError::Taken { name: name.clone(), by });
        }

        let replaced: BTreeSet<PortId> = taken.into_iter().map(|(_, by)| by).collect();
        let freed: Vec<Domain> = replaced.iter().flat_map(|old| self.release(*old)).collect();
        if let Claim::Prefix(prefix) = &claim {
            self.prefixes.insert(prefix.clone(), conn);
        }
        self.components.insert(conn, Component { claim, policy, names: names.clone() });
        for name in names {
            self.hold(name, conn);
        }
        Ok(BindOutcome { replaced: replaced.into_iter().collect(), changes: self.grant(freed) })
    }

    /// Takes all names from a connection, and gives those that a prefix waited for to it. Does nothing for one
    /// that is not bound.
    pub fn unbind(&mut self, conn: PortId) -> Vec<BindingChange> {
        let freed = self.release(conn);
        self.grant(freed)
    }

    /// Adds a host of ours. Every prefix component gets its name there, or waits for it where another holds it.
    /// Does nothing for a host that is there already.
    ///
    /// # Errors
    ///
    /// Where a component holds the host's own name; nothing has changed then.
    pub fn add_host(&mut self, host: Domain) -> Result<Vec<BindingChange>, HostTaken> {
        match self.names.get(host.as_str()) {
            Some(Holder::Host) => return Ok(Vec::new()),
            Some(Holder::Component(by, _)) => return Err(HostTaken { host, by: *by }),
            None => {}
        }
        self.names.insert(host.clone(), Holder::Host);
        let mut changes = Vec::new();
        for (name, conn) in self.prefix_names(&host) {
            let Some(policy) = self.policy(conn) else { continue };
            if !self.may_hold(policy, &name) {
                changes.push(BindingChange::Denied { name, conn });
                continue;
            }
            if let Some(component) = self.components.get_mut(&conn) {
                component.names.push(name.clone());
            }
            if self.names.contains_key(name.as_str()) {
                let holder = self.owner(name.as_str());
                self.waiting.entry(name.clone()).or_default().push(conn);
                changes.push(BindingChange::Waits { name, conn, holder });
            } else {
                self.hold(name.clone(), conn);
                changes.push(BindingChange::Bound { name, conn });
            }
        }
        self.hosts.insert(host);
        Ok(changes)
    }

    /// Takes a host of ours away, and with it the name that each prefix component has there. Components with
    /// a name of their own keep it, wherever it lies. Does nothing for a domain that is no host.
    pub fn remove_host(&mut self, host: &Domain) -> Vec<BindingChange> {
        if !self.hosts.remove(host) {
            return Vec::new();
        }
        self.names.remove(host.as_str());
        let mut freed = Vec::from([host.clone()]);
        let mut changes = Vec::new();
        for (name, conn) in self.prefix_names(host) {
            if let Some(component) = self.components.get_mut(&conn) {
                component.names.retain(|held| *held != name);
            }
            if self.let_go(&name, conn) {
                changes.push(BindingChange::Lost { name: name.clone(), conn });
                freed.push(name);
            }
        }
        changes.extend(self.grant(freed));
        changes
    }

    /// The name that each prefix component has, or would have, under a host.
    fn prefix_names(&self, host: &Domain) -> Vec<(Domain, PortId)> {
        let name_of = |(prefix, conn): (&Domain, &PortId)| Some((Domain::under(prefix, host).ok()?, *conn));
        self.prefixes.iter().filter_map(name_of).collect()
    }

    /// Whether a listener with this policy may give a name to a component.
    fn may_hold(&self, policy: &BindPolicy, name: &Domain) -> bool {
        match &policy.domains {
            Some(domains) => domains.matches(name.as_str()),
            None => !self.known.matches(name.as_str()),
        }
    }

    fn hold(&mut self, name: Domain, conn: PortId) {
        let component = self.components.get(&conn).expect("only a component in the table is given a name");
        self.listing.insert(&component.claim, &component.policy, &name);
        self.names.insert(name, Holder::Component(conn, Arc::clone(&component.policy)));
    }

    /// Ends a component's hold of a name, or its wait for it; whether it was a hold.
    fn let_go(&mut self, name: &Domain, conn: PortId) -> bool {
        if self.speaks_for(conn, name.as_str()) {
            self.names.remove(name.as_str());
            if let Some(component) = self.components.get(&conn) {
                self.listing.remove(&component.claim, name);
            }
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

    /// Forgets a component and returns the names that it held, for the caller to grant or take.
    fn release(&mut self, conn: PortId) -> Vec<Domain> {
        let Some(component) = self.components.get_mut(&conn) else { return Vec::new() };
        let mut names = core::mem::take(&mut component.names);
        names.retain(|name| self.let_go(name, conn));
        if let Some(Component { claim: Claim::Prefix(prefix), .. }) = self.components.remove(&conn) {
            self.prefixes.remove(&prefix);
        }
        names
    }

    /// Gives each name that has no holder to the first that waits for it.
    fn grant(&mut self, freed: Vec<Domain>) -> Vec<BindingChange> {
        let mut changes = Vec::new();
        for name in freed {
            if self.names.contains_key(name.as_str()) {
                continue;
            }
            let Some(&conn) = self.waiting.get(&name).and_then(|queue| queue.first()) else { continue };
            self.let_go(&name, conn);
            self.hold(name.clone(), conn);
            changes.push(BindingChange::Bound { name, conn });
        }
        changes
    }
}
