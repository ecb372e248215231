//! The one drive loop: events, write, read, time.
//!
//! Time comes last, so that a timer that is due never starves the socket; the clock is asked before the alarm,
//! since a runtime may hold an alarm back. A poll does a bounded amount of work, then yields to others.

use core::cell::Cell;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use super::outgoing::Outgoing;
use super::session::Notice;
use super::transport::{Timer, Transport};
use crate::limits::Limits;
use crate::time::Instant;

/// What the loop drives.
pub(super) trait Session {
    /// Takes at most one event from `input`.
    fn process(&mut self, cx: &Context<'_>, now: Instant, input: &[u8], out: &mut Vec<u8>) -> Progress;
    /// No more events for now.
    fn end_batch(&mut self);
    /// Takes what others send, and their orders; not called once the stream is over.
    fn collect(&mut self, cx: &Context<'_>, now: Instant, outgoing: &mut Outgoing);
    /// How much is still to be written, and whether the socket takes no more.
    fn note_socket(&mut self, outgoing: &Outgoing, full: bool);
    fn wrote(&mut self, now: Instant);
    /// How many bytes may be read; 0: none before `tokens_at`.
    fn read_budget(&mut self, now: Instant) -> usize;
    /// When there is a budget again.
    fn tokens_at(&self) -> Option<Instant>;
    /// When a stanza that waits for room is to be offered again, at the latest.
    fn retry_at(&self) -> Option<Instant>;
    fn read(&mut self, n: usize);
    /// So much of what was read is kept, as it is not whole or waits.
    fn keep(&mut self, n: usize, out: &mut Vec<u8>);
    fn set_reading(&mut self, now: Instant, reading: bool);
    fn handle_eof(&mut self, out: &mut Vec<u8>);
    fn poll_timeout(&self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>);
    /// The stream is over: what is written is brought out, and nothing else happens.
    fn is_ended(&self) -> bool;
    fn limits(&self) -> &Limits;
    /// How long nothing happens before memory is given back.
    fn hibernate_after(&self) -> Duration;
    fn broke(&mut self, kind: io::ErrorKind);
    /// Nothing more will be written.
    fn finish(&mut self, now: Instant, outgoing: &Outgoing);
    fn next_notice(&mut self) -> Option<Notice>;
    /// Gives memory back, while idle.
    fn release(&mut self);
}

/// What one call of `process` did, with the bytes consumed.
pub(super) enum Progress {
    /// There may be more in what is left.
    More(usize),
    /// What is left is examined.
    NeedInput(usize),
    /// What is left waits until the task is woken.
    Blocked(usize),
}

/// Work that one poll may do before the task yields to others: a turn of the loop, an event, and 8 KiB read or
/// written are one each. It bounds how long others wait for one that floods: some 50 µs.
const SHARE: u16 = 96;
/// Bytes of own output that count as an event, too.
const ANSWER: usize = 1024;
/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Bytes written in one turn.
const WRITE: usize = 256 * 1024;
/// Own output, such as errors, over which nothing is read.
const OWN_MARK: usize = 64 * 1024;

thread_local! {
    // One read buffer a thread: a connection that waits for its peer holds none.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The loop around one session.
pub(super) struct Driver<T, C: Timer, S: Session> {
    transport: T,
    timer: C,
    pub(super) session: S,
    /// Input that is not consumed yet, from `start` on.
    input: Vec<u8>,
    start: usize,
    state: Input,
    reading: bool,
    /// Reading waits for the session's budget, and for nothing else.
    wants_tokens: bool,
    outgoing: Outgoing,
    /// What this poll may still do, of [`SHARE`].
    share: u16,
    /// The transport may still keep some of what it took.
    unflushed: bool,
    phase: Phase,
    /// The session was told that nothing more will be written.
    finished: bool,
    armed: Option<Instant>,
    /// When to give memory back, if nothing happens before.
    idle_at: Option<Instant>,
    /// What the negotiation took is not given back yet.
    has_leftovers: bool,
}

/// What is known of the input that is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// There is nothing in it without more.
    Examined,
    /// There may be events in it.
    Unexamined,
    /// Its first stanza waits for room.
    Blocked,
}

enum Phase {
    Running,
    /// The stream is over; the rest is written by then.
    Flushing(Instant),
    /// Our side is shut; so many bytes more are read and thrown away by then.
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
    pub(super) fn new(transport: T, timer: C, session: S) -> Self {
        Self {
            transport,
            timer,
            session,
            input: Vec::new(),
            start: 0,
            state: Input::Examined,
            reading: true,
            wants_tokens: false,
            outgoing: Outgoing::default(),
            share: SHARE,
            unflushed: false,
            phase: Phase::Running,
            finished: false,
            armed: None,
            idle_at: None,
            has_leftovers: false,
        }
    }

    /// Drives on until there is something for the log; `None` once the connection is closed.
    pub(super) fn poll_notice(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        while self.share > 0 {
            if let Some(notice) = self.session.next_notice() {
                self.has_leftovers |= matches!(notice, Notice::Bound { .. });
                return Poll::Ready(Some(notice));
            }
            let turn = match self.phase {
                Phase::Running => self.run(cx),
                Phase::Flushing(deadline) => self.flush(cx, deadline),
                Phase::Lingering(deadline, left) => self.linger(cx, deadline, left),
                Phase::Done => return Poll::Ready(None),
            };
            if matches!(turn, Turn::Parked) {
                self.share = SHARE;
                return Poll::Pending;
            }
            self.spend(1);
        }
        self.share = SHARE;
        self.timer.yield_now(cx);
        Poll::Pending
    }

    fn spend(&mut self, work: usize) {
        self.share = self.share.saturating_sub(u16::try_from(work).unwrap_or(u16::MAX));
    }

    fn spend_bytes(&mut self, bytes: usize) {
        self.spend(bytes / 8192);
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Turn {
        let now = self.timer.now();
        self.session.collect(cx, now, &mut self.outgoing);
        let mut worked = self.process(cx, now);
        worked |= self.write(cx, now);
        if !self.session.is_ended() {
            worked |= self.fill(cx, now);
        }
        if !self.session.is_ended() {
            worked |= self.keep_time(cx, now, !worked);
        }
        if self.session.is_ended() {
            self.phase = Phase::Flushing(now + self.session.limits().flush);
            self.armed = None;
            return Turn::Worked;
        }
        if worked { Turn::Worked } else { Turn::Parked }
    }

    /// There is room for what the session itself may have to say.
    fn may_answer(&self) -> bool {
        self.outgoing.own() <= OWN_MARK
    }

    /// Takes events from the input that is left.
    fn process(&mut self, cx: &Context<'_>, now: Instant) -> bool {
        if self.state == Input::Examined || !self.may_answer() || self.session.is_ended() {
            return false;
        }
        let was_blocked = self.state == Input::Blocked;
        let mut input = core::mem::take(&mut self.input);
        let consumed = self.take_events(cx, now, &input[self.start..]);
        self.start += consumed;
        if self.start == input.len() {
            input.clear();
            self.start = 0;
        } else if self.start > READ {
            input.drain(..self.start);
            self.start = 0;
        }
        self.input = input;
        self.note_input();
        consumed > 0 || (was_blocked && self.state != Input::Blocked)
    }

    fn take_events(&mut self, cx: &Context<'_>, now: Instant, input: &[u8]) -> usize {
        let mut consumed = 0;
        self.state = Input::Unexamined;
        while self.share > 0 {
            self.spend(1);
            let Self { session, outgoing, .. } = self;
            let own = outgoing.own();
            let progress = outgoing.append(|out| session.process(cx, now, &input[consumed..], out));
            // A long answer, such as a host's list of all components, takes as long as the events of some reads.
            let answered = outgoing.own() - own;
            self.spend(answered / ANSWER);
            match progress {
                Progress::More(n) => consumed += n,
                Progress::NeedInput(n) => {
                    consumed += n;
                    self.state = Input::Examined;
                }
                Progress::Blocked(n) => {
                    consumed += n;
                    self.state = Input::Blocked;
                }
            }
            if self.state != Input::Unexamined || !self.may_answer() {
                break;
            }
        }
        self.session.end_batch();
        consumed
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut written = 0;
        while !self.outgoing.is_empty() && written < WRITE {
            match self.transport.poll_write(cx, self.outgoing.pending()) {
                Poll::Ready(Ok(0)) => self.session.broke(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(n)) => {
                    self.outgoing.advance(n);
                    self.session.wrote(now);
                    self.unflushed = true;
                    written += n;
                    continue;
                }
                Poll::Ready(Err(error)) => self.session.broke(error.kind()),
                Poll::Pending => {
                    self.session.note_socket(&self.outgoing, true);
                    break;
                }
            }
            // Broken: what is left can't be written.
            return true;
        }
        self.spend_bytes(written);
        if self.unflushed && self.outgoing.is_empty() {
            match self.transport.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => {
                    self.session.broke(error.kind());
                    return true;
                }
                Poll::Pending => {}
            }
        }
        written > 0
    }

    /// Reads, if there is room and budget, and takes events from what came.
    fn fill(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let may_read = self.state == Input::Examined && self.may_answer();
        let budget = if may_read { self.session.read_budget(now) } else { 0 };
        self.wants_tokens = may_read && budget == 0;
        if self.reading != (budget > 0) {
            self.reading = budget > 0;
            self.session.set_reading(now, self.reading);
        }
        if budget == 0 {
            return false;
        }
        let mut scratch = SCRATCH.take();
        scratch.resize(READ, 0);
        let result = self.transport.poll_read(cx, &mut scratch[..READ.min(budget)]);
        let worked = match result {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => {
                self.session.read(n);
                self.spend_bytes(n);
                self.take_input(cx, now, &scratch[..n]);
                self.note_input();
                true
            }
            // Of what is wrapped, an end without a farewell is an end all the same: whether the peer had more to
            // say is told by the stream's own closing tag.
            Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                self.session.broke(error.kind());
                true
            }
            Poll::Ready(_) => {
                let Self { session, outgoing, .. } = self;
                outgoing.append(|out| session.handle_eof(out));
                true
            }
        };
        SCRATCH.set(scratch);
        worked
    }

    fn take_input(&mut self, cx: &Context<'_>, now: Instant, bytes: &[u8]) {
        if self.start < self.input.len() {
            self.input.extend_from_slice(bytes);
            self.state = Input::Unexamined;
            self.process(cx, now);
            return;
        }
        // Nothing is left over: events are taken from the read buffer itself.
        let consumed = self.take_events(cx, now, bytes);
        self.input.clear();
        self.start = 0;
        self.input.extend_from_slice(&bytes[consumed..]);
    }

    fn note_input(&mut self) {
        if self.state != Input::Examined {
            // Whole stanzas may be among it, and nothing more is read before they are taken.
            return;
        }
        let kept = self.input.len() - self.start;
        let Self { session, outgoing, .. } = self;
        outgoing.append(|out| session.keep(kept, out));
    }

    /// Handles what is due and arms the alarm for what is next, if the task is about to park.
    fn keep_time(&mut self, cx: &mut Context<'_>, now: Instant, parking: bool) -> bool {
        let retry_at = self.session.retry_at().filter(|_| self.state == Input::Blocked && self.may_answer());
        let tokens_at = self.session.tokens_at().filter(|_| self.wants_tokens);
        let due = [self.session.poll_timeout(), retry_at, tokens_at].into_iter().flatten().min();
        if due.is_some_and(|at| at <= now) {
            let Self { session, outgoing, .. } = self;
            outgoing.append(|out| session.handle_timeout(now, out));
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
    fn idle(&mut self, now: Instant) -> Option<Instant> {
        if self.has_leftovers && self.outgoing.is_empty() {
            // At once: between the lasting memory of the next connections it would leave gaps that nobody fills.
            self.has_leftovers = false;
            self.release();
        }
        match self.idle_at {
            None => self.idle_at = Some(now + self.session.hibernate_after().max(Duration::from_secs(1))),
            Some(at) if at <= now => {
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
        self.outgoing.release();
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
        let now = self.timer.now();
        let result = loop {
            if self.outgoing.is_empty() {
                break self.transport.poll_shutdown(cx).map_err(drop);
            }
            match self.transport.poll_write(cx, self.outgoing.pending()) {
                Poll::Ready(Ok(n)) if n > 0 => self.outgoing.advance(n),
                Poll::Ready(_) => break Poll::Ready(Err(())),
                Poll::Pending => break Poll::Pending,
            }
        };
        match result {
            Poll::Pending if now < deadline => {
                return if self.arm(cx, deadline) { Turn::Worked } else { Turn::Parked };
            }
            Poll::Ready(Ok(())) => {
                let limits = self.session.limits();
                let bytes = u32::try_from(limits.linger_bytes).unwrap_or(u32::MAX);
                self.phase = Phase::Lingering(now + limits.linger, bytes);
            }
            Poll::Pending | Poll::Ready(Err(())) => self.phase = Phase::Done,
        }
        self.armed = None;
        self.finished = true;
        self.session.finish(now, &self.outgoing);
        Turn::Worked
    }

    /// Reads on a little: closing with unread input would make TCP take back our last words.
    fn linger(&mut self, cx: &mut Context<'_>, deadline: Instant, left: u32) -> Turn {
        let mut scratch = SCRATCH.take();
        scratch.resize(READ, 0);
        let result = self.transport.poll_read(cx, &mut scratch[..READ.min(left.max(1) as usize)]);
        SCRATCH.set(scratch);
        match result {
            Poll::Ready(Ok(n)) if n > 0 && n < left as usize => {
                self.spend_bytes(n);
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
        if !self.finished {
            self.session.broke(io::ErrorKind::ConnectionAborted);
            self.session.finish(self.timer.now(), &self.outgoing);
        }
    }
}
