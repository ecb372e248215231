//! [`enjamb_runtime`] on tokio: a component in a few lines, and a listener to embed.
//!
//! Everything that is XEP-0114 is in [`enjamb_core`]; this crate brings tokio's bytes, time, sockets and tasks.
//!
//! ```
//! use enjamb_core::switch::{ListenerConfig, SwitchConfig};
//! use enjamb_core::{Secret, jid::Domain};
//! use enjamb_tokio::SharedSwitch;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A listener, embedded in an application.
//! let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
//! let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = socket.local_addr()?;
//! let listener = Arc::new(ListenerConfig::new(Secret::new("s3cr3t")));
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
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

pub use enjamb_core;
use enjamb_core::Instant;
pub use enjamb_core::Secret;
pub use enjamb_core::jid::Domain;
use enjamb_core::switch::ListenerConfig;
pub use enjamb_runtime;
use enjamb_runtime::sources::SourceLimits;
pub use enjamb_runtime::{Backoff, Component, ComponentSettings, ConnectError, LocalPort, SharedSwitch};
use enjamb_runtime::{Connector, ServerConnection, Timer, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

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

/// Tokio's sockets and tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Connector for Tokio {
    type Stream = TokioIo<TcpStream>;
    type Listener = TcpListener;
    type Timer = TokioTimer;

    fn timer(&self) -> TokioTimer {
        TokioTimer::default()
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host(address).await?.collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo(stream))
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
        let _ = stream.set_nodelay(true);
        Ok((TokioIo(stream), peer))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}

/// Takes over one accepted connection, over anything that tokio reads from and writes to. Poll it to its end, as
/// [`ServerConnection::next_event`] does.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    switch: Arc<SharedSwitch>,
    listener: Arc<ListenerConfig>,
) -> io::Result<ServerConnection<TokioIo<S>, TokioTimer>> {
    let id = enjamb_runtime::stream_id()?;
    Ok(ServerConnection::new(switch, listener, id, TokioIo(stream), TokioTimer::default()))
}

/// [`enjamb_runtime::serve`] with the usual limits by source address.
pub async fn serve(
    socket: TcpListener,
    switch: Arc<SharedSwitch>,
    listener: Arc<ListenerConfig>,
) -> Infallible {
    enjamb_runtime::serve(Tokio, socket, switch, listener, SourceLimits::default()).await
}

/// [`enjamb_runtime::connect`] with the usual settings. `address` is `host:port`, or a [`SocketAddr`].
///
/// # Errors
/// The server can't be reached, or refuses the component.
pub async fn connect(
    address: impl ToString,
    domain: Domain,
    secret: Secret,
) -> Result<Component, ConnectError> {
    let settings = ComponentSettings::new(domain, secret);
    enjamb_runtime::connect(&Tokio, &address.to_string(), settings).await
}

/// [`enjamb_runtime::connect_over`] anything that tokio reads from and writes to, such as TLS.
///
/// # Errors
/// The server refuses the component.
pub async fn connect_over<S>(stream: S, settings: ComponentSettings) -> Result<Component, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    enjamb_runtime::connect_over(&Tokio, TokioIo(stream), TokioTimer::default(), settings).await
}

/// A component that connects again whenever its connection has ended.
pub type Reconnecting = enjamb_runtime::Reconnecting<Tokio>;
