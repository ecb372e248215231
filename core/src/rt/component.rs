//! The component's side of a connection: a handle for the application, and what the loop drives.

use core::fmt;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::driver::{Driver, Progress, Session};
use super::outgoing::Outgoing;
use super::session::{End, Notice};
use super::transport::{Timer, Transport};
use crate::error::{Cause, StreamError};
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::stanza::{Stanza, StanzaBuf};
use crate::stream::{ClientEvent, ClientStream, Initiating, Initiator};
use crate::time::Instant;
use crate::xml::XmlError;
use crate::xml::scan::{Progress as Scanned, Scan};
use crate::xml::scope::HeaderPrefixes;

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
}

impl ComponentSettings {
    /// The usual settings.
    #[must_use]
    pub fn new(domain: Domain, secret: Secret) -> Self {
        Self { domain, secret, is_subdomain: false, limits: Arc::default(), mark: 1024 * 1024 }
    }
}

/// A stanza from the server, with the stanza's bytes.
pub type Received = StanzaBuf;

/// The application's handle to a component's connection. Clones share the connection; each stanza is taken by
/// one of them. The connection itself is a [`ComponentConnection`], which has to be polled somewhere. Once the
/// last handle is dropped the connection is [closed](Component::close).
pub struct Component {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    limits: Arc<Limits>,
    mark: usize,
}

#[derive(Default)]
struct State {
    established: bool,
    ended: Option<End>,
    closing: bool,
    /// Of the application.
    handles: usize,
    inbox: VecDeque<StanzaBuf>,
    inbox_bytes: usize,
    outbox: Vec<u8>,
    /// The connection's task.
    driver: Option<Waker>,
    /// The application's tasks.
    waiting: Vec<Waker>,
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
    fn lock(&self) -> MutexGuard<'_, State> {
        // No method leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn wake_waiting(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }

