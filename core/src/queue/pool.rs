//! Bytes that all ports of a switch may hold together, beside what each may hold anyway.
//!
//! Most of what passes through a queue is gone with the next write and is not counted here: a port counts what it holds
//! over [`FREE`], in steps, so that a conversation touches no shared counter. Partial stanzas have a pool of their own,
//! so that receivers that do not read cannot stop senders.
//!
//! The ports of one realm have a [`Share`]: together they hold at most half of the pool while another realm has ports, and
//! what is under their equal part is never refused to them, whatever the others hold.

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
    /// How many shares there are.
    shares: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(max: usize) -> Self {
        Self { taken: AtomicUsize::new(0), max: AtomicUsize::new(max), shares: AtomicUsize::new(0) }
    }

    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// What the ports of one realm have taken from the pool.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Arc<Pool>,
    taken: AtomicUsize,
}

impl Share {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        pool.shares.fetch_add(1, Ordering::Relaxed);
        Self { pool, taken: AtomicUsize::new(0) }
    }

    /// Takes `bytes`, for a port that holds nothing yet also from a quarter of the pool that is kept for such.
    fn take(&self, bytes: usize, holds_nothing: bool) -> bool {
        let max = self.pool.max.load(Ordering::Relaxed);
        let shares = self.pool.shares.load(Ordering::Relaxed).max(1);
        let reserve = if holds_nothing { max / 4 } else { 0 };
        let most = (if shares == 1 { max } else { max / 2 }).saturating_add(reserve);
        let add = |most: usize| move |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= most);
        let Ok(before) = self.taken.fetch_update(Ordering::Acquire, Ordering::Relaxed, add(most)) else {
            return false;
        };
        if before + bytes <= max / shares {
            self.pool.taken.fetch_add(bytes, Ordering::Relaxed);
            return true;
        }
        let all = add(max.saturating_add(reserve));
        let granted = self.pool.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, all).is_ok();
        if !granted {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
        }
        granted
    }

    /// In the opposite order, so that the pool never seems to hold more than the shares have taken.
    fn give_back(&self, bytes: usize) {
        self.pool.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.taken.fetch_sub(bytes, Ordering::Release);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.shares.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one port has taken from the pool; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct PoolLease {
    share: Arc<Share>,
    taken: usize,
}

impl PoolLease {
    pub(crate) fn new(share: Arc<Share>) -> Self {
        Self { share, taken: 0 }
    }

    /// Takes what `held` bytes need; false if the pool does not have it. `holds_nothing`: these are the port's first.
    pub(crate) fn grow(&mut self, held: usize, holds_nothing: bool) -> bool {
        let over = held.saturating_sub(FREE);
        if over <= self.taken {
            return true;
        }
        let more = (over - self.taken).next_multiple_of(STEP);
        let granted = self.share.take(more, holds_nothing);
        self.taken += if granted { more } else { 0 };
        granted
    }

    /// Gives back what `held` bytes do not need.
    pub(crate) fn shrink(&mut self, held: usize) {
        let needed = held.saturating_sub(FREE).next_multiple_of(STEP);
        if needed < self.taken {
            self.share.give_back(self.taken - needed);
            self.taken = needed;
        }
    }
}

impl Drop for PoolLease {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// What one kind of state may take of the pool: no more than a part of it.
#[derive(Debug)]
pub(crate) struct PoolPart {
    pool: Arc<Pool>,
    taken: AtomicUsize,
    /// The part is the pool divided by this.
    divisor: usize,
    /// Leases in it.
    users: AtomicUsize,
}

impl PoolPart {
    pub(crate) fn new(pool: Arc<Pool>, divisor: usize) -> Self {
        Self { pool, taken: AtomicUsize::new(0), divisor, users: AtomicUsize::new(0) }
    }

    /// How many domains have something in it.
    pub(crate) fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let max = self.pool.max.load(Ordering::Relaxed);
        let add = |most: usize| move |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= most);
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        if self.taken.fetch_update(acquire, relaxed, add(max / self.divisor)).is_err() {
            return false;
        }
        let granted = self.pool.taken.fetch_update(relaxed, relaxed, add(max)).is_ok();
        if !granted {
            self.taken.fetch_sub(bytes, relaxed);
        }
        granted
    }

    fn give_back(&self, bytes: usize) {
        self.pool.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.taken.fetch_sub(bytes, Ordering::Release);
    }
}

/// What one domain has taken of a part; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct PartLease {
    part: Arc<PoolPart>,
    taken: usize,
}

