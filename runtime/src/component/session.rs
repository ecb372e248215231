//! The component's side of a connection, as the drive loop sees it.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;
use std::{io, mem};

use enjamb_core::connection::{Budget, CloseReason, ConnectionEvent, Progress};
use enjamb_core::stream::{ClientEvent, ClientStream, Initiating, Initiator};
use enjamb_core::{Instant, Limits, Now, OwnedStanza, Stanza, StreamError, StreamErrorCause};

use super::shared::Shared;
use crate::driver::Session;

/// The component's side of a connection.
pub(crate) struct ComponentSession {
    shared: Arc<Shared>,
    phase: Phase,
    output: Output,
    waker: Option<Waker>,
    /// Its first stanza waits until the application has taken others.
    is_blocked: bool,
    reading: bool,
    /// The application wants to close: when to give up on a server that takes nothing.
    close_by: Option<Instant>,
}

enum Phase {
    Initiating(Initiator),
    Open(Box<ClientStream>),
    Ended,
}

/// What is to be written: stanzas of the application, and the stream's own words behind them.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes of the stream's own that are not out yet, at most.
    own: usize,
}

/// Own output over which nothing is read.
const OWN_MARK: usize = 64 * 1024;

impl Output {
    fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    fn append<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.bytes.len();
        let result = write(&mut self.bytes);
        self.own += self.bytes.len() - before;
        result
    }

    fn advance(&mut self, n: usize) {
        self.written += n;
        if self.pending().is_empty() {
            self.bytes.clear();
            (self.written, self.own) = (0, 0);
        }
    }
}

impl ComponentSession {
    /// `greeting` is the stream header that `initiator` wrote.
    pub(crate) fn new(shared: Arc<Shared>, initiator: Initiator, greeting: Vec<u8>) -> Self {
        Self {
            shared,
            phase: Phase::Initiating(initiator),
            output: Output { bytes: greeting, ..Output::default() },
            waker: None,
            is_blocked: false,
            reading: true,
            close_by: None,
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.shared.lock().end(reason);
    }

    fn fail(&mut self, error: StreamError) {
        self.end(CloseReason::Error(error));
    }

    /// Leaves a stanza for the application; false if it has to take others first.
    fn deposit(shared: &Shared, waker: Option<&Waker>, stanza: &Stanza<'_>) -> bool {
        let mut state = shared.lock();
        if state.answer(stanza, &shared.id_prefix) {
            return true;
        }
        if state.inbox_bytes >= shared.mark {
            state.driver = waker.cloned();
            return false;
        }
        state.inbox_bytes += stanza.raw().len();
        state.inbox.push_back(OwnedStanza::new(stanza));
        state.wake_waiting();
        true
    }

    /// Takes at most one event from `input`.
    fn step(&mut self, now: Instant, input: &[u8]) -> Progress {
        match mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Initiating(initiator) => {
                let (consumed, next) = self.output.append(|out| initiator.process(now, input, out));
                match next {
                    Initiating::Reading(initiator) => {
                        self.phase = Phase::Initiating(initiator);
                        return Progress::NeedInput(consumed);
                    }
                    Initiating::Established(stream) => {
                        self.phase = Phase::Open(stream);
                        let mut state = self.shared.lock();
                        state.established = true;
                        state.wake_waiting();
                    }
                    Initiating::Failed(error) => self.fail(error),
                }
                Progress::More(consumed)
            }
            Phase::Open(mut stream) => {
                let step = match self.output.append(|out| stream.process(now, input, out)) {
                    Ok(step) => step,
                    Err(error) => {
                        self.fail(error);
                        return Progress::NeedInput(input.len());
                    }
                };
                let waker = self.waker.as_ref();
                let progress = match step.event {
                    None => Progress::NeedInput(step.consumed),
                    Some(ClientEvent::Stanza(stanza)) if !Self::deposit(&self.shared, waker, &stanza) => {
                        Progress::Blocked(step.consumed - stream.put_back())
                    }
                    Some(ClientEvent::Closed) => {
                        self.end(CloseReason::ByPeer);
                        Progress::More(step.consumed)
                    }
                    Some(_) => Progress::More(step.consumed),
                };
                self.phase = Phase::Open(stream);
                progress
            }
            Phase::Ended => Progress::NeedInput(input.len()),
        }
    }

