//! When the next stanza is sent.
//!
//! A closed loop waits for an answer before it goes on, so that a server that stands still is asked nothing meanwhile,
//! and all the stanzas that a user would have sent in that time are missing from the latencies (Gil Tene's
//! *coordinated omission*). The open loop sends by a timetable that the server can't move, and each latency counts
//! from the time that the timetable says, not from when the stanza was sent in fact.

use std::time::{Duration, Instant};

/// How a group of flows is driven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many stanzas outstanding for each flow; the next is sent when one arrives.
    Closed {
        /// Stanzas.
        window: usize,
    },
    /// So many outstanding for all of the group together; when one arrives, the next is sent by the next flow.
    InTurn {
        /// Stanzas.
        outstanding: usize,
    },
    /// So many stanzas a second, by all flows of the group in turn.
    Open {
        /// Stanzas a second.
        rate: f64,
    },
}

/// The times at which an open loop sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timetable {
    start: Instant,
    /// Nanoseconds between two stanzas.
    interval: f64,
    next: u64,
}

impl Timetable {
    pub(crate) fn new(start: Instant, rate: f64) -> Self {
        Self { start, interval: 1e9 / rate, next: 0 }
    }

    /// When the next is to be sent.
    pub(crate) fn next_at(&self) -> Instant {
        self.start + Duration::from_nanos((self.next as f64 * self.interval) as u64)
    }

    /// The number and the time of a stanza that is due by `now`; call it until it gives none.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(u64, Instant)> {
        let at = self.next_at();
        if at > now {
            return None;
        }
        self.next += 1;
        Some((self.next - 1, at))
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;

    #[test]
    fn the_timetable_keeps_its_rate_however_seldom_it_is_asked() {
        let start = Instant::now();
        let mut table = Timetable::new(start, 3000.0);
        let mut sent = 0;
        for milli in (0..=1000).step_by(250) {
            while let Some((number, at)) = table.due(start + Duration::from_millis(milli)) {
                assert_eq!(number, sent);
                assert!(at <= start + Duration::from_millis(milli));
                sent += 1;
            }
        }
        assert_eq!(sent, 3001);
    }

    /// A server that takes 50 µs a stanza and stands still for 100 ms once. With 1,000 stanzas a second, a tenth of
    /// those sent within one second meet the standstill; a closed loop sees one.
    #[test]
    fn a_standstill_is_seen_by_all_who_would_have_met_it() {
        let micro = Duration::from_micros(1);
        let (stop, go) = (500_000 * micro, 600_000 * micro);
        let serve = |sent: Duration| match sent {
            t if t >= stop && t < go => go + 50 * micro,
            t => t + 50 * micro,
        };
        let start = Instant::now();
        let mut table = Timetable::new(start, 1000.0);
        let mut open = Histogram::<u64>::new(3).unwrap();
        let (mut closed, mut late) = (open.clone(), 0);
        // One loop that sends what is due when the last answer has come.
        let mut now = Duration::ZERO;
        while now < 1_000_000 * micro {
            match table.due(start + now) {
                Some((_, at)) => {
                    let answered = serve(now);
                    open.record((start + answered - at).as_micros() as u64).unwrap();
                    closed.record((answered - now).as_micros() as u64).unwrap();
                    late += u64::from(start + now > at + 1000 * micro);
                    now = answered;
                }
                None => now += 10 * micro,
            }
        }
        assert!((900..=1000).contains(&open.len()));
        assert!(late > 90, "{late}");
        // Half of those that met it waited for over 50 ms; the closed loop's clock shows that for one stanza of all.
        assert!(open.value_at_quantile(0.95) > 45_000, "{}", open.value_at_quantile(0.95));
        assert_eq!(closed.value_at_quantile(0.99), 50);
        assert!(closed.max() > 99_000);
    }
}
