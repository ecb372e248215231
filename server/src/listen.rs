//! Listening sockets, and the connections that come in on them.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use enjamb_core::connection::{ConnectionEvent, refusal};
use enjamb_core::router::BindPolicy;
use enjamb_core::switch::ListenerConfig;
use enjamb_core::{Limits, StreamErrorCause};
use enjamb_runtime::sources::Denied;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::admission::{Admission, Admitted, Place};
use crate::config;
use crate::log::{self, AcceptLog, ConnectionLog};
use crate::preamble::{Entered, Preamble};

/// Bytes unacknowledged for that long end a connection, so that a dead peer does not hold its domain.
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes that the kernel takes for a connection and has not sent: enough for a fast link, as it asks for more at half of it.
pub(crate) const MAX_UNSENT: u32 = 128 * 1024;

/// Opens a listener's socket.
pub(crate) fn open(settings: &config::Listener) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(settings.address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart must not wait until the connections of the one before are forgotten.
    socket.set_reuse_address(true)?;
    if settings.address.is_ipv6() {
        socket.set_only_v6(!settings.takes_ipv4)?;
    }
    if settings.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // Its connections inherit it. Without it the kernel takes megabytes for a component that does not read, which no limit
    // of ours knows of.
    socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
    socket.bind(&settings.address.into())?;
    socket.listen(i32::try_from(settings.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// What the core has to know of a listener.
fn core_settings(settings: &config::Listener) -> ListenerConfig {
    let mut limits = Limits::default();
    limits.stanza = settings.max_stanza_size;
    limits.negotiation_step = settings.state_timeout;
    limits.keepalive = settings.keepalive;
    // The secret is asked for once the name is known, so that the limits of its source are asked first.
    let mut listener = ListenerConfig::with_lookup();
    listener.policy = Arc::new(BindPolicy {
        hidden: settings.hidden_components,
        check_from: settings.check_from,
        access: settings.access.clone(),
        conflict: settings.conflict_behaviour,
        realm: settings.realm,
        // One secret is right for all names of a listener.
        later_hosts: true,
        domains: settings.domains.as_ref().map(|domains| domains.iter().cloned().collect()),
    });
    listener.limits = Arc::new(limits);
    listener.rate = settings.shaper;
    listener.max_queue = settings.max_fsm_queue;
    listener.hibernate_after = settings.hibernate_after;
    listener
}

/// Where a listener's connections go.
#[derive(Clone)]
pub(crate) struct Acceptor {
    listener: Arc<ListenerConfig>,
    /// What comes before a stream; most often nothing.
    preamble: Option<Arc<Preamble>>,
    connections: TaskTracker,
    stop: CancellationToken,
    admission: Arc<Admission>,
    failures: Arc<AcceptLog>,
}

impl Acceptor {
    pub(crate) fn new(
        settings: &config::Listener,
        place: Place,
        connections: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let listener = Arc::new(core_settings(settings));
        Self {
            preamble: Preamble::of(settings, &listener.limits),
            listener,
            connections: connections.clone(),
            stop: stop.clone(),
            admission: Admission::new(settings, place),
            failures: Arc::default(),
        }
    }

    /// Who is let in.
    pub(crate) fn admission(&self) -> Arc<Admission> {
        Arc::clone(&self.admission)
    }

    /// Accepts components until it is told to stop.
    pub(crate) async fn run(self, socket: Arc<TcpListener>) {
        while let Some(accepted) = self.next(&socket).await {
            match accepted {
                Ok((admitted, stream, peer)) => self.begin(admitted, stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.failures.failed(self.admission.place.listener, &error);
                    // Without file descriptors the socket stays readable: trying on at once would spin.
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own, if it is let in. One that nothing comes before gets the smaller
    /// task; of one behind a proxy, the header has to tell first who it is.
    fn begin(&self, admitted: Admitted, stream: TcpStream, peer: SocketAddr) {
        let place = &self.admission.place;
        if let Err(error) = set_up(&stream) {
            debug!(listener = %place.listener, %peer, "connection lost before it began: {error}");
            return;
        }
        let listener = Arc::clone(&self.listener);
        let Some(preamble) = self.preamble.clone() else {
            match admitted.enter(peer) {
                Ok(admitted) => {
                    if let Some(serving) = serve(stream, peer, admitted, listener) {
                        self.connections.spawn(serving);
                    }
                }
                Err(why) => turn_away(place, &stream, peer, &why),
            }
            return;
        };
        let admitted = if preamble.names_source() {
            admitted
        } else {
            match admitted.enter(peer) {
                Ok(admitted) => admitted,
                // Before its TLS handshake there is no way to say why.
                Err(why) => return log::turned_away(place.listener, peer, &why),
            }
        };
        let stop = self.stop.clone();
        self.connections.spawn(async move {
            // A connection without a stream need not be told why the server stops.
            let entered = stop.run_until_cancelled(enter(&preamble, admitted, stream, peer)).await;
            match entered.flatten() {
                Some((Entered::Plain(stream), peer, admitted)) => {
                    if let Some(serving) = serve(stream, peer, admitted, listener) {
                        serving.await;
                    }
                }
                Some((Entered::Tls(stream), peer, admitted)) => {
                    if let Some(serving) = serve(stream, peer, admitted, listener) {
                        serving.await;
                    }
                }
                None => {}
            }
        });
    }

    /// The next connection; `None` to stop. Over the limits, connections wait in the socket's backlog.
    async fn next(&self, socket: &TcpListener) -> Option<io::Result<(Admitted, TcpStream, SocketAddr)>> {
        let accepted = async {
            let admitted = self.admission.next_guest().await;
            let (stream, peer) = socket.accept().await?;
            // Where `::` takes IPv4, too, its addresses come in a guise of IPv6.
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            Ok((admitted, stream, peer))
        };
        self.stop.run_until_cancelled(accepted).await
    }
}

/// The peer was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Brings a connection past what comes before its stream, and past the admission.
async fn enter(
    preamble: &Preamble,
    mut admitted: Admitted,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Entered, SocketAddr, Admitted)> {
    let deadline = preamble.deadline();
    let peer = match preamble.source(&mut stream, peer, deadline).await {
        Ok(peer) => peer,
        Err(refusal) => {
            log::refused(admitted.place().listener, peer, &refusal);
            return None;
        }
    };
    if preamble.names_source() {
        let admission = admitted.admission();
        match admitted.enter(peer) {
            Ok(entered) => admitted = entered,
            Err(why) if preamble.is_plain() => {
                turn_away(&admission.place, &stream, peer, &why);
                return None;
            }
            Err(why) => {
                log::turned_away(admission.place.listener, peer, &why);
                return None;
            }
        }
    }
    match preamble.secure(stream, peer, deadline).await {
        Ok(entered) => Some((entered, peer, admitted)),
        Err(refusal) => {
            if refusal.is_news() {
                admitted.failed();
            }
            log::refused(admitted.place().listener, peer, &refusal);
            None
        }
    }
}

/// Says why a connection is closed at once, in the log and to its peer as far as the socket takes it now: nothing is kept for
/// a source that is over its limits.
fn turn_away(place: &Place, stream: &TcpStream, peer: SocketAddr, why: &Denied) {
    log::turned_away(place.listener, peer, why);
    let Ok(id) = enjamb_runtime::stream_id() else { return };
    let words = refusal(&place.host, id, StreamErrorCause::TurnedAway(why.to_string()).into());
    let socket = SockRef::from(stream);
    // What is unread when the socket is closed makes TCP take the words back.
    let _ = socket.recv(&mut [MaybeUninit::uninit(); 4096]);
    let _ = socket.send(&words);
    let _ = socket.shutdown(Shutdown::Write);
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// What drives a connection to its end; `None` if it could not begin. It is put together here and not in the future,
/// which would hold once more what it is made of, as long as it lives.
fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    mut admitted: Admitted,
    listener: Arc<ListenerConfig>,
) -> Option<impl Future<Output = ()>> {
    let switch = Arc::clone(&admitted.place().switch);
    let mut connection = match enjamb_tokio::accept(stream, switch, listener) {
        Ok(connection) => connection,
        Err(error) => {
            debug!(listener = %admitted.place().listener, %peer, "connection lost before it began: {error}");
            return None;
        }
    };
    let mut log = ConnectionLog::new(connection.id(), admitted.place(), peer);
    Some(poll_fn(move |cx| {
        while let Some(event) = ready!(connection.poll_event(cx)) {
            if let ConnectionEvent::SecretsNeeded { claim } = &event {
                match admitted.claim(claim) {
                    Ok(secrets) => connection.secrets(secrets),
                    Err(why) => connection.refuse(StreamErrorCause::TurnedAway(why.to_string()).into()),
                }
            }
            admitted.event(&event);
            log.event(connection.id(), admitted.place(), &event);
        }
        Poll::Ready(())
    }))
}

#[cfg(test)]
mod tests {
    use enjamb_core::jid;
    use enjamb_core::switch::SwitchConfig;
    use enjamb_runtime::SharedSwitch;

    use super::*;

    /// What an idle connection costs is first of all its task. Tokio adds 104 bytes to the future, the tracker 8, and
    /// a task is a multiple of 128 bytes: with 400 it is 512, with one more 640.
    #[tokio::test]
    async fn the_future_of_a_plain_connection_fits_a_task_of_512_bytes() {
        let mut settings =
            config::Config::embedded_default("secret".into(), config::DEFAULT_PORT).listeners.remove(0);
        settings.address = ([127, 0, 0, 1], 0).into();
        let socket = open(&settings).unwrap();
        let (stream, peer) =
            tokio::try_join!(TcpStream::connect(socket.local_addr().unwrap()), socket.accept())
                .map(|(stream, (_, peer))| (stream, peer))
                .unwrap();
        let hosts = [jid::Domain::parse("localhost").unwrap()];
        let switch = Arc::new(SharedSwitch::new(SwitchConfig::new(hosts)));
        let host = jid::Domain::parse("localhost").unwrap();
        let place = Place::new(&settings, settings.address, host, &switch, &Arc::default());
        let admitted = Admission::new(&settings, place).next_guest().await;
        let serving = serve(stream, peer, admitted, Arc::new(core_settings(&settings))).unwrap();
        assert!(size_of_val(&serving) <= 400, "{}", size_of_val(&serving));
    }
}
