//! What every async runtime needs once for XMPP components (XEP-0114): the drive loop around the machines of
//! [`enjamb_core`], a switch for all threads, and the application's handle to a component.
//!
//! On tokio use `enjamb-tokio`; on smol or async-std use `enjamb-async-std`. For another runtime, implement
//! [`Transport`] (bytes) and [`Timer`] (time), and poll a [`ServerConnection`] or a [`ComponentConnection`];
//! [`Connector`] (sockets and tasks) adds [`serve()`] and [`connect()`]. Nothing here knows a runtime: wakers from
//! [`std::task`] are all it takes.
//!
//! | file | what it does |
//! | --- | --- |
//! | `transport` | the traits that an adapter implements |
//! | `driver` | the one loop: write, events, read, time |
//! | `shared` | [`SharedSwitch`]: the core's switch behind locks |
//! | `local` | [`LocalPort`]: a port with code of this process behind it |
//! | `server` | [`ServerConnection`]: a server's connection to one component |
//! | `watch` | [`Subscription`]: what changes on a switch; waiting until it is empty |
//! | `serve` | accepts components on a socket |
//! | `sources` | who may connect: limits by source address |
//! | `component` | [`Component`]: the application's handle to its connection |
//! | `uplink` | [`UplinkServer`]: our own streams, as components, to another server |
//! | `connect` | connects a component, once or again and again |
//! | `backoff` | when a component tries again |
//! | `random` | stream ids and jitter |
//! | `waiters` | tasks that wait for the same thing |
//! | `sync` | the locks, which loom can replace |
//!
//! # Features
//!
//! * `futures` (off): [`Component`] is a `Stream` and a `Sink`.
//! * `xso` (off): stanzas as types of `xmpp-parsers` and as `minidom` elements.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod backoff;
mod component;
mod connect;
mod driver;
mod local;
mod random;
mod serve;
mod server;
mod shared;
pub mod sources;
mod sync;
mod transport;
mod uplink;
mod waiters;
mod watch;

pub use backoff::{Backoff, Reconnect};
pub use component::{
    Component, ComponentConnection, ComponentSettings, ConnectError, Request, RequestError, SendError,
};
pub use connect::{Reconnecting, connect, connect_over};
pub use local::LocalPort;
pub use random::stream_id;
pub use serve::serve;
pub use server::ServerConnection;
pub use shared::{SharedPort, SharedSwitch, WakePort};
pub use transport::{Connector, Timer, Transport};
pub use uplink::{UplinkServer, uplink};
pub use watch::Subscription;

#[cfg(test)]
mod tests {
    #[cfg(not(loom))]
    mod budget;
    #[cfg(not(loom))]
    mod doubles;
    // Loom's locks work in loom's tests alone.
    #[cfg(loom)]
    #[path = "../../loom/interleavings.rs"]
    mod interleavings;
    #[cfg(not(loom))]
    mod pending;
    #[cfg(not(loom))]
    mod words;
}
