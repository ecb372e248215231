//! The seeds and their neighbours, without a fuzzer: each seed as it is, and changed a few hundred times.

use std::fs;
use std::path::Path;

use crate::{cuts_are_invisible, deliveries_are_portable, proxy_headers_end_where_they_say};

/// Changes of each seed.
const CHANGES: u64 = 400;

/// Plays a directory of seeds; says how many there are.
fn play(target: &str, property: fn(&[u8])) -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let seed = fs::read(path).unwrap();
        property(&seed);
        for number in 1..=CHANGES {
            property(&changed(&seed, number));
        }
    }
    paths.len()
}

/// The seed with one to four pieces replaced, repeated or taken out, the same for the same number.
fn changed(seed: &[u8], number: u64) -> Vec<u8> {
    const MARKUP: &[u8] = b"<>/='\" &;#]!?:\r\n\t\0\xc3x";
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below.max(1)
    };
    let mut bytes = seed.to_vec();
    for _ in 0..=random(3) {
        let (a, b) = (random(bytes.len()), random(bytes.len() + 1));
        let piece = bytes[a.min(b)..a.max(b)].to_vec();
        match random(4) {
            0 => bytes[a] = MARKUP[random(MARKUP.len())],
            1 => bytes.insert(a, MARKUP[random(MARKUP.len())]),
            2 if piece.len() < 512 => drop(bytes.splice(a..a, piece)),
            _ if piece.len() < bytes.len() => drop(bytes.drain(a.min(b)..a.max(b))),
            _ => {}
        }
    }
    bytes
}

#[test]
fn cuts_of_the_seeds_are_invisible() {
    assert!(play("frame_chunking", cuts_are_invisible) >= 9);
}

#[test]
fn deliveries_of_the_seeds_are_portable() {
    assert!(play("scan_vs_rxml", deliveries_are_portable) >= 8);
}

#[test]
fn the_seeds_of_proxy_headers_end_where_they_say() {
    assert!(play("proxy_header", proxy_headers_end_where_they_say) >= 10);
}
