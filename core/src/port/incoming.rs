//! A stanza that a local port got.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::host;
use crate::jid::Jid;
use crate::limits::Limits;
use crate::queue::Buffer;
use crate::stanza::{Envelope, OwnedStanza, Stanza, StanzaKind, address};
use crate::stanza_error::StanzaError;
use crate::switch::{HostView, Switch};
use crate::time::Now;
use crate::xml::rewrite;
use crate::xml::scan::{Progress, Scan, Value};
use crate::xml::scope::HeaderPrefixes;
use crate::xml::span::Span;

/// A stanza that waits for a local port. It has passed the strict scan, or was written by the switch, and says by itself
/// what its prefixes stand for. Its default namespace is `jabber:component:accept`.
///
/// Kind, addresses, `id` and `type` are noted; [`to_owned`](Self::to_owned) reads the rest.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    bytes: &'a [u8],
    envelope: &'a Envelope,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(bytes: &'a [u8], envelope: &'a Envelope) -> Self {
        Self { bytes, envelope }
    }

    /// The stanza as it stands in the queue.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Iq, message or presence.
    #[must_use]
    pub fn kind(&self) -> StanzaKind {
        self.envelope.kind()
    }

    /// Whom it is for.
    #[must_use]
    pub fn to(&self) -> Option<Jid<'a>> {
        self.address(self.envelope.written_to(self.bytes)?)
    }

    /// Who sent it.
    #[must_use]
    pub fn from(&self) -> Option<Jid<'a>> {
        self.address(self.envelope.written_from(self.bytes)?)
    }

    /// Its `id`, unescaped.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let quoted = self.envelope.written_id(self.bytes)?;
        Some(rewrite::value(&quoted[1..quoted.len() - 1]))
    }

    /// Its `type`, unescaped.
    #[must_use]
    pub fn stanza_type(&self) -> Option<String> {
        self.envelope.stanza_type(self.bytes)
    }

    /// Whether an error may answer it (RFC 6120, 8.3.1).
    #[must_use]
    pub fn expects_reply(&self) -> bool {
        self.envelope.expects_reply(self.bytes)
    }

    /// Appends `error` as the answer to `out`, unless no error may answer it; says whether it did.
    pub fn refuse(&self, error: &StanzaError, out: &mut Vec<u8>) -> bool {
        let may = self.expects_reply();
        if may {
            error.append_answer_by(self.envelope, self.bytes, out);
        }
        may
    }

    /// Answers it as a host of the switch's own does, in `out`: service discovery, ping, version and time, and
    /// `service-unavailable` for the rest. For a port that holds a host and passes on what it does not handle itself. False:
    /// nothing may answer it.
    pub fn answer_as_host<S: Switch>(&self, switch: &S, now: Now, out: &mut Vec<u8>) -> bool {
        let (info, view) = (switch.shared().info(), HostView { switch, now });
        self.read(|stanza| host::answer(stanza, info, &view, out)).unwrap_or(false)
    }

    /// A copy, read in full: payload, number of children, addresses to be changed.
    #[must_use]
    pub fn to_owned(&self) -> Option<OwnedStanza> {
        self.read(OwnedStanza::new)
    }

    /// Reads the stanza in full.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Stanza<'_>) -> R) -> Option<R> {
        let mut scan = Scan::default();
        let limits = Limits { stanza: usize::MAX, ..Limits::default() }.handed_on();
        let whole = scan.advance(self.bytes, &limits, HeaderPrefixes::Usual.as_slice());
        let is_whole = whole == Ok(Progress::Whole(self.bytes.len()));
        let stanza = Stanza::new(self.bytes, scan.head(), &HeaderPrefixes::Usual).filter(|_| is_whole)?;
        stanza.ok().map(|stanza| look(&stanza))
    }

    /// The address in a value that stands in the stanza with its quotes.
    fn address(&self, quoted: &'a [u8]) -> Option<Jid<'a>> {
        let inner = &quoted[1..quoted.len() - 1];
        let plain = !inner.iter().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r'));
        address(inner, Value { span: Span::new(0, inner.len()), plain }, &mut 0).ok()
    }
}

/// Stanzas that a local port has taken, in order.
#[derive(Debug)]
pub struct Batch(Buffer);

impl Batch {
    pub(super) fn new(buffer: Buffer) -> Self {
        Self(buffer)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.unsent().count()
    }

    /// The stanzas.
    pub fn iter(&self) -> impl Iterator<Item = Incoming<'_>> {
        self.0.unsent().filter_map(|(bytes, envelope)| Some(Incoming::new(bytes, envelope?)))
    }
}

impl fmt::Debug for Incoming<'_> {
    /// Shows what it is and how long, not what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("kind", &self.kind())
            .field("type", &self.stanza_type())
            .field("from", &self.from().map(|from| String::from(from.as_str())))
            .field("to", &self.to().map(|to| String::from(to.as_str())))
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
