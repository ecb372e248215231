//! A scripted component: it sends what it is told, and reads or not as it is told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use enjamb_runtime::Transport;

use super::clock::Clock;
use super::pipe::Pipe;
use super::received::Stream;
use super::wire::SimTransport;
use super::worker::{Work, Worker};

struct State {
    transport: Option<SimTransport>,
    backlog: VecDeque<u8>,
    shut: bool,
    /// It has shut its side: what it is told to send goes nowhere.
    has_shut: bool,
    /// Bytes that it reads before it stops.
    appetite: usize,
    received: Vec<u8>,
    /// When how many bytes came.
    arrivals: Vec<(Duration, usize)>,
    eof: bool,
    error: Option<io::ErrorKind>,
}

/// The handle that a test holds.
#[derive(Clone)]
pub struct Peer {
    state: Worker<State>,
    pipes: (Rc<RefCell<Pipe>>, Rc<RefCell<Pipe>>),
}

impl Peer {
    /// The handle, and the task that moves its bytes.
    pub(super) fn new(
        transport: SimTransport,
        clock: &Rc<Clock>,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let pipes = transport.pipes();
        let state = State {
            transport: Some(transport),
            backlog: VecDeque::new(),
            shut: false,
            has_shut: false,
            appetite: usize::MAX,
            received: Vec::new(),
            arrivals: Vec::new(),
            eof: false,
            error: None,
        };
        let (state, task) = Worker::new(state, clock);
        (Self { state, pipes }, task)
    }

    /// Sends these bytes, as fast as the wire takes them.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.state.change(|state| state.backlog.extend(bytes.as_ref()));
    }

    /// Reads on, or stops reading.
    pub fn set_reading(&self, reading: bool) {
        self.state.change(|state| state.appetite = if reading { usize::MAX } else { 0 });
    }

    /// Reads this many bytes more, then stops.
    pub fn read_only(&self, bytes: usize) {
        self.state.change(|state| state.appetite = bytes);
    }

    /// Shuts its sending side once all is sent.
    pub fn shut(&self) {
        self.state.change(|state| state.shut = true);
    }

    /// Lets go of the connection at once, as a program that dies.
    pub fn drop_connection(&self) {
        let transport = self.state.change(|state| state.transport.take());
        drop(transport);
    }

    /// Resets the connection.
    pub fn reset(&self) {
        self.pipes.0.borrow_mut().reset();
        self.pipes.1.borrow_mut().reset();
        self.drop_connection();
    }

    /// From now on the path swallows everything, both ways.
    pub fn vanish(&self) {
        self.pipes.0.borrow_mut().dead = true;
        self.pipes.1.borrow_mut().dead = true;
    }

    /// Bytes that it has not got rid of.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.state.borrow().backlog.len()
    }

    /// All that it has read.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.state.borrow().received.clone()
    }

    /// The same as text.
    ///
    /// # Panics
    /// It is no UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.received()).expect("the server sends UTF-8")
    }

    /// When how many bytes came.
    #[must_use]
    pub fn arrivals(&self) -> Vec<(Duration, usize)> {
        self.state.borrow().arrivals.clone()
    }

    /// How often the server has written.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.pipes.1.borrow().writes
    }

    /// When the server read how many bytes.
    #[must_use]
    pub fn taken(&self) -> Vec<(Duration, usize)> {
        self.pipes.0.borrow().reads.clone()
    }

    /// The server has shut its side, or reset the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.eof || state.error.is_some()
    }

    /// The server shut its side in good order.
    #[must_use]
    pub fn saw_eof(&self) -> bool {
        self.state.borrow().eof
    }

    /// What it got, strictly parsed.
    ///
    /// # Panics
    /// It is no stream.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::parse(&self.text())
    }
}

impl Work for State {
    fn work(&mut self, cx: &mut Context<'_>, clock: &Clock) {
        let Some(transport) = &mut self.transport else { return };
        if self.has_shut {
            self.backlog.clear();
        }
        while !self.backlog.is_empty() && self.error.is_none() {
            match transport.poll_write(cx, self.backlog.make_contiguous()) {
                Poll::Ready(Ok(n)) => drop(self.backlog.drain(..n)),
                // What was sent is lost; what came before may still be read.
                Poll::Ready(Err(_)) => self.backlog.clear(),
                Poll::Pending => break,
            }
        }
        if self.shut && !self.has_shut && self.backlog.is_empty() {
            self.has_shut = true;
            let _ = transport.poll_shutdown(cx);
        }
        let mut buffer = [0; 8192];
        while self.appetite > 0 && !self.eof && self.error.is_none() {
            let most = buffer.len().min(self.appetite);
            match transport.poll_read(cx, &mut buffer[..most]) {
                Poll::Ready(Ok(0)) => self.eof = true,
                Poll::Ready(Ok(n)) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    self.arrivals.push((clock.now(), n));
                    if self.appetite != usize::MAX {
                        self.appetite -= n;
                    }
                }
                Poll::Ready(Err(error)) => self.error = Some(error.kind()),
                Poll::Pending => break,
            }
        }
    }
}
