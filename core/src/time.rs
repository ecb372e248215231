//! The core's own clock reading: it never looks at a clock, so the type is plain data.

use alloc::string::String;
use core::fmt::{self, Write as _};
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

    /// Whole seconds after the origin.
    pub(crate) const fn seconds(self) -> u32 {
        ((self.0.get() - 1) / 1_000_000_000) as u32
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

/// A reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Of the monotonic clock, which all deadlines are measured by.
    pub monotonic: Instant,
    /// Of the wall clock, as the time since 1970-01-01T00:00:00Z: what XEP-0202 and delay stamps say.
    pub unix: Duration,
}

impl Now {
    /// The wall clock's time in UTC as XEP-0082 writes it, in seconds: `2026-11-22T18:00:00Z`.
    #[must_use]
    pub fn utc(self) -> String {
        let seconds = self.unix.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let mut text = String::with_capacity("2026-11-22T18:00:00Z".len());
        write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
            .expect("a String takes all");
        text
    }
}

/// The date that lies that many days after 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the
/// leap day comes last.
const fn date(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let in_new_year = month >= 10;
    let month = if in_new_year { month - 9 } else { month + 3 };
    (year + era * 400 + in_new_year as u64, month, day)
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
    fn utc_is_right_around_leap_days_and_the_ends_of_centuries() {
        for (unix, utc) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_370_400, "2026-11-22T18:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let now = Now { monotonic: Instant::ORIGIN, unix: Duration::from_secs(unix) };
            assert_eq!(now.utc(), utc, "{unix}");
        }
    }

    #[test]
    fn every_day_of_a_cycle_follows_the_day_before() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut expected = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = lengths[month as usize - 1] + u64::from(is_leap && month == 2);
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == length => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn it_is_shown_as_the_time_since_the_origin() {
        let mut time = Instant::default();
        time += Duration::from_millis(1500);
        assert_eq!(alloc::format!("{time:?}"), "+1.5s");
        assert_eq!(time.since_origin(), Duration::from_millis(1500));
    }
}
