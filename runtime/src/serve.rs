//! Accepts components on a socket.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use enjamb_core::connection::ConnectionEvent;
use enjamb_core::router::Claim;
use enjamb_core::switch::ListenerConfig;
use enjamb_core::{Secret, StreamErrorCause};

use crate::random::stream_id;
use crate::server::ServerConnection;
use crate::shared::SharedSwitch;
use crate::sources::{Denied, Permit, SourceLimiter, SourceLimits};
use crate::transport::{Connector, Timer};

/// Before accepting goes on after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// Accepts components on a socket for ever, each in a task of its own, within the limits by source address. Drop the
/// future to stop accepting; [`Switch::shut_down`](enjamb_core::switch::Switch::shut_down) ends the connections.
///
/// Nothing bounds the number of connections of all sources together but the files that the process may open: accept
/// yourself if you need such a bound. A failure concerns one connection, or passes, as a lack of file descriptors does:
/// accepting goes on after a pause. To log failures and events, accept yourself and poll a [`ServerConnection`]. A
/// listener without a secret of its own lets nobody in here.
pub async fn serve<C: Connector>(
    connector: C,
    socket: C::Listener,
    switch: Arc<SharedSwitch>,
    listener: Arc<ListenerConfig>,
    limits: SourceLimits,
) -> Infallible {
    let sources = Arc::new(Mutex::new(SourceLimiter::new(limits)));
    // Asked for by each connection once its name is known, so that the limits are asked first.
    let secrets: Arc<[Secret]> = listener.secret.iter().cloned().collect();
    let mut asking = (*listener).clone();
    asking.secret = None;
    let listener = Arc::new(asking);
    let mut time = pin!(switch.keep_time(connector.timer()));
    let mut accepting = pin!(async {
        loop {
            let Ok((stream, peer)) = connector.accept(&socket).await else {
                pause(connector.timer()).await;
                continue;
            };
            let Some(mut admitted) = Admitted::enter(&sources, peer, connector.timer()) else { continue };
            let Ok(id) = stream_id() else { continue };
            let (switch, listener, secrets) =
                (Arc::clone(&switch), Arc::clone(&listener), Arc::clone(&secrets));
            let mut connection = ServerConnection::new(switch, listener, id, stream, connector.timer());
            connector.spawn(async move {
                while let Some(event) = connection.next_event().await {
                    match &event {
                        ConnectionEvent::SecretsNeeded { claim } => match admitted.claim(claim) {
                            Ok(()) => connection.secrets(Arc::clone(&secrets)),
                            Err(why) => {
                                connection.refuse(StreamErrorCause::TurnedAway(why.to_string()).into());
                            }
                        },
                        event => admitted.note(event),
                    }
                }
            });
        }
    });
    poll_fn(|cx| match time.as_mut().poll(cx) {
        Poll::Pending => accepting.as_mut().poll(cx),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

async fn pause(mut timer: impl Timer) {
    let at = timer.now() + PAUSE;
    poll_fn(|cx| timer.poll_at(cx, at)).await;
}

/// A connection that its source let in, until it is dropped.
struct Admitted<C: Timer> {
    sources: Arc<Mutex<SourceLimiter>>,
    permit: Option<Permit>,
    clock: C,
}

impl<C: Timer> Admitted<C> {
    fn enter(sources: &Arc<Mutex<SourceLimiter>>, peer: SocketAddr, clock: C) -> Option<Self> {
        let permit = lock(sources).enter(clock.now(), peer.ip()).ok()?;
        Some(Self { sources: Arc::clone(sources), permit: Some(permit), clock })
    }

    fn claim(&mut self, claim: &Claim) -> Result<(), Denied> {
        let now = self.clock.now();
        match &mut self.permit {
            Some(permit) => lock(&self.sources).claim(now, permit, claim.name().as_str()),
            None => Ok(()),
        }
    }

    fn note(&mut self, event: &ConnectionEvent) {
        if let Some(permit) = &mut self.permit {
            lock(&self.sources).note(self.clock.now(), permit, event);
        }
    }
}

impl<C: Timer> Drop for Admitted<C> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            lock(&self.sources).leave(self.clock.now(), permit);
        }
    }
}

/// No call can leave the table between two states that matter.
fn lock(sources: &Mutex<SourceLimiter>) -> MutexGuard<'_, SourceLimiter> {
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}
