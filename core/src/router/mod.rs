//! Who is bound to what, and who may send to whom. Pure: no bytes, no locks, no clock.
//!
//! A component holds a name of its own, or a prefix under every host of ours; a local port may hold wildcards and whole
//! hosts as well. A name has one holder at most, and the hosts hold theirs before any component. Every name that is held stands in one table, so that routing a
//! stanza takes one look-up.
//!
//! | file | what it does |
//! | --- | --- |
//! | `names` | [`Router`]: the table of names |
//! | `bind` | how names change hands |
//! | `local` | what a local port holds |
//! | `defaults` | where stanzas for a name go that no port holds |
//! | `policy` | [`Claim`], [`BindPolicy`]: what a component asks for, and what its listener grants |
//! | `listing` | what each host lists |
//! | `access` | [`Access`]: who may send to a component |
//! | `pattern` | [`DomainPattern`], [`DomainSet`]: the names that a listener may give |

mod access;
mod bind;
mod defaults;
mod listing;
mod local;
#[cfg(test)]
mod model;
mod names;
mod pattern;
mod policy;
#[cfg(test)]
mod tests;

pub use access::{Access, AccessRule};
pub use bind::{BindError, BindOutcome, BindingChange, HostTaken};
pub use local::AttachError;
pub(crate) use names::NameChange;
#[doc(hidden)]
pub use names::{Destination, Router};
pub use pattern::{DomainMap, DomainPattern, DomainSet};
pub use policy::{BindPolicy, Claim, ConflictBehaviour, DefaultRoute, PortId};
