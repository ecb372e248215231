//! On async-std: its sockets, its tasks.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_std::net::{TcpListener, TcpStream, ToSocketAddrs};
use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::switch::ListenerConfig;
use enjamb_runtime::sources::SourceLimits;
use enjamb_runtime::{Component, ComponentSettings, ConnectError, Connector, SharedSwitch};
use futures_io::{AsyncRead, AsyncWrite};

use crate::{AsyncIoTimer, FuturesIo};

/// A TCP stream whose `poll_close` shuts the sending side: async-std's own does nothing, and the peer would wait
/// for an end that comes only when the stream is dropped.
#[derive(Clone, Debug)]
pub struct ClosingTcp(pub TcpStream);

impl AsyncRead for ClosingTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClosingTcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}

/// async-std's sockets and tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Connector for AsyncStd {
    type Stream = FuturesIo<ClosingTcp>;
    type Listener = TcpListener;
    type Timer = AsyncIoTimer;

    fn timer(&self) -> AsyncIoTimer {
        AsyncIoTimer::default()
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(address.to_socket_addrs().await?.collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(FuturesIo(ClosingTcp(stream)))
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
        let _ = stream.set_nodelay(true);
        Ok((FuturesIo(ClosingTcp(stream)), peer))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }
}

/// [`enjamb_runtime::serve`] with the usual limits by source address.
pub async fn serve(
    socket: TcpListener,
    switch: Arc<SharedSwitch>,
    listener: Arc<ListenerConfig>,
) -> Infallible {
    enjamb_runtime::serve(AsyncStd, socket, switch, listener, SourceLimits::default()).await
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
    enjamb_runtime::connect(&AsyncStd, &address.to_string(), settings).await
}

/// [`enjamb_runtime::connect_over`] anything that `futures-io` reads from and writes to, such as TLS.
///
/// # Errors
/// The server refuses the component.
pub async fn connect_over<S>(stream: S, settings: ComponentSettings) -> Result<Component, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    enjamb_runtime::connect_over(&AsyncStd, FuturesIo(stream), AsyncIoTimer::default(), settings).await
}

/// A component that connects again whenever its connection has ended.
pub type Reconnecting = enjamb_runtime::Reconnecting<AsyncStd>;
