//! Numbers to graph: every stanza taken is in one of them.

use crate::sync::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is counted.
        ///
        /// Each stanza that is taken from a port adds to exactly one of `Routed`, `Held`, `Answered`, `Bounced`, `Rejected`,
        /// `LateAnswers`, `Kept` and `Dropped…`. What enters a queue (`Routed`, `Notices` and `HeldSent`) leaves it as `Delivered`, as
        /// one of `Unsent…`, or as `Torn`. What is held (`Held`) leaves as `HeldSent`, `HeldReturned`, `HeldDropped` or
        /// `Coalesced`. The differences are what waits now.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Metric { $($(#[$doc])* $variant,)* }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in snake case, for a metric.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

counts! {
    /// Stanzas put into a port's queue.
    Routed = "routed",
    /// Stanzas whose last byte was written, or that a local port took.
    Delivered = "delivered",
    /// Errors that the switch itself put into a port's queue, for stanzas that were taken before.
    Notices = "notices",
    /// Stanzas that a host of ours answered.
    Answered = "answered",
    /// Stanzas answered with an error because they could not be delivered.
    Bounced = "bounced",
    /// Elements refused with an error: no stanza, a bad address, an improper iq.
    Rejected = "rejected",
    /// Elements that were refused and that no error may answer.
    DroppedRejected = "dropped_rejected",
    /// Stanzas that could not be delivered and that no error may answer.
    DroppedUndeliverable = "dropped_undeliverable",
    /// Stanzas for a host of ours that need no answer, and answers to pings of the switch.
    DroppedByHost = "dropped_by_host",
    /// Stanzas in a queue whose connection ended first, answered with an error.
    UnsentBounced = "unsent_bounced",
    /// The same, that no error may answer, or whose sender is gone or full.
    UnsentDropped = "unsent_dropped",
    /// Stanzas that a connection replaced by kick_old did not get, bounced or dropped.
    UnsentReplaced = "unsent_replaced",
    /// Requests whose asker was told that the component's connection ended before it answered.
    RequestsEnded = "requests_ended",
    /// Requests whose asker was told that the component did not answer in time.
    RequestsTimedOut = "requests_timed_out",
    /// Answers that came after that, and were dropped.
    LateAnswers = "late_answers",
    /// Requests that were delivered and could not be noted: nobody tells their asker if no answer comes.
    UntrackedRequests = "untracked_requests",
    /// Stanzas that were not sent before the connection ended, and are held.
    UnsentHeld = "unsent_held",
    /// Stanzas that are, or were, held until their component is back, those of `unsent_held` among them.
    Held = "held",
    /// Held stanzas that went to their component.
    HeldSent = "held_sent",
    /// Held stanzas that were answered with an error: the component did not come back in time, or does not want them.
    HeldReturned = "held_returned",
    /// The same, that no error may answer.
    HeldDropped = "held_dropped",
    /// Held presence that gave way to a newer one of the same addresses.
    Coalesced = "coalesced",
    /// Announcements of an uplink's server to a component that is away: it gets them when it is back.
    Kept = "kept",
    /// Stanzas of which a part was written when the connection ended.
    Torn = "torn",
    /// Connections accepted.
    Connections = "connections",
    /// Handshakes that proved the secret and were bound.
    Bound = "bound",
    /// Connections that ended with a stream error before they were bound.
    FailedNegotiations = "failed_negotiations",
}

/// The metrics of a switch.
#[derive(Debug, Default)]
pub struct Metrics([AtomicU64; Metric::ALL.len()]);

impl Metrics {
    /// The present value.
    #[must_use]
    pub fn get(&self, count: Metric) -> u64 {
        self.0[count as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, count: Metric, n: u64) {
        if n > 0 {
            self.0[count as usize].fetch_add(n, Ordering::Relaxed);
        }
    }
}