/// What each domain may hold beside the part, so that a few requests touch no shared counter.
const PART_FREE: usize = 4 * 1024;
/// A domain takes that much from the part at once.
const PART_STEP: usize = 16 * 1024;

impl PartLease {
    pub(crate) fn new(part: Arc<PoolPart>) -> Self {
        part.users.fetch_add(1, Ordering::Relaxed);
        Self { part, taken: 0 }
    }

    pub(crate) fn part(&self) -> Arc<PoolPart> {
        Arc::clone(&self.part)
    }

    /// Takes what `held` bytes need; false if the part does not have it.
    pub(crate) fn hold(&mut self, held: usize) -> bool {
        let over = held.saturating_sub(PART_FREE);
        if over <= self.taken {
            return true;
        }
        let more = (over - self.taken).next_multiple_of(PART_STEP);
        let granted = self.part.take(more);
        self.taken += if granted { more } else { 0 };
        granted
    }

    /// Gives back what `held` bytes do not need, but for one step, so that it is not taken again at once.
    pub(crate) fn shrink(&mut self, held: usize) {
        let needed = held.saturating_sub(PART_FREE).next_multiple_of(PART_STEP);
        let kept = if held == 0 { 0 } else { needed + PART_STEP };
        if kept < self.taken {
            self.part.give_back(self.taken - kept);
            self.taken = kept;
        }
    }
}

impl Drop for PartLease {
    fn drop(&mut self) {
        self.shrink(0);
        self.part.users.fetch_sub(1, Ordering::Relaxed);
    }
}

// What starts threads lies beside the core's sources.
#[cfg(all(test, loom))]
#[path = "../../loom/pool.rs"]
mod interleavings;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn lease(share: &Arc<Share>) -> PoolLease {
        PoolLease::new(Arc::clone(share))
    }

    #[test]
    fn free_bytes_are_not_counted_and_the_rest_stays_in_the_pool() {
        let pool = Arc::new(Pool::new(3 * STEP));
        let share = Arc::new(Share::new(Arc::clone(&pool)));
        let (mut one, mut two) = (lease(&share), lease(&share));
        assert!(one.grow(FREE, false) && two.grow(FREE, false));
        assert_eq!(pool.taken(), 0);
        assert!(one.grow(FREE + 1, false));
        assert_eq!(pool.taken(), STEP);
        assert!(one.grow(FREE + STEP, false), "it has that already");
        assert!(two.grow(FREE + 2 * STEP, false));
        assert_eq!(pool.taken(), 3 * STEP);
        assert!(!one.grow(FREE + STEP + 1, false) && !two.grow(usize::MAX, true));
        assert_eq!(pool.taken(), 3 * STEP, "what is refused is not taken");
        two.shrink(FREE + STEP);
        assert!(one.grow(FREE + STEP + 1, false));
        two.shrink(0);
        assert_eq!(pool.taken(), 2 * STEP);
        drop(one);
        assert_eq!(pool.taken(), 0);
    }

    #[test]
    fn one_realm_holds_half_of_the_pool_and_another_always_has_its_part() {
        let pool = Arc::new(Pool::new(12 * STEP));
        let shares: [_; 3] = core::array::from_fn(|_| Arc::new(Share::new(Arc::clone(&pool))));
        let [mut greedy, mut ally, mut quiet] = [0, 1, 2].map(|n: usize| lease(&shares[n]));
        assert!(greedy.grow(FREE + 6 * STEP, false) && !greedy.grow(FREE + 7 * STEP, false));
        assert!(ally.grow(FREE + 6 * STEP, false), "two together may hold all");
        assert!(quiet.grow(FREE + 4 * STEP, false) && !quiet.grow(FREE + 5 * STEP, false));
        assert_eq!(pool.taken(), 16 * STEP);
        // A realm that goes leaves its part to the others.
        let [first, second, third] = shares;
        drop((ally, quiet, second, third));
        assert!(greedy.grow(FREE + 12 * STEP, false));
        drop((greedy, first));
        assert_eq!((pool.taken(), pool.shares.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn port_that_holds_nothing_has_a_quarter_more() {
        let pool = Arc::new(Pool::new(8 * STEP));
        let share = Arc::new(Share::new(pool));
        let (mut full, mut empty, mut late) = (lease(&share), lease(&share), lease(&share));
        assert!(full.grow(FREE + 8 * STEP, false) && !full.grow(FREE + 9 * STEP, false));
        assert!(!empty.grow(FREE + 2 * STEP, false) && empty.grow(FREE + 2 * STEP, true));
        assert!(!late.grow(FREE + 1, true));
    }
}
