//! A table of bounded size whose entries are forgotten at a time of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use enjamb_core::Instant;

/// Values by key, each until its time. Over the bound, those that would be forgotten next are forgotten first.
#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    values: BTreeMap<K, (Instant, V)>,
    due: BTreeSet<(Instant, K)>,
    most: usize,
}

impl<K: Ord + Copy, V> Remembered<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { values: BTreeMap::new(), due: BTreeSet::new(), most }
    }

    pub(super) fn get(&self, now: Instant, key: &K) -> Option<&V> {
        self.values.get(key).filter(|(at, _)| *at > now).map(|(_, value)| value)
    }

    /// Whether there is any of these keys.
    pub(super) fn any(&self, now: Instant, keys: impl RangeBounds<K>) -> bool {
        // Those that are due are soon gone: few are passed over.
        self.values.range(keys).any(|(_, (at, _))| *at > now)
    }

    pub(super) fn put(&mut self, now: Instant, key: K, value: V, forget_at: Instant) {
        self.remove(&key);
        self.forget(now);
        while self.values.len() >= self.most {
            let Some((_, first)) = self.due.pop_first() else { break };
            self.values.remove(&first);
        }
        self.values.insert(key, (forget_at, value));
        self.due.insert((forget_at, key));
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some((at, _)) = self.values.remove(key) {
            self.due.remove(&(at, *key));
        }
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.due.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Forgets two of those that are due: one comes in at most with each call, so none stays for long.
    pub(super) fn forget(&mut self, now: Instant) {
        for _ in 0..2 {
            if self.due.first().is_some_and(|&(at, _)| at <= now)
                && let Some((_, key)) = self.due.pop_first()
            {
                self.values.remove(&key);
            }
        }
    }
}
