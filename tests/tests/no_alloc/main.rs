//! No stanza that is handed on as it came costs an allocation, and any other a few: in a stream with its router, in the
//! drive loop, and but for the copy that the application gets to keep, on the component's side.
//!
//! Each test warms up first: buffers grow to what the stanzas need, and are kept while the connection is busy.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

mod component;
mod counting;
mod drive;
mod kept;
mod paths;
mod stream;
mod wire;
