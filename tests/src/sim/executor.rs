//! The run queue.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::clock::Clock;
use super::random::Random;

/// Polls in a row without a byte moved, an alarm or anything else to show for them: that is a busy loop.
const IDLE_POLLS: u64 = 200;

/// Names a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(usize);

#[derive(Default)]
struct Queue {
    ready: Mutex<VecDeque<usize>>,
}

impl Queue {
    fn push(&self, id: usize) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&id) {
            ready.push_back(id);
        }
    }
}

struct Alarm {
    id: usize,
    queue: Arc<Queue>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.queue.push(self.id);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
    polls: u64,
}

/// Runs tasks on one thread, in an order that the seed determines.
pub(crate) struct Executor {
    pub(crate) clock: Rc<Clock>,
    queue: Arc<Queue>,
    tasks: Vec<Option<Task>>,
    random: Random,
    /// Wakes a task for nothing after one in N polls, and runs tasks in any order.
    pub(super) restless: Option<usize>,
    polls: u64,
    /// Of `polls` and of the clock's causes, when something last happened.
    last_cause: (u64, u64),
}

impl Executor {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            clock: Rc::default(),
            queue: Arc::default(),
            tasks: Vec::new(),
            random,
            restless: None,
            polls: 0,
            last_cause: (0, 0),
        }
    }

    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> TaskId {
        let id = self.tasks.len();
        let waker = Waker::from(Arc::new(Alarm { id, queue: Arc::clone(&self.queue) }));
        self.tasks.push(Some(Task { future: Box::pin(future), waker, polls: 0 }));
        self.clock.cause();
        self.queue.push(id);
        TaskId(id)
    }

    /// Cancels a task where it is; false if it had ended.
    pub(super) fn cancel(&mut self, id: TaskId) -> bool {
        self.clock.cause();
        self.tasks[id.0].take().is_some()
    }

    pub(super) fn is_running(&self, id: TaskId) -> bool {
        self.tasks[id.0].is_some()
    }

    /// How often a task was polled.
    pub(super) fn polls(&self, id: TaskId) -> u64 {
        self.tasks[id.0].as_ref().map_or(0, |task| task.polls)
    }

    /// Runs until `end`.
    pub(crate) fn run_until(&mut self, end: Duration) {
        loop {
            while self.step() {}
            if !self.clock.advance(end) {
                return;
            }
        }
    }

    /// Polls one task that is ready at this instant, or lets what is due happen.
    pub(super) fn step_now(&mut self) -> bool {
        self.step() || self.clock.advance(self.clock.now())
    }

    /// Polls one task that is ready.
    fn step(&mut self) -> bool {
        let id = {
            let mut ready = self.queue.ready.lock().unwrap_or_else(PoisonError::into_inner);
            let place = match (ready.len(), self.restless) {
                (0, _) => return false,
                (_, None) => 0,
                (n, Some(_)) => self.random.below(n),
            };
            ready.remove(place)
        };
        let Some((id, task)) = id.and_then(|id| Some((id, self.tasks[id].as_mut()?))) else { return true };
        task.polls += 1;
        self.polls += 1;
        let waker = task.waker.clone();
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks[id] = None;
        }
        if self.restless.is_some_and(|n| self.random.one_in(n)) {
            let other = self.random.below(self.tasks.len());
            self.clock.cause();
            self.queue.push(other);
        }
        self.watch(id);
        true
    }

    /// Fails where tasks run and run, and nothing comes of it.
    fn watch(&mut self, id: usize) {
        let causes = self.clock.causes();
        if self.last_cause.1 != causes {
            self.last_cause = (self.polls, causes);
        }
        let idle = self.polls - self.last_cause.0;
        assert!(idle < IDLE_POLLS, "a busy loop at {:?}: task {id} was polled last", self.clock.now());
    }
}
