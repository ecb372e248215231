//! The seeds and their neighbours, without a fuzzer: each seed as it is, and changed a few hundred times; and the corpus
//! as it is.

use std::io::Read;
use std::path::Path;
use std::{fs, io};

use flate2::read::GzDecoder;

use crate::TARGETS;

/// Changes of each seed.
const CHANGES: u64 = 300;

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The seeds of a target, which need not have any, in order.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(home().join("seeds").join(target)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The corpus of a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let file = fs::File::open(home().join("corpus").join(format!("{target}.tar.gz"))).unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let read = |entry: io::Result<tar::Entry<'_, _>>| {
        let mut bytes = Vec::new();
        entry.unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    archive.entries().unwrap().map(read).collect()
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
            0 if a < bytes.len() => bytes[a] = MARKUP[random(MARKUP.len())],
            1 => bytes.insert(a, MARKUP[random(MARKUP.len())]),
            2 if piece.len() < 512 => drop(bytes.splice(a..a, piece)),
            _ if piece.len() < bytes.len() => drop(bytes.drain(a.min(b)..a.max(b))),
            _ => {}
        }
    }
    bytes
}

/// Each target in a thread of its own, so that one that fails hides no other.
#[test]
fn the_properties_hold_of_the_seeds_and_their_neighbours_and_of_the_corpus() {
    let targets = TARGETS.iter().map(|&(name, property)| {
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let (seeds, corpus) = (seeds(name), corpus(name));
            assert!(seeds.len() + corpus.len() >= 8, "{name}: {} seeds", seeds.len() + corpus.len());
            for seed in &seeds {
                property(seed);
                for number in 1..=CHANGES {
                    property(&changed(seed, number));
                }
            }
            corpus.iter().for_each(|input| property(input));
        })
    });
    let running: Vec<_> = targets.map(Result::unwrap).collect();
    let failed = running.into_iter().map(|target| target.join()).filter(Result::is_err).count();
    assert_eq!(failed, 0, "targets whose property does not hold");
}

/// Each target has its five lines, and they call the property that the table says.
#[test]
fn every_target_of_the_table_is_built() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let built: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let listed: Vec<_> = TARGETS.iter().map(|(name, _)| format!("{name}.rs\"")).collect();
    assert_eq!(built, listed);
}
