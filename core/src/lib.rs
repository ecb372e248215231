//! XEP-0114 as sans-IO state machines.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

mod error;
mod handshake;
pub mod host;
pub mod jid;
mod limits;
mod namespaces;
pub mod router;
#[cfg(feature = "std")]
pub mod rt;
pub mod shaper;
mod stanza;
mod stanza_error;
pub mod stream;
mod time;
mod xml;

pub use error::{Cause, StreamCondition, StreamError};
pub use handshake::{Secret, StreamId};
pub use limits::Limits;
pub use stanza::{Kind, Stanza, StanzaBuf};
pub use stanza_error::{ErrorType, StanzaCondition, StanzaError};
pub use time::Instant;
pub use xml::{XmlError, XmlFault};
