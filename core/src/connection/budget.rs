//! How much of one connection's work is done before others have their turn.

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
