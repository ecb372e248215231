//! When to try again after a connection has ended: exponential back-off with jitter.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::{Instant, StreamCondition};

use crate::component::{Component, ConnectError};
use crate::transport::Timer;

/// How long a component waits before it connects again. It knows no clock and draws no random number: the caller
/// waits, and gives the jitter's random bits.
///
/// ```
/// use enjamb_core::connection::CloseReason;
/// use enjamb_runtime::Backoff;
/// use std::time::Duration;
///
/// let mut backoff = Backoff::default();
/// // A random number each time, here always the largest: the longest delay.
/// assert_eq!(backoff.next_delay(Some(&CloseReason::ByPeer), u32::MAX), Duration::from_secs(1));
/// assert_eq!(backoff.next_delay(Some(&CloseReason::ByPeer), u32::MAX), Duration::from_secs(2));
/// backoff.connected(Duration::from_secs(3600));
/// assert_eq!(backoff.next_delay(Some(&CloseReason::ByPeer), u32::MAX), Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Backoff {
    /// The longest first delay: 1 s. It doubles with each failure.
    pub first: Duration,
    /// The longest delay after any number of failures: 60 s.
    pub most: Duration,
    /// The least delay after `not-authorized`, `conflict` and `host-unknown`, which a person has to repair: 5 min.
    pub refused: Duration,
    /// How long a connection must have lived to count as a success: 30 s. A server that accepts and ends streams
    /// at once is not hammered.
    pub stable: Duration,
    /// How long one attempt may take, from the look-up of the name to the server's acceptance: 30 s. TCP alone would
    /// try for minutes where nobody answers.
    pub attempt: Duration,
    failures: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(60),
            refused: Duration::from_secs(300),
            stable: Duration::from_secs(30),
            attempt: Duration::from_secs(30),
            failures: 0,
        }
    }
}

impl Backoff {
    /// Notes how long a connection had been established when it ended.
    pub fn connected(&mut self, lived: Duration) {
        if lived >= self.stable {
            self.failures = 0;
        }
    }

    /// How long to wait after this end; `None` where there was no stream at all. `random` are uniformly random
    /// bits, fresh for each call: the delay is between a half and the whole of the longest, after a refusal
    /// between once and one and a half times [`refused`](Self::refused).
    pub fn next_delay(&mut self, end: Option<&CloseReason>, random: u32) -> Duration {
        let longest = self.first.saturating_mul(1_u32 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        let part = |span: Duration| {
            let nanos = span.as_nanos() * u128::from(random) / u128::from(u32::MAX);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        if end.is_some_and(needs_a_person) {
            return self.refused.saturating_add(part(self.refused / 2));
        }
        (longest / 2).saturating_add(part(longest - longest / 2))
    }

    /// [`next_delay`](Self::next_delay) after a connection that was never established.
    pub fn after_failure(&mut self, error: &ConnectError, random: u32) -> Duration {
        match error {
            ConnectError::Refused(end) => self.next_delay(Some(end), random),
            ConnectError::Unreachable(_) => self.next_delay(None, random),
        }
    }
}

/// Connects a component again and again, with a [`Backoff`] between. Runtimes' crates wrap it with their sockets
/// and random numbers.
#[derive(Debug)]
pub struct Reconnect<C> {
    timer: C,
    backoff: Backoff,
    /// The connection that was given last, and when it was established.
    last: Option<(Component, Instant)>,
    /// Before the next attempt.
    delay: Duration,
}

impl<C: Timer> Reconnect<C> {
    /// The first attempt is made at once.
    #[must_use]
    pub fn new(timer: C, backoff: Backoff) -> Self {
        Self { timer, backoff, last: None, delay: Duration::ZERO }
    }

    /// Waits as long as the end of the last connection, or the last failure, asks for; then polls `connect`, which
    /// looks the name up and connects, to its end, or drops it after [`Backoff::attempt`]. The last connection is
    /// closed if it lives. It is held until then, so that dropping one's own handle to it does not close it. `random`
    /// are uniformly random bits, fresh for each call.
    ///
    /// # Errors
    /// What `connect` says, or that it took too long. The next call waits before it tries again, so a loop may go on
    /// at once.
    pub async fn attempt(
        &mut self,
        random: u32,
        connect: impl Future<Output = Result<Component, ConnectError>>,
    ) -> Result<Component, ConnectError> {
        if let Some((component, since)) = self.last.take() {
            let end = component.end();
            component.close();
            self.backoff.connected(self.timer.now().since(since));
            self.delay = self.backoff.next_delay(end.as_ref(), random);
        }
        let at = self.timer.now() + self.delay;
        poll_fn(|cx| self.poll_until(cx, at)).await;
        let give_up_at = self.timer.now() + self.backoff.attempt;
        let mut connect = pin!(connect);
        let connected = poll_fn(|cx| match connect.as_mut().poll(cx) {
            Poll::Pending => self.poll_until(cx, give_up_at).map(|()| Err(self.too_late())),
            ready => ready,
        });
        match connected.await {
            Ok(component) => {
                self.last = Some((component.clone(), self.timer.now()));
                Ok(component)
            }
            Err(error) => {
                self.delay = self.backoff.after_failure(&error, random);
                Err(error)
            }
        }
    }
}

impl<C: Timer> Reconnect<C> {
    /// Ready once the clock says so, be the alarm early or late.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if at <= self.timer.now() {
            return Poll::Ready(());
        }
        if self.timer.poll_at(cx, at).is_ready() {
            // Asked once more: an alarm may ring early.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn too_late(&self) -> ConnectError {
        let words = format!("no answer within {:?}", self.backoff.attempt);
        io::Error::new(io::ErrorKind::TimedOut, words).into()
    }
}

/// To try again at once would give the same answer, or, after a conflict, throw the other one out in turns.
fn needs_a_person(end: &CloseReason) -> bool {
    let CloseReason::Error(error) = end else { return false };
    use StreamCondition::{Conflict, HostUnknown, NotAuthorized};
    matches!(error.condition, NotAuthorized | Conflict | HostUnknown)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Waker;

    use enjamb_core::StreamErrorCause;

    use super::*;

    /// A clock that is set by hand, whose alarm always rings.
    struct Early<'a>(&'a Cell<Duration>);

