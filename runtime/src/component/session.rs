//! The component's side of a connection, as the drive loop sees it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use enjamb_core::connection::{Budget, ClientConnection, ClientConnectionEvent, Progress, Transmit, Written};
use enjamb_core::{Instant, Now, OwnedStanza, Stanza};

use super::shared::Shared;
use crate::driver::Session;

/// The machine, and what it shares with the application.
pub(crate) struct ComponentSession {
    connection: ClientConnection,
    shared: Arc<Shared>,
    waker: Option<Waker>,
    /// When to give memory back if nothing happens before.
    idle_at: Option<Instant>,
}

/// How long nothing happens before memory is given back.
const IDLE: Duration = Duration::from_secs(1);

impl ComponentSession {
    pub(crate) fn new(shared: Arc<Shared>, connection: ClientConnection) -> Self {
        Self { connection, shared, waker: None, idle_at: None }
    }

    /// Has the task woken when the application wants something.
    pub(crate) fn register(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Leaves a stanza for the application; false if it has to take others first.
    fn deposit(shared: &Shared, waker: Option<&Waker>, stanza: &Stanza<'_>) -> bool {
        let mut state = shared.lock();
        if state.answer(stanza, &shared.id_prefix) {
            return true;
        }
        if state.inbox_bytes >= shared.mark {
            state.driver = waker.cloned();
            return false;
        }
        state.inbox_bytes += stanza.raw().len();
        state.inbox.push_back(OwnedStanza::new(stanza));
        state.wake_waiting();
        true
    }

    /// Takes what the application sent, and its wish to close.
    fn collect(&mut self, now: Now) {
        let mut state = self.shared.lock();
        state.driver.clone_from(&self.waker);
        state.requests.start(now.monotonic);
        if self.connection.send(&mut state.outbox) {
            state.wake_waiting();
        }
        state.note_unwritten(!self.connection.is_drained());
        if state.closing {
            self.connection.close(now);
        }
    }

    /// Tells the application what happened.
    fn publish(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            let mut state = self.shared.lock();
            match event {
                ClientConnectionEvent::Established => {
                    state.established = true;
                    state.wake_waiting();
                }
                ClientConnectionEvent::Closed(reason) => state.end(reason),
                _ => {}
            }
        }
    }
}

impl Session for ComponentSession {
    type Event = Infallible;

    fn process(&mut self, now: Now, input: &[u8], budget: &mut Budget) -> Progress {
        let Self { connection, shared, waker, .. } = self;
        let progress =
            connection.process(now, input, budget, |stanza| Self::deposit(shared, waker.as_ref(), stanza));
        self.publish();
        progress
    }

    fn poll_output(&mut self, now: Now) -> Transmit<'_> {
        self.collect(now);
        self.publish();
        self.connection.poll_output()
    }

    fn wrote(&mut self, now: Now, written: Written) {
        self.idle_at = Some(now.monotonic + IDLE);
        self.connection.wrote(now, written);
    }

    fn read_budget(&mut self, now: Now) -> usize {
        self.connection.read_budget(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let late = self.shared.lock().requests.poll_timeout();
        [self.connection.poll_timeout(), late, self.idle_at].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.idle_at.is_some_and(|at| at <= now.monotonic) {
            self.idle_at = None;
            self.connection.release();
            self.shared.lock().release();
        }
        self.shared.lock().expire_requests(now.monotonic);
        self.connection.handle_timeout(now);
        self.publish();
    }

    fn handle_eof(&mut self, now: Now) {
        self.connection.handle_eof(now);
        self.publish();
    }

    fn handle_error(&mut self, now: Now, kind: io::ErrorKind) {
        self.connection.handle_error(now, kind.to_string());
        self.publish();
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        None
    }
}
