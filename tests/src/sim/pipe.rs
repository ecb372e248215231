//! One direction of a connection: the bytes under way, and who waits for them.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

/// One direction.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) capacity: usize,
    pub(super) latency: Duration,
    pub(super) travelling: VecDeque<(Duration, Vec<u8>)>,
    pub(super) readable: VecDeque<u8>,
    pub(super) held: usize,
    pub(super) shut_at: Option<Duration>,
    pub(super) reset: bool,
    /// The path swallows what is sent: the other side's host is gone.
    pub(super) dead: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// When how many bytes were read.
    pub(super) reads: Vec<(Duration, usize)>,
    /// How often it was written to.
    pub(super) writes: usize,
}

impl Pipe {
    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    pub(super) fn reset(&mut self) {
        self.reset = true;
        self.wake_reader();
        self.wake_writer();
    }
}
