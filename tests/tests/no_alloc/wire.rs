//! A connection's other end, in memory: what was sent to it, and what comes next.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use enjamb_core::Instant;
use enjamb_runtime::{Timer, Transport};

/// The other end.
#[derive(Default)]
pub(crate) struct Far {
    /// What it sends, and how much of it was read.
    input: RefCell<Vec<u8>>,
    read: Cell<usize>,
    /// The most that one read gives.
    pub(crate) cut: Cell<usize>,
    /// What it got.
    pub(crate) got: RefCell<Vec<u8>>,
    /// It takes nothing for the moment.
    pub(crate) is_stuck: Cell<bool>,
}

impl Far {
    pub(crate) fn new() -> Rc<Self> {
        let far = Self { cut: Cell::new(usize::MAX), ..Self::default() };
        // Room for whatever the tests send: what it takes is not counted with what the loop takes.
        far.got.borrow_mut().reserve(4 << 20);
        far.input.borrow_mut().reserve(4 << 20);
        Rc::new(far)
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut input = self.input.borrow_mut();
        if self.read.get() == input.len() {
            input.clear();
            self.read.set(0);
        }
        input.extend_from_slice(bytes);
    }

    pub(crate) fn has_sent_all(&self) -> bool {
        self.read.get() == self.input.borrow().len()
    }
}

/// This end.
pub(crate) struct Near(pub(crate) Rc<Far>);

impl Transport for Near {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let (input, read) = (self.0.input.borrow(), self.0.read.get());
        let n = (input.len() - read).min(buffer.len()).min(self.0.cut.get());
        if n == 0 {
            return Poll::Pending;
        }
        buffer[..n].copy_from_slice(&input[read..read + n]);
        self.0.read.set(read + n);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.0.is_stuck.get() {
            return Poll::Pending;
        }
        self.0.got.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A clock that the test turns, and an alarm that never rings.
#[derive(Clone)]
pub(crate) struct Clock(pub(crate) Rc<Cell<Instant>>);

impl Default for Clock {
    fn default() -> Self {
        Self(Rc::new(Cell::new(Instant::ORIGIN)))
    }
}

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.0.get()
    }

    fn unix(&self) -> Duration {
        Duration::ZERO
    }

    fn poll_at(&mut self, _: &mut Context<'_>, at: Instant) -> Poll<()> {
        if at <= self.now() { Poll::Ready(()) } else { Poll::Pending }
    }
}
