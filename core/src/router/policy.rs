//! What a component claims, and what its listener grants to it.

use alloc::vec::Vec;
use core::fmt;

use super::access::Access;
use super::pattern::DomainSet;
use crate::jid::Domain;

/// The number of a port, as the switch gave it; never used twice in one switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u64);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a port holds, or asks for. A component asks for a domain or a prefix; a local port may hold any number of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The name itself.
    Domain(Domain),
    /// `PREFIX.HOST` for every host of ours (`is_subdomain` on the stream header).
    Prefix(Domain),
    /// `*.NAME`: every name with one or more labels in front of NAME, unless a port holds that very name.
    Below(Domain),
    /// A host of ours, which the port answers for. A domain that is not a host becomes one for as long as the port
    /// holds it: components with a prefix get a name under it.
    Host(Domain),
}

impl Claim {
    /// The name, the prefix, or what stands behind `*.`.
    #[must_use]
    pub fn name(&self) -> &Domain {
        match self {
            Self::Domain(name) | Self::Prefix(name) | Self::Below(name) | Self::Host(name) => name,
        }
    }
}

/// For whose stanzas a local port is the default route: those for a domain that no port holds and that is not known to be
/// a component's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DefaultRoute {
    /// Nobody's.
    #[default]
    None,
    /// Those of the ports that are bound to these names.
    Of(Vec<Domain>),
    /// Those of every port that has no default route of its own.
    All,
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
    /// [`ConflictBehaviour::KickOld`] replaces components of the same realm only, and realms share memory
    /// ([`SwitchConfig::max_queued`](crate::switch::SwitchConfig::max_queued)). Give one to listeners whose components
    /// trust each other, such as those with one secret.
    pub realm: u32,
    /// A component with a prefix gets its name under a host that is added later. Set it to false if each name has a secret of
    /// its own: what was proved says nothing of the new name, so the component has to connect again.
    pub later_hosts: bool,
    /// The names that may be bound. `None`: any name that is not a host, and not among the [known](super::Router::set_known)
    /// ones, which other listeners have listed.
    pub domains: Option<DomainSet>,
}

impl Default for BindPolicy {
    /// A listener of which nothing but the secret is set.
    fn default() -> Self {
        Self {
            hidden: false,
            check_from: true,
            access: Access::Everyone,
            conflict: ConflictBehaviour::Disconnect,
            realm: 0,
            later_hosts: true,
            domains: None,
        }
    }
}
