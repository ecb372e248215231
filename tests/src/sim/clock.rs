//! The clock and the alarms.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::Instant;
use enjamb_runtime::Timer;

use super::pipe::Pipe;
use crate::local_server::BEGIN;

/// What happens at a time.
pub(super) enum Event {
    Wake(Waker),
    Arrive(Rc<RefCell<Pipe>>),
}

/// Virtual time, and what it holds in store.
#[derive(Default)]
pub(crate) struct Clock {
    now: Cell<Duration>,
    events: RefCell<BTreeMap<(Duration, u64), Event>>,
    sequence: Cell<u64>,
    /// Things that may rightly make a task run.
    causes: Cell<u64>,
}

impl Clock {
    pub(crate) fn now(&self) -> Duration {
        self.now.get()
    }

    /// Notes that something happened.
    pub(super) fn cause(&self) {
        self.causes.set(self.causes.get() + 1);
    }

    /// How many things have happened.
    pub(super) fn causes(&self) -> u64 {
        self.causes.get()
    }

    pub(super) fn at(&self, time: Duration, event: Event) -> (Duration, u64) {
        let key = (time, self.sequence.get());
        self.sequence.set(key.1 + 1);
        self.events.borrow_mut().insert(key, event);
        key
    }

    pub(super) fn cancel(&self, key: (Duration, u64)) {
        self.events.borrow_mut().remove(&key);
    }

    /// Jumps to the next event that is due by `end`.
    pub(super) fn advance(&self, end: Duration) -> bool {
        let mut events = self.events.borrow_mut();
        let Some(first) = events.first_entry().filter(|first| first.key().0 <= end) else {
            self.now.set(end);
            return false;
        };
        self.now.set(first.key().0.max(self.now()));
        let event = first.remove();
        drop(events);
        self.cause();
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Arrive(pipe) => pipe.borrow_mut().wake_reader(),
        }
        true
    }
}

/// A task's alarm. It may be late, as a busy machine's is.
pub struct SimTimer {
    clock: Rc<Clock>,
    late: Duration,
    set: Option<(Instant, (Duration, u64))>,
}

impl SimTimer {
    pub(crate) fn new(clock: &Rc<Clock>, late: Duration) -> Self {
        Self { clock: Rc::clone(clock), late, set: None }
    }

    fn unset(&mut self) {
        if let Some((_, key)) = self.set.take() {
            self.clock.cancel(key);
        }
    }
}

impl Timer for SimTimer {
    fn now(&self) -> Instant {
        Instant::from_origin(self.clock.now())
    }

    fn unix(&self) -> Duration {
        BEGIN + self.clock.now()
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let rings = at.since_origin().saturating_add(self.late);
        self.unset();
        if rings <= self.clock.now() {
            self.clock.cause();
            return Poll::Ready(());
        }
        let key = self.clock.at(rings, Event::Wake(cx.waker().clone()));
        self.set = Some((at, key));
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.unset();
    }
}
