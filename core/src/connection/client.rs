//! A component's connection to its server.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::ending::Ending;
use super::progress::{Budget, Next, OWN_MARK, Progress, Transmit, Written, window};
use crate::close::CloseReason;
use crate::error::{StreamError, StreamErrorCause};
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::queue::Buffer;
use crate::stanza::Stanza;
use crate::stream::{ClientEvent, ClientStream, Initiating, Initiator, Rest};
use crate::time::{Instant, Now};

/// A component's connection to its server.
///
/// It does all of XEP-0114's component side: negotiation, stanzas in and out, keepalive, the ping that finds a dead
/// server, limits, the end. Drive it as a [`Connection`](super::Connection): the methods of the same name are called at the
/// same times.
pub struct ClientConnection {
    phase: Phase,
    output: Buffer,
    limits: Arc<Limits>,
    next: Next,
    reading: bool,
    /// The application wants to close: when to give up on a server that takes nothing.
    close_by: Option<Instant>,
    /// It gives up then, even if the server takes a little now and then.
    closes_in_time: bool,
    ending: Option<Ending>,
    /// What the server still sends after our own end.
    rest: Option<Box<Rest>>,
    /// A stanza over the limit is skipped.
    skips_long: bool,
    passed_over: PassedOver,
    // Events that were not taken yet.
    established: bool,
    closed: Option<CloseReason>,
}

/// What happened on a component's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientConnectionEvent {
    /// The server accepted the secret: stanzas flow.
    Established,
    /// The stream is over. This is the last event.
    Closed(CloseReason),
}

/// Elements that came and were not given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver {
    /// No stanzas, or with an address that is not valid.
    pub(crate) ignored: u64,
    /// Longer than the limit, and answered.
    pub(crate) too_long: u64,
    /// Longer than the limit, and of a kind that no error may answer.
    pub(crate) too_long_dropped: u64,
    /// After our own end: nothing can be answered any more.
    pub(crate) after_end: u64,
}

impl PassedOver {
    fn note_too_long(&mut self, answered: bool) {
        if answered { self.too_long += 1 } else { self.too_long_dropped += 1 }
    }
}

enum Phase {
    Initiating(Initiator),
    Open(Box<ClientStream>),
    Ended,
}

impl ClientConnection {
    /// Begins a stream as `domain`. With `is_subdomain` the domain is a prefix, to be bound under every host of the
    /// server (MongooseIM's extension). `limits` are the server's; what it adds to a stanza at their edge is taken, too.
    #[must_use]
    pub fn new(domain: Domain, is_subdomain: bool, secret: Secret, limits: Arc<Limits>, now: Now) -> Self {
        let mut output = Buffer::default();
        let initiator = output.append(|out| {
            Initiator::connect(domain, is_subdomain, secret, Arc::clone(&limits), now.monotonic, out)
        });
        Self {
            phase: Phase::Initiating(initiator),
            output,
            limits,
            next: Next::Input,
            reading: true,
            close_by: None,
            closes_in_time: false,
            ending: None,
            rest: None,
            skips_long: false,
            passed_over: PassedOver::default(),
            established: false,
            closed: None,
        }
    }

