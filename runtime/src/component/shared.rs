//! What a component's handles and its connection share.

use std::collections::VecDeque;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::Domain;
use enjamb_core::{ElementCheck, Instant, Limits, OwnedStanza, Stanza};

use super::error::SendError;
use super::requests::Requests;
use super::settings::ComponentSettings;
use crate::sync::{Mutex, MutexGuard};

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) mark: usize,
    pub(crate) id_prefix: String,
    /// The component's own address; `None` for a prefix, which is not an address.
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
    pub(super) requests: Requests,
    /// The connection's task.
    pub(crate) driver: Option<Waker>,
    /// The application's tasks.
    pub(crate) waiting: Vec<Waker>,
    /// Tasks to wake once the lock is released.
    pub(crate) to_wake: Vec<Waker>,
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

    /// Gives a stanza to the request that it answers, if it is the answer to one.
    pub(crate) fn answer(&mut self, stanza: &Stanza<'_>, id_prefix: &str) -> bool {
        self.requests.answer(stanza, id_prefix, &mut self.to_wake)
    }

    /// Gives memory back that nothing needs while the connection is idle.
    pub(crate) fn release(&mut self) {
        if self.outbox.is_empty() {
            self.outbox = Vec::new();
        }
        self.check = None;
    }

    /// Gives up on requests that are late.
    pub(crate) fn expire_requests(&mut self, now: Instant) {
        self.requests.expire(now, &mut self.to_wake);
    }

    pub(crate) fn takes_no_more(&self) -> bool {
        self.ended.is_some() || self.closing
    }

    pub(crate) fn wait<R>(&mut self, cx: &Context<'_>) -> Poll<R> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
