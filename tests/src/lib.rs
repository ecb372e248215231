//! What the tests share.

pub mod bad_streams;
pub mod corpus;
pub mod cuts;
pub mod mini_server;
pub mod mutants;
pub mod tree;
