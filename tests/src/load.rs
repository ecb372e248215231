//! For tests that load a server: they take turns, and check that a quiet pair is served meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::peer::Peer;

static MACHINE: Mutex<()> = Mutex::new(());

/// The turn of a test that measures memory or takes all of a machine: else two would measure each other.
pub fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes `trips` round trips between two components of which the load knows nothing. Each takes less time than a wait for a
/// full receiver.
///
/// # Panics
/// If one takes longer, or does not arrive.
pub fn assert_served(one: &mut Peer, two: &mut Peer, trips: usize) {
    for trip in 0..trips {
        let begun = Instant::now();
        let id = format!("t{trip}");
        one.message(&two.domain, &id, "ping");
        two.stanza(&id);
        two.message(&one.domain, &id, "pong");
        one.stanza(&id);
        assert!(begun.elapsed() < Duration::from_secs(4), "{trip}: {:?}", begun.elapsed());
    }
}
