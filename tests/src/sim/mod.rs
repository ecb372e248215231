//! Connections in virtual time: one thread, a clock that jumps, wires that cut, stall and break. The same seed and
//! the same script give the same bytes for ever.
//!
//! | file | what it is |
//! | --- | --- |
//! | `random` | the one source of chance |
//! | `executor` | the clock, the alarms, the run queue |
//! | `wire` | a connection's two pipes, and the `Transport` at either end |
//! | `peer` | a scripted component: raw bytes, reading or not |
//! | `world` | a server's connections and their peers, ready to play with |
//! | `runtime` | the simulator as one runtime among others, for the suite that runs on all |
//! | `received` | what a peer got, read by a strict parser |

mod executor;
mod peer;
mod random;
mod received;
mod runtime;
mod wire;
mod world;

pub use executor::{SimTimer, TaskId};
pub use peer::Peer;
pub use random::Random;
pub use received::{Element, Stream};
pub use runtime::Simulated;
pub use wire::{SimTransport, Wire};
pub use world::{Link, SECRET, World, handshake, header, switch};
