//! What the tests share: the server under test, the third-party components that talk to it, and the judges of what
//! went over the wire.

#![allow(clippy::missing_panics_doc, reason = "a step that fails is a test that fails")]

pub mod bad_streams;
pub mod corpus;
pub mod differences;
pub mod env;
#[cfg(feature = "interop")]
pub mod expat;
pub mod foreign;
pub mod judge;
pub mod load;
pub mod local_server;
pub mod mutants;
pub mod peer;
pub mod proc;
pub mod server;
pub mod sim;
pub mod suite;
pub mod tls;
pub mod tree;
pub mod wire;

pub use enjamb_probe::cuts;
