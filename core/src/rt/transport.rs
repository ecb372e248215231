//! What an adapter gives to the drive loop.

use core::task::{Context, Poll};
use std::io;

use crate::time::Instant;

/// A connection's bytes, both ways. Methods are called by one task at a time, and each remembers the last
/// waker it was given.
pub trait Transport {
    /// Reads into `buffer`, which is not empty; 0 is the end of the input.
    ///
    /// # Errors
    /// The connection is broken. `UnexpectedEof` is taken for an end of the input, too: TLS says so where a peer
    /// closes TCP without `close_notify`.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `bytes`, which are not empty.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Brings out what [`poll_write`](Self::poll_write) took and keeps; a socket keeps nothing. Called once there
    /// is no more to write for the moment, and again after each wake-up until it is ready.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Brings out what was written and shuts the sending side down.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A monotonic clock and one alarm. All timers of one [`Switch`](super::Switch) must read the same clock.
pub trait Timer {
    /// The time.
    fn now(&self) -> Instant;

    /// Ready once `at` has come; else the task is woken then. Another `at` replaces the one before.
    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Has the task woken once others had their turn: it has done its share and has more to do. Where a runtime
    /// looks for input only now and then as long as tasks are ready, this is where it is to look.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}
