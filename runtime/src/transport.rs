//! What an adapter gives to the drive loop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use enjamb_core::Instant;

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

/// Both clocks and one alarm. All timers of one [`SharedSwitch`](crate::SharedSwitch) must read the same clocks.
pub trait Timer {
    /// The monotonic clock's time.
    fn now(&self) -> Instant;

    /// The wall clock's time since 1970-01-01T00:00:00Z: the operating system's, unless time is simulated.
    fn unix(&self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
    }

    /// Ready once `at` has come; else the task is woken then. Another `at` replaces the one before.
    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Has the task woken once others had their turn: its budget is spent, and it has more to do. A runtime that looks
    /// for input only now and then while tasks are ready should look for it here.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

/// A runtime's sockets and tasks: what [`serve`](crate::serve()) and [`connect`](crate::connect()) need of it.
pub trait Connector: Clone + Send + Sync + 'static {
    /// A TCP connection.
    type Stream: Transport + Send + 'static;
    /// A listening socket.
    type Listener: Sync;
    /// The runtime's clocks and alarm.
    type Timer: Timer + Send + 'static;

    /// Makes a timer. All read the same clocks.
    fn timer(&self) -> Self::Timer;

    /// Looks up `host:port`; returns the addresses in the order in which they are to be tried.
    fn resolve(&self, address: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Connects, and has small writes sent at once (`TCP_NODELAY`).
    fn connect(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Accepts the next connection, and has small writes sent at once (`TCP_NODELAY`).
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Runs a task to its end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}
