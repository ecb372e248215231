//! Who is let in: limits by source address, and on how many are there that have not authenticated.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enjamb_core::rt::{End, Notice, Timer};
use enjamb_core::sources::{Sources, Visit};
use enjamb_core::{Instant, StreamCondition};
use enjamb_tokio::TokioTimer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config, log};

/// A listener's door.
pub(crate) struct Door {
    sources: Mutex<Sources>,
    room: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(settings: &config::Listener) -> Arc<Self> {
        let sources = Mutex::new(Sources::new(settings.sources.clone()));
        let room = settings.max_unauthenticated.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { sources, room: Arc::new(Semaphore::new(room)) })
    }

    /// Waits until there is room for one more that has not authenticated. To be called before accepting.
    pub(crate) async fn room(&self) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.room).acquire_owned().await;
        room.expect("the semaphore is never closed")
    }

    /// Lets a connection in, or says in the log why not: it is to be closed at once then.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr, room: OwnedSemaphorePermit) -> Option<Guest> {
        let entered = self.sources().enter(now(), peer.ip());
        match entered {
            Ok(visit) => {
                let (door, visit, room) = (Arc::clone(self), Some(visit), Some(room));
                Some(Guest { door, visit, room })
            }
            Err(why) => {
                log::turned_away(peer, &why);
                None
            }
        }
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        // No call can leave the table between two states that matter.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    TokioTimer::default().now()
}

/// A connection that was let in, until it is dropped.
pub(crate) struct Guest {
    door: Arc<Door>,
    visit: Option<Visit>,
    room: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// Takes note of how the connection does.
    pub(crate) fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Bound { .. } => {
                self.room = None;
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
    }
}