    fn wait<R>(&mut self, cx: &Context<'_>) -> Poll<R> {
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
        let limits = Arc::clone(&settings.limits);
        let state = Mutex::new(State { handles: 1, ..State::default() });
        let shared = Arc::new(Shared { state, limits: Arc::clone(&limits), mark: settings.mark });
        let mut outgoing = Vec::new();
        let initiator = Initiator::connect(
            settings.domain,
            settings.is_subdomain,
            settings.secret,
            Arc::clone(&limits),
            timer.now(),
            &mut outgoing,
        );
        let session = ComponentSession {
            shared: Arc::clone(&shared),
            stage: Stage::Initiating(initiator),
            greeting: outgoing,
            close_by: None,
        };
        let hibernate_after = core::time::Duration::from_secs(1);
        let driver = Driver::new(transport, timer, session, limits, hibernate_after);
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
                state.inbox_bytes -= stanza.as_stanza().raw().len();
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
        check(stanza, &self.shared.limits)?;
        core::future::poll_fn(|cx| {
            let mut state = self.shared.lock();
            if state.ended.is_some() || state.closing {
                return Poll::Ready(Err(SendError::Ended));
            }
            if state.outbox.len() >= self.shared.mark {
                return state.wait(cx);
            }
            state.outbox.extend_from_slice(stanza);
            state.wake_driver();
            Poll::Ready(Ok(()))
        })
        .await
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

fn check(stanza: &[u8], limits: &Limits) -> Result<(), SendError> {
    let not_one = || SendError::NotOne(limits.stanza);
    if stanza.first() != Some(&b'<') || stanza.len() > limits.stanza {
        return Err(not_one());
    }
    let stream = HeaderPrefixes::default();
    match Scan::default().advance(stanza, limits, &stream) {
        Ok(Scanned::Whole(length)) if length == stanza.len() => Ok(()),
        Ok(_) => Err(not_one()),
        Err(error) => Err(SendError::Malformed(error)),
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

    /// Drives the connection; ready once it has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.poll_notice(cx).map(drop)
    }
}

struct ComponentSession {
    shared: Arc<Shared>,
    stage: Stage,
    /// Our header, until it is written.
    greeting: Vec<u8>,
    /// The application wants to close: when to give up on a server that takes nothing.
    close_by: Option<Instant>,
}

enum Stage {
    Initiating(Initiator),
    Open(Box<ClientStream>),
    Ended,
}

impl ComponentSession {
    fn end_with(&mut self, end: End) {
        let mut state = self.shared.lock();
        state.ended.get_or_insert(end);
        state.wake_waiting();
    }

    fn fail(&mut self, error: StreamError) {
        self.end_with(End::Error(error));
    }

    /// Leaves a stanza for the application; false where it has to take others first.
    fn deposit(shared: &Shared, cx: &Context<'_>, stanza: &Stanza<'_>) -> bool {
        let mut state = shared.lock();
        if state.inbox_bytes >= shared.mark {
            state.driver = Some(cx.waker().clone());
            return false;
        }
        state.inbox_bytes += stanza.raw().len();
        state.inbox.push_back(StanzaBuf::new(stanza));
        state.wake_waiting();
        true
    }
}

impl Session for ComponentSession {
    fn process(&mut self, cx: &Context<'_>, now: Instant, input: &[u8], out: &mut Vec<u8>) -> Progress {
        match core::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Initiating(initiator) => {
                let (consumed, next) = initiator.process(now, input, out);
                match next {
                    Initiating::Reading(initiator) => {
                        self.stage = Stage::Initiating(initiator);
                        return Progress::NeedInput(consumed);
                    }
                    Initiating::Established(stream) => {
                        self.stage = Stage::Open(stream);
                        let mut state = self.shared.lock();
                        state.established = true;
                        state.wake_waiting();
                    }
                    Initiating::Failed(error) => self.fail(error),
                }
                Progress::More(consumed)
            }
            Stage::Open(mut stream) => {
                let step = match stream.process(now, input, out) {
                    Ok(step) => step,
                    Err(error) => {
                        self.fail(error);
                        return Progress::NeedInput(input.len());
                    }
                };
                let progress = match step.event {
                    None => Progress::NeedInput(step.consumed),
                    Some(ClientEvent::Stanza(stanza)) if !Self::deposit(&self.shared, cx, &stanza) => {
                        Progress::Blocked(step.consumed - stream.put_back())
                    }
                    Some(ClientEvent::Closed) => {
                        self.end_with(End::ByPeer);
                        Progress::More(step.consumed)
                    }
                    Some(_) => Progress::More(step.consumed),
                };
                self.stage = Stage::Open(stream);
                progress
            }
            Stage::Ended => Progress::NeedInput(input.len()),
        }
    }

    fn end_batch(&mut self) {}

    fn collect(&mut self, cx: &Context<'_>, now: Instant, outgoing: &mut Outgoing) {
        if !self.greeting.is_empty() {
            outgoing.append(|out| out.append(&mut self.greeting));
        }
        let mut state = self.shared.lock();
        state.driver = Some(cx.waker().clone());
        let Stage::Open(stream) = &mut self.stage else {
            if state.closing && state.ended.is_none() {
                state.ended = Some(End::ByUs);
            }
            return;
        };
        if outgoing.is_empty() && !state.outbox.is_empty() {
            // Not words of the stream's own: reading goes on while they wait for the socket.
            outgoing.put(&mut state.outbox);
            state.wake_waiting();
        }
        if !state.closing || state.ended.is_some() {
            return;
        }
        let close_by = *self.close_by.get_or_insert(now + self.shared.limits.flush);
        if outgoing.is_empty() || close_by <= now {
            outgoing.append(|out| stream.close(out));
            state.ended = Some(End::ByUs);
            state.wake_waiting();
        }
    }

    fn note_socket(&mut self, _outgoing: &Outgoing, _full: bool) {}

    fn wrote(&mut self, now: Instant) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.wrote(now);
        }
        if let Some(close_by) = &mut self.close_by {
            *close_by = now + self.shared.limits.flush;
        }
    }

    fn read_budget(&mut self, _now: Instant) -> usize {
        usize::MAX
    }

    fn tokens_at(&self) -> Option<Instant> {
        None
    }

    fn retry_at(&self) -> Option<Instant> {
        None
    }

    fn read(&mut self, _n: usize) {}

    fn set_reading(&mut self, now: Instant, reading: bool) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.set_reading(now, reading);
        }
    }

    fn handle_eof(&mut self, out: &mut Vec<u8>) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.close(out);
            self.end_with(End::ByPeer);
        } else {
            self.fail(
                Cause::Other("the server closed the connection before it accepted the component").into(),
            );
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Initiating(initiator) => Some(initiator.poll_timeout()),
            Stage::Open(stream) => [stream.poll_timeout(), self.close_by].into_iter().flatten().min(),
            Stage::Ended => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) {
        let result = match &mut self.stage {
            Stage::Initiating(initiator) => initiator.handle_timeout(now, out),
            Stage::Open(stream) => stream.handle_timeout(now, out),
            Stage::Ended => Ok(()),
        };
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn is_ended(&self) -> bool {
        self.shared.lock().ended.is_some()
    }

    fn broke(&mut self, kind: io::ErrorKind) {
        self.end_with(End::Broken(kind));
    }

    fn finish(&mut self, _now: Instant, _outgoing: &Outgoing) {
        self.shared.lock().wake_waiting();
    }

    fn next_notice(&mut self) -> Option<Notice> {
        None
    }

    fn release(&mut self) {
        let mut state = self.shared.lock();
        if state.outbox.is_empty() {
            state.outbox = Vec::new();
        }
    }
}