    /// Takes events from `input`. Each stanza is given to `take`, which says whether it took it; one that it did not
    /// take stays in the input.
    #[must_use = "it says how many bytes to drop from the input"]
    pub fn process(
        &mut self,
        now: Now,
        input: &[u8],
        budget: &mut Budget,
        mut take: impl FnMut(&Stanza<'_>) -> bool,
    ) -> Progress {
        self.process_answering(now, input, budget, |stanza, _, _| take(stanza))
    }

    /// [`process`](Self::process) for a `take` that may answer a stanza at once, and that says what it costs.
    pub(crate) fn process_answering(
        &mut self,
        now: Now,
        input: &[u8],
        budget: &mut Budget,
        mut take: impl FnMut(&Stanza<'_>, &mut Vec<u8>, &mut Budget) -> bool,
    ) -> Progress {
        if let Some(ending) = &mut self.ending {
            let (progress, elements) = ending.read_on(&mut self.rest, now.monotonic, input, budget);
            self.passed_over.after_end += elements;
            return progress;
        }
        let mut consumed = 0;
        self.next = Next::More;
        while self.next == Next::More && !budget.is_spent() {
            if self.output.own() > OWN_MARK {
                self.next = Next::Room;
                break;
            }
            budget.spend(1);
            let rest = &input[consumed..];
            let shown = &rest[..rest.len().min(self.window())];
            let before = self.output.own();
            let taken;
            (taken, self.next) = self.step(now, shown, &mut |stanza, out| take(stanza, out, budget));
            budget.spend_output(self.output.own() - before);
            consumed += taken;
            if let Phase::Open(stream) = &mut self.phase {
                budget.spend_scan(stream.take_work());
            }
            if self.next == Next::Input {
                budget.spend_blanks(taken);
            }
            if self.next == Next::Input && shown.len() < rest.len() {
                self.next = Next::More;
            }
        }
        Progress { consumed, next: self.next }
    }

    /// Bytes of the input that the next step is to see.
    fn window(&self) -> usize {
        if let Phase::Open(stream) = &self.phase {
            window(stream.reach(), stream.limits())
        } else {
            usize::MAX
        }
    }

    /// Takes at most one event from `input`.
    fn step(
        &mut self,
        now: Now,
        input: &[u8],
        take: &mut impl FnMut(&Stanza<'_>, &mut Vec<u8>) -> bool,
    ) -> (usize, Next) {
        match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Initiating(initiator) => {
                let (consumed, next) = self.output.append(|out| initiator.process(now.monotonic, input, out));
                match next {
                    Initiating::Reading(initiator) => {
                        self.phase = Phase::Initiating(initiator);
                        return (consumed, Next::Input);
                    }
                    Initiating::Established(mut stream) => {
                        stream.set_skipping(self.skips_long);
                        self.phase = Phase::Open(stream);
                        self.established = true;
                    }
                    Initiating::Failed(error) => self.end(now, CloseReason::Error(error)),
                }
                (consumed, Next::More)
            }
            Phase::Open(mut stream) => {
                let step = match self.output.append(|out| stream.process(now.monotonic, input, out)) {
                    Ok(step) => step,
                    Err(error) => {
                        self.end(now, CloseReason::Error(error));
                        return (input.len(), Next::Input);
                    }
                };
                let taken = match step.event {
                    None => (step.consumed, Next::Input),
                    Some(ClientEvent::Stanza(stanza)) if !self.output.append(|out| take(&stanza, out)) => {
                        (step.consumed - stream.put_back(), Next::Room)
                    }
                    Some(ClientEvent::TooLong(too_long)) => {
                        self.passed_over.note_too_long(too_long.answered);
                        (step.consumed, Next::More)
                    }
                    Some(ClientEvent::Ignored) => {
                        self.passed_over.ignored += 1;
                        (step.consumed, Next::More)
                    }
                    Some(ClientEvent::Closed) => {
                        self.end(now, CloseReason::ByPeer);
                        return (step.consumed, Next::More);
                    }
                    Some(ClientEvent::Stanza(_) | ClientEvent::OwnPing) => (step.consumed, Next::More),
                };
                self.phase = Phase::Open(stream);
                taken
            }
            Phase::Ended => (input.len(), Next::Input),
        }
    }

    /// Takes whole stanzas to be sent, if nothing is being written and the server has accepted the component; leaves
    /// `stanzas` empty then. Says whether it took them.
    pub fn send(&mut self, stanzas: &mut Vec<u8>) -> bool {
        // Not the stream's own words: reading goes on while they wait for the transport.
        let takes = self.is_drained() && !stanzas.is_empty() && matches!(self.phase, Phase::Open(_));
        if takes {
            self.output.take(stanzas);
        }
        takes
    }

    /// Whether all of the output is written.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.output.is_empty()
    }

    /// What is to be written, for a side that puts stanzas there itself.
    pub(crate) fn output(&mut self) -> &mut Buffer {
        &mut self.output
    }

    /// The server has accepted the component, and the stream is not over.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Has a stanza over the limit skipped, and answered with an error, instead of ending the stream over it.
    pub(crate) fn skip_long(&mut self) {
        self.skips_long = true;
    }

    /// What came and was not given since it was asked last.
    pub(crate) fn take_passed_over(&mut self) -> PassedOver {
        mem::take(&mut self.passed_over)
    }

    /// Whether it was told to close.
    pub(crate) fn is_closing(&self) -> bool {
        self.close_by.is_some()
    }

    /// What comes next waits for its receiver's room, and not for that of our own output.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.next == Next::Room && self.output.own() <= OWN_MARK
    }

    /// Ends the stream in good order once all that it took is written, or once the server has taken nothing for
    /// [`Limits::flush`].
    pub fn close(&mut self, now: Now) {
        match &self.phase {
            Phase::Initiating(_) => self.end(now, CloseReason::ByUs),
            Phase::Open(_) => {
                self.close_by.get_or_insert(now.monotonic + self.limits.flush);
                self.close_if_drained(now);
            }
            Phase::Ended => {}
        }
    }

    /// The same. [`Limits::flush`] is all the time that there is.
    pub(crate) fn close_within(&mut self, now: Now) {
        self.closes_in_time = true;
        self.close(now);
    }

    fn close_if_drained(&mut self, now: Now) {
        let is_late = self.close_by.is_some_and(|by| by <= now.monotonic);
        if matches!(self.phase, Phase::Open(_))
            && self.close_by.is_some_and(|_| self.output.is_empty() || is_late)
        {
            let Phase::Open(stream) = mem::replace(&mut self.phase, Phase::Ended) else { return };
            self.rest = self.output.append(|out| stream.say_end(out));
            self.end(now, CloseReason::ByUs);
            if self.closes_in_time && is_late {
                self.ending = Some(Ending::Flushing { by: now.monotonic });
            }
        }
    }

