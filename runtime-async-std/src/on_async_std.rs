//! On async-std: its sockets, its tasks.

use std::io;
use std::sync::Arc;

use async_std::net::{TcpListener, TcpStream, ToSocketAddrs};
use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::rt::{Component, ComponentSettings, Listener, Switch};

use crate::{ConnectError, accept, connect_over};

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
    connect_over(stream, ComponentSettings::new(domain, secret), |task| drop(async_std::task::spawn(task)))
        .await
}
