//! The application's handle to a component's connection.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use enjamb_core::connection::{ClientConnection, CloseReason};
use enjamb_core::{Now, OwnedStanza};

use super::error::SendError;
use super::session::ComponentSession;
use super::settings::ComponentSettings;
use super::shared::Shared;
use crate::driver::Driver;
use crate::transport::{Timer, Transport};

/// The application's handle to a component's connection. Clones share the connection; each stanza is taken by
/// one of them. The connection itself is a [`ComponentConnection`], which has to be polled somewhere. Once the
/// last handle is dropped the connection is [closed](Component::close).
pub struct Component {
    pub(crate) shared: Arc<Shared>,
}

impl Component {
    /// Begins a component's stream on `transport`.
    pub fn connect<T: Transport, C: Timer>(
        settings: ComponentSettings,
        transport: T,
        timer: C,
    ) -> (Self, ComponentConnection<T, C>) {
        let shared = Arc::new(Shared::new(&settings));
        let now = Now { monotonic: timer.now(), unix: timer.unix() };
        let ComponentSettings { domain, is_subdomain, secret, limits, .. } = settings;
        let connection = ClientConnection::new(domain, is_subdomain, secret, limits, now);
        let session = ComponentSession::new(Arc::clone(&shared), connection);
        let driver = Driver::new(transport, timer, session);
        (Self { shared }, ComponentConnection { driver })
    }

    /// Waits until the server has accepted the component.
    ///
    /// # Errors
    /// How the connection ended instead.
    pub async fn established(&self) -> Result<(), CloseReason> {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            match &state.ended {
                _ if state.established => Poll::Ready(Ok(())),
                Some(end) => Poll::Ready(Err(end.clone())),
                None => state.wait(cx),
            }
        })
        .await
    }

    /// The next stanza; `None` once the stream has ended and all were taken.
    pub async fn next(&self) -> Option<OwnedStanza> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`next`](Self::next) for a hand-written future.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<OwnedStanza>> {
        let mut state = self.shared.lock();
        match state.inbox.pop_front() {
            Some(stanza) => {
                let was_full = state.inbox_bytes >= self.shared.mark;
                state.inbox_bytes -= stanza.raw().len();
                if was_full {
                    state.wake_driver();
                }
                Poll::Ready(Some(stanza))
            }
            None if state.ended.is_some() => Poll::Ready(None),
            None => state.wait(cx),
        }
    }

    /// Sends a stanza, once there is room for it.
    ///
    /// # Errors
    /// It is not exactly one well-formed element, or the stream has ended.
    pub async fn send(&self, stanza: impl AsRef<[u8]>) -> Result<(), SendError> {
        let stanza = stanza.as_ref();
        self.shared.check(stanza)?;
        poll_fn(|cx| self.poll_room(cx)).await?;
        self.put(stanza)
    }

    /// Waits until the outbox is under its mark.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let mut state = self.shared.lock();
        if state.takes_no_more() {
            return Poll::Ready(Err(SendError::Ended));
        }
        if state.outbox.len() >= self.shared.mark {
            return state.wait(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Puts a stanza that was checked into the outbox.
    pub(crate) fn put(&self, stanza: &[u8]) -> Result<(), SendError> {
        let mut state = self.shared.lock();
        if state.takes_no_more() {
            return Err(SendError::Ended);
        }
        state.outbox.extend_from_slice(stanza);
        state.wake_driver();
        Ok(())
    }

    /// Waits until everything sent so far is written to the connection. That the server has read it, nothing in
    /// XEP-0114 tells: where that matters, a [request](Self::request) behind it does.
    ///
    /// # Errors
    /// The stream ended before.
    pub async fn flush(&self) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_flushed(cx)).await
    }

    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let mut state = self.shared.lock();
        match &state.ended {
            _ if state.outbox.is_empty() && !state.unwritten => Poll::Ready(Ok(())),
            Some(_) => Poll::Ready(Err(SendError::Ended)),
            None => state.wait(cx),
        }
    }

    /// Ends the stream in good order once everything is sent, or once the server has taken nothing for
    /// [`Limits::flush`](enjamb_core::Limits::flush).
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.wake_driver();
    }

    /// How the connection ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<CloseReason> {
        self.shared.lock().ended.clone()
    }
}

impl Clone for Component {
    fn clone(&self) -> Self {
        self.shared.lock().handles += 1;
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.handles -= 1;
        if state.handles == 0 {
            state.closing = true;
            state.wake_driver();
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Component")
            .field("established", &state.established)
            .field("ended", &state.ended)
            .finish_non_exhaustive()
    }
}

/// A component's connection, to be polled until it ends.
pub struct ComponentConnection<T, C: Timer> {
    driver: Driver<T, C, ComponentSession>,
}

impl<T: Transport, C: Timer> ComponentConnection<T, C> {
    /// Drives the connection to its end.
    pub async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Drives the connection; ready once it has ended, and whenever it is polled after that.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.session.register(cx);
        self.driver.poll_event(cx).map(drop)
    }
}
