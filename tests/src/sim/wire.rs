//! A connection: two pipes with room for N bytes, a latency, and a habit of cutting.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use enjamb_runtime::Transport;

use super::clock::{Clock, Event};
use super::pipe::Pipe;
use super::random::Random;

/// What a connection is like.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Bytes that fit between a writer and a reader who does not read.
    pub capacity: usize,
    /// Time that each byte takes.
    pub latency: Duration,
    /// The most bytes that one read or write moves, at random; 0: as many as there are.
    pub cut: usize,
    /// How late the server's alarms are.
    pub late: Duration,
}

impl Default for Wire {
    fn default() -> Self {
        Self { capacity: 64 * 1024, latency: Duration::ZERO, cut: 0, late: Duration::ZERO }
    }
}

fn broken(kind: io::ErrorKind) -> Poll<io::Result<usize>> {
    Poll::Ready(Err(kind.into()))
}

/// One end of a connection.
pub struct SimTransport {
    input: Rc<RefCell<Pipe>>,
    output: Rc<RefCell<Pipe>>,
    clock: Rc<Clock>,
    cut: usize,
    random: Random,
}

impl SimTransport {
    /// Both ends of a connection.
    pub(crate) fn pair(clock: &Rc<Clock>, wire: &Wire, random: &mut Random) -> (Self, Self) {
        let pipe = || {
            let (capacity, latency) = (wire.capacity, wire.latency);
            Rc::new(RefCell::new(Pipe { capacity, latency, ..Pipe::default() }))
        };
        let (there, back) = (pipe(), pipe());
        let mut end = |input: &Rc<RefCell<Pipe>>, output: &Rc<RefCell<Pipe>>| Self {
            input: Rc::clone(input),
            output: Rc::clone(output),
            clock: Rc::clone(clock),
            cut: wire.cut,
            random: random.fork(),
        };
        (end(&there, &back), end(&back, &there))
    }

    /// The direction in which this end writes, and that in which it reads.
    pub(super) fn pipes(&self) -> (Rc<RefCell<Pipe>>, Rc<RefCell<Pipe>>) {
        (Rc::clone(&self.output), Rc::clone(&self.input))
    }

    fn piece(&mut self, most: usize) -> usize {
        if self.cut == 0 { most } else { most.min(1 + self.random.below(self.cut)) }
    }
}

impl Transport for SimTransport {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        assert!(!buffer.is_empty(), "a read into nothing looks like the end");
        let input = Rc::clone(&self.input);
        let mut pipe = input.borrow_mut();
        let now = self.clock.now();
        while pipe.travelling.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, bytes)) = pipe.travelling.pop_front() {
                pipe.readable.extend(bytes);
            }
        }
        if pipe.reset {
            self.clock.cause();
            return broken(io::ErrorKind::ConnectionReset);
        }
        if pipe.readable.is_empty() {
            if pipe.travelling.is_empty() && pipe.shut_at.is_some_and(|at| at <= now) {
                self.clock.cause();
                return Poll::Ready(Ok(0));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = self.piece(buffer.len().min(pipe.readable.len()));
        for (place, byte) in buffer.iter_mut().zip(pipe.readable.drain(..n)) {
            *place = byte;
        }
        pipe.held -= n;
        pipe.reads.push((now, n));
        pipe.wake_writer();
        self.clock.cause();
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!bytes.is_empty(), "there is nothing to write");
        let output = Rc::clone(&self.output);
        let mut pipe = output.borrow_mut();
        assert!(pipe.shut_at.is_none(), "nothing is written to a side that was shut");
        if pipe.reset {
            self.clock.cause();
            return broken(io::ErrorKind::BrokenPipe);
        }
        let room = pipe.capacity - pipe.held;
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = self.piece(bytes.len().min(room));
        pipe.held += n;
        pipe.writes += 1;
        if !pipe.dead {
            let at = self.clock.now() + pipe.latency;
            pipe.travelling.push_back((at, bytes[..n].to_vec()));
            if pipe.latency.is_zero() {
                pipe.wake_reader();
            } else {
                self.clock.at(at, Event::Arrive(Rc::clone(&output)));
            }
        }
        self.clock.cause();
        Poll::Ready(Ok(n))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.output.borrow_mut();
        if pipe.shut_at.is_none() && !pipe.dead {
            let at = self.clock.now() + pipe.latency;
            pipe.shut_at = Some(at);
            self.clock.at(at, Event::Arrive(Rc::clone(&self.output)));
        }
        self.clock.cause();
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimTransport {
    /// As a kernel does it: an end to what was sent, and a reset if the other side had more to say.
    fn drop(&mut self) {
        let unread = {
            let mut input = self.input.borrow_mut();
            let unread = input.held > 0;
            input.reset();
            unread
        };
        let mut output = self.output.borrow_mut();
        if output.dead {
            return;
        }
        if unread && output.shut_at.is_none() {
            output.reset();
        } else if output.shut_at.is_none() {
            let at = self.clock.now() + output.latency;
            output.shut_at = Some(at);
            self.clock.at(at, Event::Arrive(Rc::clone(&self.output)));
        }
    }
}
