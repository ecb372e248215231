//! What every runtime needs once: the drive loop, and the switch that connections deliver through.
//!
//! An adapter gives two small traits, [`Transport`] (bytes) and [`Timer`] (time), and polls a [`Connection`]:
//! a stream of [`Notice`]s for the log, which ends when the connection is closed. Nothing here knows a
//! runtime, a socket or a clock; wakers from [`core::task`] are all it takes.
//!
//! | file | what it does |
//! | --- | --- |
//! | `transport` | the two traits |
//! | `driver` | the one loop: events, write, read, time |
//! | `connection` | a server's connection to one component: the loop around a session |
//! | `session` | a component's connection, from its first byte on, as the loop sees it |
//! | `deliver` | what becomes of one stanza |
//! | `ways` | where the last ones went |
//! | `switch` | who is connected: the router and every connection's outbox |
//! | `outbox`, `outgoing` | stanzas on their way: between connections, and to the socket |
//! | `pool` | how much may wait in all outboxes together, and of stanzas that are not whole |
//! | `component` | the application's handle to a component's connection |
//! | `component_request` | its iq requests and their answers |
//! | `component_futures` | the handle as a `Stream` and a `Sink`, with the feature `futures` |
//! | `component_session` | that connection, as the loop sees it |
//! | `sync` | the locks, which loom can take the place of |
//! | `reconnect` | when a component tries again |

mod component;
#[cfg(feature = "futures")]
mod component_futures;
mod component_request;
mod component_session;
mod connection;
mod counters;
mod deliver;
mod driver;
mod listener;
mod outbox;
mod outgoing;
mod pool;
mod reconnect;
mod session;
mod switch;
mod sync;
mod transport;
mod ways;

pub use component::{Component, ComponentConnection, ComponentSettings, ConnectError, Received, SendError};
pub use component_request::{Request, RequestError};
pub use connection::Connection;
pub use counters::{Count, Counters};
pub use listener::Listener;
pub use reconnect::{Backoff, Reconnect};
pub use session::{End, Notice};
pub use switch::Switch;
pub use transport::{Timer, Transport};

#[cfg(test)]
mod tests {
    #[cfg(not(loom))]
    mod ends;
    // Threads are no matter of the core's, not even of loom: what starts them lies beside it. Loom's locks work in
    // loom's tests alone.
    #[cfg(loom)]
    #[path = "../../../loom/interleavings.rs"]
    mod interleavings;
    #[cfg(not(loom))]
    mod share;
    mod streams;
    #[cfg(not(loom))]
    mod ways;
}
