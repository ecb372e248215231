//! How fast a component may send: a token bucket that runs on the time it is given.

use core::num::NonZeroU64;
use core::time::Duration;

use crate::Instant;

/// Byte fractions are kept in this unit, so that no rounding adds up: a rate of `r` bytes per second is `r` of
/// these per nanosecond.
const NANOBYTES: u128 = 1_000_000_000;

/// Limits the bytes that are read, `max_rate` of a `[shaper]`. The bucket holds one second's worth and starts
/// full: over any time `t`, at most `rate * (t + 1 s)` bytes are taken. Nothing is dropped; reading waits.
#[derive(Debug, Clone)]
pub struct Shaper {
    /// Bytes per second; also the size of the bucket.
    rate: NonZeroU64,
    /// What the bucket holds, in nanobytes, as of `filled_at`.
    level: u128,
    filled_at: Instant,
}

impl Shaper {
    /// A full bucket. `rate` is in bytes per second.
    #[must_use]
    pub fn new(rate: NonZeroU64, now: Instant) -> Self {
        Self { rate, level: capacity(rate), filled_at: now }
    }

    /// The number of bytes that may be read now. If it is 0, try again at [`poll_timeout`](Self::poll_timeout).
    pub fn allowance(&mut self, now: Instant) -> usize {
        self.fill(now);
        usize::try_from(self.level / NANOBYTES).unwrap_or(usize::MAX)
    }

    /// Says that `n` bytes were read, no more than the last [`allowance`](Self::allowance).
    pub fn take(&mut self, n: usize) {
        let taken = n as u128 * NANOBYTES;
        debug_assert!(taken <= self.level, "{n} bytes were read, more than the allowance");
        self.level = self.level.saturating_sub(taken);
    }

    /// When it is worthwhile to read again: once 50 ms' worth of bytes, and at least one, may be read. `None`
    /// while that much may be read already, as of the last [`allowance`](Self::allowance).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let worthwhile = u128::from((self.rate.get() / 20).max(1)) * NANOBYTES;
        let missing = worthwhile.checked_sub(self.level).filter(|missing| *missing > 0)?;
        let nanos = missing.div_ceil(u128::from(self.rate.get()));
        let wait = u64::try_from(nanos).expect("one byte takes a second at most, and more bytes 50 ms");
        Some(self.filled_at + Duration::from_nanos(wait))
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.since(self.filled_at).as_nanos();
        let added = elapsed.saturating_mul(u128::from(self.rate.get()));
        self.level = self.level.saturating_add(added).min(capacity(self.rate));
        self.filled_at = self.filled_at.max(now);
    }
}

fn capacity(rate: NonZeroU64) -> u128 {
    u128::from(rate.get()) * NANOBYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shaper(rate: u64) -> Shaper {
        Shaper::new(NonZeroU64::new(rate).unwrap(), Instant::ORIGIN)
    }

    fn at(elapsed: Duration) -> Instant {
        Instant::ORIGIN + elapsed
    }

    #[test]
    fn it_starts_with_one_seconds_worth() {
        let mut shaper = shaper(50_000);
        assert_eq!(shaper.poll_timeout(), None);
        assert_eq!(shaper.allowance(Instant::ORIGIN), 50_000);
        shaper.take(50_000);
        assert_eq!(shaper.allowance(Instant::ORIGIN), 0);
        assert_eq!(shaper.poll_timeout(), Some(at(Duration::from_millis(50))));
        assert_eq!(shaper.allowance(at(Duration::from_millis(50))), 2500);
        assert_eq!(shaper.poll_timeout(), None);
    }

    #[test]
    fn a_long_silence_saves_up_one_second_and_no_more() {
        let mut shaper = shaper(1000);
        shaper.take(1000);
        for span in [Duration::from_secs(3600), Duration::MAX] {
            assert_eq!(shaper.allowance(at(span)), 1000);
        }
    }

    #[test]
    fn fractions_of_a_byte_are_kept() {
        let mut shaper = shaper(3);
        shaper.take(3);
        // 3 bytes a second, looked at every 100 ms: after 10 s exactly 30 have come.
        let mut taken = 0;
        for tick in 1..=100 {
            let allowed = shaper.allowance(at(Duration::from_millis(100 * tick)));
            shaper.take(allowed);
            taken += allowed;
        }
        assert_eq!(taken, 30);
    }

    #[test]
    fn no_window_takes_more_than_its_time_and_one_bucket() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % below
        };
        for rate in [1, 7, 19, 20, 1000, 50_000, 123_456_789] {
            let mut shaper = shaper(rate);
            let (mut now, mut total) = (Duration::ZERO, 0_u128);
            // The least that total - rate * time has been: from there, a window may take one bucket more.
            let mut lowest = 0_i128;
            for _ in 0..5000 {
                now += Duration::from_nanos(random(700_000_000));
                let earned = (now.as_nanos() * u128::from(rate)) as i128;
                lowest = lowest.min((total * NANOBYTES) as i128 - earned);
                let allowed = shaper.allowance(at(now));
                let wanted = random(2 * rate) as usize;
                shaper.take(wanted.min(allowed));
                total += wanted.min(allowed) as u128;
                let over = (total * NANOBYTES) as i128 - earned - lowest;
                assert!(over <= i128::from(rate) * NANOBYTES as i128, "{rate} B/s: {over} nanobytes over");
            }
            assert!(
                total * NANOBYTES > now.as_nanos() * u128::from(rate) / 2,
                "{rate} B/s: only {total} bytes"
            );
        }
    }

    #[test]
    fn waiting_for_each_timeout_gives_the_whole_rate() {
        for rate in [1, 2, 19, 20, 21, 999, 50_000, u64::from(u32::MAX)] {
            let mut shaper = shaper(rate);
            let mut now = Instant::ORIGIN;
            let mut total = 0_u128;
            while now < at(SECOND * 30) {
                let allowed = shaper.allowance(now);
                assert!(allowed > 0, "{rate} B/s: nothing at {now:?}");
                shaper.take(allowed);
                total += allowed as u128;
                let next = shaper.poll_timeout().unwrap();
                assert!(next > now && next <= now + SECOND, "{rate} B/s: from {now:?} to {next:?}");
                now = next;
            }
            assert!((rate as u128 * 30..=rate as u128 * 31).contains(&total), "{rate} B/s: {total} bytes");
        }
    }

    #[test]
    fn the_highest_rate_overflows_nothing() {
        let mut shaper = shaper(u64::MAX);
        assert_eq!(shaper.allowance(at(Duration::MAX)), usize::MAX);
        shaper.take(usize::MAX);
        assert_eq!(shaper.allowance(at(Duration::MAX)), usize::MAX - u64::MAX as usize);
        assert!(shaper.poll_timeout().is_some());
    }

    #[test]
    fn a_clock_that_steps_back_earns_nothing() {
        let mut shaper = shaper(100);
        shaper.allowance(at(SECOND * 5));
        shaper.take(100);
        assert_eq!(shaper.allowance(at(SECOND)), 0);
        assert_eq!(shaper.allowance(at(SECOND * 5)), 0);
        assert_eq!(shaper.allowance(at(SECOND * 6)), 100);
    }
}
