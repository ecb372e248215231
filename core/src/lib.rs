//! XEP-0114 as sans-IO state machines.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod jid;
pub mod router;
pub mod shaper;
mod time;

pub use time::Instant;
