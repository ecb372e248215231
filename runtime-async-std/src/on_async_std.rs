//! On async-std: its sockets, its tasks.

use std::convert::Infallible;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_std::net::{TcpListener, TcpStream, ToSocketAddrs};
use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::rt::{Backoff, Component, ComponentSettings, Listener, Reconnect, Switch};

use futures_io::{AsyncRead, AsyncWrite};

use crate::{AsyncIoTimer, ConnectError, PAUSE, accept, connect_over, jitter};

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

/// Accepts components on a socket for ever, each in a task of its own. Drop the future to stop accepting;
/// [`Switch::shut_down`] ends the connections.
///
/// What fails concerns one connection, or passes, as a lack of file descriptors does: it goes on after a pause. Who
/// wants to know of it, or of what the connections have to say, accepts himself and calls [`accept`].
pub async fn serve(socket: TcpListener, switch: Arc<Switch>, listener: Arc<Listener>) -> Infallible {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            async_std::task::sleep(PAUSE).await;
            continue;
        };
        // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
        let _ = stream.set_nodelay(true);
        let Ok(mut connection) = accept(ClosingTcp(stream), Arc::clone(&switch), Arc::clone(&listener))
        else {
            continue;
        };
        let task = async move { while connection.next_notice().await.is_some() {} };
        drop(async_std::task::spawn(task));
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
    connect_over(ClosingTcp(stream), ComponentSettings::new(domain, secret), |task| {
        drop(async_std::task::spawn(task));
    })
    .await
}

/// A component that connects again whenever its connection has ended: a loop around [`next`](Self::next).
#[derive(Debug)]
pub struct Reconnecting<A> {
    address: A,
    settings: ComponentSettings,
    reconnect: Reconnect<AsyncIoTimer>,
}

impl<A: ToSocketAddrs + Clone> Reconnecting<A> {
    /// The first attempt is made at once. A name in `address` is looked up anew for each.
    #[must_use]
    pub fn new(address: A, settings: ComponentSettings, backoff: Backoff) -> Self {
        Self { address, settings, reconnect: Reconnect::new(AsyncIoTimer::default(), backoff) }
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
            connect_over(ClosingTcp(stream), settings.clone(), |task| {
                drop(async_std::task::spawn(task));
            })
            .await
        };
        reconnect.attempt(jitter()?, connect).await
    }
}
