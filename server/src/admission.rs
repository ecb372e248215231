//! Who is let in: limits on how many are there, on how many of them have not authenticated, and by source address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enjamb_core::Instant;
use enjamb_core::connection::ConnectionEvent;
use enjamb_runtime::Timer;
use enjamb_runtime::sources::{Permit, SourceLimiter};
use enjamb_tokio::TokioTimer;
use tokio::sync::Semaphore;

use crate::{config, log};

/// A listener's admission.
pub(crate) struct Admission {
    sources: Mutex<SourceLimiter>,
    /// For all connections.
    places: Semaphore,
    /// For those that have not authenticated.
    room: Semaphore,
}

impl Admission {
    pub(crate) fn new(settings: &config::Listener) -> Arc<Self> {
        let sources = Mutex::new(SourceLimiter::new(settings.sources.clone()));
        let most = |number: usize| Semaphore::new(number.min(Semaphore::MAX_PERMITS));
        let unauthenticated = settings.max_unauthenticated.unwrap_or(config::UNAUTHENTICATED);
        let (places, room) = (most(settings.max_connections), most(unauthenticated));
        Arc::new(Self { sources, places, room })
    }

    /// Waits until there is room for one more, who is yet to authenticate. To be called before accepting.
    pub(crate) async fn next_guest(self: &Arc<Self>) -> Admitted {
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let room = self.room.acquire().await.expect("the semaphore is never closed");
        // The admitted gives both back. A permit that it owned would name its semaphore, as long as it lives.
        place.forget();
        room.forget();
        Admitted { admission: Arc::clone(self), permit: None, authenticated: false }
    }

    fn sources(&self) -> MutexGuard<'_, SourceLimiter> {
        // No call can leave the table between two states that matter.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    TokioTimer::default().now()
}

/// A connection, from before it is accepted until it is dropped.
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    /// Its source has let it in.
    permit: Option<Permit>,
    authenticated: bool,
}

impl Admitted {
    /// Lets it in, or says in the log why not: it is to be closed at once then.
    pub(crate) fn enter(mut self, peer: SocketAddr) -> Option<Self> {
        let entered = self.admission.sources().enter(now(), peer.ip());
        match entered {
            Ok(permit) => self.permit = Some(permit),
            Err(why) => {
                log::turned_away(peer, &why);
                return None;
            }
        }
        Some(self)
    }

    /// Takes note of how the connection does.
    pub(crate) fn event(&mut self, event: &ConnectionEvent) {
        if matches!(event, ConnectionEvent::Bound { .. }) {
            self.give_back_room();
        }
        if let Some(permit) = &mut self.permit {
            self.admission.sources().note(now(), permit, event);
        }
    }

    fn give_back_room(&mut self) {
        if !self.authenticated {
            self.authenticated = true;
            self.admission.room.add_permits(1);
        }
    }

    /// The connection failed before the secret was proved.
    pub(crate) fn failed(&self) {
        if let Some(permit) = &self.permit {
            self.admission.sources().failed(now(), permit);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.admission.sources().leave(permit);
        }
        self.give_back_room();
        self.admission.places.add_permits(1);
    }
}
