//! Parse errors of addresses, and the length that they enforce.

use core::fmt;

use thiserror::Error;

/// The longest that each part of an address may be, in bytes (RFC 7622 sections 3.2 to 3.4).
pub const MAX_PART: usize = 1023;

/// A part of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidPart {
    /// What stands before the `@`.
    Local,
    /// What stands between `@` and `/`.
    Domain,
    /// What stands behind the first `/`.
    Resource,
}

impl fmt::Display for JidPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local part",
            Self::Domain => "domain",
            Self::Resource => "resource",
        })
    }
}

/// Why a text is no address. The messages never repeat what was received, except for one character by its number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JidError {
    /// A part that its separator announces, or the domain, is not there.
    #[error("the {0} is empty")]
    Empty(JidPart),
    /// A part is over [`MAX_PART`] bytes.
    #[error("the {part} has {bytes} bytes, more than {MAX_PART}")]
    TooLong {
        /// Which part.
        part: JidPart,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A character that this part may never hold.
    #[error("the {part} holds U+{:04X}, which is not allowed there", u32::from(*.found))]
    Forbidden {
        /// Which part.
        part: JidPart,
        /// The first such character.
        found: char,
    },
    /// Two dots in a row, or a dot in front.
    #[error("the domain has an empty label")]
    EmptyLabel,
    /// A label is over 63 bytes as DNS would carry it.
    #[error("a label of the domain has {bytes} bytes as DNS carries it, more than 63")]
    LabelTooLong {
        /// Its length in bytes; for a label that is not ASCII, that of its A-label.
        bytes: usize,
    },
    /// A label begins or ends with a hyphen.
    #[error("a label of the domain begins or ends with a hyphen")]
    LabelHyphen,
    /// The domain is in brackets and no IPv6 address.
    #[error("the domain is in brackets, and no IPv6 address")]
    NotIpv6,
    /// The domain consists of numbers alone, as an IPv4 address does, and is not written as four decimal numbers:
    /// `127.1` and `0x7f.0.0.1` mean to many what `127.0.0.1` means.
    #[error("the domain consists of numbers alone, and is no IPv4 address of four decimal numbers")]
    NotIpv4,
    /// IDNA refuses the domain, or allows it only with characters dropped or replaced by look-alikes.
    #[error("the domain ({bytes} bytes) is no valid internationalised domain name")]
    Idna {
        /// Its length in bytes.
        bytes: usize,
    },
}

/// Checks that a part is neither empty nor too long.
pub(super) fn check_length(part: JidPart, text: &str) -> Result<(), JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        1..=MAX_PART => Ok(()),
        bytes => Err(JidError::TooLong { part, bytes }),
    }
}
