//! The driver of [`enjamb_core`] on `futures-io`: for smol, for async-std, and for whatever else reads and
//! writes through those traits.
//!
//! Everything that is XEP-0114 is in the core; this crate brings bytes, time and random stream ids. The
//! features `smol` and `async-std` add a module each, with `serve` and `connect` on that runtime's own sockets
//! and tasks. async-std is discontinued in favour of smol (RUSTSEC-2025-0052): it is supported because people
//! still run it, and new programs should take smol.
//!
#![cfg_attr(feature = "smol", doc = "```")]
#![cfg_attr(not(feature = "smol"), doc = "```ignore")]
//! use enjamb_core::{Secret, jid::Domain, host::HostInfo, rt::{Listener, Switch}};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
//! let info = HostInfo::new("example", "1.0");
//! let switch = Arc::new(Switch::new([Domain::parse("localhost")?], info, || "2026-11-22T18:00:00Z".into(), false));
//! let socket = smol::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = socket.local_addr()?;
//! let listener = Arc::new(Listener::new(Secret::new("s3cr3t")));
//! smol::spawn(enjamb_async_std::on_smol::serve(socket, switch, listener)).detach();
//!
//! let echo = enjamb_async_std::on_smol::connect(address, Domain::parse("echo.localhost")?, Secret::new("s3cr3t")).await?;
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
pub use enjamb_core::Secret;
pub use enjamb_core::jid::Domain;
pub use enjamb_core::rt::ConnectError;
use enjamb_core::rt::{Component, ComponentSettings, Connection, Listener, Switch, Timer, Transport};
use enjamb_core::{Instant, StreamId};
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
        let when = || origin() + at.since_origin();
        let (set, timer) = self.0.get_or_insert_with(|| (at, async_io::Timer::at(when())));
        if *set != at {
            *set = at;
            timer.set_at(when());
        }
        Pin::new(timer).poll(cx).map(drop)
    }
}

/// Before accepting goes on after a failure.
#[cfg(any(feature = "smol", feature = "async-std"))]
const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

/// A fresh stream id: 128 bits from the operating system.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn stream_id() -> io::Result<StreamId> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    Ok(StreamId::from_random(u128::from_ne_bytes(bits)))
}

/// Random bits for a back-off.
#[cfg(any(feature = "smol", feature = "async-std"))]
fn jitter() -> io::Result<u32> {
    getrandom::u32().map_err(io::Error::other)
}

/// Takes over one accepted connection. What it gives has to be polled to its end, which
/// [`Connection::next_notice`] does.
///
/// async-std's own `TcpStream` does not shut its sending side when it is closed: wrap it in `on_async_std::ClosingTcp`,
/// and that in TLS, if there is any.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    switch: Arc<Switch>,
    listener: Arc<Listener>,
) -> io::Result<Connection<FuturesIo<S>, AsyncIoTimer>> {
    Ok(Connection::new(switch, listener, stream_id()?, FuturesIo(stream), AsyncIoTimer::default()))
}

/// Connects a component over a connection that is there already, and waits until the server has accepted it.
/// `spawn` runs the connection's task, which ends with it.
///
/// async-std's own `TcpStream` does not shut its sending side when it is closed: wrap it in `on_async_std::ClosingTcp`,
/// and that in TLS, if there is any.
///
/// # Errors
/// The server refuses the component.
pub async fn connect_over<S>(
    stream: S,
    settings: ComponentSettings,
    spawn: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>),
) -> Result<Component, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (component, connection) = Component::connect(settings, FuturesIo(stream), AsyncIoTimer::default());
    spawn(Box::pin(connection.run()));
    component.established().await.map_err(ConnectError::Refused)?;
    Ok(component)
}
