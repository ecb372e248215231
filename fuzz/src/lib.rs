//! What the fuzz targets state, as functions that panic where it does not hold.
//!
//! | target | property |
//! | --- | --- |
//! | `frame_chunking` | however bytes are cut into reads, a connection gives the same events, in order, and the same output |
//! | `scan_vs_rxml` | what is delivered of an accepted stanza is taken by rxml as exactly one stanza with the same addresses, and by our own scan unchanged |

mod chunking;
mod connection;
mod oracle;
#[cfg(test)]
mod seeds;

pub use chunking::cuts_are_invisible;
pub use oracle::deliveries_are_portable;