    /// Takes what the application sent, and its wish to close.
    fn collect(&mut self, now: Instant) {
        let Self { shared, phase, output, .. } = self;
        let mut state = shared.lock();
        state.driver.clone_from(&self.waker);
        state.requests.start(now);
        let Phase::Open(stream) = phase else {
            if state.closing && state.ended.is_none() {
                state.end(CloseReason::ByUs);
            }
            return;
        };
        if output.bytes.is_empty() && !state.outbox.is_empty() {
            // Not the stream's own words: reading goes on while they wait for the socket.
            mem::swap(&mut output.bytes, &mut state.outbox);
            state.wake_waiting();
        }
        state.note_unwritten(!output.bytes.is_empty());
        if !state.closing || state.ended.is_some() {
            return;
        }
        let close_by = *self.close_by.get_or_insert(now + shared.limits.flush);
        if output.bytes.is_empty() || close_by <= now {
            output.append(|out| stream.close(out));
            state.end(CloseReason::ByUs);
        }
    }
}

impl Session for ComponentSession {
    fn register(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn process(&mut self, now: Now, input: &[u8], budget: &mut Budget) -> Progress {
        let mut consumed = 0;
        self.is_blocked = true;
        while !budget.is_spent() {
            if self.output.own > OWN_MARK {
                return Progress::Blocked(consumed);
            }
            budget.spend(1);
            match self.step(now.monotonic, &input[consumed..]) {
                Progress::More(n) => consumed += n,
                Progress::NeedInput(n) => {
                    self.is_blocked = false;
                    return Progress::NeedInput(consumed + n);
                }
                Progress::Blocked(n) => return Progress::Blocked(consumed + n),
            }
        }
        Progress::More(consumed)
    }

    fn poll_output(&mut self, now: Now) -> &[u8] {
        if !self.is_closed() {
            self.collect(now.monotonic);
        }
        self.output.pending()
    }

    fn wrote(&mut self, now: Now, n: usize) {
        if n == 0 {
            return;
        }
        self.output.advance(n);
        if let Phase::Open(stream) = &mut self.phase {
            stream.wrote(now.monotonic);
        }
        if let Some(close_by) = &mut self.close_by {
            *close_by = now.monotonic + self.shared.limits.flush;
        }
    }

    fn read_budget(&mut self, now: Now) -> usize {
        let reading = !self.is_blocked && self.output.own <= OWN_MARK;
        if self.reading != reading {
            self.reading = reading;
            if let Phase::Open(stream) = &mut self.phase {
                stream.set_reading(now.monotonic, reading);
            }
        }
        if reading { usize::MAX } else { 0 }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Initiating(initiator) => Some(initiator.poll_timeout()),
            Phase::Open(stream) => {
                let late = self.shared.lock().requests.poll_timeout();
                [stream.poll_timeout(), self.close_by, late].into_iter().flatten().min()
            }
            Phase::Ended => None,
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        let now = now.monotonic;
        self.shared.lock().expire_requests(now);
        let result = match &mut self.phase {
            Phase::Initiating(initiator) => self.output.append(|out| initiator.handle_timeout(now, out)),
            Phase::Open(stream) => self.output.append(|out| stream.handle_timeout(now, out)),
            Phase::Ended => Ok(()),
        };
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn handle_eof(&mut self) {
        if let Phase::Open(stream) = &mut self.phase {
            self.output.append(|out| stream.close(out));
            self.end(CloseReason::ByPeer);
        } else {
            self.fail(
                StreamErrorCause::Other("the server closed the connection before it accepted the component")
                    .into(),
            );
        }
    }

    fn handle_error(&mut self, kind: io::ErrorKind) {
        self.end(CloseReason::Broken(kind.to_string()));
    }

    fn is_closed(&self) -> bool {
        self.shared.lock().ended.is_some()
    }

    fn finish(&mut self, _now: Now) {
        let mut state = self.shared.lock();
        state.note_unwritten(!self.output.bytes.is_empty());
        state.wake_waiting();
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent> {
        None
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn hibernate_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn release(&mut self) {
        if self.output.bytes.is_empty() {
            self.output.bytes = Vec::new();
        }
        let mut state = self.shared.lock();
        if state.outbox.is_empty() {
            state.outbox = Vec::new();
        }
        state.check = None;
    }
}
