//! Uplinks: a switch's own streams, as components, to other XMPP servers.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{io, mem};

use enjamb_core::connection::{Budget, Progress, Transmit, Written};
use enjamb_core::router::AttachError;
use enjamb_core::uplink::{Attempted, Gate, Trouble, Uplink, UplinkConfig, UplinkEvent, UplinkState};
use enjamb_core::{Instant, Now};

use crate::connect::reach;
use crate::driver::{Driver, Session};
use crate::random::{jitter, seed};
use crate::shared::{SharedSwitch, WakePort};
use crate::transport::{Connector, Timer};
use crate::waiters::Waiters;

/// How long one attempt may take, from the look-up of the name to the connection.
const ATTEMPT: Duration = Duration::from_secs(30);

/// An XMPP server that uplinks lead to: how it is reached, and how many attempts all its uplinks make.
///
/// [`run`](Self::run) is one uplink, of one domain. All of one server share this, in an [`Arc`].
pub struct UplinkServer<C: Connector> {
    connector: C,
    address: String,
    gate: Mutex<Gate>,
    /// How often all uplinks were to try again at once.
    retries: AtomicU64,
    /// Their tasks.
    waiters: Arc<Waiters>,
}

impl<C: Connector> UplinkServer<C> {
    /// A server at `host:port`. The host is looked up again for each attempt, and a host with several addresses is tried at all
    /// of them, 250 ms apart (RFC 8305). For TLS, use a [`Connector`] whose connections speak it.
    #[must_use]
    pub fn new(connector: C, address: impl Into<String>) -> Self {
        Self {
            connector,
            address: address.into(),
            gate: Mutex::default(),
            retries: AtomicU64::new(0),
            waiters: Arc::default(),
        }
    }

    /// Has each uplink without a stream try again at once, whatever happened before: something was mended.
    pub fn retry(&self) {
        self.gate().reset();
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.waiters.wake_all();
    }

    /// Makes an uplink of a switch and drives it, until the switch [shuts down](enjamb_core::switch::Switch::shut_down). Events
    /// go to `note`, for the log. Dropping the future gives the uplink up: what waits for the server is answered.
    ///
    /// Something has to keep the switch's time: [`serve`](crate::serve()) does, or
    /// [`SharedSwitch::keep_time`].
    ///
    /// # Errors
    /// Another port is the default route of that domain, or the switch is shutting down.
    pub fn run(
        &self,
        switch: Arc<SharedSwitch>,
        config: UplinkConfig,
        note: impl FnMut(UplinkEvent) + Send,
    ) -> impl Future<Output = Result<(), AttachError>> + Send {
        // Not awaited here: a future within a future would hold all of this twice.
        self.run_while(switch, Box::new(config), note, |_, _| true)
    }

    /// [`run`](Self::run) for an uplink that is given up once nothing needs it and `keep` says so.
    ///
    /// # Errors
    /// As there.
    pub fn run_until_idle(
        &self,
        switch: Arc<SharedSwitch>,
        config: UplinkConfig,
        note: impl FnMut(UplinkEvent) + Send,
    ) -> impl Future<Output = Result<(), AttachError>> + Send {
        self.run_while(switch, Box::new(config), note, |uplink, now| !uplink.is_idle(now))
    }

