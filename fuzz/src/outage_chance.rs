//! `outage` without a fuzzer: scripts of chance.

use enjamb_core::switch::Metric;

use crate::outage::play;
use crate::outage_model::Rare;

/// Scripts of chance; in them everything happens that may.
#[test]
fn scripts_of_chance_lose_nothing_and_reach_everything() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    let first = std::env::var("FIRST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut all = Rare::default();
    for seed in first..first + seeds {
        let rare = std::panic::catch_unwind(|| play(&script(seed)));
        let rare = rare.unwrap_or_else(|_| panic!("seed {seed}"));
        all.refused += rare.refused;
        all.replaced += rare.replaced;
        all.blocked += rare.blocked;
        all.full += rare.full;
        all.metrics.iter_mut().zip(rare.metrics).for_each(|(all, count)| *all += count);
    }
    let never: Vec<_> = Metric::ALL.iter().zip(all.metrics).filter(|(_, count)| *count == 0).collect();
    let never: Vec<_> = never.into_iter().map(|(metric, _)| metric.name()).collect();
    // These need a host that is asked something, stanzas that are none, and an uplink.
    assert_eq!(never, ["answered", "rejected", "dropped_rejected", "dropped_by_host", "kept"], "{all:?}");
    assert!(all.refused > 0 && all.replaced > 0 && all.blocked > 0 && all.full > 0, "{all:?}");
}

/// Bytes that are the same for the same seed (SplitMix64).
fn script(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0xD134_2543_DE82_EF95);
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let words = 10 + next() % 40;
    (0..words).flat_map(|_| next().to_le_bytes()).collect()
}
