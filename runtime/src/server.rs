//! A server's connection to one component, driven on a transport.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use enjamb_core::connection::{Budget, Connection, ConnectionEvent, Progress, Transmit, Written};
use enjamb_core::router::PortId;
use enjamb_core::switch::{ListenerConfig, Switch};
use enjamb_core::{Instant, Now, Secret, StreamError, StreamId};

use crate::driver::{Driver, Session};
use crate::shared::{SharedSwitch, WakePort};
use crate::transport::{Timer, Transport};

/// A server's connection to one component, to be polled until it ends.
///
/// It drives a [`Connection`], which does all of XEP-0114's server side. Dropping it closes the connection and unbinds
/// the component; what it had not sent is answered with errors, or counted.
pub struct ServerConnection<T, C: Timer, S: Switch<Port: WakePort> = SharedSwitch> {
    driver: Driver<T, C, ServerSession<S>>,
}

impl<T: Transport, C: Timer, S: Switch<Port: WakePort>> ServerConnection<T, C, S> {
    /// Takes over a connection that was accepted. `id` is fresh and random: at least 128 bits of it, such as
    /// [`stream_id`](crate::stream_id) gives.
    #[must_use]
    pub fn new(switch: Arc<S>, listener: Arc<ListenerConfig>, id: StreamId, transport: T, timer: C) -> Self {
        let now = Now { monotonic: timer.now(), unix: timer.unix() };
        let connection = Connection::new(&*switch, listener, id, now);
        let session = ServerSession { switch, connection, waker: None };
        Self { driver: Driver::new(transport, timer, session) }
    }

    /// The connection's port on the switch, for the log.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.driver.session.connection.id()
    }

    /// Answers [`ConnectionEvent::SecretsNeeded`]; see [`Connection::secrets`]. Then poll on.
    pub fn secrets(&mut self, secrets: impl Into<Arc<[Secret]>>) {
        let now = self.driver.now();
        let ServerSession { switch, connection, .. } = &mut self.driver.session;
        connection.secrets(&**switch, now, secrets);
    }

    /// Answers [`ConnectionEvent::SecretsNeeded`] with an end; see [`Connection::refuse`]. Then poll on.
    pub fn refuse(&mut self, error: StreamError) {
        let now = self.driver.now();
        let ServerSession { switch, connection, .. } = &mut self.driver.session;
        connection.refuse(&**switch, now, error);
    }

    /// Drives the connection until there is an event; `None` once it is over.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        self.driver.session.register(cx);
        self.driver.poll_event(cx)
    }

    /// [`poll_event`](Self::poll_event) as a future.
    pub async fn next_event(&mut self) -> Option<ConnectionEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }
}

struct ServerSession<S: Switch> {
    switch: Arc<S>,
    connection: Connection<S>,
    /// The one that is registered at the switch.
    waker: Option<Waker>,
}

impl<S: Switch<Port: WakePort>> ServerSession<S> {
    /// Has the task woken when others leave something for the connection.
    fn register(&mut self, cx: &Context<'_>) {
        // Once it is closed nobody does.
        let is_known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_known && !self.connection.is_closed() {
            self.connection.port().register(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
    }
}

impl<S: Switch<Port: WakePort>> Session for ServerSession<S> {
    type Event = ConnectionEvent;

    fn process(&mut self, now: Now, input: &[u8], budget: &mut Budget) -> Progress {
        self.connection.process(&*self.switch, now, input, budget)
    }

    fn poll_output(&mut self, now: Now) -> Transmit<'_> {
        self.connection.poll_output(&*self.switch, now)
    }

    fn wrote(&mut self, now: Now, written: Written) {
        self.connection.wrote(&*self.switch, now, written);
    }

    fn read_budget(&mut self, now: Now) -> usize {
        self.connection.read_budget(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Now) {
        self.connection.handle_timeout(&*self.switch, now);
    }

    fn handle_eof(&mut self, now: Now) {
        self.connection.handle_eof(&*self.switch, now);
    }

    fn handle_error(&mut self, now: Now, kind: io::ErrorKind) {
        self.connection.handle_error(&*self.switch, now, kind.to_string());
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.connection.poll_event()
    }
}
