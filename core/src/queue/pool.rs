//! Bytes that all ports of a switch may hold together, beside what each may hold anyway.
//!
//! Most of what passes through a queue is gone with the next write and is not counted here: a port counts what it holds
//! over [`FREE`], in steps, so that a conversation touches no shared counter. Partial stanzas have a pool of their own,
//! so that receivers that do not read cannot stop senders.

use alloc::sync::Arc;

use crate::sync::{AtomicUsize, Ordering};

/// What each port may hold beside the pool, in bytes.
pub(crate) const FREE: usize = 64 * 1024;
/// A port takes that much from the pool at once.
const STEP: usize = 64 * 1024;

/// The bytes that all ports of a switch may hold together, of one kind.
#[derive(Debug)]
pub(crate) struct Pool {
    taken: AtomicUsize,
    max: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max: AtomicUsize::new(max) }
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let add = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= max);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// What one port has taken from the pool; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct PoolLease {
    pool: Arc<Pool>,
    taken: usize,
}

impl PoolLease {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, taken: 0 }
    }

    /// Takes what `held` bytes need; false if the pool does not have it.
    pub(crate) fn grow(&mut self, held: usize) -> bool {
        let over = held.saturating_sub(FREE);
        if over <= self.taken {
            return true;
        }
        let more = (over - self.taken).next_multiple_of(STEP);
        let granted = self.pool.take(more);
        self.taken += if granted { more } else { 0 };
        granted
    }

    /// Gives back what `held` bytes do not need.
    pub(crate) fn shrink(&mut self, held: usize) {
        let needed = held.saturating_sub(FREE).next_multiple_of(STEP);
        if needed < self.taken {
            self.pool.taken.fetch_sub(self.taken - needed, Ordering::Relaxed);
            self.taken = needed;
        }
    }
}

impl Drop for PoolLease {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

// What starts threads lies beside the core's sources.
#[cfg(all(test, loom))]
#[path = "../../loom/pool.rs"]
mod interleavings;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn free_bytes_are_not_counted_and_the_rest_stays_in_the_pool() {
        let pool = Arc::new(Pool::new(3 * STEP));
        let (mut one, mut two) = (PoolLease::new(Arc::clone(&pool)), PoolLease::new(Arc::clone(&pool)));
        assert!(one.grow(FREE) && two.grow(FREE));
        assert_eq!(pool.taken(), 0);
        assert!(one.grow(FREE + 1));
        assert_eq!(pool.taken(), STEP);
        assert!(one.grow(FREE + STEP), "it has that already");
        assert!(two.grow(FREE + 2 * STEP));
        assert_eq!(pool.taken(), 3 * STEP);
        assert!(!one.grow(FREE + STEP + 1) && !two.grow(usize::MAX));
        assert_eq!(pool.taken(), 3 * STEP, "what is refused is not taken");
        two.shrink(FREE + STEP);
        assert!(one.grow(FREE + STEP + 1));
        two.shrink(0);
        assert_eq!(pool.taken(), 2 * STEP);
        drop(one);
        assert_eq!(pool.taken(), 0);
    }
}
