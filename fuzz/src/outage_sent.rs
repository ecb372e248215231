//! The stanzas that components send in `outage`, and what is known of each.

use std::time::Duration;

use enjamb_core::{Instant, Now};

use crate::outage_script::{HOSTS, Kind};

/// What the clock on the wall says at first.
const EPOCH: Duration = Duration::from_secs(1_795_370_400);

/// A stanza that a component sends.
pub(crate) struct Sent {
    pub(crate) sender: usize,
    pub(crate) kind: &'static Kind,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) id: String,
    pub(crate) text: String,
    /// Of its receiver, in [`NAMES`].
    pub(crate) name: usize,
    pub(crate) taken: Option<Taken>,
    /// It came to a component, whole or in part.
    pub(crate) is_delivered: bool,
    /// Answers of the switch.
    pub(crate) errors: usize,
    /// It is an answer that came too late.
    pub(crate) is_late: bool,
}

/// How a stanza was when it was taken.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) at: Duration,
    /// The connection that held the name.
    pub(crate) holder: Option<usize>,
    /// Stanzas were held for its name.
    pub(crate) is_held_for: bool,
}

impl Sent {
    /// As a component gets it that was not there when it was taken (XEP-0203).
    pub(crate) fn stamped(&self, taken: Duration) -> String {
        if self.kind.name() != "message" || self.text.contains("<delay ") {
            return self.text.clone();
        }
        let host = HOSTS[0];
        let stamp = format!("<delay xmlns='urn:xmpp:delay' from='{host}' stamp='{}'/>", clock(taken).utc());
        match self.text.strip_suffix("/>").filter(|_| self.kind.content.is_empty()) {
            Some(tag) => format!("{tag}>{stamp}</message>"),
            None => self.text.replace("</message>", &format!("{stamp}</message>")),
        }
    }
}

pub(crate) fn clock(at: Duration) -> Now {
    Now { monotonic: Instant::ORIGIN + at, unix: EPOCH + at }
}
