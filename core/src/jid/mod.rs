//! Addresses (RFC 7622), as far as routing needs them.
//!
//! Only the domain is brought into one canonical form, because names are compared by it. Local part and
//! resource are checked for what may never stand in them, and handed on as they were sent.

mod domain;
mod plain;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use thiserror::Error;

pub use domain::{Domain, canonical_domain};

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
    /// The domain ends in a number, as an IPv4 address does, and is none in its one spelling of four decimal
    /// numbers: `127.1` and `0x7f.0.0.1` mean to many what `127.0.0.1` means.
    #[error("the domain ends in a number, and is no IPv4 address of four decimal numbers")]
    NotIpv4,
    /// IDNA refuses the domain, or allows it only with characters dropped or replaced by look-alikes.
    #[error("the domain ({bytes} bytes) is no valid internationalised domain name")]
    Idna {
        /// Its length in bytes.
        bytes: usize,
    },
}

/// An address whose domain is canonical and whose other parts are as sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jid<'a> {
    text: Cow<'a, str>,
    /// Where the domain begins: 0, or one behind the `@`.
    domain_start: u16,
    /// Where it ends: the whole length, or the place of the `/`.
    domain_end: u16,
}

impl<'a> Jid<'a> {
    /// Cuts an address into its parts and checks each; allocates only where the domain has to be rewritten.
    ///
    /// # Errors
    ///
    /// Says which part breaks which rule of RFC 7622.
    pub fn parse(text: &'a str) -> Result<Self, JidError> {
        if let Some((domain_start, domain_end)) = plain::parts(text.as_bytes()) {
            return Ok(Self::new(Cow::Borrowed(text), domain_start, domain_end));
        }
        Self::parse_any(text)
    }

    fn new(text: Cow<'a, str>, domain_start: usize, domain_end: usize) -> Self {
        // Small, since a stanza carries two: no more than two parts come before the resource.
        Self { text, domain_start: domain_start as u16, domain_end: domain_end as u16 }
    }

    fn parse_any(text: &'a str) -> Result<Self, JidError> {
        let slash = memchr::memchr(b'/', text.as_bytes());
        let bare = &text[..slash.unwrap_or(text.len())];
        let at = memchr::memchr(b'@', bare.as_bytes());
        if let Some(at) = at {
            check_local(&bare[..at])?;
        }
        let resource = slash.map(|slash| &text[slash + 1..]);
        if let Some(resource) = resource {
            check_resource(resource)?;
        }
        let domain_start = at.map_or(0, |at| at + 1);
        let domain = canonical_domain(&bare[domain_start..])?;
        let domain_end = domain_start + domain.len();
        let text = match domain {
            Cow::Borrowed(same) if same.len() == bare.len() - domain_start => Cow::Borrowed(text),
            changed => {
                let mut whole = String::with_capacity(text.len() + 8);
                whole.push_str(&bare[..domain_start]);
                whole.push_str(&changed);
                whole.push_str(&text[bare.len()..]);
                Cow::Owned(whole)
            }
        };
        Ok(Self::new(text, domain_start, domain_end))
    }

    /// The whole address, its domain canonical.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part, where there is one; never empty.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.domain_start.checked_sub(1).map(|at| &self.text[..usize::from(at)])
    }

    /// The canonical domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.domain_start)..usize::from(self.domain_end)]
    }

    /// The resource, where there is one; never empty.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.domain_end) + 1..)
    }

    /// Whether [`as_str`](Self::as_str) is the very slice that was parsed, so that the bytes received can be
    /// handed on as they are.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        matches!(self.text, Cow::Borrowed(_))
    }

    /// The same address with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> Jid<'static> {
        let Self { text, domain_start, domain_end } = self;
        Jid { text: Cow::Owned(text.into_owned()), domain_start, domain_end }
    }
}

impl fmt::Display for Jid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_length(part: JidPart, text: &str) -> Result<(), JidError> {
    match text.len() {
        0 => Err(JidError::Empty(part)),
        1..=MAX_PART => Ok(()),
        bytes => Err(JidError::TooLong { part, bytes }),
    }
}

fn check_local(local: &str) -> Result<(), JidError> {
    check_length(JidPart::Local, local)?;
    let forbidden = |c: &char| match c {
        '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@' => true,
        c => c.is_whitespace() || c.is_control() || is_format(*c),
    };
    match local.chars().find(forbidden) {
        Some(found) => Err(JidError::Forbidden { part: JidPart::Local, found }),
        None => Ok(()),
    }
}

fn check_resource(resource: &str) -> Result<(), JidError> {
    check_length(JidPart::Resource, resource)?;
    match resource.chars().find(|c| c.is_control()) {
        Some(found) => Err(JidError::Forbidden { part: JidPart::Resource, found }),
        None => Ok(()),
    }
}

/// Unicode's general category Cf and the variation selectors: characters that show nothing by themselves, with
/// which one local part can pass for another.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}' | '\u{890}'..='\u{891}'
        | '\u{8E2}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1343F}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}
