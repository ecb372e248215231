//! The driver of [`enjamb_core`] on tokio: a component in a few lines, and a listener to embed.
//!
//! Everything that is XEP-0114 is in the core; this crate brings bytes, time and random stream ids.
//!
//! ```
//! use enjamb_core::{Secret, jid::Domain, host::HostInfo, rt::{Listener, Switch}};
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A listener, embedded in an application.
//! let hosts = [Domain::parse("localhost")?];
//! let info = HostInfo::new("example", "1.0");
//! let switch = Arc::new(Switch::new(hosts, info, || "2026-11-22T18:00:00Z".into(), false));
//! let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = socket.local_addr()?;
//! let listener = Arc::new(Listener::new(Secret::new("s3cr3t")));
//! tokio::spawn(enjamb_tokio::serve(socket, switch, listener));
//!
//! // A component that talks to itself through it.
//! let echo = enjamb_tokio::connect(address, Domain::parse("echo.localhost")?, Secret::new("s3cr3t")).await?;
//! echo.send("<message to='echo.localhost'><body>hello</body></message>").await?;
//! let received = echo.next().await.ok_or("closed")?;
//! assert_eq!(received.as_stanza().from().map(|from| from.as_str()), Some("echo.localhost"));
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

pub use enjamb_core;
pub use enjamb_core::Secret;
pub use enjamb_core::jid::Domain;
pub use enjamb_core::rt::ConnectError;
use enjamb_core::rt::{
    Backoff, Component, ComponentSettings, Connection, Listener, Reconnect, Switch, Timer, Transport,
};
use enjamb_core::{Instant, StreamId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

/// The bytes of anything that tokio reads from and writes to: a TCP stream, a TLS stream, a pipe.
#[derive(Debug)]
pub struct TokioIo<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin> Transport for TokioIo<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        Pin::new(&mut self.0).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tokio's clock and one alarm. All of a process read the same clock.
#[derive(Debug, Default)]
pub struct TokioTimer(Option<(Instant, Pin<Box<tokio::time::Sleep>>)>);

fn origin() -> tokio::time::Instant {
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    (*ORIGIN).into()
}

impl Timer for TokioTimer {
    fn now(&self) -> Instant {
        Instant::from_origin(tokio::time::Instant::now().saturating_duration_since(origin()))
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let when = || origin() + at.since_origin();
        let (set, sleep) = self.0.get_or_insert_with(|| (at, Box::pin(tokio::time::sleep_until(when()))));
        if *set != at {
            *set = at;
            sleep.as_mut().reset(when());
        }
        sleep.as_mut().poll(cx)
    }

    /// Tokio wakes who yields in its own way once all others had their turn and the sockets were looked at.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        if std::pin::pin!(tokio::task::yield_now()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// Before accepting goes on after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// A fresh stream id: 128 bits from the operating system.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn stream_id() -> io::Result<StreamId> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    Ok(StreamId::from_random(u128::from_ne_bytes(bits)))
}

/// Takes over one accepted connection, over anything that tokio reads from and writes to. What it gives has
/// to be polled to its end, which [`Connection::next_notice`] does.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    switch: Arc<Switch>,
    listener: Arc<Listener>,
) -> io::Result<Connection<TokioIo<S>, TokioTimer>> {
    Ok(Connection::new(switch, listener, stream_id()?, TokioIo(stream), TokioTimer::default()))
}

/// Accepts components on a socket for ever, each in a task of its own. Drop the future to stop accepting;
/// [`Switch::shut_down`] ends the connections.
///
/// What fails concerns one connection, or passes, as a lack of file descriptors does: it goes on after a pause. Who
/// wants to know of it, or of what the connections have to say, accepts himself and calls [`accept`].
pub async fn serve(socket: TcpListener, switch: Arc<Switch>, listener: Arc<Listener>) -> Infallible {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
        let _ = stream.set_nodelay(true);
        let Ok(mut connection) = accept(stream, Arc::clone(&switch), Arc::clone(&listener)) else { continue };
        let task = async move { while connection.next_notice().await.is_some() {} };
        tokio::spawn(task);
    }
}

/// Connects a component and waits until the server has accepted it. The connection is driven in a task of its
/// own, which ends with it.
///
/// # Errors
/// The server can't be reached, or refuses the component.
pub async fn connect(
    address: impl ToSocketAddrs,
    domain: Domain,
    secret: Secret,
) -> Result<Component, ConnectError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    connect_over(stream, ComponentSettings::new(domain, secret)).await
}

/// [`connect`] over a connection that is there already, such as TLS, with all settings.
///
/// # Errors
/// The server refuses the component.
pub async fn connect_over<S>(stream: S, settings: ComponentSettings) -> Result<Component, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (component, connection) = Component::connect(settings, TokioIo(stream), TokioTimer::default());
    tokio::spawn(connection.run());
    component.established().await.map_err(ConnectError::Refused)?;
    Ok(component)
}

/// A component that connects again whenever its connection has ended: a loop around [`next`](Self::next).
#[derive(Debug)]
pub struct Reconnecting<A> {
    address: A,
    settings: ComponentSettings,
    reconnect: Reconnect<TokioTimer>,
}

impl<A: ToSocketAddrs + Clone> Reconnecting<A> {
    /// The first attempt is made at once. A name in `address` is looked up anew for each.
    #[must_use]
    pub fn new(address: A, settings: ComponentSettings, backoff: Backoff) -> Self {
        Self { address, settings, reconnect: Reconnect::new(TokioTimer::default(), backoff) }
    }

    /// Waits as long as the end of the last connection asks for, then connects. The last one is closed if it
    /// lives, so take its stanzas to the end before.
    ///
    /// # Errors
    /// The server can't be reached, or refuses the component. The next call waits before it tries again.
    pub async fn next(&mut self) -> Result<Component, ConnectError> {
        let Self { address, settings, reconnect } = self;
        let connect = async {
            let stream = TcpStream::connect(address.clone()).await?;
            stream.set_nodelay(true)?;
            connect_over(stream, settings.clone()).await
        };
        reconnect.attempt(getrandom::u32().map_err(io::Error::other)?, connect).await
    }
}
