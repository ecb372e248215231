//! One behaviour on every runtime: scripts over the bytes and the time of any of them, each of which gives the same
//! transcript wherever it is played.
//!
//! | file | what it is |
//! | --- | --- |
//! | `runtime` | what a script needs of a runtime |
//! | `real` | tokio in both flavours, async-std and smol, over TCP on loopback |
//! | `tls` | the real runtimes once more, over TLS |
//! | `stage` | a switch, with components and scripted peers |
//! | `scripts` | what is played |
//!
//! The simulator's runtime is in [`sim`](crate::sim).

mod real;
mod runtime;
pub mod scripts;
mod stage;
mod tls;

pub use real::{AsyncStd, Smol, Tokio};
pub(crate) use runtime::keep_notices;
pub use runtime::{Late, Log, Runtime, play};
pub use tls::{AsyncStdTls, SmolTls, TokioTls};