    impl Timer for Early<'_> {
        fn now(&self) -> Instant {
            Instant::from_origin(self.0.get())
        }

        fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
            Poll::Ready(())
        }
    }

    /// TCP tries for minutes where nobody answers, and so did we.
    #[test]
    fn an_attempt_ends_in_time_and_the_next_one_waits_though_the_alarm_rings_early() {
        let clock = Cell::new(Duration::ZERO);
        let mut reconnect = Reconnect::new(Early(&clock), Backoff::default());
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut attempt = pin!(reconnect.attempt(u32::MAX, std::future::pending()));
            assert!(attempt.as_mut().poll(&mut cx).is_pending());
            clock.set(Duration::from_millis(29_999));
            assert!(attempt.as_mut().poll(&mut cx).is_pending());
            clock.set(Duration::from_secs(30));
            let Poll::Ready(Err(error)) = attempt.poll(&mut cx) else { panic!("it goes on") };
            assert_eq!(error.to_string(), "the server can't be reached: no answer within 30s");
        }
        let tried = Cell::new(false);
        let connect = async {
            tried.set(true);
            std::future::pending().await
        };
        let mut attempt = pin!(reconnect.attempt(0, connect));
        for millis in [30_000, 30_999] {
            clock.set(Duration::from_millis(millis));
            assert!(attempt.as_mut().poll(&mut cx).is_pending() && !tried.get());
        }
        clock.set(Duration::from_millis(31_000));
        assert!(attempt.as_mut().poll(&mut cx).is_pending() && tried.get());
    }

    fn seconds(backoff: &mut Backoff, random: u32) -> Vec<f64> {
        (0..9).map(|_| backoff.next_delay(None, random).as_secs_f64()).collect()
    }

    #[test]
    fn delays_double_up_to_the_most_and_jitter_takes_off_a_half() {
        let longest = [1., 2., 4., 8., 16., 32., 60., 60., 60.];
        assert_eq!(seconds(&mut Backoff::default(), u32::MAX), longest);
        assert_eq!(seconds(&mut Backoff::default(), 0), longest.map(|s| s / 2.));
    }

    #[test]
    fn many_failures_overflow_nothing() {
        let mut backoff =
            Backoff { failures: u32::MAX, most: Duration::MAX, first: Duration::MAX, ..Backoff::default() };
        backoff.refused = Duration::MAX;
        assert!(backoff.next_delay(None, u32::MAX) > Duration::from_secs(1 << 30));
        let refused = CloseReason::Error(StreamErrorCause::WrongHandshake.into());
        assert_eq!(backoff.next_delay(Some(&refused), u32::MAX), Duration::MAX);
    }

    #[test]
    fn what_a_person_must_repair_waits_longer() {
        for cause in [StreamErrorCause::WrongHandshake, StreamErrorCause::Replaced] {
            let end = CloseReason::Error(cause.into());
            let mut backoff = Backoff::default();
            assert_eq!(backoff.next_delay(Some(&end), 0), Duration::from_secs(300));
            assert_eq!(backoff.next_delay(Some(&end), u32::MAX), Duration::from_secs(450));
            let error = ConnectError::Refused(end);
            assert_eq!(backoff.after_failure(&error, 0), Duration::from_secs(300));
        }
        let shutdown = CloseReason::Error(StreamErrorCause::Shutdown.into());
        assert_eq!(Backoff::default().next_delay(Some(&shutdown), u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn only_a_connection_that_lived_begins_anew() {
        let mut backoff = Backoff::default();
        seconds(&mut backoff, 0);
        backoff.connected(Duration::from_secs(29));
        assert_eq!(backoff.next_delay(None, u32::MAX), Duration::from_secs(60));
        backoff.connected(Duration::from_secs(30));
        assert_eq!(backoff.next_delay(None, u32::MAX), Duration::from_secs(1));
    }
}
