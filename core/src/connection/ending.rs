//! The end of a connection, on both sides: its last bytes are written, then it is shut, then the rest is read.

use alloc::boxed::Box;

use super::progress::{Budget, Next, Progress, Transmit, window};
use crate::limits::Limits;
use crate::stream::{Rest, RestEvent};
use crate::time::Instant;

/// How far the end of a connection is.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The rest of the output is written until `by`.
    Flushing { by: Instant },
    /// Our side is shut. `left` more bytes are read and discarded, until `by`: if a socket is closed with unread input, TCP
    /// may discard the last bytes that we wrote.
    Lingering { by: Instant, left: usize },
    /// Nothing is left to do.
    Done,
}

impl Ending {
    pub(crate) fn begin(limits: &Limits, now: Instant) -> Self {
        Self::Flushing { by: now + limits.flush }
    }

    /// Our side is shut.
    pub(crate) fn shut(&mut self, limits: &Limits, now: Instant) {
        *self = Self::Lingering { by: now + limits.linger, left: limits.linger_bytes };
    }

    /// Discards input.
    pub(crate) fn discard(&mut self, bytes: usize) {
        match self {
            Self::Lingering { left, .. } if bytes < *left => *left -= bytes,
            Self::Lingering { .. } => *self = Self::Done,
            Self::Flushing { .. } | Self::Done => {}
        }
    }

    /// The input has ended.
    pub(crate) fn handle_eof(&mut self) {
        if matches!(self, Self::Lingering { .. }) {
            *self = Self::Done;
        }
    }

    /// What to do with the write side; `None` if the connection is not ending.
    pub(crate) fn transmit<'a>(ending: Option<&Self>, pending: &'a [u8]) -> Transmit<'a> {
        match ending {
            None if pending.is_empty() => Transmit::Nothing,
            Some(Self::Flushing { .. }) if pending.is_empty() => Transmit::Shutdown,
            None | Some(Self::Flushing { .. }) => Transmit::Bytes(pending),
            Some(Self::Lingering { .. }) => Transmit::Nothing,
            Some(Self::Done) => Transmit::Done,
        }
    }

    /// How many bytes may be read. What is counted has no limit but the time.
    pub(crate) fn read_budget(&self, counts: bool) -> usize {
        match self {
            Self::Lingering { .. } if counts => usize::MAX,
            Self::Lingering { left, .. } => *left,
            Self::Flushing { .. } | Self::Done => 0,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Flushing { by } | Self::Lingering { by, .. } => Some(*by),
            Self::Done => None,
        }
    }

    /// Ends what is late.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|by| by <= now) {
            *self = Self::Done;
        }
    }

    /// Reads on behind our closing tag, as long as the other side's has not come. Returns how many elements came, which nobody
    /// answers any more.
    pub(super) fn read_on(
        &mut self,
        rest: &mut Option<Box<Rest>>,
        now: Instant,
        input: &[u8],
        budget: &mut Budget,
    ) -> (Progress, u64) {
        let (mut consumed, mut elements) = (0, 0);
        while let Some(stream) = rest {
            if budget.is_spent() {
                return (Progress { consumed, next: Next::More }, elements);
            }
            budget.spend(1);
            let left = &input[consumed..];
            let shown = &left[..left.len().min(window(stream.reach(), stream.limits()))];
            let step = stream.process(now, shown);
            budget.spend_scan(stream.take_work());
            consumed += step.consumed;
            match step.event {
                None if shown.len() < left.len() => {}
                None => return (Progress { consumed, next: Next::Input }, elements),
                Some(RestEvent::Element) => elements += 1,
                Some(RestEvent::End) => {
                    *rest = None;
                    self.handle_eof();
                }
            }
        }
        self.discard(input.len() - consumed);
        (Progress { consumed: input.len(), next: Next::Input }, elements)
    }

    pub(crate) fn is_flushing(&self) -> bool {
        matches!(self, Self::Flushing { .. })
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const NOW: Instant = Instant::ORIGIN;

    fn lingering(limits: &Limits) -> Ending {
        let mut ending = Ending::begin(limits, NOW);
        assert_eq!(Ending::transmit(Some(&ending), b"rest"), Transmit::Bytes(b"rest"));
        assert_eq!(Ending::transmit(Some(&ending), b""), Transmit::Shutdown);
        assert_eq!((ending.read_budget(false), ending.poll_timeout()), (0, Some(NOW + limits.flush)));
        ending.shut(limits, NOW);
        assert_eq!(Ending::transmit(Some(&ending), b"rest"), Transmit::Nothing);
        ending
    }

    fn is_done(ending: &Ending) -> bool {
        Ending::transmit(Some(ending), b"rest") == Transmit::Done
    }

    #[test]
    fn flushing_ends_in_time() {
        let limits = Limits::default();
        let mut ending = Ending::begin(&limits, NOW);
        // Reads are not allowed yet, so none of these ends it.
        ending.discard(1 << 20);
        ending.handle_eof();
        ending.handle_timeout(NOW + (limits.flush - Duration::from_nanos(1)));
        assert!(ending.is_flushing());
        ending.handle_timeout(NOW + limits.flush);
        assert!(is_done(&ending) && ending.poll_timeout().is_none());
    }

    #[test]
    fn lingering_ends_by_bytes_time_or_the_end_of_the_input() {
        let limits = Limits::default();
        let mut by_bytes = lingering(&limits);
        by_bytes.discard(limits.linger_bytes - 1);
        assert_eq!(by_bytes.read_budget(false), 1);
        by_bytes.discard(1);
        let mut by_time = lingering(&limits);
        by_time.handle_timeout(NOW + limits.linger);
        let mut by_eof = lingering(&limits);
        by_eof.handle_eof();
        for ending in [by_bytes, by_time, by_eof] {
            assert!(is_done(&ending) && ending.read_budget(false) == 0, "{ending:?}");
        }
    }
}
