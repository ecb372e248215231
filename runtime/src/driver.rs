//! The one drive loop: write, events, read, time.
//!
//! Time comes last, so that a timer that is due never starves the socket; the clock is asked before the alarm,
//! since a runtime may hold an alarm back. A poll does a bounded amount of work, then yields to others.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::{io, mem};

use enjamb_core::connection::{Budget, Next, Progress, Transmit, Written};
use enjamb_core::{Instant, Now};

use crate::transport::{Timer, Transport};

/// What the loop drives: one side of a connection.
pub(crate) trait Session {
    type Event;

    fn process(&mut self, now: Now, input: &[u8], budget: &mut Budget) -> Progress;
    fn poll_output(&mut self, now: Now) -> Transmit<'_>;
    fn wrote(&mut self, now: Now, written: Written);
    /// How many bytes may be read.
    fn read_budget(&mut self, now: Now) -> usize;
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Now);
    fn handle_eof(&mut self, now: Now);
    fn handle_error(&mut self, now: Now, kind: io::ErrorKind);
    fn poll_event(&mut self) -> Option<Self::Event>;
}

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Bytes written in one turn.
const WRITE: usize = 256 * 1024;

thread_local! {
    // One read buffer a thread: a connection that waits for its peer holds none.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The loop around one session.
pub(crate) struct Driver<T, C: Timer, S: Session> {
    transport: T,
    timer: C,
    pub(crate) session: S,
    /// Input that is not consumed yet, from `start` on.
    input: Vec<u8>,
    start: usize,
    /// There may be events in it.
    unexamined: bool,
    /// What this poll may still do.
    budget: Budget,
    /// The transport may still keep some of what it took.
    unflushed: bool,
    armed: Option<Instant>,
    done: bool,
}

impl<T: Transport, C: Timer, S: Session> Driver<T, C, S> {
    pub(crate) fn new(transport: T, timer: C, session: S) -> Self {
        Self {
            transport,
            timer,
            session,
            input: Vec::new(),
            start: 0,
            unexamined: false,
            budget: Budget::default(),
            unflushed: false,
            armed: None,
            done: false,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.timer.now(), unix: self.timer.unix() }
    }

    /// Drives on until there is an event; `None` once the connection is over.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Event>> {
        while !self.budget.is_spent() {
            if let Some(event) = self.session.poll_event() {
                return Poll::Ready(Some(event));
            }
            if self.done {
                return Poll::Ready(None);
            }
            if !self.turn(cx) {
                self.budget.renew();
                return Poll::Pending;
            }
            self.budget.spend(1);
        }
        self.budget.renew();
        self.timer.yield_now(cx);
        Poll::Pending
    }

    /// Does what can be done once. False: nothing, and nothing can be until the task is woken.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let mut worked = self.write(cx, now);
        worked |= self.process(now);
        worked |= self.read(cx, now);
        worked | self.keep_time(cx, now, !worked)
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut written = 0;
        let mut is_empty = false;
        while written < WRITE && !is_empty {
            match self.session.poll_output(now) {
                Transmit::Bytes(pending) => match self.transport.poll_write(cx, pending) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        // What came meanwhile is for the next turn.
                        is_empty = n == pending.len();
                        self.session.wrote(now, Written::Bytes(n));
                        self.unflushed = true;
                        written += n;
                    }
                    Poll::Ready(result) => {
                        return self.fail(now, result.err().map_or(io::ErrorKind::WriteZero, |e| e.kind()));
                    }
                    Poll::Pending => {
                        self.session.wrote(now, Written::Full);
                        break;
                    }
                },
                Transmit::Shutdown => match self.transport.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => {
                        self.session.wrote(now, Written::Shut);
                        return true;
                    }
                    Poll::Ready(Err(error)) => return self.fail(now, error.kind()),
                    Poll::Pending => return written > 0,
                },
                Transmit::Nothing => is_empty = true,
                Transmit::Done => {
                    self.done = true;
                    return true;
                }
            }
        }
        self.budget.spend_transfer(written);
        if self.unflushed && is_empty {
            match self.transport.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return self.fail(now, error.kind()),
                Poll::Pending => {}
            }
        }
        written > 0
    }

    /// The transport failed.
    fn fail(&mut self, now: Now, kind: io::ErrorKind) -> bool {
        self.session.handle_error(now, kind);
        true
    }

    /// Takes events from the input that is left.
    fn process(&mut self, now: Now) -> bool {
        if !self.unexamined {
            return false;
        }
        let mut input = mem::take(&mut self.input);
        let progress = self.take_events(now, &input[self.start..]);
        self.start += progress.consumed;
        if self.start == input.len() {
            input.clear();
            self.start = 0;
        } else if self.start > READ {
            input.drain(..self.start);
            self.start = 0;
        }
        self.input = input;
        progress.consumed > 0 || progress.next != Next::Room
    }

    fn take_events(&mut self, now: Now, input: &[u8]) -> Progress {
        let progress = self.session.process(now, input, &mut self.budget);
        self.unexamined = progress.next != Next::Input;
        progress
    }

    /// Reads, if there is room and budget, and takes events from what came.
    fn read(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let allowed = self.session.read_budget(now);
        if allowed == 0 {
            return false;
        }
        let mut scratch = SCRATCH.take();
        scratch.resize(READ, 0);
        let result = self.transport.poll_read(cx, &mut scratch[..READ.min(allowed)]);
        let worked = match result {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => {
                self.budget.spend_transfer(n);
                self.take_input(now, &scratch[..n]);
                true
            }
            // Of what is wrapped, an end without a farewell is an end all the same: whether the peer had more to
            // say is told by the stream's own closing tag.
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                self.fail(now, error.kind())
            }
            Poll::Ready(_) => {
                self.session.handle_eof(now);
                true
            }
        };
        SCRATCH.set(scratch);
        worked
    }

    fn take_input(&mut self, now: Now, bytes: &[u8]) {
        if self.start < self.input.len() {
            self.input.extend_from_slice(bytes);
            self.unexamined = true;
            self.process(now);
            return;
        }
        // Nothing is left over: events are taken from the read buffer itself.
        let consumed = self.take_events(now, bytes).consumed;
        self.input.clear();
        self.start = 0;
        self.input.extend_from_slice(&bytes[consumed..]);
    }

    /// Handles what is due. If the task is about to park, arms the alarm for what is next.
    fn keep_time(&mut self, cx: &mut Context<'_>, now: Now, parking: bool) -> bool {
        let Some(at) = self.session.poll_timeout() else { return false };
        if at <= now.monotonic {
            self.session.handle_timeout(now);
            if parking && self.input.is_empty() {
                // As a session does once it is idle.
                self.input = Vec::new();
            }
            return true;
        }
        // An alarm that is set for an earlier time is left alone.
        let at = self.armed.filter(|&armed| armed <= at).unwrap_or(at);
        if !parking {
            return false;
        }
        self.armed = Some(at);
        let is_over = self.timer.poll_at(cx, at).is_ready();
        if is_over {
            self.armed = None;
        }
        is_over
    }
}

impl<T, C: Timer, S: Session> Drop for Driver<T, C, S> {
    /// A connection that is dropped before its end leaves nothing behind, and loses nothing silently.
    fn drop(&mut self) {
        if !self.done {
            let now = Now { monotonic: self.timer.now(), unix: self.timer.unix() };
            self.session.handle_error(now, io::ErrorKind::ConnectionAborted);
            // What is left to do is due at once, and done in one piece: nobody polls any more.
            while self.session.poll_timeout().is_some_and(|at| at <= now.monotonic) {
                self.session.handle_timeout(now);
            }
        }
    }
}
