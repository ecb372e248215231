//! What the fuzz targets state, as functions that panic where it does not hold.
//!
//! | target | property |
//! | --- | --- |
//! | `frame_chunking` | however bytes are cut into reads, a stream gives the same events and the same output, and a server around it delivers, answers and counts the same; nothing before the byte at fault is at fault |
//! | `scan_vs_rxml` | what we accept rxml accepts and reads alike, and the other way but for a list; what is delivered is taken as exactly one stanza that says the same, and by our own scan unchanged; a component that skips it goes on behind it |
//! | `scan_vs_second` | the same with libexpat, which most receivers have |
//! | `header` | the stream header says to us what it says to libexpat |
//! | `acceptor_bytes` | whatever comes, and whenever: one well-formed document goes out, with one error at most |
//! | `initiator_bytes` | the same of a component, whatever its server says; and a stanza turned back is the same but for its addresses |
//! | `server_ops` | a whole server in memory does what a slow and obvious one does: who holds which name, who may send to whom, what comes back, how it is counted, how fast it is read |
//! | `pair` | our component and our server over a cutting wire: both established, or both failed for one reason; every stanza once and in order |
//! | `forward_safe` | what is forwarded says what was sent, however it was spelled, to expat, rxml and roxmltree |
//! | `shaper` | a shaper lets its rate through, never more, and never waits without an end |
//! | `config` | a configuration is read, or refused with reasons; no password is shown |
//! | `jid` | canonical addresses are canonical, and those of the `jid` crate |
//! | `cost` | no input costs more work than its bytes may, no call more than its share, and the work that is counted is the work that is done |
//! | `outage` | while components come and go, each stanza comes once, or is answered once, or is of a kind that may be dropped; in order, with the time at which it was taken; each request has one answer |
//! | `proxy_header` | who reads a PROXY header as far as it is told to comes to what the whole gives, and reads no byte of what is behind |

mod acceptor;
mod chunking;
mod config;
mod connection;
mod cost;
#[path = "../../tests/src/differences.rs"]
pub mod differences;
#[path = "../../tests/src/expat.rs"]
pub mod expat;
mod expected;
mod forward;
mod gate;
mod header;
mod initiator;
mod jid;
mod many;
mod model;
mod net;
mod outage;
#[cfg(test)]
mod outage_chance;
mod outage_model;
mod outage_requests;
mod outage_script;
mod outage_sent;
mod pair;
mod proxy;
mod reading;
#[cfg(test)]
mod seeds;
mod served;
mod server_ops;
mod server_script;
mod shaper;
mod spelling;
#[path = "../../tests/src/tree.rs"]
pub mod tree;

pub use acceptor::output_is_one_document;
pub use chunking::cuts_are_invisible;
pub use config::config_or_reasons;
pub use cost::cost_is_counted;
pub use forward::forwarding_keeps_the_meaning;
pub use header::header_is_read_as_expat_does;
pub use initiator::component_says_one_document;
pub use jid::canonical_is_canonical;
pub use outage::outage_loses_nothing;
pub use pair::pair_says_all_in_order;
pub use proxy::proxy_headers_end_where_they_say;
pub use reading::{scan_agrees_with_expat, scan_agrees_with_rxml};
pub use server_ops::server_is_as_the_model;
pub use shaper::rate_is_kept;

/// A target, and the property that it holds us to.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("frame_chunking", cuts_are_invisible),
    ("scan_vs_rxml", scan_agrees_with_rxml),
    ("scan_vs_second", scan_agrees_with_expat),
    ("header", header_is_read_as_expat_does),
    ("acceptor_bytes", output_is_one_document),
    ("initiator_bytes", component_says_one_document),
    ("server_ops", server_is_as_the_model),
    ("pair", pair_says_all_in_order),
    ("forward_safe", forwarding_keeps_the_meaning),
    ("shaper", rate_is_kept),
    ("config", config_or_reasons),
    ("jid", canonical_is_canonical),
    ("proxy_header", proxy_headers_end_where_they_say),
    ("cost", cost_is_counted),
    ("outage", outage_loses_nothing),
];
