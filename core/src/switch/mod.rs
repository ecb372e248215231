//! The server without I/O: which port holds which name, where a stanza goes, and what becomes of it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `ports` | [`Switch`]: how a connection reaches what all ports share, how names are bound, what an operator may ask |
//! | `shared` | what all ports use without asking the directory |
//! | `directory` | the ports and their names |
//! | `domain` | what is configured for domains, and where the state of each is |
//! | `handover` | how the state of a domain goes from port to port |
//! | `overdue` | what is due without a connection |
//! | `replay` | how held stanzas go to the component that is back |
//! | `sweep` | how all state is looked at once a second, in shares |
//! | `lifetime` | how a port comes and leaves |
//! | `route` | which port a stanza is for |
//! | `deliver` | what becomes of one stanza, and the routes of the last few |
//! | `patience` | how long a sender waits for full receivers |
//! | `bounces` | a sender of which many stanzas bounce |
//! | `uplinks` | what an uplink does on its switch |
//! | `announced` | what servers behind uplinks announced to components |
//! | `unsent` | what becomes of stanzas whose receiver ends before they are sent |
//! | `feed` | what changed, for those who watch |
//! | `status` | what an operator sees of a port |
//! | `host_view` | what a host's answers take from the switch |
//! | `metrics` | what is counted |
//! | `local` | [`LocalSwitch`]: a switch for one thread |
//!
//! What a full queue says to a stanza is decided in `queue`. Each decision is made once. A [`Switch`] only
//! keeps the state: [`LocalSwitch`] in cells, the runtime's `SharedSwitch` behind locks.

mod announced;
mod bounces;
mod deliver;
mod directory;
mod domain;
mod feed;
mod handover;
mod host_view;
mod lifetime;
mod local;
mod metrics;
mod overdue;
mod patience;
mod ports;
mod replay;
mod route;
mod shared;
mod status;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;
mod unsent;
mod uplinks;

pub(crate) use announced::Kind as AnnouncementKind;
#[cfg(test)]
pub(crate) use deliver::CAPACITY;
pub(crate) use deliver::{Delivery, DeliveryContext, Outcome};
pub use directory::Directory;
pub use feed::{SwitchEvent, Watcher};
pub(crate) use handover::{is_held, leave};
pub(crate) use host_view::HostView;
pub(crate) use lifetime::{attach, connect, detach, unbind};
pub use local::LocalSwitch;
pub use metrics::{Metric, Metrics};
pub use ports::{Bind, Switch};
pub(crate) use replay::replay;
pub(crate) use shared::UplinkRole;
pub use shared::{PortInfo, SwitchShared};
pub use status::{PortKind, PortStatus};
pub(crate) use unsent::{Unsent, give_notice};
pub(crate) use uplinks::{
    ask, attach_uplink, begin_closing, detach_uplink, end_closing, has_held, hold_time, holder, set_away,
    set_up,
};

pub use crate::config::{DomainConfig, ListenerConfig, SwitchConfig};
pub use crate::queue::{Queue, QueueStatus};
