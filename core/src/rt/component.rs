//! The application's handle to a component's connection.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

use super::component_request::Requests;
use super::component_session::ComponentSession;
use super::driver::Driver;
use super::session::End;
use super::sync::{Mutex, MutexGuard};
use super::transport::{Timer, Transport};
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::stanza::StanzaBuf;
use crate::stream::Initiator;
use crate::xml::XmlError;
use crate::xml::scan::{Progress as Scanned, Scan};

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

/// A stanza from the server, with the stanza's bytes.
pub type Received = StanzaBuf;

/// The application's handle to a component's connection. Clones share the connection; each stanza is taken by
/// one of them. The connection itself is a [`ComponentConnection`], which has to be polled somewhere. Once the
/// last handle is dropped the connection is [closed](Component::close).
pub struct Component {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) limits: Arc<Limits>,
    pub(super) mark: usize,
    pub(super) id_prefix: String,
    /// The component's own address; a prefix is none.
    pub(super) own: Option<Domain>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) established: bool,
    pub(super) ended: Option<End>,
    pub(super) closing: bool,
    /// Of the application.
    pub(super) handles: usize,
    pub(super) inbox: VecDeque<StanzaBuf>,
    pub(super) inbox_bytes: usize,
    pub(super) outbox: Vec<u8>,
    /// For the next stanza to be sent, unless the connection is idle.
    pub(super) scan: Option<Box<Scan>>,
    /// Some of what left the outbox is not written yet.
    pub(super) unwritten: bool,
    pub(super) requests: Requests,
    /// The connection's task.
    pub(super) driver: Option<Waker>,
    /// The application's tasks.
    pub(super) waiting: Vec<Waker>,
    /// Tasks to wake once the lock is released.
    pub(super) to_wake: Vec<Waker>,
}

/// Why a stanza was not sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is no whole, well-formed element, so the server would end the stream over it.
    #[error("no stanza: {0}")]
    Malformed(XmlError),
    /// It is not exactly one element.
    #[error("not exactly one element, within the limit of {0} bytes")]
    NotOne(usize),
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
    Refused(End),
}

impl Shared {
    /// What one handle and its connection share.
    pub(super) fn new(settings: &ComponentSettings) -> Self {
        Self {
            state: Mutex::new(State { handles: 1, ..State::default() }),
            limits: Arc::clone(&settings.limits),
            mark: settings.mark,
            id_prefix: settings.id_prefix.clone(),
            own: Some(settings.domain.clone()).filter(|_| !settings.is_subdomain),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        // No method leaves the state half changed.
        Locked(Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// May this be sent: is it exactly one element, not too long?
    pub(super) fn check(&self, stanza: &[u8]) -> Result<(), SendError> {
        // Not under the lock: the connection goes on meanwhile.
        let mut scan = self.lock().scan.take().unwrap_or_default();
        check(&mut scan, stanza, &self.limits)?;
        self.lock().scan = Some(scan);
        Ok(())
    }
}

pub(super) fn check(scan: &mut Scan, stanza: &[u8], limits: &Limits) -> Result<(), SendError> {
    let not_one = || SendError::NotOne(limits.stanza);
    if stanza.first() != Some(&b'<') || stanza.len() > limits.stanza {
        return Err(not_one());
    }
    match scan.advance(stanza, limits, &[]) {
        Ok(Scanned::Whole(length)) if length == stanza.len() => Ok(()),
        Ok(_) => Err(not_one()),
        Err(error) => Err(SendError::Malformed(error)),
    }
}

/// The state, locked. Whoever is to be woken is woken once the lock is released: a waker may poll at once.
pub(super) struct Locked<'a>(Option<MutexGuard<'a, State>>);

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
        let to_wake = core::mem::take(&mut state.to_wake);
        drop(state);
        for waker in to_wake {
            waker.wake();
        }
    }
}

impl State {
    pub(super) fn wake_driver(&mut self) {
        self.to_wake.extend(self.driver.take());
    }

    pub(super) fn wake_waiting(&mut self) {
        self.to_wake.append(&mut self.waiting);
    }

    /// Notes how the connection ended, the first time, and wakes all who wait for anything.
    pub(super) fn end(&mut self, end: End) {
        self.ended.get_or_insert(end);
        self.to_wake.extend(self.requests.wakers());
        self.wake_waiting();
    }

    pub(super) fn note_unwritten(&mut self, unwritten: bool) {
        if self.unwritten && !unwritten {
            self.wake_waiting();
        }
        self.unwritten = unwritten;
    }

    fn takes_no_more(&self) -> bool {
        self.ended.is_some() || self.closing
    }

    pub(super) fn wait<R>(&mut self, cx: &Context<'_>) -> Poll<R> {
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
    pub async fn established(&self) -> Result<(), End> {
        core::future::poll_fn(|cx| {
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
    pub async fn next(&self) -> Option<Received> {
        core::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`next`](Self::next) for a hand-written future.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
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
        core::future::poll_fn(|cx| self.poll_room(cx)).await?;
        self.put(stanza)
    }

    /// Waits until the outbox is under its mark.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
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
    pub(super) fn put(&self, stanza: &[u8]) -> Result<(), SendError> {
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
        core::future::poll_fn(|cx| self.poll_flushed(cx)).await
    }

    pub(super) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
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
    pub fn end(&self) -> Option<End> {
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
        while core::future::poll_fn(|cx| self.driver.poll_notice(cx)).await.is_some() {}
    }

    /// Drives the connection; ready once it has ended, and whenever it is polled after that.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.poll_notice(cx).map(drop)
    }
}
