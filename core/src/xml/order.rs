//! Finds a text among those of a list in few steps.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// Places in a list, in the order of a text that belongs to each: first of its hash, so that few texts are compared, then
/// of the text itself, so that texts of one hash, which anyone can make, are found in few steps, too.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The hash above, the place below.
    entries: Vec<u64>,
}

/// FNV-1a.
pub(super) fn hash(text: &[u8]) -> u32 {
    text.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Order {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The place with this hash that `compare` finds equal, of several the last one added; else where it belongs in the
    /// order. `compare` compares the text at a place with the one that is looked for.
    pub(super) fn find(&self, hash: u32, compare: impl Fn(usize) -> Ordering) -> Result<Found, usize> {
        let start = self.entries.partition_point(|&entry| entry >> 32 < u64::from(hash));
        let rest = &self.entries[start..];
        let has_hash = |entry: &u64| (entry >> 32) as u32 == hash;
        let place = |entry: u64| entry as u32 as usize;
        if !rest.first().is_some_and(has_hash) {
            return Err(start);
        }
        let alike = if rest.get(1).is_some_and(has_hash) { rest.partition_point(has_hash) } else { 1 };
        let behind = rest[..alike].partition_point(|&entry| compare(place(entry)).is_le());
        match behind.checked_sub(1).map(|last| place(rest[last])) {
            Some(place) if compare(place).is_eq() => Ok(Found { place, behind: start + behind }),
            _ => Err(start + behind),
        }
    }

    /// Adds a place there, as [`find`](Self::find) said.
    pub(super) fn insert(&mut self, at: usize, hash: u32, place: usize) {
        self.entries.insert(at, u64::from(hash) << 32 | place as u64);
    }

    pub(super) fn remove(&mut self, found: Found) {
        self.entries.remove(found.behind - 1);
    }

    pub(super) fn release(&mut self) {
        self.entries.shrink_to(0);
    }
}

/// What was found, and where the next of the same text belongs in the order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) place: usize,
    pub(super) behind: usize,
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    /// With a hash that is good, poor and constant: found is the last one added of each text.
    #[test]
    fn texts_are_found_whatever_their_hashes_are() {
        for bits in [0, 1, 32] {
            let of = |text: &str| if bits == 0 { 0 } else { hash(text.as_bytes()) >> (32 - bits) };
            let (mut order, mut list) = (Order::default(), Vec::<String>::new());
            for round in 0..600_usize {
                let text = alloc::format!("t{}", round * 7919 % 97);
                let last = list.iter().rposition(|known| *known == text);
                let found = order.find(of(&text), |place| list[place].as_str().cmp(&text));
                assert_eq!(found.ok().map(|found| found.place), last, "{text}");
                if round % 5 == 4 {
                    let gone = list.pop().unwrap();
                    let found = order.find(of(&gone), |place| {
                        let known = list.get(place).unwrap_or(&gone);
                        known.cmp(&gone)
                    });
                    assert_eq!(found.unwrap().place, list.len());
                    order.remove(found.unwrap());
                } else {
                    order.insert(found.map_or_else(|at| at, |found| found.behind), of(&text), list.len());
                    list.push(text);
                }
            }
        }
    }
}
