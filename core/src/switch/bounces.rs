//! A sender of which many stanzas bounce: it may be in a loop with their receiver.

use crate::time::Instant;

/// Bounces within a second over which it is said.
const MANY_BOUNCES: u64 = 1000;
/// Seconds until it is said again.
const BOUNCES_PAUSE: u32 = 60;

/// How many stanzas bounced within this second.
#[derive(Debug, Default)]
pub(super) struct Bounces {
    second: u32,
    count: u64,
    told: Option<u32>,
}

impl Bounces {
    /// Some more bounced. Returns how many that are within this second, if it is to be said.
    pub(super) fn add(&mut self, now: Instant, bounced: u64) -> Option<u64> {
        let second = now.seconds();
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        self.count += bounced;
        let is_news = self.told.is_none_or(|told| told + BOUNCES_PAUSE <= second);
        if self.count <= MANY_BOUNCES || !is_news {
            return None;
        }
        self.told = Some(second);
        Some(self.count)
    }

    /// There is nothing to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_none()
    }
}
