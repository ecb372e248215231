//! What a call returns to the driver: how much input was consumed, what to write, how much work is left.

use crate::limits::Limits;

/// What a call of `process` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes consumed: drop them from the front of the input.
    pub consumed: usize,
    /// When to call it again.
    pub next: Next,
}

/// When to call `process` again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Soon, with the same input if no more came: the budget is spent, and there may be more events in it.
    More,
    /// When more input came.
    Input,
    /// With the same input, when the connection is woken, its time has come, or output was written: what comes next waits
    /// for room.
    Room,
}

/// What is to be done with the write side of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit<'a> {
    /// Write these bytes, or some of them, and call `wrote` with [`Written::Bytes`].
    Bytes(&'a [u8]),
    /// Nothing, at the moment.
    Nothing,
    /// Flush the transport, shut its write side, and call `wrote` with [`Written::Shut`].
    Shutdown,
    /// The connection is over: take the last events and drop the transport.
    Done,
}

impl<'a> Transmit<'a> {
    /// The bytes to write, if there are any.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }
}

/// What became of what was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The first `n` bytes were written.
    Bytes(usize),
    /// The transport takes none at the moment.
    Full,
    /// The write side is shut.
    Shut,
}

/// Work that may still be done before others have their turn.
///
/// An event, a kilobyte of own output, 2 KiB read or written, and half a microsecond of the scan are one unit each.
/// [`Budget::default`] is 96 units, some 50 µs: that bounds how long others wait for a component that floods. The last of
/// them may cost more than is left; what is owed is taken from the next share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(i32);

/// Own output, such as errors, over which nothing is read.
pub(super) const OWN_MARK: usize = 64 * 1024;

/// Bytes of the input that one step looks at: a large stanza is scanned in several. The dearest of them cost half a budget.
const WINDOW: usize = 2 * 1024;

/// Bytes of the input that a stream is to see next, if it has looked at `reach` of them. A name that was cut is looked at again, so
/// that much more is shown.
pub(super) fn window(reach: usize, limits: &Limits) -> usize {
    reach.saturating_add(WINDOW.max(limits.name.saturating_mul(2)))
}

/// Units of a full budget.
const FULL: i32 = 96;
/// Bytes of own output that cost one unit.
const OUTPUT: usize = 1024;
/// Bytes read or written that cost one unit.
const TRANSFER: usize = 2048;

/// Blanks between stanzas that cost one unit.
const BLANKS: usize = 512;
/// Steps of the scan that cost one unit.
const SCAN: u32 = 64;

impl Default for Budget {
    fn default() -> Self {
        Self(FULL)
    }
}

impl Budget {
    /// Whether nothing is left.
    #[must_use]
    pub fn is_spent(self) -> bool {
        self.0 <= 0
    }

    /// What was spent of a whole share; more than that if the last event cost more than was left.
    #[must_use]
    pub fn spent(self) -> usize {
        FULL.saturating_sub(self.0).unsigned_abs() as usize
    }

    /// Takes the cost of some events, or of some turns of a loop.
    pub fn spend(&mut self, events: usize) {
        self.0 = self.0.saturating_sub(i32::try_from(events).unwrap_or(i32::MAX));
    }

    /// Takes the cost of bytes that were read or written.
    pub fn spend_transfer(&mut self, bytes: usize) {
        self.spend(bytes / TRANSFER);
    }

    /// Begins the next share, from which what is owed is taken.
    pub fn renew(&mut self) {
        self.0 = self.0.saturating_add(FULL).min(FULL);
    }

    /// Takes the cost of the scan's work, and of what else was noted in its steps.
    pub(crate) fn spend_scan(&mut self, work: u32) {
        self.spend((work / SCAN) as usize);
    }

    /// Takes the cost of blanks between stanzas.
    pub(crate) fn spend_blanks(&mut self, bytes: usize) {
        self.spend(bytes / BLANKS);
    }

    /// Takes the cost of bytes that the stream wrote by itself: a long answer, such as a host's list of all components,
    /// takes as long as the events of some reads.
    pub(crate) fn spend_output(&mut self, bytes: usize) {
        self.spend(bytes / OUTPUT);
    }
}
