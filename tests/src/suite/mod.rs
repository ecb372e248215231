//! One behaviour on every runtime: scripts over the bytes and the time of any of them, each of which gives the same
//! transcript wherever it is played.
//!
//! | file | what it is |
//! | --- | --- |
//! | `runtime` | what a script needs of a runtime |
//! | `real` | tokio in both flavours, async-std and smol, over TCP on loopback |
//! | `tls` | the real runtimes once more, over TLS |
//! | `simulated` | the simulator, with its virtual time and its wires |
//! | `stage` | a switch, with components and scripted peers |
//! | `scripts` | what is played |

mod real;
mod runtime;
pub mod scripts;
mod simulated;
mod stage;
mod tls;

pub use real::{AsyncStd, Smol, Tokio};
pub use runtime::{Late, Log, Runtime, play};
pub use simulated::Simulated;
pub use tls::{AsyncStdTls, SmolTls, TokioTls};
