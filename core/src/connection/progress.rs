//! How far a connection's input is dealt with, and how much work may be done at once.

/// What [`Connection::process`](super::Connection::process) did. Each has the number of bytes consumed: drop them from the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The budget is spent: call again, with the same input if no more came.
    More(usize),
    /// Call again when more input came.
    NeedInput(usize),
    /// Call again, with the same input, when the connection is woken, its time has come, or output was written.
    Blocked(usize),
}

impl Progress {
    /// The number of bytes consumed.
    #[must_use]
    pub fn consumed(self) -> usize {
        let (Self::More(consumed) | Self::NeedInput(consumed) | Self::Blocked(consumed)) = self;
        consumed
    }
}

/// What is known of the input that was not consumed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    /// There is nothing in it without more.
    NeedsInput,
    /// There may be events in it.
    Unexamined,
    /// Its first stanza waits for room, the negotiation for an answer, or the next event until output is written.
    Blocked,
}

/// Work that may still be done before others have their turn.
///
/// An event, a kilobyte of own output, and 8 KiB read or written are one unit each. [`Budget::default`] is 96 units, some
/// 50 µs: that bounds how long others wait for a component that floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u16);

/// Units of a full budget.
const FULL: u16 = 96;
/// Bytes of own output that cost one unit.
const OUTPUT: usize = 1024;
/// Bytes read or written that cost one unit.
const TRANSFER: usize = 8192;

impl Default for Budget {
    fn default() -> Self {
        Self(FULL)
    }
}

impl Budget {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_spent(self) -> bool {
        self.0 == 0
    }

    /// Takes the cost of some events, or of some turns of a loop.
    pub fn spend(&mut self, events: usize) {
        self.0 = self.0.saturating_sub(u16::try_from(events).unwrap_or(u16::MAX));
    }

    /// Takes the cost of bytes that were read or written.
    pub fn spend_transfer(&mut self, bytes: usize) {
        self.spend(bytes / TRANSFER);
    }

    /// Takes the cost of bytes that the stream wrote by itself: a long answer, such as a host's list of all components,
    /// takes as long as the events of some reads.
    pub(crate) fn spend_output(&mut self, bytes: usize) {
        self.spend(bytes / OUTPUT);
    }
}
