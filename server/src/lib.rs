//! The reference server: its parts, for the binary and its tests.

pub mod check;
pub mod config;
