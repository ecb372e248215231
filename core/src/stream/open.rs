//! A stream, for both sides: the header and first-level elements in, keepalives and the closing tag out.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::header::{self, StreamHeader};
use crate::error::{StreamError, StreamErrorCause, push_trailer};
use crate::limits::Limits;
use crate::time::Instant;
use crate::xml::XmlFault;
use crate::xml::names::{decode, leading_blanks};
use crate::xml::scan::{Head, Progress, Scan, StreamElement, TopLevel};
use crate::xml::scope::HeaderPrefixes;
use crate::xml::skip::Skipper;

/// What stands at the first level of a stream.
pub(super) enum First<'b> {
    /// A whole element; [`Open::head`] says what it looks like.
    Element(&'b [u8]),
    /// The beginning of one over the limit, its start tag included; [`Open::head`] says what that looks like. The rest is
    /// passed over as it comes.
    TooLong(&'b [u8]),
    /// The start tag of one in the streams namespace.
    OfStreams(StreamElement),
    /// The peer's closing tag.
    ClosingTag,
}

/// How far a stream is.
#[derive(Debug)]
enum Phase {
    /// The peer's header is awaited. What comes before its start tag is checked up to this offset.
    Header {
        at: usize,
    },
    /// The header is read, and the handshake is not done.
    Early {
        /// Bytes that may still come before it is.
        left: usize,
        /// The header closed the stream, too.
        is_closed: bool,
    },
    Live,
    /// The rest of an element over the limit is passed over. Boxed, as it is rare.
    Skipping(Box<Skipper>),
    Closed,
    // Boxed, as it is rare and large.
    Failed(Box<StreamError>),
}

/// The time for an element that has begun. It runs only while the stream is read from.
#[derive(Debug)]
enum Clock {
    Idle,
    Running(Instant),
    Stopped(Duration),
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) limits: Arc<Limits>,
    pub(super) prefixes: HeaderPrefixes,
    /// The peer's root element, as its closing tag will name it.
    root: Cow<'static, str>,
    phase: Phase,
    /// Made when there is something to scan, and dropped while the connection is idle.
    scan: Option<Box<Scan>>,
    /// The length of the element given last, and whether it was put back.
    last: Option<usize>,
    put_back: bool,
    /// An element over the limit is passed over and does not end the stream.
    pub(super) skips: bool,
    /// Work of passing over.
    work: u32,
    reading: bool,
    stanza_clock: Clock,
    keepalive_at: Option<Instant>,
}

impl Open {
    pub(super) fn new(limits: Arc<Limits>, now: Instant) -> Self {
        let keepalive_at = limits.keepalive.map(|silence| now + silence);
        Self {
            limits,
            prefixes: HeaderPrefixes::default(),
            root: Cow::default(),
            phase: Phase::Header { at: 0 },
            scan: None,
            last: None,
            put_back: false,
            skips: false,
            work: 0,
            reading: true,
            stanza_clock: Clock::Idle,
            keepalive_at,
        }
    }

    /// Reads on up to the end of the peer's header, and gives it with its length.
    pub(super) fn read_header(&mut self, input: &[u8]) -> Result<Option<(usize, StreamHeader)>, StreamError> {
        let at = match &mut self.phase {
            Phase::Header { at } => at,
            Phase::Failed(error) => return Err((**error).clone()),
            _ => return Ok(None),
        };
        let scan = self.scan.get_or_insert_default();
        let Some((end, mut header)) = header::read(input, at, scan, &self.limits)? else { return Ok(None) };
        **scan = Scan::default();
        let left = self.limits.negotiation.saturating_sub(end);
        self.phase = Phase::Early { left, is_closed: header.is_empty };
        self.prefixes = mem::take(&mut header.prefixes);
        self.root = mem::take(&mut header.name);
        Ok(Some((end, header)))
    }

