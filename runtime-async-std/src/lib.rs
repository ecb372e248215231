//! [`enjamb_runtime`] on `futures-io`: for smol, for async-std, and for everything else that reads and writes through
//! those traits.
//!
//! Everything that is XEP-0114 is in [`enjamb_core`]; this crate brings bytes and time. The features `smol` and
//! `async-std` add a module each, with `serve` and `connect` on that runtime's own sockets and tasks. async-std is discontinued in favour of smol (RUSTSEC-2025-0052): it is supported because people
//! still run it, and new programs should take smol.
//!
#![cfg_attr(feature = "smol", doc = "```")]
#![cfg_attr(not(feature = "smol"), doc = "```ignore")]
//! use enjamb_core::switch::{ListenerConfig, SwitchConfig};
//! use enjamb_core::{Secret, jid::Domain};
//! use enjamb_async_std::{SharedSwitch, on_smol};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
//! let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
//! let socket = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = socket.local_addr()?;
//! let listener = Arc::new(ListenerConfig::new(Secret::new("s3cr3t")));
//! smol::spawn(on_smol::serve(socket, switch, listener)).detach();
//!
//! let echo = on_smol::connect(address, Domain::parse("echo.localhost")?, Secret::new("s3cr3t")).await?;
//! echo.send("<message to='echo.localhost'><body>hello</body></message>").await?;
//! assert!(echo.next().await.is_some());
//! # Ok(()) }) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "async-std")]
pub mod on_async_std;
#[cfg(feature = "smol")]
pub mod on_smol;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

pub use enjamb_core;
use enjamb_core::Instant;
pub use enjamb_core::Secret;
pub use enjamb_core::jid::Domain;
use enjamb_core::switch::ListenerConfig;
pub use enjamb_runtime;
pub use enjamb_runtime::{Backoff, Component, ComponentSettings, ConnectError, SharedSwitch};
use enjamb_runtime::{ServerConnection, Timer, Transport};
use futures_io::{AsyncRead, AsyncWrite};

/// The bytes of anything that `futures-io` reads from and writes to.
#[derive(Debug)]
pub struct FuturesIo<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Transport for FuturesIo<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The clock and one alarm, on async-io's reactor, which smol and async-std share.
#[derive(Debug, Default)]
pub struct AsyncIoTimer(Option<(Instant, async_io::Timer)>);

fn origin() -> std::time::Instant {
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    *ORIGIN
}

impl Timer for AsyncIoTimer {
    fn now(&self) -> Instant {
        Instant::from_origin(std::time::Instant::now().saturating_duration_since(origin()))
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if at <= self.now() {
            // A timer that has rung does not ring again.
            return Poll::Ready(());
        }
        let when = || origin() + at.since_origin();
        let (set, timer) = self.0.get_or_insert_with(|| (at, async_io::Timer::at(when())));
        if *set != at {
            *set = at;
            timer.set_at(when());
        }
        Pin::new(timer).poll(cx).map(drop)
    }
}

/// Takes over one accepted connection. Poll it to its end, as [`ServerConnection::next_event`] does.
///
/// async-std's own `TcpStream` does not shut its sending side when it is closed: wrap it in `on_async_std::ClosingTcp`,
/// and that in TLS, if there is any.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    switch: Arc<SharedSwitch>,
    listener: Arc<ListenerConfig>,
) -> io::Result<ServerConnection<FuturesIo<S>, AsyncIoTimer>> {
    let id = enjamb_runtime::stream_id()?;
    Ok(ServerConnection::new(switch, listener, id, FuturesIo(stream), AsyncIoTimer::default()))
}
