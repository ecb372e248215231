//! Who watches a [`SharedSwitch`]: its changes, and its end.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use enjamb_core::Now;
use enjamb_core::switch::{Switch, SwitchEvent, Watcher};

use crate::shared::SharedSwitch;
use crate::transport::Timer;
use crate::waiters::Waiter;

/// The changes of who holds what on a switch, from the moment on at which it was made. At most 1,024 that were not taken
/// are kept; [`SwitchEvent::Missed`] stands for those before them.
pub struct Subscription {
    switch: Arc<SharedSwitch>,
    /// `None` while it is dropped.
    watcher: Option<Watcher>,
    waiter: Waiter,
}

impl Subscription {
    /// Begins to watch a switch.
    #[must_use]
    pub fn new(switch: Arc<SharedSwitch>) -> Self {
        let watcher = Some(switch.watch());
        let waiter = switch.watchers.enter();
        Self { switch, watcher, waiter }
    }

    /// The next change. Dropping the future loses nothing.
    pub async fn next(&mut self) -> SwitchEvent {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`next`](Self::next) for a hand-written future.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<SwitchEvent> {
        self.waiter.register(cx.waker());
        let next = self.watcher.as_mut().and_then(|watcher| self.switch.next_event(watcher));
        next.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            self.switch.unwatch(watcher);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}

impl SharedSwitch {
    /// Does for ever what becomes due without a connection: tells those who asked something that there will be no answer.
    /// [`serve`](crate::serve()) does it; if you accept connections yourself, run this beside them. Once for a switch is enough.
    pub async fn keep_time(&self, mut timer: impl Timer) -> Infallible {
        let waiter = self.watchers.enter();
        poll_fn(|cx| {
            waiter.register(cx.waker());
            let Some(at) = self.poll_timeout() else { return Poll::Pending };
            let now = Now { monotonic: timer.now(), unix: timer.unix() };
            if at <= now.monotonic {
                self.handle_timeout(now);
                timer.yield_now(cx);
            } else if timer.poll_at(cx, at).is_ready() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Ends holding, and answers all that is held at once: before [`shut_down`](Switch::shut_down), so that the answers are
    /// written. Drop the future of [`keep_time`](Self::keep_time) first: it may be in the middle of an answer.
    pub fn return_held(&self, timer: &impl Timer) {
        self.end_holding();
        let now = Now { monotonic: timer.now(), unix: timer.unix() };
        while self.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            self.handle_timeout(now);
        }
    }

    /// Waits until no connection and no local port is left, and the last bytes of each are written: after
    /// [`shut_down`](Switch::shut_down), before the program ends.
    pub async fn emptied(&self) {
        let waiter = self.watchers.enter();
        poll_fn(|cx| {
            waiter.register(cx.waker());
            if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
