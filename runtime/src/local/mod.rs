//! Ports of a [`SharedSwitch`] with code of the same process behind them.

#[cfg(feature = "futures")]
mod futures;

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use enjamb_core::port::{self, Batch, PortConfig, SendError};
use enjamb_core::router::{AttachError, BindingChange, Claim, PortId};
use enjamb_core::{Now, OwnedStanza};

use crate::shared::{SharedSwitch, WakePort};
use crate::sync::{Mutex, MutexGuard};
use crate::transport::Timer;
use crate::waiters::{Waiter, Waiters};

/// A port of a [`SharedSwitch`] with code of this process behind it: a server's users, a bridge, a gateway to other
/// servers. The core's [`port::LocalPort`] says what it may hold.
///
/// All methods take `&self`: share it in an [`Arc`]. Each batch is taken by one caller of [`recv`](Self::recv). Dropping it
/// frees its names in one step, and answers what it has not received with errors.
pub struct LocalPort {
    switch: Arc<SharedSwitch>,
    id: PortId,
    inner: Mutex<Inner>,
    /// Makes the alarm of one `send` that waits for room.
    timers: Box<dyn Fn() -> BoxedTimer + Send + Sync>,
    /// Tasks that wait for stanzas, or for room.
    waiters: Arc<Waiters>,
    /// Of who calls [`poll_recv`](Self::poll_recv).
    receiver: Waiter,
    /// What the sink has taken.
    #[cfg(feature = "futures")]
    unsent: Mutex<Option<Unsent>>,
}

type BoxedTimer = Box<dyn Timer + Send>;

/// A stanza that the sink has taken and that waits for room.
#[cfg(feature = "futures")]
struct Unsent {
    stanza: Vec<u8>,
    wait: RoomWait,
}

/// One stanza's wait for room.
struct RoomWait {
    waiter: Waiter,
    alarm: Option<BoxedTimer>,
}

struct Inner {
    /// `None` once it is detached.
    port: Option<port::LocalPort<SharedSwitch>>,
    clock: BoxedTimer,
}