    async fn run_while(
        &self,
        switch: Arc<SharedSwitch>,
        config: Box<UplinkConfig>,
        mut note: impl FnMut(UplinkEvent) + Send,
        keep: impl Fn(&Uplink<SharedSwitch>, Now) -> bool + Send,
    ) -> Result<(), AttachError> {
        let timer = self.connector.timer();
        let shares = config.shares_secret;
        let uplink = Uplink::attach(&*switch, *config, seed(), now_of(&timer))?;
        let id = uplink.id();
        let (waiter, mut retries) = (self.waiters.enter(), self.retries.load(Ordering::Relaxed));
        let mut session =
            UplinkSession { timer, switch, uplink: Some(uplink), waker: None, gate: &self.gate };
        loop {
            let mut attempt = None;
            let reached = poll_fn(|cx| {
                waiter.register(cx.waker());
                let now = self.retries.load(Ordering::Relaxed);
                if mem::replace(&mut retries, now) != now
                    && let Some(uplink) = &mut session.uplink
                {
                    uplink.retry_now();
                }
                self.poll_attempt(cx, &mut session, &mut attempt, &keep)
            })
            .await;
            let now = now_of(&session.timer);
            let Some(uplink) = &mut session.uplink else { return Ok(()) };
            match reached {
                None => return Ok(()),
                Some(Err(error)) => {
                    uplink.failed(now, error.to_string());
                    self.note_attempt(now, &session, Attempted::Failed);
                    std::iter::from_fn(|| session.poll_event()).for_each(&mut note);
                    continue;
                }
                Some(Ok(stream)) => {
                    uplink.connected(now);
                    let mut driver = Driver::new(stream, self.connector.timer(), &mut session);
                    while let Some(event) = poll_fn(|cx| {
                        driver.session.register(cx);
                        driver.poll_event(cx)
                    })
                    .await
                    {
                        let attempted = match &event {
                            UplinkEvent::Established => Some(Attempted::Accepted),
                            UplinkEvent::Closed { was_established: false, trouble, .. } => {
                                let is_refused = *trouble == Some(Trouble::NotAuthorized);
                                Some(if is_refused { Attempted::Refused } else { Attempted::Failed })
                            }
                            _ => None,
                        };
                        if let Some(attempted) = attempted {
                            let random = jitter().unwrap_or_default();
                            self.gate().note(now.monotonic, id, shares, attempted, random);
                        }
                        note(event);
                    }
                    drop(driver);
                    // Those that were wanted meanwhile were not for this one.
                    retries = self.retries.load(Ordering::Relaxed);
                }
            }
        }
    }

    /// Waits until a connection is needed and may be made, then makes it. `None`: the uplink has ended.
    fn poll_attempt<'a>(
        &'a self,
        cx: &mut Context<'_>,
        session: &mut UplinkSession<'_, C::Timer>,
        attempt: &mut Option<Attempt<'a, C>>,
        keep: &impl Fn(&Uplink<SharedSwitch>, Now) -> bool,
    ) -> Poll<Option<io::Result<C::Stream>>> {
        session.register(cx);
        let now = now_of(&session.timer);
        let Some(uplink) = &mut session.uplink else { return Poll::Ready(None) };
        let until = match uplink.poll(&*session.switch, now) {
            UplinkState::Ended => return Poll::Ready(None),
            UplinkState::Waiting { .. } if !keep(uplink, now) => return Poll::Ready(None),
            UplinkState::Connect => {
                if attempt.is_none() {
                    let asked = self.gate().ask(now.monotonic, uplink.id(), uplink.config().shares_secret);
                    if let Err(again) = asked {
                        return wait(cx, &mut session.timer, Some(again));
                    }
                    *attempt =
                        Some((Box::pin(reach(&self.connector, &self.address)), now.monotonic + ATTEMPT));
                }
                let Some((future, until)) = attempt else { return Poll::Pending };
                if let Poll::Ready(reached) = future.as_mut().poll(cx) {
                    return Poll::Ready(Some(reached));
                }
                if *until <= now.monotonic {
                    let words = format!("no connection within {} s", ATTEMPT.as_secs());
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, words))));
                }
                [Some(*until), uplink.poll_timeout()].into_iter().flatten().min()
            }
            UplinkState::Waiting { until } => {
                // The component has gone meanwhile.
                *attempt = None;
                until
            }
            _ => None,
        };
        wait(cx, &mut session.timer, until)
    }

    fn note_attempt(&self, now: Now, session: &UplinkSession<'_, C::Timer>, attempted: Attempted) {
        if let Some(uplink) = &session.uplink {
            let random = jitter().unwrap_or_default();
            self.gate().note(now.monotonic, uplink.id(), uplink.config().shares_secret, attempted, random);
        }
    }

    /// No call leaves the gate between two states that matter.
    fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }
}

