//! Who is let in: limits on how many are there, on how many of them have not authenticated, and by source address.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enjamb_core::rt::{End, Notice, Timer};
use enjamb_core::sources::{Sources, Visit};
use enjamb_core::{Instant, StreamCondition};
use enjamb_tokio::TokioTimer;
use tokio::sync::Semaphore;

use crate::{config, log};

/// A listener's door.
pub(crate) struct Door {
    sources: Mutex<Sources>,
    /// For all connections.
    places: Semaphore,
    /// For those that have not authenticated.
    room: Semaphore,
}

impl Door {
    pub(crate) fn new(settings: &config::Listener) -> Arc<Self> {
        let sources = Mutex::new(Sources::new(settings.sources.clone()));
        let most = |number: usize| Semaphore::new(number.min(Semaphore::MAX_PERMITS));
        let (places, room) = (most(settings.max_connections), most(settings.max_unauthenticated));
        Arc::new(Self { sources, places, room })
    }

    /// Waits until there is room for one more, who is yet to authenticate. To be called before accepting.
    pub(crate) async fn next_guest(self: &Arc<Self>) -> Guest {
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let room = self.room.acquire().await.expect("the semaphore is never closed");
        // The guest gives both back. A permit that it owned would name its semaphore, as long as it lives.
        place.forget();
        room.forget();
        Guest { door: Arc::clone(self), visit: None, authenticated: false }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        // No call can leave the table between two states that matter.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    TokioTimer::default().now()
}

/// A connection, from before it is accepted until it is dropped.
pub(crate) struct Guest {
    door: Arc<Door>,
    /// Its source has let it in.
    visit: Option<Visit>,
    authenticated: bool,
}

impl Guest {
    /// Lets it in, or says in the log why not: it is to be closed at once then.
    pub(crate) fn enter(mut self, peer: SocketAddr) -> Option<Self> {
        let entered = self.door.sources().enter(now(), peer.ip());
        match entered {
            Ok(visit) => self.visit = Some(visit),
            Err(why) => {
                log::turned_away(peer, &why);
                return None;
            }
        }
        Some(self)
    }

    /// Takes note of how the connection does.
    pub(crate) fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Bound { .. } => {
                self.give_back_room();
                if let Some(visit) = &mut self.visit {
                    self.door.sources().authenticated(visit);
                }
            }
            Notice::Ended { end: End::Error(error), .. } => {
                // A conflict is decided after the secret was proved, and that we stop is nobody's fault.
                let innocent = [StreamCondition::SystemShutdown, StreamCondition::Conflict];
                if !innocent.contains(&error.condition) {
                    self.failed();
                }
            }
            _ => {}
        }
    }

    fn give_back_room(&mut self) {
        if !self.authenticated {
            self.authenticated = true;
            self.door.room.add_permits(1);
        }
    }

    /// The connection failed before the secret was proved.
    pub(crate) fn failed(&self) {
        if let Some(visit) = &self.visit {
            self.door.sources().failed(now(), visit);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(visit) = self.visit.take() {
            self.door.sources().leave(visit);
        }
        self.give_back_room();
        self.door.places.add_permits(1);
    }
}
