//! On smol: its sockets, its tasks.

use std::io;
use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::rt::{Backoff, Component, ComponentSettings, Listener, Reconnect, Switch};
use smol::net::{AsyncToSocketAddrs, TcpListener, TcpStream};

use crate::{AsyncIoTimer, ConnectError, accept, connect_over, jitter};

/// Accepts components on a socket for ever, each in a task of its own. Drop the future to stop accepting;
/// [`Switch::shut_down`] ends the connections.
///
/// # Errors
/// The socket accepts no more connections.
pub async fn serve(socket: TcpListener, switch: Arc<Switch>, listener: Arc<Listener>) -> io::Result<()> {
    loop {
        let (stream, _) = socket.accept().await?;
        stream.set_nodelay(true)?;
        let mut connection = accept(stream, Arc::clone(&switch), Arc::clone(&listener))?;
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
