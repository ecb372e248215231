//! The application's handle to a component's connection.

//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`Component`]: stanzas in both directions |
//! | `request` | its iq requests and their answers |
//! | `futures` | the handle as a `Stream` and a `Sink`, with the feature `futures` |
//! | `session` | the connection, as the drive loop sees it |

#[cfg(feature = "futures")]
mod futures;
mod request;
pub(crate) mod session;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, io, mem};

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::Domain;
use enjamb_core::stream::Initiator;
use enjamb_core::{ElementCheck, Limits, NotOneElement, OwnedStanza, Secret};

use crate::driver::Driver;
use crate::sync::{Mutex, MutexGuard};
use crate::transport::{Timer, Transport};
use request::Requests;
pub use request::{Request, RequestError};
use session::ComponentSession;

/// Who a component is, and what its stream may cost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentSettings {
    /// The domain that the component serves; with `is_subdomain` a prefix.
    pub domain: Domain,
    /// The secret it shares with the server.
    pub secret: Secret,
    /// Ask to be bound under every host of the server (MongooseIM's extension).
    pub is_subdomain: bool,
    /// What the stream may cost.
    pub limits: Arc<Limits>,
    /// Bytes of stanzas that may wait to be sent, and as many to be taken by the application: 1 MiB. Over it
    /// [`Component::send`] waits, or nothing is read from the server.
    pub mark: usize,
    /// What the ids of [`Component::request`] begin with: `enjamb-`. Where others may guess ids and forge answers
    /// from an address that is asked, make it random.
    pub id_prefix: String,
}

impl ComponentSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(domain: Domain, secret: Secret) -> Self {
        let id_prefix = String::from("enjamb-");
        Self { domain, secret, is_subdomain: false, limits: Arc::default(), mark: 1024 * 1024, id_prefix }
    }
}

/// The application's handle to a component's connection. Clones share the connection; each stanza is taken by
/// one of them. The connection itself is a [`ComponentConnection`], which has to be polled somewhere. Once the
/// last handle is dropped the connection is [closed](Component::close).
pub struct Component {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) mark: usize,
    pub(crate) id_prefix: String,
    /// The component's own address; a prefix is none.
    pub(crate) own: Option<Domain>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) established: bool,
    pub(crate) ended: Option<CloseReason>,
    pub(crate) closing: bool,
    /// Of the application.
    pub(crate) handles: usize,
    pub(crate) inbox: VecDeque<OwnedStanza>,
    pub(crate) inbox_bytes: usize,
    pub(crate) outbox: Vec<u8>,
    /// For the next stanza to be sent, unless the connection is idle.
    pub(crate) check: Option<Box<ElementCheck>>,
    /// Some of what left the outbox is not written yet.
    pub(crate) unwritten: bool,
    pub(crate) requests: Requests,
    /// The connection's task.
    pub(crate) driver: Option<Waker>,
    /// The application's tasks.
    pub(crate) waiting: Vec<Waker>,
    /// Tasks to wake once the lock is released.
    pub(crate) to_wake: Vec<Waker>,
}

/// Why a stanza was not sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is not one whole, well-formed element, so the server would end the stream over it.
    #[error(transparent)]
    Malformed(#[from] NotOneElement),
    /// A component that is bound by a prefix has no address of its own: say from which one it asks.
    #[error("a component that is bound by a prefix must say which of its addresses it asks from")]
    NoSender,
    /// The stream has ended.
    #[error("the stream has ended")]
    Ended,
}

/// Why a component is not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server can't be reached.
    #[error("the server can't be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The stream ended before the server had accepted the component.
    #[error("the server refused the component: {0}")]
    Refused(CloseReason),
}

impl Shared {
    /// What one handle and its connection share.
    pub(crate) fn new(settings: &ComponentSettings) -> Self {
        Self {
            state: Mutex::new(State { handles: 1, ..State::default() }),
            limits: Arc::clone(&settings.limits),
            mark: settings.mark,
            id_prefix: settings.id_prefix.clone(),
            own: Some(settings.domain.clone()).filter(|_| !settings.is_subdomain),
        }
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        // No method leaves the state half changed.
        Locked(Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Checks that this is exactly one element, not too long.
    pub(crate) fn check(&self, stanza: &[u8]) -> Result<(), SendError> {
        // Not under the lock: the connection goes on meanwhile.
        let mut check = self.lock().check.take().unwrap_or_default();
        check.check(stanza, &self.limits)?;
        self.lock().check = Some(check);
        Ok(())
    }
}

/// The state, locked. Tasks are woken once the lock is released: a waker may poll at once.
pub(crate) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.0.as_ref().expect("it is taken on drop only")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_mut().expect("it is taken on drop only")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let Some(mut state) = self.0.take() else { return };
        let to_wake = mem::take(&mut state.to_wake);
        drop(state);
        for waker in to_wake {
            waker.wake();
        }
    }
}

impl State {
    pub(crate) fn wake_driver(&mut self) {
        self.to_wake.extend(self.driver.take());
    }

    pub(crate) fn wake_waiting(&mut self) {
        self.to_wake.append(&mut self.waiting);
    }

    /// Notes how the connection ended, the first time, and wakes all who wait for anything.
    pub(crate) fn end(&mut self, end: CloseReason) {
        self.ended.get_or_insert(end);
        self.to_wake.extend(self.requests.wakers());
        self.wake_waiting();
    }

    pub(crate) fn note_unwritten(&mut self, unwritten: bool) {
        if self.unwritten && !unwritten {
            self.wake_waiting();
        }
        self.unwritten = unwritten;
    }

    fn takes_no_more(&self) -> bool {
        self.ended.is_some() || self.closing
    }

    pub(crate) fn wait<R>(&mut self, cx: &Context<'_>) -> Poll<R> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Component {
    /// Begins a component's stream on `transport`.
    pub fn connect<T: Transport, C: Timer>(
        settings: ComponentSettings,
        transport: T,
        timer: C,
    ) -> (Self, ComponentConnection<T, C>) {
        let shared = Arc::new(Shared::new(&settings));
        let mut outgoing = Vec::new();
        let initiator = Initiator::connect(
            settings.domain,
            settings.is_subdomain,
            settings.secret,
            settings.limits,
            timer.now(),
            &mut outgoing,
        );
        let session = ComponentSession::new(Arc::clone(&shared), initiator, outgoing);
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
    /// [`Limits::flush`].
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
        while poll_fn(|cx| self.driver.poll_event(cx)).await.is_some() {}
    }

    /// Drives the connection; ready once it has ended, and whenever it is polled after that.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.poll_event(cx).map(drop)
    }
}
