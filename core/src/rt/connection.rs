//! A server's connection to one component, as an adapter sees it.

use core::task::{Context, Poll};
use std::sync::Arc;

use super::driver::Driver;
use super::listener::Listener;
use super::session::{Notice, ServerSession};
use super::switch::Switch;
use super::transport::{Timer, Transport};
use crate::handshake::StreamId;
use crate::router::ConnId;

/// A server's connection to one component, to be polled until it ends.
///
/// It does all of XEP-0114's server side: negotiation, binding in the [`Switch`], routing between all of the
/// switch's connections, limits, keepalive, the end. Dropping it closes the connection and unbinds the
/// component; what it had not sent is answered with errors, or counted.
pub struct Connection<T, C: Timer> {
    driver: Driver<T, C, ServerSession>,
}

impl<T: Transport, C: Timer> Connection<T, C> {
    /// Takes over a connection that was accepted. `id` is fresh and random: at least 128 bits of it, drawn by
    /// the caller.
    #[must_use]
    pub fn new(switch: Arc<Switch>, listener: Arc<Listener>, id: StreamId, transport: T, timer: C) -> Self {
        let session = ServerSession::new(switch, listener, id, timer.now());
        Self { driver: Driver::new(transport, timer, session) }
    }

    /// The connection's number, for the log.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.driver.session.id()
    }

    /// Drives the connection until there is something for the log; `None` once it is closed.
    pub fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.driver.poll_notice(cx)
    }

    /// [`poll_notice`](Self::poll_notice) as a future.
    pub async fn next_notice(&mut self) -> Option<Notice> {
        core::future::poll_fn(|cx| self.poll_notice(cx)).await
    }
}
