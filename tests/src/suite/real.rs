//! The real runtimes, over TCP on loopback.

use std::future::Future;

use enjamb_async_std::on_async_std::ClosingTcp;
use enjamb_async_std::{AsyncIoTimer, FuturesIo};
use enjamb_runtime::{ComponentConnection, ServerConnection};
use enjamb_tokio::{TokioIo, TokioTimer};

use super::runtime::{Late, Log, Runtime, keep_notices};

const ANY_PORT: &str = "127.0.0.1:0";

/// Tokio, on several threads or on one.
#[derive(Clone, Default)]
pub struct Tokio<const THREADS: bool>;

impl<const THREADS: bool> Runtime for Tokio<THREADS> {
    type Stream = TokioIo<tokio::net::TcpStream>;
    type Timer = TokioTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        let mut builder = match THREADS {
            true => tokio::runtime::Builder::new_multi_thread(),
            false => tokio::runtime::Builder::new_current_thread(),
        };
        let runtime = builder.worker_threads(2).enable_all().build().expect("threads and a reactor");
        runtime.block_on(script)
    }

    async fn pair(&self) -> (Self::Stream, Self::Stream) {
        let listener = tokio::net::TcpListener::bind(ANY_PORT).await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let client = tokio::net::TcpStream::connect(address).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("it is connected");
        (TokioIo(client), TokioIo(server))
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

/// smol, with its global executor.
#[derive(Clone, Default)]
pub struct Smol;

impl Runtime for Smol {
    type Stream = FuturesIo<smol::net::TcpStream>;
    type Timer = AsyncIoTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        smol::block_on(script)
    }

    async fn pair(&self) -> (Self::Stream, Self::Stream) {
        let listener = smol::net::TcpListener::bind(ANY_PORT).await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let client = smol::net::TcpStream::connect(address).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("it is connected");
        (FuturesIo(client), FuturesIo(server))
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

/// async-std.
#[derive(Clone, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Stream = FuturesIo<ClosingTcp>;
    type Timer = AsyncIoTimer;

    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R {
        async_std::task::block_on(script)
    }

    async fn pair(&self) -> (Self::Stream, Self::Stream) {
        let listener = async_std::net::TcpListener::bind(ANY_PORT).await.expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let client = async_std::net::TcpStream::connect(address).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("it is connected");
        (FuturesIo(ClosingTcp(client)), FuturesIo(ClosingTcp(server)))
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
