//! On smol: its sockets, its tasks.

use std::convert::Infallible;
use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::rt::{Backoff, Component, ComponentSettings, Listener, Reconnect, Switch};
use smol::net::{AsyncToSocketAddrs, TcpListener, TcpStream};

use crate::{AsyncIoTimer, ConnectError, PAUSE, accept, connect_over, jitter};

/// Accepts components on a socket for ever, each in a task of its own. Drop the future to stop accepting;
/// [`Switch::shut_down`] ends the connections.
///
/// What fails concerns one connection, or passes, as a lack of file descriptors does: it goes on after a pause. Who
/// wants to know of it, or of what the connections have to say, accepts himself and calls [`accept`].
pub async fn serve(socket: TcpListener, switch: Arc<Switch>, listener: Arc<Listener>) -> Infallible {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            smol::Timer::after(PAUSE).await;
            continue;
        };
        // Without it stanzas wait for acknowledgements; that is no reason to refuse the connection.
        let _ = stream.set_nodelay(true);
        let Ok(mut connection) = accept(stream, Arc::clone(&switch), Arc::clone(&listener)) else { continue };
        let task = async move { while connection.next_notice().await.is_some() {} };
        smol::spawn(task).detach();
    }
}

/// Connects a component and waits until the server has accepted it. The connection is driven in a task of its
/// own, which ends with it.
///
/// # Errors
/// The server can't be reached, or refuses the component.
pub async fn connect(
    address: impl AsyncToSocketAddrs,
    domain: Domain,
    secret: Secret,
) -> Result<Component, ConnectError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    connect_over(stream, ComponentSettings::new(domain, secret), |task| smol::spawn(task).detach()).await
}

/// A component that connects again whenever its connection has ended: a loop around [`next`](Self::next).
#[derive(Debug)]
pub struct Reconnecting<A> {
    address: A,
    settings: ComponentSettings,
    reconnect: Reconnect<AsyncIoTimer>,
}

impl<A: AsyncToSocketAddrs + Clone> Reconnecting<A> {
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
            connect_over(stream, settings.clone(), |task| smol::spawn(task).detach()).await
        };
        reconnect.attempt(jitter()?, connect).await
    }
}
