//! What the fuzz targets state, as functions that panic where it does not hold.
//!
//! | target | property |
//! | --- | --- |
//! | `frame_chunking` | however bytes are cut into reads, a connection gives the same events, in order, and the same output |
//! | `proxy_header` | who reads a PROXY header as far as it is told to comes to what the whole gives, and reads no byte of what is behind |
//! | `scan_vs_rxml` | what is delivered of an accepted stanza is taken by rxml as exactly one stanza with the same addresses, and by our own scan unchanged |

mod chunking;
mod connection;
mod oracle;
mod proxy;
#[cfg(test)]
mod seeds;

pub use chunking::cuts_are_invisible;
pub use oracle::deliveries_are_portable;
pub use proxy::proxy_headers_end_where_they_say;
