//! The one drive loop: write, events, read, time.
//!
//! Time comes last, so that a timer that is due never starves the socket; the clock is asked before the alarm,
//! since a runtime may hold an alarm back. A poll does a bounded amount of work, then yields to others.

use std::cell::Cell;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, mem};

use enjamb_core::connection::{Budget, ConnectionEvent, Progress};
use enjamb_core::{Instant, Limits, Now};

use crate::transport::{Timer, Transport};

/// What the loop drives: one side of a connection.
pub(crate) trait Session {
    /// Has the task woken when others leave something for it.
    fn register(&mut self, cx: &Context<'_>);
    fn process(&mut self, now: Now, input: &[u8], budget: &mut Budget) -> Progress;
    fn poll_output(&mut self, now: Now) -> &[u8];
    /// That much was written; 0: the transport takes none at the moment.
    fn wrote(&mut self, now: Now, n: usize);
    /// How many bytes may be read.
    fn read_budget(&mut self, now: Now) -> usize;
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Now);
    fn handle_eof(&mut self);
    fn handle_error(&mut self, kind: io::ErrorKind);
    /// The stream is over: what is left is written, and nothing else happens.
    fn is_closed(&self) -> bool;
    /// Nothing more will be written.
    fn finish(&mut self, now: Now);
    fn poll_event(&mut self) -> Option<ConnectionEvent>;
    fn limits(&self) -> &Limits;
    /// How long nothing happens before memory is given back.
    fn hibernate_after(&self) -> Duration;
    fn release(&mut self);
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
    phase: Phase,
    armed: Option<Instant>,
    /// When to give memory back, if nothing happens before.
    idle_at: Option<Instant>,
    /// What the negotiation took is not given back yet.
    has_leftovers: bool,
}

enum Phase {
    Running,
    /// The transport failed: nothing more can be written.
    Broken,
    /// The stream is over; the rest is written by then.
    Flushing(Instant),
    /// Our side is shut; that many more bytes are read and thrown away by then.
    Lingering(Instant, u32),
    Done,
}

