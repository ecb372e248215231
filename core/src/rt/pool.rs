//! What waits in all outboxes together, bounded; and what all have read of stanzas that are not whole, in a pool of its
//! own, so that receivers that do not read are no matter to those who send.
//!
//! Most of what passes through an outbox is gone with the next write, and is not counted here: a connection counts
//! what it holds over [`FREE`], and in steps, so that a conversation costs no shared counter.

use std::sync::Arc;

use super::sync::{AtomicUsize, Ordering};

/// What each connection may hold beside the pool, in bytes.
pub(super) const FREE: usize = 64 * 1024;
/// A connection takes so much from the pool at once.
const STEP: usize = 64 * 1024;

/// The bytes that all connections of a switch may hold together, of one kind.
#[derive(Debug)]
pub(super) struct Pool {
    taken: AtomicUsize,
    most: AtomicUsize,
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) }
    }

    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let add = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= most);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// What one connection has taken from the pool; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    pool: Arc<Pool>,
    taken: usize,
}

impl Share {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, taken: 0 }
    }

    /// May the connection hold so many bytes?
    pub(super) fn grow(&mut self, held: usize) -> bool {
        let over = held.saturating_sub(FREE);
        if over <= self.taken {
            return true;
        }
        let more = (over - self.taken).next_multiple_of(STEP);
        let granted = self.pool.take(more);
        self.taken += if granted { more } else { 0 };
        granted
    }

    /// The connection holds no more than so many bytes.
    pub(super) fn shrink(&mut self, held: usize) {
        let needed = held.saturating_sub(FREE).next_multiple_of(STEP);
        if needed < self.taken {
            self.pool.taken.fetch_sub(self.taken - needed, Ordering::Relaxed);
            self.taken = needed;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_not_counted_and_the_rest_never_exceeds_the_pool() {
        let pool = Arc::new(Pool::new(3 * STEP));
        let (mut one, mut two) = (Share::new(Arc::clone(&pool)), Share::new(Arc::clone(&pool)));
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
