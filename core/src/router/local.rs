//! What a local port holds: any number of names, wildcards, prefixes and hosts, and default routes. No component takes
//! one of them, whatever its listener says.

use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

use super::bind::BindingChange;
use super::names::{Bound, Holder, NameChange, Router};
use super::pattern::DomainPattern;
use super::policy::{BindPolicy, Claim, DefaultRoute, PortId};
use crate::jid::{Domain, JidError};
use crate::time::Instant;

/// Why a local port can't hold a name, or be a default route.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The name is one of our hosts: claim it as [`Claim::Host`].
    #[error("{0} is a host of this server: claim it as a host")]
    HostOfOurs(Domain),
    /// A port holds the name, the wildcard or the prefix.
    #[error("{name} is held by port {by}")]
    Taken {
        /// The name, or what stands behind `*.`, or the prefix.
        name: Domain,
        /// Its holder.
        by: PortId,
    },
    /// A port is that default route already: of this name, or of all.
    #[error("port {by} is the default route of {} already", .name.as_ref().map_or("all", |name| name.as_str()))]
    RouteTaken {
        /// The name; `None`: all.
        name: Option<Domain>,
        /// That port.
        by: PortId,
    },
    /// A prefix makes a name with no host, with this one for this reason.
    #[error("the prefix makes no name with {host}: {error}")]
    NoName {
        /// The first host.
        host: Domain,
        /// Why not.
        error: JidError,
    },
    /// The switch is shutting down, or the port has ended.
    #[error("the port has ended, or the switch is shutting down")]
    Ended,
}

impl Router {
    /// Binds a local port to all of its claims, and makes it those default routes, or does neither.
    pub(crate) fn attach(
        &mut self,
        port: PortId,
        claims: Vec<Claim>,
        route: DefaultRoute,
        policy: Arc<BindPolicy>,
        now: Instant,
    ) -> Result<Vec<BindingChange>, AttachError> {
        let routes: Vec<Option<Domain>> = match route {
            DefaultRoute::None => Vec::new(),
            DefaultRoute::Of(names) => names.into_iter().map(Some).collect(),
            DefaultRoute::All => Vec::from([None]),
        };
        for name in &routes {
            if let Some(by) = self.defaults.taken(name.as_ref()) {
                return Err(AttachError::RouteTaken { name: name.clone(), by });
            }
        }
        self.ports.insert(port, Bound { claims: Vec::new(), policy, names: Vec::new(), is_local: true });
        let mut changes = Vec::new();
        for claim in claims {
            match self.add_claim(port, claim) {
                Ok(more) => changes.extend(more),
                Err(error) => {
                    self.detach(port, now);
                    return Err(error);
                }
            }
        }
        for name in routes {
            self.defaults.insert(name, port);
        }
        Ok(changes)
    }

    /// Gives one more claim to a local port.
    pub(crate) fn add_claim(
        &mut self,
        port: PortId,
        claim: Claim,
    ) -> Result<Vec<BindingChange>, AttachError> {
        if !self.ports.contains_key(&port) {
            return Err(AttachError::Ended);
        }
        let taken = |name: &Domain, by| AttachError::Taken { name: name.clone(), by };
        let names = self.names_of(&claim);
        if let Some((name, by)) = names.iter().find_map(|name| Some((name, self.holder_port(name)?))) {
            return Err(taken(name, by));
        }
        if let Claim::Host(host) = claim {
            return Ok(self.take_host(port, host));
        }
        if let Some(host) = names.iter().find(|name| self.is_host(name.as_str())) {
            return Err(AttachError::HostOfOurs(host.clone()));
        }
        match &claim {
            Claim::Prefix(prefix) => {
                if let Some(&by) = self.prefixes.get(prefix) {
                    return Err(taken(prefix, by));
                }
                if let (true, Some(host)) = (names.is_empty(), self.hosts.first())
                    && let Err(error) = Domain::under(prefix, host)
                {
                    return Err(AttachError::NoName { host: host.clone(), error });
                }
            }
            Claim::Below(name) => {
                if let Some(&by) = self.below.of(name) {
                    return Err(taken(name, by));
                }
                self.below.insert(name.clone(), port);
                self.note(NameChange::Bound(port, DomainPattern::Below(name.clone())));
            }
            Claim::Domain(_) | Claim::Host(_) => {}
        }
        self.give(port, claim, names);
        Ok(Vec::new())
    }

    /// Has a local port answer for a host, which no port holds.
    fn take_host(&mut self, port: PortId, host: Domain) -> Vec<BindingChange> {
        let is_new = !self.hosts.contains(&host);
        if is_new {
            self.port_hosts.insert(host.clone());
            self.hosts.insert(host.clone());
        }
        self.give(port, Claim::Host(host.clone()), Vec::from([host.clone()]));
        if is_new { self.open_host(host) } else { Vec::new() }
    }

    /// Takes a claim from a local port that has it. The claim's names stay here for a day: no default route takes their
    /// stanzas.
    pub(crate) fn remove_claim(&mut self, port: PortId, claim: &Claim, now: Instant) -> Vec<BindingChange> {
        let Some(bound) = self.ports.get_mut(&port) else { return Vec::new() };
        let before = bound.claims.len();
        bound.claims.retain(|held| held != claim);
        if bound.claims.len() == before {
            return Vec::new();
        }
        let names = self.names_of(claim);
        let waits = |name: &Domain| self.waiting.get(name).is_some_and(|ports| ports.contains(&port));
        let mut names: Vec<Domain> =
            names.into_iter().filter(|name| self.holder_port(name) == Some(port) || waits(name)).collect();
        if let Some(bound) = self.ports.get_mut(&port) {
            bound.names.retain(|held| !names.contains(held));
        }
        names.retain(|name| self.let_go(name, port));
        self.forget(port, claim, names, now)
    }

    /// Forgets a local port, with all it held.
    pub(crate) fn detach(&mut self, port: PortId, now: Instant) -> Vec<BindingChange> {
        self.defaults.remove(port);
        let claims = self.ports.get(&port).map(|bound| bound.claims.clone()).unwrap_or_default();
        let mut changes: Vec<BindingChange> =
            claims.iter().flat_map(|claim| self.remove_claim(port, claim, now)).collect();
        changes.extend(self.unbind(port, now));
        changes
    }

    /// Completes the end of a claim whose names are free now.
    fn forget(
        &mut self,
        port: PortId,
        claim: &Claim,
        freed: Vec<Domain>,
        now: Instant,
    ) -> Vec<BindingChange> {
        match claim {
            Claim::Host(host) if self.port_hosts.contains(host) => return self.close_host(host),
            Claim::Host(host) => {
                self.names.insert(host.clone(), Holder::Host);
                return Vec::new();
            }
            Claim::Below(name) => {
                self.below.remove(name);
                self.note(NameChange::Released(port, DomainPattern::Below(name.clone())));
            }
            Claim::Prefix(prefix) => {
                self.prefixes.remove(prefix);
            }
            Claim::Domain(_) => {}
        }
        for name in &freed {
            self.recent.insert(now, name.clone());
        }
        self.grant(freed)
    }
}
