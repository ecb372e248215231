//! What needs more than cargo and a C compiler: other people's programs, and thousands of files.
//!
//! `cargo xtask interop` brings what the groups need and runs them. Each group is a module here.

#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

mod client_tls;
mod clients;
mod component;
mod crowds;
mod foreign_probe;
mod foreign_servers;
mod gateway;
mod names;
mod outage;
mod pasted;
mod programs;
mod uplink_restarts;
mod uplinks;
