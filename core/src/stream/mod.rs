//! Streams, from the first byte to the closing tag, for both sides.
//!
//! | side | before authentication | after it |
//! | --- | --- | --- |
//! | server | [`Acceptor`] → [`Opened`] → [`Acceptor`] → [`Authenticated`] | [`ServerStream`] |
//! | component | [`Initiator`] | [`ClientStream`] |
//!
//! The phases before authentication are values that turn into one another; none of them can give a stanza.
//! All of them read the same way:
//!
//! * **input** is the caller's: it begins with the first byte that was not consumed yet and only grows at its
//!   end. Each call says how many bytes it consumed; the caller drops those. What is not consumed is given
//!   again, with more behind it.
//! * **out** is the caller's, too: a call appends to it what has to be sent. Bytes in it are due whatever the
//!   call returned; an error has its answer in there already.
//! * **now** never runs backwards. `poll_timeout` tells when to call `handle_timeout` at the latest; it may
//!   change with every other call.
//!
//! How the input is cut into calls makes no difference to what comes out of them.

mod accept;
mod alive;
mod client;
mod excerpt;
mod header;
mod open;
mod own_ping;
mod rest;
mod server;
mod step;
#[cfg(test)]
mod tests;
mod too_long;

pub use accept::{Acceptor, Authenticated, Handshake, Opened};
pub use client::{ClientEvent, ClientStream, Initiating, Initiator};
pub use excerpt::Excerpt;
pub(crate) use rest::{Rest, RestEvent};
pub use server::{Rejected, ServerEvent, ServerStream};
pub use step::Step;
pub use too_long::TooLong;

pub use crate::stanza_error::RejectReason;
