//! How long a sender waits for full receivers, all of them together.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::time::Instant;

/// A sender that has waited this long for stuck receivers within [`WINDOW`] is impatient.
const LIMIT: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(60);
/// What an impatient sender gives each further full receiver.
const SHORT: Duration = Duration::from_millis(100);

/// What one sender has waited for receivers that did not make room.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// The stanza that is next waits since then.
    since: Option<Instant>,
    /// Waits that were in vain, by their ends.
    waits: VecDeque<(Instant, Duration)>,
    /// Of those, in all.
    waited: Duration,
}

impl Patience {
    /// The receiver of the next stanza is full, and will be given up on at `until`. Returns when to offer it again; `None`:
    /// not at all, it is given up on now.
    pub(super) fn wait(&mut self, now: Instant, until: Instant) -> Option<Instant> {
        self.forget(now);
        let since = *self.since.get_or_insert(now);
        if self.waited < LIMIT {
            return Some(until);
        }
        let until = until.min(since + SHORT);
        if until > now {
            return Some(until);
        }
        self.give_up(now);
        None
    }

    /// The next stanza is not waited for any more, since its receiver is given up on.
    pub(super) fn give_up(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            let waited = now.since(since);
            self.waits.push_back((now, waited));
            self.waited += waited;
        }
    }

    /// The next stanza is dealt with in another way: its receiver had room, or is gone. That wait does not count.
    pub(super) fn go_on(&mut self) {
        self.since = None;
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&(end, waited)) = self.waits.front()
            && end + WINDOW <= now
        {
            self.waits.pop_front();
            self.waited = self.waited.saturating_sub(waited);
        }
    }

    /// There is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.since.is_none() && self.waits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::from_origin(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn f1_only_waits_in_vain_of_the_last_minute_count() {
        let mut patience = Patience::default();
        assert_eq!(patience.wait(at(0.0), at(5.0)), Some(at(5.0)));
        patience.go_on();
        assert!(patience.is_empty(), "there was room");
        assert_eq!(patience.wait(at(10.0), at(15.0)), Some(at(15.0)));
        patience.give_up(at(15.0));
        for second in [15.0, 20.0, 74.0] {
            assert_eq!(patience.wait(at(second), at(second + 5.0)), Some(at(second + 0.1)));
            assert_eq!(patience.wait(at(second + 0.1), at(second + 5.0)), None, "it is impatient");
        }
        assert_eq!(patience.wait(at(75.0), at(80.0)), Some(at(80.0)), "the long wait is a minute old");
    }

    #[test]
    fn f1_no_more_waits_than_fit_into_a_minute_are_kept() {
        let mut patience = Patience::default();
        patience.wait(at(0.0), at(5.0));
        patience.give_up(at(5.0));
        for wait in 0..3000 {
            let now = 5.0 + f64::from(wait) * 0.1;
            patience.wait(at(now), at(now + 5.0));
            patience.give_up(at(now + 0.1));
        }
        assert!(patience.waits.len() <= 601, "{}", patience.waits.len());
    }
}
