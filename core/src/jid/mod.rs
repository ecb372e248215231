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

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use domain::{Desk, Spelled, canonical_domain_at};
pub use domain::{Domain, canonical_domain};
pub use error::{JidError, JidPart, MAX_PART};

/// An address whose domain is canonical and whose other parts are as sent.
#[derive(Clone, Debug)]
pub struct Jid<'a> {
    text: Text<'a>,
    /// Where the domain begins: 0, or one behind the `@`.
    domain_start: u16,
    /// Where it ends: the whole length, or the place of the `/`.
    domain_end: u16,
}

#[derive(Clone, Debug)]
enum Text<'a> {
    Borrowed(&'a str),
    // Shared with the room that it was written in, and with clones.
    Owned(Arc<String>),
}

/// Room for an address that can't be handed on as it was received. Whoever keeps it pays for the first such address,
/// and for none that comes later, unless somebody holds the one before.
#[derive(Debug, Default)]
pub(crate) struct Room {
    text: Option<Arc<String>>,
    desk: Desk,
    unescaped: String,
}

impl Room {
    /// The address that `unescape` writes out.
    pub(crate) fn parse_unescaped(
        &mut self,
        unescape: impl FnOnce(&mut String),
    ) -> Result<Jid<'static>, JidError> {
        let mut text = core::mem::take(&mut self.unescaped);
        unescape(&mut text);
        let jid = Jid::parse_in(&text, self).map(|jid| jid.into_room(self));
        // One that was longer is no address, and as long as its sender liked.
        if text.capacity() <= 4 * MAX_PART + 4 {
            self.unescaped = text;
        }
        jid
    }

    /// An address of its own with this text.
    fn keep(&mut self, pieces: [&str; 3]) -> Text<'static> {
        let shared = self.text.get_or_insert_default();
        if Arc::get_mut(shared).is_none() {
            *shared = Arc::default();
        }
        if let Some(text) = Arc::get_mut(shared) {
            text.clear();
            text.extend(pieces);
        }
        Text::Owned(Arc::clone(shared))
    }
}

impl<'a> Jid<'a> {
    /// Cuts an address into its parts and checks each; allocates only where the domain has to be rewritten.
    ///
    /// # Errors
    ///
    /// Says which part breaks which rule of RFC 7622.
    pub fn parse(text: &'a str) -> Result<Self, JidError> {
        Self::parse_in(text, &mut Room::default())
    }

    /// [`parse`](Self::parse) with room for what has to be rewritten.
    #[inline]
    pub(crate) fn parse_in(text: &'a str, room: &mut Room) -> Result<Self, JidError> {
        if let Some((domain_start, domain_end)) = plain::parts(text.as_bytes()) {
            return Ok(Self::new(Text::Borrowed(text), domain_start, domain_end));
        }
        Self::parse_any(text, room)
    }

    fn new(text: Text<'a>, domain_start: usize, domain_end: usize) -> Self {
        // Small, since a stanza carries two: no more than two parts come before the resource.
        Self { text, domain_start: domain_start as u16, domain_end: domain_end as u16 }
    }

    fn parse_any(text: &'a str, room: &mut Room) -> Result<Self, JidError> {
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
        let domain_start = at.map_or(0, |at| at + 1);
        let mut desk = core::mem::take(&mut room.desk);
        let domain = canonical_domain_at(&bare[domain_start..], &mut desk);
        let jid = domain.map(|domain| {
            let as_sent = matches!(domain, Spelled::AsSent(same) if same.len() == bare.len() - domain_start);
            let (Spelled::AsSent(domain) | Spelled::Anew(domain)) = domain;
            let text = if as_sent {
                Text::Borrowed(text)
            } else {
                room.keep([&bare[..domain_start], domain, &text[bare.len()..]])
            };
            Self::new(text, domain_start, domain_start + domain.len())
        });
        room.desk = desk;
        jid
    }

    /// The same address with a text of its own, in this room.
    pub(crate) fn into_room(self, room: &mut Room) -> Jid<'static> {
        let Self { text, domain_start, domain_end } = self;
        let text = match text {
            Text::Borrowed(text) => room.keep([text, "", ""]),
            Text::Owned(text) => Text::Owned(text),
        };
        Jid { text, domain_start, domain_end }
    }

    /// The whole address, its domain canonical.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.text {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }

    /// The local part, where there is one; never empty.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.domain_start.checked_sub(1).map(|at| &self.as_str()[..usize::from(at)])
    }

    /// The canonical domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.as_str()[usize::from(self.domain_start)..usize::from(self.domain_end)]
    }

    /// The resource, where there is one; never empty.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.as_str().get(usize::from(self.domain_end) + 1..)
    }

    /// Whether [`as_str`](Self::as_str) is the very slice that was parsed, so that the bytes received can be
    /// handed on as they are.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        matches!(self.text, Text::Borrowed(_))
    }

    /// The same address with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> Jid<'static> {
        self.into_room(&mut Room::default())
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
