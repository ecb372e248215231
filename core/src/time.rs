//! The core's own clock reading: it never looks at a clock, so the type is plain data.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, AddAssign};
use core::time::Duration;

/// A point on a monotonic clock that the caller reads and the core only compares.
///
/// Where its origin lies is the caller's choice, as long as one stream, router or shaper sees readings of
/// one clock that never runs backwards. An adapter measures from its start; a simulation counts from zero.
/// It reaches 584 years, and arithmetic saturates there instead of wrapping.
// Nanoseconds and one, so that an `Option` of it, of which a connection has several, takes no more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(NonZeroU64);

impl Instant {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(NonZeroU64::MIN);

    /// The instant that lies `elapsed` after the origin.
    #[must_use]
    pub const fn from_origin(elapsed: Duration) -> Self {
        Self(NonZeroU64::MIN.saturating_add(saturating_nanos(elapsed)))
    }

    /// How long after the origin this is.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// Time from `earlier` to this instant; zero where `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

const fn saturating_nanos(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ORIGIN
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(span)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.since_origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_that_may_be_missing_takes_no_more() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<u64>());
        assert_eq!(Instant::default(), Instant::ORIGIN);
        assert_eq!(Instant::ORIGIN.since_origin(), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let end = Instant::from_origin(Duration::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Instant::ORIGIN.since(end), Duration::ZERO);
        let later = Instant::ORIGIN + Duration::from_millis(5);
        assert_eq!(later.since(Instant::ORIGIN), Duration::from_millis(5));
    }

    #[test]
    fn it_is_shown_as_the_time_since_the_origin() {
        let mut time = Instant::default();
        time += Duration::from_millis(1500);
        assert_eq!(alloc::format!("{time:?}"), "+1.5s");
        assert_eq!(time.since_origin(), Duration::from_millis(1500));
    }
}
