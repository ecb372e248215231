//! The handshake of XEP-0114: the SHA-1 of the stream id and a shared secret.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret that a listener and its components share. Never shown by `Debug`. Clones share one copy in memory, which is
/// wiped with the last of them.
///
/// Components hash its UTF-8 bytes; some libraries don't for anything but ASCII letters and digits, so a
/// secret made of those works with all of them.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes the secret's bytes.
    #[must_use]
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(secret.into())))
    }

    /// The 20 bytes that prove the secret on the stream `id`: SHA-1 over the id, as the characters that were
    /// sent, and the secret (XEP-0114, section 3).
    fn proof(&self, id: &str) -> [u8; 20] {
        let mut hash = Sha1::new();
        hash.update(id.as_bytes());
        hash.update(&self.0[..]);
        hash.finalize().into()
    }

    /// The handshake's text: the proof in lower-case hexadecimal.
    pub(crate) fn handshake(&self, id: &str) -> [u8; 40] {
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.proof(id)) {
            pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        text
    }

    /// Does `text` prove the secret on the stream `id`? Either case of the digits and white space around them
    /// are taken. How long this takes depends on the text's length, never on how much of it is right.
    pub(crate) fn is_proved_by(&self, id: &str, text: &str) -> bool {
        let text = text.trim_matches([' ', '\t', '\n', '\r']).as_bytes();
        let mut given = [0; 40];
        let fits = text.len() == given.len();
        for (place, byte) in given.iter_mut().zip(text) {
            *place = byte.to_ascii_lowercase();
        }
        let right = self.handshake(id).ct_eq(&given);
        bool::from(right) & fits
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The id of one stream. The caller draws it: at least 128 random bits, fresh for each stream, also for one
/// that is refused (clients answer an empty id with the bare hash of their secret).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamId(String);

impl StreamId {
    /// Writes 128 random bits as an id: 32 hexadecimal digits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        Self(alloc::format!("{bits:032x}"))
    }

    /// An id of the caller's own making, for tests and replays. Only ASCII letters, digits, `-`, `_` and `.`
    /// are taken, 1 to 128 of them, so that no client needs to unescape it.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        fits.then(|| Self(text.into()))
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_xep_0114() {
        let secret = Secret::new("test");
        let proof = secret.handshake("3BF96D32");
        assert_eq!(&proof, b"aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e");
        assert!(secret.is_proved_by("3BF96D32", core::str::from_utf8(&proof).unwrap()));
    }

    #[test]
    fn case_and_blanks_around_are_taken_and_any_wrong_length_is_refused() {
        let secret = Secret::new("s3cr3t");
        let right = "0874863feb958907769e78b3af52d5ce597ed492";
        let id = "b1615abb-7564-4760-a30b-bccb96b30f91";
        assert!(secret.is_proved_by(id, right));
        assert!(secret.is_proved_by(id, &alloc::format!("\n  {}\t", right.to_uppercase())));
        for wrong in ["", "0", &right[1..], &alloc::format!("{right}0"), &"é".repeat(20), &"0".repeat(40)] {
            assert!(!secret.is_proved_by(id, wrong), "{wrong}");
        }
        assert!(!secret.is_proved_by("another", right), "a proof is good on one stream only");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(alloc::format!("{:?}", Secret::new("s3cr3t")), "Secret(..)");
    }

    #[test]
    fn ids_are_safe_in_an_attribute() {
        assert_eq!(StreamId::from_random(255).as_str(), "000000000000000000000000000000ff");
        assert!(StreamId::from_text("a'b").is_none());
        assert!(StreamId::from_text("").is_none());
    }
}
