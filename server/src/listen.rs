//! Listening sockets, and the connections that come in on them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::router::Terms;
use enjamb_core::rt::{Listener, Switch};
use enjamb_core::{Limits, Secret};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::config;
use crate::entry::{Entered, Entry};
use crate::log::{self, AcceptLog, ConnectionLog};

/// Bytes unacknowledged for that long end a connection, so that a dead peer does not hold its domain.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens a listener's socket.
pub(crate) fn open(settings: &config::Listener) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(settings.address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart must not wait until the connections of the one before are forgotten.
    socket.set_reuse_address(true)?;
    if settings.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if settings.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&settings.address.into())?;
    socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// What the core has to know of a listener.
fn core_settings(settings: &config::Listener) -> Listener {
    let mut limits = Limits::default();
    limits.stanza = settings.max_stanza_size;
    limits.negotiation_step = settings.state_timeout;
    limits.keepalive = settings.keepalive;
    let mut listener = Listener::new(Secret::new(settings.password.expose()));
    listener.terms = Arc::new(Terms {
        hidden: settings.hidden_components,
        check_from: settings.check_from,
        access: Arc::clone(&settings.access),
        conflict: settings.conflict_behaviour,
    });
    listener.limits = Arc::new(limits);
    listener.domains.clone_from(&settings.domains);
    listener.rate = settings.shaper;
    listener.max_queue = settings.max_fsm_queue;
    listener.hibernate_after = settings.hibernate_after;
    listener
}

/// Where a listener's connections go.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) switch: Arc<Switch>,
    pub(crate) listener: Arc<Listener>,
    /// What comes before a stream; most often nothing.
    entry: Option<Arc<Entry>>,
    /// Connections that may be there at once.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) connections: TaskTracker,
    pub(crate) stop: CancellationToken,
    failures: Arc<AcceptLog>,
}

impl Acceptor {
    pub(crate) fn new(
        settings: &config::Listener,
        switch: &Arc<Switch>,
        connections: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let listener = Arc::new(core_settings(settings));
        Self {
            switch: Arc::clone(switch),
            entry: Entry::of(settings, &listener.limits),
            listener,
            room: Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS))),
            connections: connections.clone(),
            stop: stop.clone(),
            failures: Arc::default(),
        }
    }

    /// Accepts components until it is told to stop.
    pub(crate) async fn run(self, socket: Arc<TcpListener>) {
        while let Some(accepted) = self.next(&socket).await {
            match accepted {
                Ok((place, stream, peer)) => self.begin(place, stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.failures.failed(&error);
                    // Without file descriptors the socket stays readable: trying on at once would spin.
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own. One that nothing comes before gets the smaller one.
    fn begin(&self, place: OwnedSemaphorePermit, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = set_up(&stream) {
            debug!(%peer, "connection lost before it began: {error}");
            return;
        }
        let (switch, listener) = (Arc::clone(&self.switch), Arc::clone(&self.listener));
        let Some(entry) = self.entry.clone() else {
            self.connections.spawn(async move {
                serve(stream, peer, switch, listener).await;
                drop(place);
            });
            return;
        };
        let stop = self.stop.clone();
        self.connections.spawn(async move {
            // Who has no stream yet need not be told why the server stops.
            if let Some((peer, entered)) = stop.run_until_cancelled(entry.enter(stream, peer)).await {
                match entered {
                    Ok(Entered::Plain(stream)) => serve(stream, peer, switch, listener).await,
                    Ok(Entered::Tls(stream)) => serve(stream, peer, switch, listener).await,
                    Err(refusal) => log::refused(peer, &refusal),
                }
            }
            drop(place);
        });
    }

    /// The next connection, with its place; `None` to stop. Over the limit, connections wait in the socket's
    /// backlog.
    async fn next(
        &self,
        socket: &TcpListener,
    ) -> Option<io::Result<(OwnedSemaphorePermit, TcpStream, SocketAddr)>> {
        let accepted = async {
            let place = Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = socket.accept().await?;
            Ok((place, stream, peer))
        };
        self.stop.run_until_cancelled(accepted).await
    }
}

/// The peer was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT))
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    switch: Arc<Switch>,
    listener: Arc<Listener>,
) {
    let mut connection = match enjamb_tokio::accept(stream, switch, listener) {
        Ok(connection) => connection,
        Err(error) => {
            debug!(%peer, "connection lost before it began: {error}");
            return;
        }
    };
    let mut log = ConnectionLog::new(connection.id(), peer);
    while let Some(notice) = connection.next_notice().await {
        log.notice(&notice);
    }
}
