//! XMPP components (XEP-0114) as state machines: bytes and the time go in, bytes and events come out.
//!
//! The crate has no socket, clock, task, log and random number; those are the caller's. The program below is a caller: a
//! server of one host in memory, two components, and a message from one to the other.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use enjamb_core::connection::{Budget, ClientConnection, Connection};
//! use enjamb_core::jid::Domain;
//! use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
//! use enjamb_core::{Instant, Limits, Now, Secret, StreamId};
//!
//! /// A component and the server's side of its connection. Byte vectors stand for the socket.
//! struct Pair {
//!     component: ClientConnection,
//!     server: Connection<LocalSwitch>,
//!     to_component: Vec<u8>,
//!     to_server: Vec<u8>,
//! }
//!
//! impl Pair {
//!     /// Carries bytes to and fro until both sides are quiet. Returns the contents of the stanzas that arrived.
//!     fn carry(&mut self, switch: &LocalSwitch, now: Now) -> Vec<String> {
//!         let mut received = Vec::new();
//!         loop {
//!             let mut moved = self.component.write_to(now, &mut self.to_server);
//!             let progress = self.server.process(switch, now, &self.to_server, &mut Budget::default());
//!             self.to_server.drain(..progress.consumed);
//!             moved |= self.server.write_to(switch, now, &mut self.to_component);
//!             let progress = self.component.process(now, &self.to_component, &mut Budget::default(), |stanza| {
//!                 received.push(String::from_utf8_lossy(stanza.content()).into_owned());
//!                 true
//!             });
//!             self.to_component.drain(..progress.consumed);
//!             if !moved {
//!                 return received;
//!             }
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A real caller reads both clocks, and draws 128 random bits for each stream id.
//! let now = Now { monotonic: Instant::ORIGIN, unix: Duration::from_secs(1_795_370_400) };
//! let switch = LocalSwitch::new(SwitchConfig::new([Domain::parse("localhost")?]));
//! let listener = Arc::new(ListenerConfig::new(Secret::new("s3cr3t")));
//! let connect = |name: &str, id: u128| -> Result<Pair, Box<dyn std::error::Error>> {
//!     let (domain, limits) = (Domain::parse(name)?, Arc::new(Limits::default()));
//!     let component = ClientConnection::new(domain, false, Secret::new("s3cr3t"), limits, now);
//!     let server = Connection::new(&switch, listener.clone(), StreamId::from_random(id), now);
//!     let mut pair = Pair { component, server, to_component: Vec::new(), to_server: Vec::new() };
//!     pair.carry(&switch, now);
//!     Ok(pair)
//! };
//! let mut bot = connect("bot.localhost", 1)?;
//! let mut weather = connect("weather.localhost", 2)?;
//!
//! let mut outbox = b"<message to='weather.localhost'><body>Rain?</body></message>".to_vec();
//! bot.component.send(&mut outbox);
//! bot.carry(&switch, now);
//! // The switch names the connection for which a stanza waits.
//! assert_eq!(switch.poll_wake(), Some(weather.server.id()));
//! assert_eq!(weather.carry(&switch, now), ["<body>Rain?</body>"]);
//! # Ok(()) }
//! ```
//!
//! On an async runtime, use `enjamb-tokio` or `enjamb-async-std` instead, which drive these machines.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`connection`] | a connection between a component and a server, either side of it |
//! | [`switch`] | what the connections of a server share: who holds which name, and where a stanza goes |
//! | [`router`] | names and who holds them |
//! | [`host`] | what a host answers itself: service discovery, ping, version, time |
//! | [`jid`] | addresses, their domain in canonical form |
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
mod close;
mod config;
pub mod connection;
mod error;
mod handshake;
pub mod host;
pub mod jid;
mod limits;
mod namespaces;
pub mod port;
mod queue;
pub mod router;
// Hidden: this project's own fuzz targets and benchmarks look into it. It may change in any release.
#[doc(hidden)]
pub mod shaper;
mod stanza;
mod stanza_error;
#[doc(hidden)]
pub mod stream;
pub mod switch;
mod sync;
mod time;
#[cfg(feature = "xso")]
mod typed;
pub mod uplink;
mod xml;

pub use error::{StreamCondition, StreamError, StreamErrorCause};
pub use handshake::{Secret, StreamId};
pub use limits::Limits;
pub use stanza::{ElementCheck, NotOneElement, OwnedStanza, Stanza, StanzaKind};
pub use stanza_error::{ErrorType, StanzaCondition, StanzaError};
pub use time::{Instant, Now};
pub use xml::escape::push_attribute;
pub use xml::{XmlError, XmlFault};
#[cfg(feature = "xso")]
pub use xso;
