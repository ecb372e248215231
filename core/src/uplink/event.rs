//! What happened to an uplink, for the log and for who watches it.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use super::retry::Trouble;
use crate::close::CloseReason;
use crate::time::Instant;

/// What happened to an uplink. No event holds a secret, or the content of a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UplinkEvent {
    /// The server accepted the secret: stanzas flow.
    Established,
    /// No component has needed the stream for this long: it is about to be closed.
    NotNeeded {
        /// How long.
        after: Duration,
    },
    /// The stream is over, or was refused.
    Closed {
        /// Why.
        reason: CloseReason,
        /// What that means for the next attempt; `None`: nobody needs the stream any more.
        trouble: Option<Trouble>,
        /// It had been established.
        was_established: bool,
        /// The next attempt is made then, if a component is there; `None`: at once.
        retry_at: Option<Instant>,
    },
    /// The server could not be reached, in the operating system's words.
    Unreachable {
        /// Why.
        words: String,
        /// The next attempt is made then.
        retry_at: Option<Instant>,
    },
    /// The server sent a stanza for another domain, which was answered with an error. Said at most ten times a minute.
    Misaddressed {
        /// The domain.
        to: String,
        /// How many were not said since the last that was.
        more: u64,
    },
    /// The server sent a stanza that was too long, which was skipped.
    TooLong,
    /// What went to the component came back from the server: each is the other's component. The stream is closed.
    Loop,
}

/// Events that were not taken yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    queued: VecDeque<UplinkEvent>,
    /// Stanzas for other domains within this minute, those that were not said among them.
    minute: Option<Instant>,
    said: u32,
    unsaid: u64,
}

/// Of one kind, in a minute.
const MAX_SAID: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// Events that wait to be taken.
const MAX_QUEUED: usize = 64;

impl Events {
    pub(super) fn push(&mut self, event: UplinkEvent) {
        if self.queued.len() < MAX_QUEUED {
            self.queued.push_back(event);
        }
    }

    /// Says that a stanza was for another domain, unless that was said often enough.
    pub(super) fn push_misaddressed(&mut self, now: Instant, to: &str) {
        if self.may_say(now) {
            let more = core::mem::take(&mut self.unsaid);
            self.push(UplinkEvent::Misaddressed { to: to.chars().take(80).collect(), more });
        }
    }

    /// Says that a stanza was too long, on the same terms.
    pub(super) fn push_too_long(&mut self, now: Instant) {
        if self.may_say(now) {
            self.push(UplinkEvent::TooLong);
        }
    }

    fn may_say(&mut self, now: Instant) -> bool {
        if self.minute.is_none_or(|minute| minute + MINUTE <= now) {
            (self.minute, self.said) = (Some(now), 0);
        }
        let may = self.said < MAX_SAID;
        self.said += u32::from(may);
        self.unsaid += u64::from(!may);
        may
    }

    pub(super) fn take(&mut self) -> Option<UplinkEvent> {
        let event = self.queued.pop_front();
        if self.queued.is_empty() {
            // They are rare.
            self.queued = VecDeque::new();
        }
        event
    }
}
