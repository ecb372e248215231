//! When an uplink connects again.

use core::time::Duration;

use crate::close::CloseReason;
use crate::error::{StreamCondition, StreamErrorCause};
use crate::time::Instant;

/// A stream that has lived this long was a success: the next one is tried at once.
const STABLE: Duration = Duration::from_secs(30);
/// After a loop was found.
const LOOP: Duration = Duration::from_secs(15 * 60);

/// Why there is no stream, as far as it says when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The server is not there, or ended the stream: 1 s, doubling to 60 s.
    Away,
    /// Another connection has the domain: 5 s, doubling to 60 s.
    Conflict,
    /// The server refused the secret: 60 s, doubling to 15 min.
    NotAuthorized,
    /// The server does not know the domain: 60 s, doubling to 15 min.
    HostUnknown,
    /// Two servers feed each other: 15 min.
    Loop,
}

impl Trouble {
    /// What a stream's end means.
    pub(super) fn of(reason: &CloseReason) -> Self {
        let CloseReason::Error(error) = reason else { return Self::Away };
        if !matches!(error.cause, StreamErrorCause::Peer { .. }) {
            return Self::Away;
        }
        match error.condition {
            StreamCondition::Conflict => Self::Conflict,
            StreamCondition::NotAuthorized => Self::NotAuthorized,
            StreamCondition::HostUnknown => Self::HostUnknown,
            _ => Self::Away,
        }
    }

    fn delays(self) -> (Duration, Duration) {
        let (first, most) = match self {
            Self::Away => (1, 60),
            Self::Conflict => (5, 60),
            Self::NotAuthorized | Self::HostUnknown => (60, 15 * 60),
            Self::Loop => return (LOOP, LOOP),
        };
        (Duration::from_secs(first), Duration::from_secs(most))
    }
}

/// When to try again.
#[derive(Debug, Default)]
pub(super) struct Retry {
    /// Not before.
    at: Option<Instant>,
    last: Option<Trouble>,
    failures: u32,
}

impl Retry {
    /// There is no stream, after one that had been established for `lived` if it got as far. `random` are uniformly random bits.
    pub(super) fn note(&mut self, now: Instant, trouble: Trouble, lived: Option<Duration>, random: u32) {
        let is_stable = lived.is_some_and(|lived| lived >= STABLE);
        if is_stable || self.last != Some(trouble) {
            self.failures = 0;
        }
        self.last = Some(trouble);
        if is_stable && trouble == Trouble::Away {
            self.at = None;
            return;
        }
        let (first, most) = trouble.delays();
        let longest = first.saturating_mul(1 << self.failures.min(20)).min(most);
        self.failures = self.failures.saturating_add(1);
        let part = |span: Duration| {
            let nanos = span.as_nanos() * u128::from(random) / u128::from(u32::MAX);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let delay = match trouble {
            // Full jitter, so that many do not come at once.
            Trouble::Away => part(longest),
            Trouble::Loop => longest,
            Trouble::Conflict | Trouble::NotAuthorized | Trouble::HostUnknown => {
                (longest + part(longest / 8)).min(most)
            }
        };
        self.at = Some(now + delay);
    }

    /// Not before that time.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    /// The next attempt is due now.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Our own close, since nobody needs the stream, is no trouble.
    pub(super) fn clear(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(trouble: Trouble, random: u32, count: usize) -> alloc::vec::Vec<f64> {
        let mut retry = Retry::default();
        let mut now = Instant::ORIGIN;
        let mut next = || {
            retry.note(now, trouble, None, random);
            let at = retry.at().unwrap();
            let delay = at.since(now).as_secs_f64();
            now = at;
            delay
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn u6_delays_double_up_to_their_limits() {
        let most = u32::MAX;
        assert_eq!(delays(Trouble::Away, most, 8), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(delays(Trouble::Away, 0, 3), [0.0, 0.0, 0.0], "full jitter");
        assert_eq!(delays(Trouble::Conflict, 0, 6), [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]);
        for trouble in [Trouble::NotAuthorized, Trouble::HostUnknown] {
            assert_eq!(delays(trouble, 0, 6), [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]);
            assert_eq!(delays(trouble, most, 1), [67.5]);
        }
        assert_eq!(delays(Trouble::Loop, 0, 2), [900.0, 900.0]);
    }

    #[test]
    fn u6_stream_that_lived_is_replaced_at_once_unless_another_has_the_domain() {
        let lived = Some(Duration::from_secs(30));
        let mut retry = Retry::default();
        retry.note(Instant::ORIGIN, Trouble::Away, Some(Duration::from_secs(29)), u32::MAX);
        assert_eq!(retry.at(), Some(Instant::from_origin(Duration::from_secs(1))));
        retry.note(Instant::ORIGIN, Trouble::Away, lived, u32::MAX);
        assert_eq!(retry.at(), None);
        retry.note(Instant::ORIGIN, Trouble::Conflict, lived, 0);
        assert_eq!(retry.at(), Some(Instant::from_origin(Duration::from_secs(5))));
    }

    #[test]
    fn u6_only_what_the_server_says_is_its_refusal() {
        use crate::error::StreamError;
        let peer = |condition| {
            let cause = StreamErrorCause::Peer { text: "".into() };
            Trouble::of(&CloseReason::Error(StreamError { condition, cause }))
        };
        assert_eq!(peer(StreamCondition::NotAuthorized), Trouble::NotAuthorized);
        assert_eq!(peer(StreamCondition::HostUnknown), Trouble::HostUnknown);
        assert_eq!(peer(StreamCondition::Conflict), Trouble::Conflict);
        assert_eq!(peer(StreamCondition::SystemShutdown), Trouble::Away);
        for reason in [CloseReason::ByPeer, CloseReason::Broken("reset".into())] {
            assert_eq!(Trouble::of(&reason), Trouble::Away);
        }
    }
}