/// No call leaves what is locked half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalPort {
    /// Attaches a port that holds all of its claims, or none. `timer` makes timers of the runtime; all must read the clocks
    /// that the connections of the switch read.
    ///
    /// # Errors
    /// Another port holds one of them, or is that default route, or the switch is shutting down.
    pub fn attach<C: Timer + Send + 'static>(
        switch: Arc<SharedSwitch>,
        config: PortConfig,
        timer: impl Fn() -> C + Send + Sync + 'static,
    ) -> Result<Self, AttachError> {
        let clock = timer();
        let now = Now { monotonic: clock.now(), unix: clock.unix() };
        let (port, _) = port::LocalPort::attach(&*switch, config, now)?;
        let waiters = Arc::new(Waiters::default());
        port.port().register(&Waker::from(Arc::clone(&waiters)));
        Ok(Self {
            switch,
            id: port.id(),
            inner: Mutex::new(Inner { port: Some(port), clock: Box::new(clock) }),
            timers: Box::new(move || Box::new(timer())),
            receiver: waiters.enter(),
            waiters,
            #[cfg(feature = "futures")]
            unsent: Mutex::default(),
        })
    }

    /// The port's id on the switch.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.id
    }

    /// The switch that it is attached to.
    #[must_use]
    pub fn switch(&self) -> &Arc<SharedSwitch> {
        &self.switch
    }

    /// The time on both clocks, as [`Incoming::answer_as_host`](port::Incoming::answer_as_host) asks for it.
    #[must_use]
    pub fn now(&self) -> Now {
        lock(&self.inner).now()
    }

    /// Takes all stanzas that wait for the port, in order, once there is one. `None`: the switch has ended the port, and all
    /// were taken. Dropping the future loses nothing.
    pub async fn recv(&self) -> Option<Batch> {
        let waiter = self.waiters.enter();
        poll_fn(|cx| self.poll_take(cx, &waiter)).await
    }

    /// [`recv`](Self::recv) for a hand-written future. The task that called it last is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        self.poll_take(cx, &self.receiver)
    }

    fn poll_take(&self, cx: &Context<'_>, waiter: &Waiter) -> Poll<Option<Batch>> {
        waiter.register(cx.waker());
        let mut inner = lock(&self.inner);
        let now = inner.now();
        let Some(port) = &mut inner.port else { return Poll::Ready(None) };
        match port.take(&*self.switch, now) {
            Some(batch) => Poll::Ready(Some(batch)),
            None if port.is_ended() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Sends one stanza, whole, with its `to` and its `from`, once its receiver has room. After the receiver's stall, 5 s,
    /// it is answered with an error instead, as a component's is. Errors for it are received as stanzas. Dropping the
    /// future sends nothing, unless it was ready.
    ///
    /// # Errors
    /// It can't be sent, or the port has ended. Never [`SendError::Full`].
    pub async fn send(&self, stanza: impl AsRef<[u8]>) -> Result<(), SendError> {
        let stanza = stanza.as_ref();
        self.retry(|| self.try_send(stanza)).await
    }

    /// [`send`](Self::send) for a stanza that was received: it is not checked a second time.
    ///
    /// # Errors
    /// As there.
    pub async fn send_stanza(&self, stanza: &OwnedStanza) -> Result<(), SendError> {
        self.retry(|| self.with_port(|port, switch, now| port.send_stanza(switch, now, stanza))).await
    }

    /// Sends a stanza at once.
    ///
    /// # Errors
    /// It is not sent: [`SendError::Full`] says when it will bounce if it is sent again.
    pub fn try_send(&self, stanza: impl AsRef<[u8]>) -> Result<(), SendError> {
        let stanza = stanza.as_ref();
        self.with_port(|port, switch, now| port.send(switch, now, stanza))
    }

    async fn retry(&self, attempt: impl Fn() -> Result<(), SendError>) -> Result<(), SendError> {
        let mut wait = RoomWait { waiter: self.waiters.enter(), alarm: None };
        poll_fn(|cx| self.poll_send(cx, &mut wait, &attempt)).await
    }

    /// Tries to send. If there is no room, the task is woken with the port, and once the time is up.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        wait: &mut RoomWait,
        attempt: impl Fn() -> Result<(), SendError>,
    ) -> Poll<Result<(), SendError>> {
        wait.waiter.register(cx.waker());
        let until = match attempt() {
            Err(SendError::Full { until }) => until,
            result => return Poll::Ready(result),
        };
        if wait.alarm.get_or_insert_with(&self.timers).poll_at(cx, until).is_ready() {
            // The next attempt says what became of it.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Holds one name more. Returns what changed for ports with a prefix.
    ///
    /// # Errors
    /// Another port holds it, or this one has ended.
    pub fn add(&self, claim: Claim) -> Result<Vec<BindingChange>, AttachError> {
        match &mut lock(&self.inner).port {
            Some(port) => port.add(&*self.switch, claim),
            None => Err(AttachError::Ended),
        }
    }

    /// Lets go of a claim. What waits here for its names is still received.
    pub fn remove(&self, claim: &Claim) -> Vec<BindingChange> {
        let mut inner = lock(&self.inner);
        let now = inner.now();
        inner.port.as_mut().map(|port| port.remove(&*self.switch, now, claim)).unwrap_or_default()
    }

    fn with_port(
        &self,
        send: impl FnOnce(&mut port::LocalPort<SharedSwitch>, &SharedSwitch, Now) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let mut inner = lock(&self.inner);
        let now = inner.now();
        let Some(port) = &mut inner.port else { return Err(SendError::Ended) };
        let result = send(port, &self.switch, now);
        let has_answer = port.has_answer();
        drop(inner);
        if has_answer {
            self.waiters.wake_all();
        }
        result
    }

    /// Frees the names, and answers what was not received. `recv` returns `None` from now on.
    pub fn detach(&self) {
        let mut inner = lock(&self.inner);
        let now = inner.now();
        let port = inner.port.take();
        drop(inner);
        if let Some(port) = port {
            port.detach(&*self.switch, now);
        }
        self.waiters.wake_all();
    }
}

impl Inner {
    fn now(&self) -> Now {
        Now { monotonic: self.clock.now(), unix: self.clock.unix() }
    }
}

impl Drop for LocalPort {
    fn drop(&mut self) {
        self.detach();
    }
}

impl fmt::Debug for LocalPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalPort").field("id", &self.id).finish_non_exhaustive()
    }
}
