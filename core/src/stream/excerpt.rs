//! A piece of what a peer sent, for the log.

use core::fmt;

/// The most bytes that are kept.
const LONGEST: usize = 80;

/// An address as it was written, cut after 80 bytes. It costs no allocation. It may hold any character: escape it before it
/// is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; LONGEST],
    len: u8,
    is_cut: bool,
}

impl Excerpt {
    pub(crate) fn of(written: &[u8]) -> Self {
        let text = core::str::from_utf8(written).unwrap_or_default();
        let kept = &text.as_bytes()[..text.floor_char_boundary(LONGEST)];
        let mut bytes = [0; LONGEST];
        bytes[..kept.len()].copy_from_slice(kept);
        Self { bytes, len: kept.len() as u8, is_cut: kept.len() < text.len() }
    }

    /// The text that was kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// Whether more was written.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.as_str(), if self.is_cut { "..." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let short = Excerpt::of("tést".as_bytes());
        assert_eq!((short.as_str(), short.is_cut()), ("tést", false));
        let long = String::from("x") + &"é".repeat(100);
        let cut = Excerpt::of(long.as_bytes());
        assert_eq!((cut.as_str(), cut.is_cut()), (&long[..79], true));
        assert_eq!(Excerpt::of(b"\xff").as_str(), "");
    }
}
