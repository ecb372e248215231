//! The reference server: its parts, for the binary and its tests.

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
mod admission;
pub mod check;
pub mod cli;
mod clock;
pub mod config;
pub mod demo;
pub mod init;
mod listen;
pub mod log;
mod modes;
mod nearest;
mod preamble;
mod printable;
pub mod probe;
pub mod proxy;
mod reload;
mod secret;
pub mod serve;
mod signals;
mod terminal;
pub mod tls;
mod uplinks;
