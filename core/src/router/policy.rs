//! What a component claims, and what its listener grants to it.

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

/// What a component asks to be bound as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The name itself.
    Domain(Domain),
    /// `PREFIX.HOST` for every host of ours (`is_subdomain` on the stream header).
    Prefix(Domain),
}

impl Claim {
    /// The name, or the prefix.
    #[must_use]
    pub fn name(&self) -> &Domain {
        match self {
            Self::Domain(name) | Self::Prefix(name) => name,
        }
    }
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
    /// [`ConflictBehaviour::KickOld`] replaces components of the same realm only. Give one to listeners whose components
    /// trust each other, such as those with one secret.
    pub realm: u32,
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
            domains: None,
        }
    }
}
