//! Cuts are invisible.

use enjamb_core::{StreamError, StreamErrorCause, XmlError};

use crate::connection::{Connection, HANDSHAKE, HEADER, Happened, limits};
use crate::served::Served;

/// Feeds the same bytes whole and cut, and compares. The first eight bytes of `data` say how to cut; the rest
/// stands behind a whole negotiation where the first byte is odd, else at the very beginning.
///
/// # Panics
/// A cut made a difference, to the stream or to a server around it; or something is wrong before the byte that is said to
/// be at fault.
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
    if seed[0] % 2 == 1
        && let Some(Happened::Failed(StreamError { cause: StreamErrorCause::Xml(error), .. })) =
            whole.events.last()
    {
        nothing_is_wrong_before(*error, rest, whole.consumed);
    }
}

/// `consumed`: up to here the bytes behind the negotiation were taken when one of them was at fault.
fn nothing_is_wrong_before(error: XmlError, bytes: &[u8], consumed: usize) {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let element = consumed + bytes[consumed..].iter().take_while(blank).count();
    let at = element + error.at;
    assert!(at < bytes.len(), "{error}: the stream has only {} bytes", bytes.len());
    let mut before = Connection::established(limits(), true);
    before.feed(&bytes[..at]);
    let failed = before.events.iter().find(|event| matches!(event, Happened::Failed(_)));
    assert_eq!(failed, None, "before {error}");
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
