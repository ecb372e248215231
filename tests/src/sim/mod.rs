//! Connections in virtual time: one thread, a clock that jumps, wires that cut, stall and break. The same seed and
//! the same script give the same bytes for ever.
//!
//! | file | what it is |
//! | --- | --- |
//! | `random` | the one source of chance |
//! | `pipe` | one direction of a connection |
//! | `clock` | the clock and the alarms |
//! | `executor` | the run queue |
//! | `wire` | a connection's two pipes, and the `Transport` at either end |
//! | `worker` | a task that works on its state, and the handle that changes it |
//! | `peer` | a scripted component: raw bytes, reading or not |
//! | `port` | a local port: what it takes, and what it sends |
//! | `world` | a server's connections and their peers, ready to play with |
//! | `received` | what a peer got, read by a strict parser |

mod clock;
mod executor;
mod peer;
mod pipe;
mod port;
mod random;
mod received;
mod wire;
mod worker;
mod world;

pub(crate) use clock::Clock;
pub use clock::SimTimer;
pub(crate) use executor::Executor;
pub use executor::TaskId;
pub use peer::Peer;
pub use port::Port;
pub use random::Random;
pub use received::{Element, Stream};
pub use wire::{SimTransport, Wire};
pub use world::{Link, SECRET, World, handshake, header, switch};
