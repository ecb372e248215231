//! A task that works on its state whenever it is woken, and the handle by which a test changes that state.

use std::cell::{Ref, RefCell, RefMut};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::clock::Clock;

/// What the task does.
pub(super) trait Work: 'static {
    /// Does all that can be done now.
    fn work(&mut self, cx: &mut Context<'_>, clock: &Clock);
}

/// The handle. Clones change the same state.
pub(super) struct Worker<S> {
    state: Rc<RefCell<S>>,
    waker: Rc<RefCell<Option<Waker>>>,
    clock: Rc<Clock>,
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self { state: Rc::clone(&self.state), waker: Rc::clone(&self.waker), clock: Rc::clone(&self.clock) }
    }
}

impl<S: Work> Worker<S> {
    /// The handle, and the task.
    pub(super) fn new(state: S, clock: &Rc<Clock>) -> (Self, impl Future<Output = ()> + use<S>) {
        let state = Rc::new(RefCell::new(state));
        let handle = Self { state, waker: Rc::default(), clock: Rc::clone(clock) };
        let worker = handle.clone();
        let task = poll_fn(move |cx| {
            *worker.waker.borrow_mut() = Some(cx.waker().clone());
            worker.state.borrow_mut().work(cx, &worker.clock);
            Poll::Pending
        });
        (handle, task)
    }

    /// Changes the state, and has the task work on it.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let result = change(&mut self.state.borrow_mut());
        self.clock.cause();
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
        result
    }
}

impl<S> Worker<S> {
    /// The state, to be looked at.
    pub(super) fn borrow(&self) -> Ref<'_, S> {
        self.state.borrow()
    }

    /// The state, to take from it what the task does not use.
    pub(super) fn borrow_mut(&self) -> RefMut<'_, S> {
        self.state.borrow_mut()
    }
}