/// What a turn did.
enum Turn {
    /// Something: take another.
    Worked,
    /// Nothing is left to do until the task is woken.
    Parked,
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
            phase: Phase::Running,
            armed: None,
            idle_at: None,
            has_leftovers: false,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.timer.now(), unix: self.timer.unix() }
    }

    /// Drives on until there is an event; `None` once the connection is closed.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        self.session.register(cx);
        while !self.budget.is_spent() {
            if let Some(event) = self.session.poll_event() {
                self.has_leftovers |= matches!(event, ConnectionEvent::Bound { .. });
                return Poll::Ready(Some(event));
            }
            let turn = match self.phase {
                Phase::Running => self.run(cx),
                Phase::Broken => self.finish(Phase::Done),
                Phase::Flushing(deadline) => self.flush(cx, deadline),
                Phase::Lingering(deadline, left) => self.linger(cx, deadline, left),
                Phase::Done => return Poll::Ready(None),
            };
            if matches!(turn, Turn::Parked) {
                self.budget = Budget::default();
                return Poll::Pending;
            }
            self.budget.spend(1);
        }
        self.budget = Budget::default();
        self.timer.yield_now(cx);
        Poll::Pending
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Turn {
        let now = self.now();
        let mut worked = self.write(cx, now);
        worked |= self.process(now);
        if !self.session.is_closed() {
            worked |= self.read(cx, now);
        }
        if !self.session.is_closed() {
            worked |= self.keep_time(cx, now, !worked);
        }
        if self.session.is_closed() {
            if matches!(self.phase, Phase::Running) {
                self.phase = Phase::Flushing(now.monotonic + self.session.limits().flush);
                self.armed = None;
            }
            return Turn::Worked;
        }
        if worked { Turn::Worked } else { Turn::Parked }
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let mut written = 0;
        let mut is_empty = false;
        while written < WRITE {
            let pending = self.session.poll_output(now);
            let length = pending.len();
            if length == 0 {
                is_empty = true;
                break;
            }
            match self.transport.poll_write(cx, pending) {
                Poll::Ready(Ok(0)) => self.fail(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(n)) => {
                    self.session.wrote(now, n);
                    self.unflushed = true;
                    written += n;
                    // What came meanwhile is for the next turn.
                    is_empty = n == length;
                    if is_empty {
                        break;
                    }
                    continue;
                }
                Poll::Ready(Err(error)) => self.fail(error.kind()),
                Poll::Pending => {
                    self.session.wrote(now, 0);
                    break;
                }
            }
            // Broken: what is left can't be written.
            return true;
        }
        self.budget.spend_transfer(written);
        if self.unflushed && is_empty {
            match self.transport.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => {
                    self.fail(error.kind());
                    return true;
                }
                Poll::Pending => {}
            }
        }
        written > 0
    }

    /// The transport failed.
    fn fail(&mut self, kind: io::ErrorKind) {
        self.session.handle_error(kind);
        self.phase = Phase::Broken;
    }

    /// Nothing more will be written.
    fn finish(&mut self, next: Phase) -> Turn {
        self.armed = None;
        self.phase = next;
        self.session.finish(self.now());
        Turn::Worked
    }

    /// Takes events from the input that is left.
    fn process(&mut self, now: Now) -> bool {
        if !self.unexamined || self.session.is_closed() {
            return false;
        }
        let mut input = mem::take(&mut self.input);
        let progress = self.take_events(now, &input[self.start..]);
        let consumed = progress.consumed();
        self.start += consumed;
        if self.start == input.len() {
            input.clear();
            self.start = 0;
        } else if self.start > READ {
            input.drain(..self.start);
            self.start = 0;
        }
        self.input = input;
        consumed > 0 || !matches!(progress, Progress::Blocked(_))
    }

    fn take_events(&mut self, now: Now, input: &[u8]) -> Progress {
        let progress = self.session.process(now, input, &mut self.budget);
        self.unexamined = !matches!(progress, Progress::NeedInput(_));
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
                self.fail(error.kind());
                true
            }
            Poll::Ready(_) => {
                self.session.handle_eof();
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
        let consumed = self.take_events(now, bytes).consumed();
        self.input.clear();
        self.start = 0;
        self.input.extend_from_slice(&bytes[consumed..]);
    }

    /// Handles what is due and arms the alarm for what is next, if the task is about to park.
    fn keep_time(&mut self, cx: &mut Context<'_>, now: Now, parking: bool) -> bool {
        let due = self.session.poll_timeout();
        if due.is_some_and(|at| at <= now.monotonic) {
            self.session.handle_timeout(now);
            return true;
        }
        if !parking {
            self.idle_at = None;
            return false;
        }
        let idle_at = self.idle(now);
        match [due, idle_at].into_iter().flatten().min() {
            Some(at) => self.arm(cx, at),
            None => false,
        }
    }

    /// Gives memory back once idle for long enough; says when that will be.
    fn idle(&mut self, now: Now) -> Option<Instant> {
        if self.has_leftovers {
            // At once: between the lasting memory of the next connections it would leave gaps that nobody fills.
            self.has_leftovers = false;
            self.release();
        }
        match self.idle_at {
            None => {
                let after = self.session.hibernate_after().max(Duration::from_secs(1));
                self.idle_at = Some(now.monotonic + after);
            }
            Some(at) if at <= now.monotonic => {
                self.release();
                // Not again before something happens.
                self.idle_at = Some(Instant::from_origin(Duration::MAX));
                return None;
            }
            Some(_) => {}
        }
        self.idle_at.filter(|&at| at < Instant::from_origin(Duration::MAX))
    }

    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        self.session.release();
    }

    /// Wants to be woken at `at`, or earlier: an alarm that is set for an earlier time is left alone.
    fn arm(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        let at = self.armed.filter(|&armed| armed <= at).unwrap_or(at);
        self.armed = Some(at);
        if self.timer.poll_at(cx, at).is_ready() {
            self.armed = None;
            return true;
        }
        false
    }

    /// Brings out what is written, then shuts our side.
    fn flush(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Turn {
        let now = self.now();
        let result = loop {
            let pending = self.session.poll_output(now);
            if pending.is_empty() {
                break self.transport.poll_shutdown(cx).map_err(drop);
            }
            match self.transport.poll_write(cx, pending) {
                Poll::Ready(Ok(n)) if n > 0 => self.session.wrote(now, n),
                Poll::Ready(_) => break Poll::Ready(Err(())),
                Poll::Pending => break Poll::Pending,
            }
        };
        match result {
            Poll::Pending if now.monotonic < deadline => {
                if self.arm(cx, deadline) {
                    Turn::Worked
                } else {
                    Turn::Parked
                }
            }
            Poll::Ready(Ok(())) => {
                let limits = self.session.limits();
                let bytes = u32::try_from(limits.linger_bytes).unwrap_or(u32::MAX);
                self.finish(Phase::Lingering(now.monotonic + limits.linger, bytes))
            }
            Poll::Pending | Poll::Ready(Err(())) => self.finish(Phase::Done),
        }
    }

    /// Reads on a little: closing with unread input would make TCP take back our last words.
    fn linger(&mut self, cx: &mut Context<'_>, deadline: Instant, left: u32) -> Turn {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ, 0);
        let result = self.transport.poll_read(cx, &mut scratch[..READ.min(left.max(1) as usize)]);
        SCRATCH.set(scratch);
        match result {
            Poll::Ready(Ok(n)) if n > 0 && n < left as usize => {
                self.budget.spend_transfer(n);
                self.phase = Phase::Lingering(deadline, left - n as u32);
            }
            Poll::Pending if self.timer.now() < deadline => {
                return if self.arm(cx, deadline) { Turn::Worked } else { Turn::Parked };
            }
            Poll::Ready(_) | Poll::Pending => self.phase = Phase::Done,
        }
        Turn::Worked
    }
}

impl<T, C: Timer, S: Session> Drop for Driver<T, C, S> {
    /// A connection that is dropped before its end leaves nothing behind, and loses nothing silently.
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Running | Phase::Broken | Phase::Flushing(_)) {
            self.session.handle_error(io::ErrorKind::ConnectionAborted);
            self.session.finish(Now { monotonic: self.timer.now(), unix: self.timer.unix() });
        }
    }
}
