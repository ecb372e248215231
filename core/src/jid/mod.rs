//! Addresses (RFC 7622), as far as routing needs them.
//!
//! Only the domain is brought into one canonical form, because names are compared by it. Local part and
//! resource are checked for what may never stand in them, and handed on as they were sent: which local parts
//! there are is for their domain to say.

mod domain;
mod error;
mod local;
mod plain;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

pub use domain::{Domain, canonical_domain};
pub use error::{JidError, JidPart, MAX_PART};

/// An address whose domain is canonical and whose other parts are as sent.
#[derive(Clone, Debug)]
pub struct Jid<'a>(Text<'a>);

// With where the domain stands in each, as that makes an address a third smaller.
#[derive(Clone, Debug)]
enum Text<'a> {
    Borrowed(&'a str, DomainSpan),
    Shared(Arc<str>, DomainSpan),
}

/// Where the domain stands: no more than two parts come before the resource, so the numbers are small.
#[derive(Clone, Copy, Debug)]
struct DomainSpan {
    /// 0, or one behind the `@`.
    start: u16,
    /// The whole length, or the place of the `/`.
    end: u16,
}

impl DomainSpan {
    fn new(start: usize, end: usize) -> Self {
        Self { start: start as u16, end: end as u16 }
    }
}

impl<'a> Jid<'a> {
    /// Cuts an address into its parts and checks each; allocates only where the domain has to be rewritten.
    ///
    /// # Errors
    ///
    /// Says which part breaks which rule of RFC 7622.
    #[inline]
    pub fn parse(text: &'a str) -> Result<Self, JidError> {
        Self::parse_noting(text, &mut 0)
    }

    /// [`parse`](Self::parse), which adds to `work` what it costs if the address is not as nearly all are, in steps of some
    /// 8 ns.
    #[inline]
    pub(crate) fn parse_noting(text: &'a str, work: &mut u32) -> Result<Self, JidError> {
        if let Some((start, end)) = plain::parts(text.as_bytes()) {
            return Ok(Self(Text::Borrowed(text, DomainSpan::new(start, end))));
        }
        Self::parse_any(text, work)
    }

    fn parse_any(text: &'a str, work: &mut u32) -> Result<Self, JidError> {
        *work += text.len() as u32;
        let slash = memchr::memchr(b'/', text.as_bytes());
        let bare = &text[..slash.unwrap_or(text.len())];
        let at = memchr::memchr(b'@', bare.as_bytes());
        if let Some(at) = at {
            local::check(&bare[..at])?;
        }
        let resource = slash.map(|slash| &text[slash + 1..]);
        if let Some(resource) = resource {
            check_resource(resource)?;
        }
        let start = at.map_or(0, |at| at + 1);
        let name = &bare.as_bytes()[start..];
        // Letters that are not ASCII, or a label that may stand for such: tables of Unicode, and rules for all labels. A few
        // count with the stanza.
        if name.len() > 16 && name.iter().any(|&byte| byte >= 0x80 || byte == b'-') {
            *work += 5 * name.len() as u32;
        }
        let domain = canonical_domain(&bare[start..])?;
        let span = DomainSpan::new(start, start + domain.len());
        Ok(Self(match domain {
            Cow::Borrowed(same) if same.len() == bare.len() - start => Text::Borrowed(text, span),
            domain => Text::Shared([&bare[..start], &domain, &text[bare.len()..]].concat().into(), span),
        }))
    }

    /// The address of a domain, which shares its text.
    pub(crate) fn of_domain(domain: &Domain) -> Jid<'static> {
        Jid(Text::Shared(domain.shared(), DomainSpan::new(0, domain.as_str().len())))
    }

    /// The whole address, its domain canonical.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Borrowed(text, _) => text,
            Text::Shared(text, _) => text,
        }
    }

    /// Where the domain begins in it.
    pub(crate) fn domain_start(&self) -> u16 {
        self.span().start
    }

    fn span(&self) -> DomainSpan {
        let (Text::Borrowed(_, span) | Text::Shared(_, span)) = self.0;
        span
    }

    fn domain_range(&self) -> Range<usize> {
        let DomainSpan { start, end } = self.span();
        usize::from(start)..usize::from(end)
    }

    /// The local part, where there is one; never empty.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.domain_range().start.checked_sub(1).map(|at| &self.as_str()[..at])
    }

    /// The canonical domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.as_str()[self.domain_range()]
    }

    /// The resource, where there is one; never empty.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.as_str().get(self.domain_range().end + 1..)
    }

    /// The address as it is compared: two are the same if these are.
    #[must_use]
    pub(crate) fn folded(&self) -> Cow<'_, str> {
        match self.local().map(local::fold) {
            Some(Cow::Owned(local)) => {
                let rest = &self.as_str()[usize::from(self.domain_start()) - 1..];
                Cow::Owned([&local, rest].concat())
            }
            Some(Cow::Borrowed(_)) | None => Cow::Borrowed(self.as_str()),
        }
    }

    /// Whether [`as_str`](Self::as_str) is the very slice that was parsed, so that the bytes received can be
    /// handed on as they are.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        matches!(self.0, Text::Borrowed(..))
    }

    /// The same address with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> Jid<'static> {
        Jid(match self.0 {
            Text::Borrowed(text, span) => Text::Shared(text.into(), span),
            Text::Shared(text, span) => Text::Shared(text, span),
        })
    }
}

impl PartialEq for Jid<'_> {
    fn eq(&self, other: &Self) -> bool {
        // Its parts follow from the text.
        self.as_str() == other.as_str()
    }
}

impl Eq for Jid<'_> {}

impl fmt::Display for Jid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check_resource(resource: &str) -> Result<(), JidError> {
    error::check_length(JidPart::Resource, resource)?;
    match resource.chars().find(|c| c.is_control()) {
        Some(found) => Err(JidError::Forbidden { part: JidPart::Resource, found }),
        None => Ok(()),
    }
}
