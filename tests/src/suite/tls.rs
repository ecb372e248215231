//! The same runtimes over TLS: the core is given other streams, and knows nothing of it.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use enjamb_async_std::on_async_std::ClosingTcp;
use enjamb_async_std::{AsyncIoTimer, FuturesIo};
use enjamb_runtime::{ComponentConnection, ServerConnection};
use enjamb_tokio::{TokioIo, TokioTimer};
use smol::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};

use super::real::{AsyncStd, Smol, Tokio};
use super::runtime::{Late, Log, Runtime, keep_notices};
use crate::tls::{Authority, NAME, VERSIONS};

/// Both sides' settings: of TLS 1.3, and of 1.2.
static CONFIGS: LazyLock<[(Arc<ClientConfig>, Arc<ServerConfig>); 2]> = LazyLock::new(|| {
    let authority = Authority::new();
    let server = authority.server(&authority.issue(&[NAME]));
    VERSIONS.map(|versions| (authority.client(versions, None), Arc::clone(&server)))
});

fn configs(index: usize) -> (Arc<ClientConfig>, Arc<ServerConfig>, ServerName<'static>) {
    let (client, server) = &CONFIGS[index];
    (Arc::clone(client), Arc::clone(server), ServerName::try_from(NAME).expect("a name"))
}

/// Tokio, on several threads or on one, over tokio-rustls: TLS 1.3, or 1.2 on one thread.
#[derive(Clone, Default)]
pub struct TokioTls<const THREADS: bool>;

impl<const THREADS: bool> Runtime for TokioTls<THREADS> {
    type Stream = TokioIo<tokio_rustls::TlsStream<tokio::net::TcpStream>>;
    type Timer = TokioTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        Tokio::<THREADS>.block_on(script)
    }

    async fn pair(&self) -> (Self::Stream, Self::Stream) {
        let (TokioIo(client), TokioIo(server)) = Tokio::<THREADS>.pair().await;
        let (of_client, of_server, name) = configs(usize::from(!THREADS));
        let client = tokio_rustls::TlsConnector::from(of_client).connect(name, client);
        let server = tokio_rustls::TlsAcceptor::from(of_server).accept(server);
        let (client, server) = futures_util::future::join(client, server).await;
        (TokioIo(client.expect("a handshake").into()), TokioIo(server.expect("a handshake").into()))
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer::default()
    }

    fn spawn_server(&self, connection: ServerConnection<Self::Stream, Late<TokioTimer>>, log: Log) {
        tokio::spawn(keep_notices(connection, log));
    }

    fn spawn_component(&self, connection: ComponentConnection<Self::Stream, Late<TokioTimer>>) {
        tokio::spawn(connection.run());
    }
}

/// Both ends of a connection on futures-io, with TLS around them.
async fn wrapped<S: AsyncRead + AsyncWrite + Unpin>(
    (FuturesIo(client), FuturesIo(server)): (FuturesIo<S>, FuturesIo<S>),
) -> (FuturesTls<S>, FuturesTls<S>) {
    let (of_client, of_server, name) = configs(0);
    let client = futures_rustls::TlsConnector::from(of_client).connect(name, client);
    let server = futures_rustls::TlsAcceptor::from(of_server).accept(server);
    let (client, server) = futures_util::future::join(client, server).await;
    (FuturesIo(client.expect("a handshake").into()), FuturesIo(server.expect("a handshake").into()))
}

type FuturesTls<S> = FuturesIo<futures_rustls::TlsStream<S>>;

/// smol, over futures-rustls.
#[derive(Clone, Default)]
pub struct SmolTls;

impl Runtime for SmolTls {
    type Stream = FuturesTls<smol::net::TcpStream>;
    type Timer = AsyncIoTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        Smol.block_on(script)
    }

    async fn pair(&self) -> (Self::Stream, Self::Stream) {
        wrapped(Smol.pair().await).await
    }

    fn timer(&self) -> AsyncIoTimer {
        AsyncIoTimer::default()
    }

    fn spawn_server(&self, connection: ServerConnection<Self::Stream, Late<AsyncIoTimer>>, log: Log) {
        smol::spawn(keep_notices(connection, log)).detach();
    }

    fn spawn_component(&self, connection: ComponentConnection<Self::Stream, Late<AsyncIoTimer>>) {
        smol::spawn(connection.run()).detach();
    }
}

/// async-std, over futures-rustls.
#[derive(Clone, Default)]
pub struct AsyncStdTls;

impl Runtime for AsyncStdTls {
    type Stream = FuturesTls<ClosingTcp>;
    type Timer = AsyncIoTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        AsyncStd.block_on(script)
    }

    async fn pair(&self) -> (Self::Stream, Self::Stream) {
        wrapped(AsyncStd.pair().await).await
    }

    fn timer(&self) -> AsyncIoTimer {
        AsyncIoTimer::default()
    }

    fn spawn_server(&self, connection: ServerConnection<Self::Stream, Late<AsyncIoTimer>>, log: Log) {
        drop(async_std::task::spawn(keep_notices(connection, log)));
    }

    fn spawn_component(&self, connection: ComponentConnection<Self::Stream, Late<AsyncIoTimer>>) {
        drop(async_std::task::spawn(connection.run()));
    }
}