    /// What to write.
    #[must_use]
    pub fn poll_output(&self) -> Transmit<'_> {
        Ending::transmit(self.ending.as_ref(), self.output.pending())
    }

    /// Notes what became of the output.
    pub fn wrote(&mut self, now: Now, written: Written) {
        self.note_written(now, written);
    }

    /// The same. Returns how many stanzas are out whole by that.
    pub(crate) fn note_written(&mut self, now: Now, written: Written) -> u32 {
        match (written, &mut self.ending) {
            (Written::Bytes(n), _) => {
                let delivered = self.output.advance(n.min(self.output.pending().len()));
                if let Phase::Open(stream) = &mut self.phase {
                    stream.wrote(now.monotonic);
                }
                if let Some(close_by) = self.close_by.as_mut().filter(|_| !self.closes_in_time) {
                    *close_by = now.monotonic + self.limits.flush;
                }
                return delivered;
            }
            (Written::Shut, Some(ending)) => ending.shut(&self.limits, now.monotonic),
            (Written::Full | Written::Shut, _) => {}
        }
        0
    }

    /// As [`Connection::write_to`](super::Connection::write_to).
    pub fn write_to(&mut self, now: Now, out: &mut Vec<u8>) -> bool {
        let mut worked = false;
        loop {
            let written = match self.poll_output() {
                Transmit::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    Written::Bytes(bytes.len())
                }
                Transmit::Shutdown => Written::Shut,
                Transmit::Nothing | Transmit::Done => return worked,
            };
            self.wrote(now, written);
            worked = true;
        }
    }

    /// How many bytes may be read now.
    pub fn read_budget(&mut self, now: Now) -> usize {
        if let Some(ending) = &self.ending {
            return ending.read_budget(self.rest.is_some());
        }
        let reading = self.next == Next::Input && self.output.own() <= OWN_MARK;
        if self.reading != reading {
            self.reading = reading;
            if let Phase::Open(stream) = &mut self.phase {
                stream.set_reading(now.monotonic, reading);
            }
        }
        if reading { usize::MAX } else { 0 }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Some(ending) = &self.ending {
            return ending.poll_timeout();
        }
        match &self.phase {
            Phase::Initiating(initiator) => Some(initiator.poll_timeout()),
            Phase::Open(stream) => [stream.poll_timeout(), self.close_by].into_iter().flatten().min(),
            Phase::Ended => None,
        }
    }

    /// Does what is due: a keepalive, a ping, the end of a stream that is late.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(ending) = &mut self.ending {
            ending.handle_timeout(now.monotonic);
            return;
        }
        let Self { phase, output, .. } = self;
        let result = output.append(|out| match phase {
            Phase::Initiating(initiator) => initiator.handle_timeout(now.monotonic, out),
            Phase::Open(stream) => stream.handle_timeout(now.monotonic, out),
            Phase::Ended => Ok(()),
        });
        match result {
            Ok(()) => self.close_if_drained(now),
            Err(error) => self.end(now, CloseReason::Error(error)),
        }
    }

    /// The input has ended.
    pub fn handle_eof(&mut self, now: Now) {
        match (&mut self.phase, &mut self.ending) {
            (_, Some(ending)) => ending.handle_eof(),
            (Phase::Open(stream), None) => {
                self.output.append(|out| stream.close(out));
                self.end(now, CloseReason::ByPeer);
            }
            (_, None) => {
                let cause = "the server closed the connection before it accepted the component";
                let error = StreamError::from(StreamErrorCause::Other(cause));
                self.end(now, CloseReason::Error(error));
            }
        }
    }

    /// Ends the stream with an error of this side's.
    pub(crate) fn fail(&mut self, now: Now, error: StreamError) {
        if let Phase::Open(stream) = &mut self.phase {
            self.output.append(|out| stream.fail(error.clone(), out));
            self.end(now, CloseReason::Error(error));
        }
    }

    /// The transport broke, in the operating system's `words`: the connection is over.
    pub fn handle_error(&mut self, now: Now, words: String) {
        self.end(now, CloseReason::Broken(words));
        self.ending = Some(Ending::Done);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientConnectionEvent> {
        if mem::take(&mut self.established) {
            return Some(ClientConnectionEvent::Established);
        }
        self.closed.take().map(ClientConnectionEvent::Closed)
    }

    /// Gives memory back that the connection does not need while nothing happens.
    pub fn release(&mut self) {
        self.output.release();
        if let Phase::Open(stream) = &mut self.phase {
            stream.release();
        }
    }

    fn end(&mut self, now: Now, reason: CloseReason) {
        self.phase = Phase::Ended;
        if self.ending.is_none() {
            self.ending = Some(Ending::begin(&self.limits, now.monotonic));
            self.closed = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests;
