//! Cuts are invisible.

use crate::connection::{Connection, HANDSHAKE, HEADER, limits};
use crate::served::Served;

/// Feeds the same bytes whole and cut, and compares. The first eight bytes of `data` say how to cut; the rest
/// stands behind a whole negotiation where the first byte is odd, else at the very beginning.
///
/// # Panics
/// A cut made a difference, to the stream or to a server around it.
pub fn cuts_are_invisible(data: &[u8]) {
    let Some((seed, rest)) = data.split_first_chunk::<8>() else { return };
    let bytes = if seed[0] % 2 == 1 { [HEADER, HANDSHAKE, rest].concat() } else { rest.to_vec() };

    let mut whole = Connection::new(limits(), true);
    whole.feed(&bytes);
    let mut served = Served::new();
    served.feed(&bytes);

    let mut cuts = Cuts(u64::from_le_bytes(*seed) | 1);
    let mut cut = Connection::new(limits(), true);
    let mut served_cut = Served::new();
    let mut left = &bytes[..];
    while !left.is_empty() {
        let (piece, rest) = left.split_at(cuts.next().min(left.len()));
        cut.feed(piece);
        served_cut.feed(piece);
        left = rest;
    }
    assert_eq!(whole.events, cut.events, "other events");
    assert_eq!(String::from_utf8_lossy(&whole.out), String::from_utf8_lossy(&cut.out), "other output");
    assert_eq!(served.seen(), served_cut.seen(), "the server does something else");
}

/// Lengths of pieces, mostly short: xorshift, so that an input means the same for ever.
struct Cuts(u64);

impl Cuts {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        match self.0 >> 61 {
            0..4 => 1,
            4..7 => 1 + (self.0 >> 32) as usize % 8,
            _ => 1 + (self.0 >> 32) as usize % 256,
        }
    }
}
