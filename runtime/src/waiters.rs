//! Tasks that wait for the same thing.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use crate::sync::{Mutex, MutexGuard};

/// The tasks that wait for something, each by its [`Waiter`].
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<u64, Waker>,
    next: u64,
}

/// The place of one future or handle among the waiters. It is given back when this is dropped, so a future that is
/// dropped leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Waiter {
    waiters: Arc<Waiters>,
    key: u64,
}

impl Waiters {
    pub(crate) fn enter(self: &Arc<Self>) -> Waiter {
        let mut state = self.lock();
        state.next += 1;
        Waiter { waiters: Arc::clone(self), key: state.next }
    }

    /// Wakes all of them, while no lock is held.
    pub(crate) fn wake_all(&self) {
        let tasks = mem::take(&mut self.lock().tasks);
        tasks.into_values().for_each(Waker::wake);
    }

    /// No call leaves the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the waker of a port, it passes the wake-up on.
impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl Waiter {
    /// Has this task woken next. Called before the look, so that nothing that comes between the two is missed.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waiters
            .lock()
            .tasks
            .entry(self.key)
            .and_modify(|known| known.clone_from(waker))
            .or_insert_with(|| waker.clone());
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.lock().tasks.remove(&self.key);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_waiter_is_woken_once_and_a_dropped_one_leaves_nothing() {
        let waiters = Arc::new(Waiters::default());
        let counted: [Arc<Counted>; 3] = std::array::from_fn(|_| Arc::default());
        let wakers = counted.clone().map(Waker::from);
        let [one, two, gone] = [0, 1, 2].map(|_| waiters.enter());
        for _ in 0..3 {
            one.register(&wakers[0]);
        }
        two.register(&wakers[0]);
        two.register(&wakers[1]);
        gone.register(&wakers[2]);
        drop(gone);
        assert_eq!(waiters.lock().tasks.len(), 2);
        waiters.wake_all();
        waiters.wake_all();
        assert_eq!(counted.map(|counted| counted.0.load(Ordering::Relaxed)), [1, 1, 0]);
    }
}
