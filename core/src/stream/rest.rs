//! What the other side sends after we have said the end of our stream (RFC 6120, 4.4): it can't be answered any more, so it
//! is read and counted.

use alloc::boxed::Box;

use super::open::{First, Open};
use super::step::Step;
use crate::limits::Limits;
use crate::time::Instant;

/// A stream of which we have said the end, and the other side has not.
#[derive(Debug)]
pub(crate) struct Rest(Open);

/// What came on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestEvent {
    /// An element that nobody answers.
    Element,
    /// The other side's closing tag, or something that is not a stream any more.
    End,
}

impl Rest {
    /// Our closing tag is in the output.
    pub(super) fn new(open: Open) -> Box<Self> {
        Box::new(Self(open))
    }

    /// Takes at most one event out of `input`.
    pub(crate) fn process(&mut self, now: Instant, input: &[u8]) -> Step<RestEvent> {
        let (consumed, event) = match self.0.next(now, input) {
            Ok((consumed, None)) => (consumed, None),
            Ok((consumed, Some(First::Element(_) | First::TooLong(_)))) => {
                (consumed, Some(RestEvent::Element))
            }
            Ok((_, Some(First::ClosingTag | First::OfStreams(_)))) | Err(_) => {
                (input.len(), Some(RestEvent::End))
            }
        };
        Step { consumed, event }
    }

    /// As [`ServerStream::reach`](super::ServerStream::reach).
    pub(crate) fn reach(&self) -> usize {
        self.0.reach()
    }

    /// The work of the scan since it was asked last, in its steps.
    pub(crate) fn take_work(&mut self) -> u32 {
        self.0.take_work()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }
}
