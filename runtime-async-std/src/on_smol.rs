//! On smol: its sockets, its tasks.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::switch::ListenerConfig;
use enjamb_runtime::sources::SourceLimits;
use enjamb_runtime::{Component, ComponentSettings, ConnectError, Connector, SharedSwitch};
use futures_io::{AsyncRead, AsyncWrite};
use smol::net::{TcpListener, TcpStream};

use crate::{AsyncIoTimer, FuturesIo};

/// smol's sockets and tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Connector for Smol {
    type Stream = FuturesIo<TcpStream>;
    type Listener = TcpListener;
    type Timer = AsyncIoTimer;

    fn timer(&self) -> AsyncIoTimer {
        AsyncIoTimer::default()
    }

    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        smol::net::resolve(address).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(FuturesIo(stream))
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
        let _ = stream.set_nodelay(true);
        Ok((FuturesIo(stream), peer))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }
}

/// [`enjamb_runtime::serve`] with the usual limits by source address.
pub async fn serve(
    socket: TcpListener,
    switch: Arc<SharedSwitch>,
    listener: Arc<ListenerConfig>,
) -> Infallible {
    enjamb_runtime::serve(Smol, socket, switch, listener, SourceLimits::default()).await
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
    enjamb_runtime::connect(&Smol, &address.to_string(), settings).await
}

/// [`enjamb_runtime::connect_over`] anything that `futures-io` reads from and writes to, such as TLS.
///
/// # Errors
/// The server refuses the component.
pub async fn connect_over<S>(stream: S, settings: ComponentSettings) -> Result<Component, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    enjamb_runtime::connect_over(&Smol, FuturesIo(stream), AsyncIoTimer::default(), settings).await
}

/// A component that connects again whenever its connection has ended.
pub type Reconnecting = enjamb_runtime::Reconnecting<Smol>;
