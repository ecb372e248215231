//! XMPP components (XEP-0114) as state machines: bytes and the time go in, bytes and events come out.
//!
//! There is no socket in here, no clock, no task, no log and no random number; those are the caller's. What it
//! is like to be the caller is shown by this program: a server of one host in memory, with two components, and
//! a message that goes from one stream to the other.
//!
//! ```
//! use std::sync::Arc;
//!
//! use enjamb_core::jid::Domain;
//! use enjamb_core::router::{Claim, PortId, Destination, Router, BindPolicy};
//! use enjamb_core::stream::{Acceptor, Handshake, ServerEvent, ServerStream};
//! use enjamb_core::{Instant, Limits, Secret, StanzaError, StreamId};
//!
//! type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! /// One connection: what came and is not consumed yet, and what is to be sent.
//! #[derive(Default)]
//! struct Wire {
//!     input: Vec<u8>,
//!     out: Vec<u8>,
//! }
//!
//! /// Negotiation, phase by phase. A server would read more where this one gives up.
//! fn negotiate(wire: &mut Wire, router: &mut Router, conn: PortId, now: Instant) -> Result<ServerStream> {
//!     let host = Domain::parse("localhost")?;
//!     // A server draws 128 random bits for each stream.
//!     let id = StreamId::from_text("3BF96D32").ok_or("an id of letters and digits")?;
//!     let acceptor = Acceptor::new(host, id, Arc::new(Limits::default()), now);
//!
//!     let (consumed, next) = acceptor.process(now, &wire.input, &mut wire.out);
//!     wire.input.drain(..consumed);
//!     let Handshake::Opened(opened) = next else { return Err("no stream header".into()) };
//!
//!     // Here the secret is looked up, for as long as it takes. `Opened::refuse` says no.
//!     let secret = Secret::new("test");
//!     let acceptor = opened.accept(now, [secret].into(), &mut wire.out);
//!
//!     let (consumed, next) = acceptor.process(now, &wire.input, &mut wire.out);
//!     wire.input.drain(..consumed);
//!     let Handshake::Authenticated(component) = next else { return Err("no proof of the secret".into()) };
//!
//!     // Who is bound to what is decided now, and not before. `Authenticated::refuse` says no.
//!     router.bind(conn, Claim::Domain(component.domain().clone()), Arc::new(BindPolicy::default()))?;
//!     Ok(component.bind(now, true, &mut wire.out))
//! }
//!
//! # fn main() -> Result<()> {
//! let now = Instant::ORIGIN;
//! let mut router = Router::new([Domain::parse("localhost")?]);
//! let mut wires = [Wire::default(), Wire::default()];
//! let mut streams = Vec::new();
//!
//! // What two components send: header and handshake, and the first a message at once.
//! for (index, name) in ["bot.localhost", "weather.localhost"].into_iter().enumerate() {
//!     wires[index].input.extend_from_slice(
//!         format!(
//!             "<stream:stream xmlns='jabber:component:accept' \
//!              xmlns:stream='http://etherx.jabber.org/streams' to='{name}'>\
//!              <handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>"
//!         )
//!         .as_bytes(),
//!     );
//!     let stream = negotiate(&mut wires[index], &mut router, PortId(index as u64), now)?;
//!     assert!(wires[index].out.ends_with(b"<handshake/>"));
//!     streams.push(stream);
//!     wires[index].out.clear(); // Sent.
//! }
//! wires[0].input.extend_from_slice(
//!     b"<message from='lena@bot.localhost' to='weather.localhost'><body>Rain?</body></message>",
//! );
//!
//! // The run loop: take events until there are none, and give each stanza to the stream that it is for.
//! let [bot, weather] = &mut wires;
//! let mut consumed = 0;
//! loop {
//!     let step = streams[0].process(now, &bot.input[consumed..], &mut bot.out)?;
//!     consumed += step.consumed;
//!     match step.event {
//!         Some(ServerEvent::Stanza(stanza)) => {
//!             let to = stanza.to().ok_or("a server's stream gives no stanza without")?;
//!             match router.route_domain(to.domain()) {
//!                 // One copy: out of the input, into what the receiver is sent.
//!                 Destination::Component(PortId(1), _) => stanza.append_to(&mut weather.out),
//!                 _ => {
//!                     let error = StanzaError::no_such_domain(to.domain());
//!                     let _answered = streams[0].answer(&stanza, &error, &mut bot.out);
//!                 }
//!             }
//!         }
//!         Some(_refused_or_closed) => {}
//!         None => break,
//!     }
//! }
//! bot.input.drain(..consumed);
//!
//! assert_eq!(weather.out, b"<message from='lena@bot.localhost' to='weather.localhost'><body>Rain?</body></message>");
//! // When to come back if nothing arrives, here for the keepalive after 30 s.
//! assert_eq!(streams[0].poll_timeout(), Some(now + std::time::Duration::from_secs(30)));
//! # Ok(()) }
//! ```
//!
//! That is the protocol alone. [`connection`] and [`switch`] are the whole server without I/O, with routing,
//! backpressure, rates and orderly ends. On an async runtime, use `enjamb-tokio` or `enjamb-async-std` instead, which
//! drive it.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`stream`] | the streams of both sides, from the header to the closing tag |
//! | [`connection`] | one component's connection to a server |
//! | [`switch`] | what the connections of a server share: who holds which name, and where a stanza goes |
//! | [`queue`] | stanzas on their way to one connection |
//! | [`router`] | names and who holds them |
//! | [`host`] | what a host answers itself: service discovery, ping, version, time |
//! | [`jid`] | addresses, their domain in canonical form |
//! | [`shaper`] | how fast a component may send |
//!
//! [`Limits`] holds every limit of a stream. [`StreamError`] says why a stream ended, to the peer and to the
//! log; [`StanzaError`] answers a single stanza.
//!
//! # Features
//!
//! * `xso` (off): [`Stanza`]s as types of `xmpp-parsers` and as `minidom` elements, and back, through the crate `xso`,
//!   which is re-exported. It and `minidom` are under MPL-2.0; a new release of theirs that breaks their API is a
//!   breaking release of this crate. It needs `std`, which the crate does not need without it.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
extern crate alloc;

mod bytes;
mod config;
pub mod connection;
mod error;
mod handshake;
pub mod host;
pub mod jid;
mod limits;
mod namespaces;
pub mod queue;
pub mod router;
pub mod shaper;
mod stanza;
mod stanza_error;
pub mod stream;
pub mod switch;
mod sync;
mod time;
#[cfg(feature = "xso")]
mod typed;
mod xml;

pub use error::{StreamCondition, StreamError, StreamErrorCause};
pub use handshake::{Secret, StreamId};
pub use limits::Limits;
pub use stanza::{ElementCheck, NotOneElement, OwnedStanza, Stanza, StanzaKind};
pub use stanza_error::{ErrorText, ErrorType, StanzaCondition, StanzaError};
pub use time::{Instant, Now};
pub use xml::escape::push_attribute;
pub use xml::{XmlError, XmlFault};
#[cfg(feature = "xso")]
pub use xso;
