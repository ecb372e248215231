//! Every order in which threads may meet at a pool, tried by loom: `cargo xtask loom`.

use alloc::sync::Arc;

use loom::thread;

use super::{FREE, Pool, PoolLease, Share};

#[test]
fn interleavings_never_take_more_than_the_pool_holds() {
    loom::model(|| {
        let max = 2 * FREE;
        let pool = Arc::new(Pool::new(max));
        let share = Arc::new(Share::new(Arc::clone(&pool)));
        let ports = [1, 2].map(|steps| {
            let (pool, share) = (Arc::clone(&pool), Arc::clone(&share));
            thread::spawn(move || {
                let mut lease = PoolLease::new(share);
                let granted = lease.grow(FREE + steps * FREE, false);
                assert!(pool.taken() <= max);
                lease.shrink(FREE + FREE);
                assert!(pool.taken() <= max);
                granted
            })
        });
        let granted = ports.map(|port| port.join().unwrap());
        assert!(granted.contains(&true), "neither had anything");
        assert_eq!(pool.taken(), 0, "what a port had is given back with it");
    });
}