    /// Stanzas may come.
    pub(super) fn authenticated(&mut self, now: Instant) {
        self.phase = Phase::Live;
        self.last = None;
        self.wrote(now);
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::Failed(_))
    }

    /// Bytes of the input that the next look begins behind.
    pub(super) fn reach(&self) -> usize {
        match self.last {
            Some(length) if self.put_back => length,
            _ => self.scan.as_ref().map_or(0, |scan| scan.reach()),
        }
    }

    /// The work of the scan since it was asked last, in its steps.
    pub(super) fn take_work(&mut self) -> u32 {
        mem::take(&mut self.work) + self.scan.as_mut().map_or(0, |scan| scan.take_work())
    }

    /// What the element given last looks like.
    pub(super) fn head(&self) -> &Head {
        self.scan.as_ref().expect("an element was given, so there is a scan of it").head()
    }

    /// Has an element begun?
    fn is_inside(&self) -> bool {
        self.scan.as_ref().is_some_and(|scan| scan.is_inside())
    }

    /// The next thing at the first level, with the bytes consumed up to its end. Before authentication that is a
    /// handshake, an error of the peer's or the closing tag; anything else is refused.
    pub(super) fn next<'b>(
        &mut self,
        now: Instant,
        input: &'b [u8],
    ) -> Result<(usize, Option<First<'b>>), StreamError> {
        match &self.phase {
            Phase::Live => self.first(now, input, self.limits.stanza),
            Phase::Skipping(_) => {
                let skipped = self.skip(input)?;
                let (consumed, first) = self.first(now, &input[skipped..], self.limits.stanza)?;
                Ok((skipped + consumed, first))
            }
            Phase::Early { is_closed: true, .. } => Ok((0, Some(First::ClosingTag))),
            &Phase::Early { left, .. } => self.early(now, input, left),
            Phase::Header { .. } => Ok((0, None)),
            Phase::Closed => Ok((input.len(), None)),
            Phase::Failed(error) => Err((**error).clone()),
        }
    }

    fn early<'b>(
        &mut self,
        now: Instant,
        input: &'b [u8],
        left: usize,
    ) -> Result<(usize, Option<First<'b>>), StreamError> {
        let window = &input[..input.len().min(left)];
        let first = self.first(now, window, usize::MAX);
        let head = self.scan.as_ref().map(|scan| scan.head());
        // Behind its start tag nothing of another element counts, so that the cut does not.
        if head.is_some_and(|head| head.end > 0 && !is_early(head)) {
            return Err(StreamErrorCause::NoHandshake.into());
        }
        match first {
            Ok((_, None)) if window.len() == left => {
                Err(StreamErrorCause::LongNegotiation { limit: self.limits.negotiation }.into())
            }
            Ok((consumed, first)) => {
                self.phase = Phase::Early { left: left - consumed, is_closed: false };
                Ok((consumed, first))
            }
            Err(StreamError { cause: StreamErrorCause::Xml(error), .. }) => {
                Err(StreamErrorCause::EarlyXml(error.fault).into())
            }
            Err(error) => Err(error),
        }
    }

    #[inline]
    fn first<'b>(
        &mut self,
        now: Instant,
        input: &'b [u8],
        limit: usize,
    ) -> Result<(usize, Option<First<'b>>), StreamError> {
        if self.put_back
            && let Some(length) = self.last
        {
            let Some(element) = input.get(..length) else { return Ok((0, None)) };
            self.put_back = false;
            return Ok((length, Some(First::Element(element))));
        }
        self.last = None;
        let blanks = if self.is_inside() { 0 } else { leading_blanks(input) };
        let element = &input[blanks..];
        if element.is_empty() {
            return Ok((blanks, None));
        }
        if let Some(found) = self.closing_tag(element)? {
            return Ok(match found {
                Some(length) => (blanks + length, Some(First::ClosingTag)),
                None => {
                    self.start_clock(now);
                    (blanks, None)
                }
            });
        }
        let window = &element[..element.len().min(limit)];
        match self.scan.get_or_insert_default().advance(window, &self.limits, self.prefixes.as_slice())? {
            Progress::Whole(length) => {
                self.stanza_clock = Clock::Idle;
                self.last = Some(length);
                // Where blanks came first, an element put back must still begin the next input.
                Ok((blanks + length, Some(First::Element(&element[..length]))))
            }
            Progress::StreamElement(element) => Ok((blanks, Some(First::OfStreams(element)))),
            Progress::Partial if element.len() >= limit => {
                self.begin_skipping(now, window)?;
                Ok((blanks + limit, Some(First::TooLong(window))))
            }
            Progress::Partial => {
                self.start_clock(now);
                Ok((blanks, None))
            }
        }
    }

    /// An element has reached the limit, which is the length of `window`: the rest of it is passed over, or it is an error.
    #[cold]
    fn begin_skipping(&mut self, now: Instant, window: &[u8]) -> Result<(), StreamError> {
        match &mut self.scan {
            // An error of the peer's ends the stream, however long it is.
            Some(scan) if self.skips && scan.head().end > 0 && scan.head().top != TopLevel::StreamError => {
                self.phase = Phase::Skipping(Box::new(scan.leave(window)?));
                self.start_clock(now);
                Ok(())
            }
            _ => Err(StreamErrorCause::BigStanza { limit: window.len() }.into()),
        }
    }

    /// Passes over the rest of an element, and gives its length in the input.
    #[cold]
    fn skip(&mut self, input: &[u8]) -> Result<usize, StreamError> {
        let Phase::Skipping(skipper) = &mut self.phase else { return Ok(0) };
        let end = skipper.advance(input)?;
        self.work += skipper.take_work();
        if end.is_some() {
            self.phase = Phase::Live;
            self.stanza_clock = Clock::Idle;
        }
        Ok(end.unwrap_or(input.len()))
    }

    /// Something has begun, be it by a lone '<': its time runs from its first byte on, however it is cut.
    fn start_clock(&mut self, now: Instant) {
        if matches!(self.stanza_clock, Clock::Idle) {
            let time = self.limits.stanza_time;
            self.stanza_clock = if self.reading { Clock::Running(now + time) } else { Clock::Stopped(time) };
        }
    }

    /// `None`: it is no closing tag. `Some(None)`: it may be one. Text where none may be is refused here, too.
    fn closing_tag(&self, element: &[u8]) -> Result<Option<Option<usize>>, StreamError> {
        if self.is_inside() {
            return Ok(None);
        }
        let not_well_formed = |what, at| StreamError::from(XmlFault::NotWellFormed(what).at(at));
        match element {
            [b'<'] | [b'<', b'!'] => return Ok(Some(None)),
            [b'<', b'/', ..] => {}
            // A CDATA section is text.
            [b'<', b'!', b'[', ..] => return Err(StreamErrorCause::TextBetween.into()),
            [b'<', ..] => return Ok(None),
            [0..0x20, ..] => return Err(not_well_formed("a control character", 0)),
            [byte, ..] if !byte.is_ascii() => {
                return match decode(element) {
                    Err(fault) => Err(fault.at(0).into()),
                    Ok(None) => Ok(Some(None)),
                    Ok(Some(_)) => Err(StreamErrorCause::TextBetween.into()),
                };
            }
            _ => return Err(StreamErrorCause::TextBetween.into()),
        }
        const MOST_BLANKS: usize = 1024;
        let name = &element[2..];
        let root = self.root.as_bytes();
        let common = name.len().min(root.len());
        if name[..common] != root[..common] {
            return Err(not_well_formed("an end tag that closes nothing", 0));
        }
        let blanks = leading_blanks(&name[common..]);
        if blanks > MOST_BLANKS {
            return Err(not_well_formed("an end tag with too many blanks", 2 + common + MOST_BLANKS));
        }
        match name.get(common + blanks) {
            Some(b'>') if common == root.len() => Ok(Some(Some(2 + common + blanks + 1))),
            Some(_) => Err(not_well_formed("an end tag that holds more than a name", 2 + common + blanks)),
            None => Ok(Some(None)),
        }
    }

    /// The element given last was not taken: the next call gives it again, without a second scan. The input
    /// must begin with it then.
    pub(super) fn put_back(&mut self) -> usize {
        self.put_back = self.last.is_some();
        self.last.unwrap_or(0)
    }

    /// Ends the stream with an error: it goes to `out` with the closing tag, unless the stream had ended.
    pub(super) fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        if let Phase::Failed(first) = &self.phase {
            return (**first).clone();
        }
        if !self.is_closed() {
            error.push_with_trailer(out);
        }
        self.stop(Phase::Failed(Box::new(error.clone())));
        error
    }

    /// Notes an error that the peer sent: it gets our closing tag and no error back.
    pub(super) fn fail_by_peer(&mut self, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        self.close(out);
        self.phase = Phase::Failed(Box::new(error.clone()));
        error
    }

    /// Ends the stream in good order.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        if !self.is_closed() {
            push_trailer(out);
            self.stop(Phase::Closed);
        }
    }

    /// The connection is gone: nothing more can be said.
    pub(super) fn end(&mut self) {
        if !self.is_closed() {
            self.stop(Phase::Closed);
        }
    }

    fn stop(&mut self, phase: Phase) {
        self.phase = phase;
        self.scan = None;
        self.last = None;
        self.put_back = false;
        self.stanza_clock = Clock::Idle;
        self.keepalive_at = None;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match (&self.stanza_clock, self.keepalive_at) {
            (&Clock::Running(deadline), Some(at)) => Some(at.min(deadline)),
            (&Clock::Running(deadline), None) => Some(deadline),
            (_, at) => at,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        if let Phase::Failed(error) = &self.phase {
            return Err((**error).clone());
        }
        if matches!(self.stanza_clock, Clock::Running(deadline) if deadline <= now) {
            let cause = StreamErrorCause::SlowStanza { within: self.limits.stanza_time };
            return Err(self.fail(cause.into(), out));
        }
        if self.keepalive_at.is_some_and(|at| at <= now) {
            out.push(b' ');
            self.wrote(now);
        }
        Ok(())
    }

    /// Bytes went out: the next keepalive is due that much later.
    pub(super) fn wrote(&mut self, now: Instant) {
        if self.keepalive_at.is_some() {
            self.keepalive_at = self.limits.keepalive.map(|silence| now + silence);
        }
    }

    /// Reading stops or goes on; the time between does not count against a stanza that has begun.
    pub(super) fn set_reading(&mut self, now: Instant, reading: bool) {
        self.reading = reading;
        self.stanza_clock = match self.stanza_clock {
            Clock::Running(deadline) if !reading => Clock::Stopped(deadline.since(now)),
            Clock::Stopped(left) if reading => Clock::Running(now + left),
            Clock::Running(deadline) => Clock::Running(deadline),
            Clock::Stopped(left) => Clock::Stopped(left),
            Clock::Idle => Clock::Idle,
        };
    }

    pub(super) fn release(&mut self) {
        match &mut self.scan {
            // What was found of the element that has begun, or that may be put back, is still needed.
            Some(scan) if scan.is_inside() || self.last.is_some() => scan.release(),
            _ => self.scan = None,
        }
    }
}

/// May this element come before authentication?
fn is_early(head: &Head) -> bool {
    match head.top {
        TopLevel::Handshake => head.children == 0,
        top => top == TopLevel::StreamError,
    }
}