fn lock(gate: &Mutex<Gate>) -> MutexGuard<'_, Gate> {
    gate.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An attempt that runs, and when it is given up.
type Attempt<'a, C> =
    (Pin<Box<dyn Future<Output = io::Result<<C as Connector>::Stream>> + Send + 'a>>, Instant);

/// Has the task woken at that time, if there is any.
fn wait<R>(cx: &mut Context<'_>, timer: &mut impl Timer, until: Option<Instant>) -> Poll<R> {
    if let Some(at) = until
        && timer.poll_at(cx, at).is_ready()
    {
        // The next look says what is due.
        timer.yield_now(cx);
    }
    Poll::Pending
}

fn now_of(timer: &impl Timer) -> Now {
    Now { monotonic: timer.now(), unix: timer.unix() }
}

/// Makes one uplink to a server at `host:port`, and drives it until the switch shuts down: [`UplinkServer::run`] without a log.
///
/// # Errors
/// Another port is the default route of that domain, or the switch is shutting down.
pub async fn uplink<C: Connector>(
    connector: C,
    switch: Arc<SharedSwitch>,
    address: impl Into<String>,
    config: UplinkConfig,
) -> Result<(), AttachError> {
    UplinkServer::new(connector, address).run(switch, config, |_| {}).await
}

/// An uplink, as the drive loop sees it. It outlives its connections.
struct UplinkSession<'g, T: Timer> {
    gate: &'g Mutex<Gate>,
    timer: T,
    switch: Arc<SharedSwitch>,
    /// `None` while it is dropped.
    uplink: Option<Uplink<SharedSwitch>>,
    /// The one that is registered at the switch.
    waker: Option<Waker>,
}

impl<T: Timer> UplinkSession<'_, T> {
    /// Has the task woken when others leave something for the uplink, and when its domain changes hands.
    fn register(&mut self, cx: &Context<'_>) {
        let is_known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if let Some(uplink) = self.uplink.as_ref().filter(|_| !is_known) {
            uplink.port().register(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
    }

    fn poll_event(&mut self) -> Option<UplinkEvent> {
        self.uplink.as_mut()?.poll_event()
    }
}

impl<T: Timer> Drop for UplinkSession<'_, T> {
    fn drop(&mut self) {
        if let Some(uplink) = self.uplink.take() {
            lock(self.gate).forget(uplink.id());
            uplink.detach(&*self.switch, now_of(&self.timer));
        }
    }
}

impl<T: Timer> Session for &mut UplinkSession<'_, T> {
    type Event = UplinkEvent;

    fn process(&mut self, now: Now, input: &[u8], budget: &mut Budget) -> Progress {
        let uplink = self.uplink.as_mut().expect("it is taken on drop only");
        uplink.process(&*self.switch, now, input, budget)
    }

    fn poll_output(&mut self, now: Now) -> Transmit<'_> {
        self.uplink.as_mut().map_or(Transmit::Done, |uplink| uplink.poll_output(&*self.switch, now))
    }

    fn wrote(&mut self, now: Now, written: Written) {
        if let Some(uplink) = &mut self.uplink {
            uplink.wrote(&*self.switch, now, written);
        }
    }

    fn read_budget(&mut self, now: Now) -> usize {
        self.uplink.as_mut().map_or(0, |uplink| uplink.read_budget(now))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.uplink.as_ref().and_then(Uplink::poll_timeout)
    }

    fn handle_timeout(&mut self, now: Now) {
        if let Some(uplink) = &mut self.uplink {
            uplink.handle_timeout(&*self.switch, now);
        }
    }

    fn handle_eof(&mut self, now: Now) {
        if let Some(uplink) = &mut self.uplink {
            uplink.handle_eof(&*self.switch, now);
        }
    }

    fn handle_error(&mut self, now: Now, kind: io::ErrorKind) {
        if let Some(uplink) = &mut self.uplink {
            uplink.handle_error(&*self.switch, now, kind.to_string());
        }
    }

    fn poll_event(&mut self) -> Option<UplinkEvent> {
        UplinkSession::poll_event(self)
    }
}
