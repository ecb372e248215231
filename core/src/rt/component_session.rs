//! The component's side of a connection, as the drive loop sees it.

use core::task::Context;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use super::component::Shared;
use super::driver::{Progress, Session};
use super::outgoing::Outgoing;
use super::session::{End, Notice};
use crate::error::{Cause, StreamError};
use crate::limits::Limits;
use crate::stanza::{Stanza, StanzaBuf};
use crate::stream::{ClientEvent, ClientStream, Initiating, Initiator};
use crate::time::Instant;

/// The component's side of a connection.
pub(super) struct ComponentSession {
    shared: Arc<Shared>,
    stage: Stage,
    /// Our header, until it is written.
    greeting: Vec<u8>,
    /// The application wants to close: when to give up on a server that takes nothing.
    close_by: Option<Instant>,
}

enum Stage {
    Initiating(Initiator),
    Open(Box<ClientStream>),
    Ended,
}

impl ComponentSession {
    pub(super) fn new(shared: Arc<Shared>, initiator: Initiator, greeting: Vec<u8>) -> Self {
        Self { shared, stage: Stage::Initiating(initiator), greeting, close_by: None }
    }

    fn end_with(&mut self, end: End) {
        self.shared.lock().end(end);
    }

    fn fail(&mut self, error: StreamError) {
        self.end_with(End::Error(error));
    }

    /// Leaves a stanza for the application; false where it has to take others first.
    fn deposit(shared: &Shared, cx: &Context<'_>, stanza: &Stanza<'_>) -> bool {
        let mut state = shared.lock();
        if state.answer(stanza, &shared.id_prefix) {
            return true;
        }
        if state.inbox_bytes >= shared.mark {
            state.driver = Some(cx.waker().clone());
            return false;
        }
        state.inbox_bytes += stanza.raw().len();
        state.inbox.push_back(StanzaBuf::new(stanza));
        state.wake_waiting();
        true
    }
}

impl Session for ComponentSession {
    fn process(&mut self, cx: &Context<'_>, now: Instant, input: &[u8], out: &mut Vec<u8>) -> Progress {
        match core::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Initiating(initiator) => {
                let (consumed, next) = initiator.process(now, input, out);
                match next {
                    Initiating::Reading(initiator) => {
                        self.stage = Stage::Initiating(initiator);
                        return Progress::NeedInput(consumed);
                    }
                    Initiating::Established(stream) => {
                        self.stage = Stage::Open(stream);
                        let mut state = self.shared.lock();
                        state.established = true;
                        state.wake_waiting();
                    }
                    Initiating::Failed(error) => self.fail(error),
                }
                Progress::More(consumed)
            }
            Stage::Open(mut stream) => {
                let step = match stream.process(now, input, out) {
                    Ok(step) => step,
                    Err(error) => {
                        self.fail(error);
                        return Progress::NeedInput(input.len());
                    }
                };
                let progress = match step.event {
                    None => Progress::NeedInput(step.consumed),
                    Some(ClientEvent::Stanza(stanza)) if !Self::deposit(&self.shared, cx, &stanza) => {
                        Progress::Blocked(step.consumed - stream.put_back())
                    }
                    Some(ClientEvent::Closed) => {
                        self.end_with(End::ByPeer);
                        Progress::More(step.consumed)
                    }
                    Some(_) => Progress::More(step.consumed),
                };
                self.stage = Stage::Open(stream);
                progress
            }
            Stage::Ended => Progress::NeedInput(input.len()),
        }
    }

    fn end_batch(&mut self) {}

    fn collect(&mut self, cx: &Context<'_>, now: Instant, outgoing: &mut Outgoing) {
        if !self.greeting.is_empty() {
            outgoing.append(|out| out.append(&mut self.greeting));
        }
        let mut state = self.shared.lock();
        state.driver = Some(cx.waker().clone());
        state.start_requests(now);
        let Stage::Open(stream) = &mut self.stage else {
            if state.closing && state.ended.is_none() {
                state.end(End::ByUs);
            }
            return;
        };
        if outgoing.is_empty() && !state.outbox.is_empty() {
            // Not words of the stream's own: reading goes on while they wait for the socket.
            outgoing.put(&mut state.outbox);
            state.wake_waiting();
        }
        state.note_unwritten(!outgoing.is_empty());
        if !state.closing || state.ended.is_some() {
            return;
        }
        let close_by = *self.close_by.get_or_insert(now + self.shared.limits.flush);
        if outgoing.is_empty() || close_by <= now {
            outgoing.append(|out| stream.close(out));
            state.end(End::ByUs);
        }
    }

    fn note_socket(&mut self, _outgoing: &Outgoing, _full: bool) {}

    fn wrote(&mut self, now: Instant) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.wrote(now);
        }
        if let Some(close_by) = &mut self.close_by {
            *close_by = now + self.shared.limits.flush;
        }
    }

    fn read_budget(&mut self, _now: Instant) -> usize {
        usize::MAX
    }

    fn tokens_at(&self) -> Option<Instant> {
        None
    }

    fn retry_at(&self) -> Option<Instant> {
        None
    }

    fn read(&mut self, _n: usize) {}

    fn keep(&mut self, _n: usize, _out: &mut Vec<u8>) {}

    fn set_reading(&mut self, now: Instant, reading: bool) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.set_reading(now, reading);
        }
    }

    fn handle_eof(&mut self, out: &mut Vec<u8>) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.close(out);
            self.end_with(End::ByPeer);
        } else {
            self.fail(
                Cause::Other("the server closed the connection before it accepted the component").into(),
            );
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Initiating(initiator) => Some(initiator.poll_timeout()),
            Stage::Open(stream) => {
                let late = self.shared.lock().request_timeout();
                [stream.poll_timeout(), self.close_by, late].into_iter().flatten().min()
            }
            Stage::Ended => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.shared.lock().expire_requests(now);
        let result = match &mut self.stage {
            Stage::Initiating(initiator) => initiator.handle_timeout(now, out),
            Stage::Open(stream) => stream.handle_timeout(now, out),
            Stage::Ended => Ok(()),
        };
        if let Err(error) = result {
            self.fail(error);
        }
    }

    fn is_ended(&self) -> bool {
        self.shared.lock().ended.is_some()
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    fn hibernate_after(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn broke(&mut self, kind: io::ErrorKind) {
        self.end_with(End::Broken(kind));
    }

    fn finish(&mut self, _now: Instant, outgoing: &Outgoing) {
        let mut state = self.shared.lock();
        state.note_unwritten(!outgoing.is_empty());
        state.wake_waiting();
    }

    fn next_notice(&mut self) -> Option<Notice> {
        None
    }

    fn release(&mut self) {
        let mut state = self.shared.lock();
        if state.outbox.is_empty() {
            state.outbox = Vec::new();
        }
        state.scan = None;
    }
}
