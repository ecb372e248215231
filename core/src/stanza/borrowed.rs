//! A stanza that borrows the input: what routing needs of it, and how it is written for its receiver.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use super::envelope::Envelope;
use super::kind::{StanzaKind, expects_reply, is_proper};
use crate::jid::{Jid, JidError};
use crate::namespaces as ns;
use crate::xml::child::Child;
use crate::xml::escape::{push_attribute, push_value};
use crate::xml::rescope::{foreign_declarations, is_foreign};
use crate::xml::rewrite;
use crate::xml::scan::{Head, Value};
use crate::xml::scope::{HeaderPrefixes, Namespace};
use crate::xml::span::Span;
use crate::xml::text::Oddities;

/// A stanza that the strict scan accepted whole. It borrows the input and nothing else, so the stream that
/// gave it may be used while it is held. Only streams make stanzas.
///
/// What [`append_to`](Self::append_to) writes is refused by no strict parser in the receiver's stream, a limit of its own apart:
/// it inherits the default namespace and has none of its own, declares each prefix that it uses, none at the top for
/// `jabber:client` or `jabber:server`, which are the stream's own namespace there, and holds no CDATA section, no bare CR and no unusually long character reference.
#[derive(Clone)]
pub struct Stanza<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) kind: StanzaKind,
    pub(super) head: Head,
    pub(super) to: Option<Jid<'b>>,
    pub(super) from: Option<Jid<'b>>,
    /// Of the sender's stream header, where the stanza uses one that only it declared.
    pub(super) prefixes: HeaderPrefixes,
}

/// Why a stanza has no usable address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressFault {
    To(JidError),
    From(JidError),
}

impl<'b> Stanza<'b> {
    /// Makes a stanza of what the scan found; `None` if the element is not one.
    pub(crate) fn new(
        bytes: &'b [u8],
        head: &Head,
        header: &HeaderPrefixes,
    ) -> Option<Result<Self, AddressFault>> {
        let kind = StanzaKind::of(head)?;
        let addresses = addresses(bytes, head, &mut 0);
        Some(addresses.map(|addresses| Self::assemble(bytes, kind, head, header, addresses)))
    }

    /// Makes a stanza of an element whose kind and addresses are known. Put together in one place, since it is
    /// too large to be moved about for each that passes.
    #[inline(always)]
    pub(crate) fn assemble(
        bytes: &'b [u8],
        kind: StanzaKind,
        head: &Head,
        header: &HeaderPrefixes,
        (to, from): (Option<Jid<'b>>, Option<Jid<'b>>),
    ) -> Self {
        let prefixes = if head.inherited == 0 { HeaderPrefixes::Usual } else { header.clone() };
        Self { bytes, kind, head: *head, to, from, prefixes }
    }

    /// The stanza as it was received.
    #[must_use]
    pub fn raw(&self) -> &'b [u8] {
        self.bytes
    }

    /// Iq, message or presence.
    #[must_use]
    pub fn kind(&self) -> StanzaKind {
        self.kind
    }

    /// Whom it is for. A server's stream gives no stanza without.
    #[must_use]
    pub fn to(&self) -> Option<&Jid<'b>> {
        self.to.as_ref()
    }

    /// Who sent it: what it says, or what the stream stamped on it. A server's stream gives none without.
    #[must_use]
    pub fn from(&self) -> Option<&Jid<'b>> {
        self.from.as_ref()
    }

    /// Its `id`, unescaped.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'b, str>> {
        self.head.id.map(|value| text_of(self.bytes, value))
    }

    /// Its `id` as it was written, with its quotes.
    pub(crate) fn written_id(&self) -> Option<&'b [u8]> {
        self.head.id.map(|value| value.span.quoted(self.bytes))
    }

    /// Its `type`, unescaped.
    #[must_use]
    pub fn stanza_type(&self) -> Option<Cow<'b, str>> {
        self.head.type_.map(|value| text_of(self.bytes, value))
    }

    /// What is between its start and its end tag, as it was received; prefixes may be declared outside.
    #[must_use]
    pub fn content(&self) -> &'b [u8] {
        &self.bytes[self.head.end as usize..(self.head.foot as usize).max(self.head.end as usize)]
    }

    /// How many child elements it has.
    #[must_use]
    pub fn children(&self) -> usize {
        self.head.children as usize
    }

    /// Its first child element.
    pub(crate) fn child(&self) -> Option<Child<'_>> {
        Child::first(self.bytes, &self.head, self.prefixes.as_slice())
    }

    /// May an error answer it? Never an error itself, nor an iq's answer (RFC 6120, 8.3.1); of presence only
    /// what waits for a reaction: that without a type, `subscribe` and `probe`.
    #[must_use]
    pub fn expects_reply(&self) -> bool {
        expects_reply(self.kind.as_str(), self.known_type())
    }

    /// Is it no iq, or one that RFC 6120 section 8.2.3 allows?
    pub(crate) fn is_proper(&self) -> bool {
        is_proper(self.bytes, self.kind, &self.head)
    }

    /// Its `type`, where that is one of those that mean something.
    pub(crate) fn known_type(&self) -> Option<&'static str> {
        self.head.known_type(self.bytes)
    }

    /// The same stanza with other addresses, as a gateway sends it on. Everything else stays as it was received:
    /// [`append_to`](Self::append_to) writes it, [`raw`](Self::raw) does not know.
    #[must_use]
    pub fn with_addresses(&self, from: &Jid<'_>, to: &Jid<'_>) -> Self {
        // An address of its own is written in the place of the one received.
        let (from, to) = (Some(from.clone().into_owned()), Some(to.clone().into_owned()));
        Self { from, to, ..self.clone() }
    }

    /// The same stanza on its way back, as an echo sends it; `None` where it has no two addresses, or where none may
    /// answer it, so that two who answer everything don't go on for ever over an error.
    #[must_use]
    pub fn turned_back(&self) -> Option<Self> {
        match (&self.to, &self.from) {
            (Some(to), Some(from)) if self.expects_reply() => Some(self.with_addresses(to, from)),
            _ => None,
        }
    }

    /// Appends the stanza as its receiver is to get it: as received where that can be handed on, with the
    /// parts rewritten that can't. Allocates nothing but what `out` needs to grow.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        self.append_noting(out);
    }

    /// [`append_to`](Self::append_to), noting where the addresses are.
    #[inline]
    pub(crate) fn append_noting(&self, out: &mut Vec<u8>) -> Envelope {
        if self.is_as_received() {
            out.extend_from_slice(self.bytes);
            self.envelope()
        } else {
            self.append_rewritten(out)
        }
    }

    /// Where the addresses are in what was received.
    #[inline]
    pub(super) fn envelope(&self) -> Envelope {
        let at = |value: Option<Value>| value.map_or(0, |value| value.span.start - 1);
        Envelope {
            kind: self.kind,
            domain: self.from.as_ref().map_or(0, Jid::domain_start),
            from: at(self.head.from),
            to: at(self.head.to),
            id: at(self.head.id),
            stanza_type: at(self.head.type_),
        }
    }

    /// Is it handed on byte for byte, as nearly all are?
    fn is_as_received(&self) -> bool {
        let head = &self.head;
        let keeps = |value: Option<Value>, address: &Option<Jid<'b>>| match address {
            Some(address) => value.is_some() && address.is_verbatim(),
            None => true,
        };
        let own = head.xmlns.is_some() || head.name.has_prefix() || head.inherited != 0;
        !own && !head.odd.any() && keeps(head.to, &self.to) && keeps(head.from, &self.from)
    }

    /// What writing it costs, in steps of the scan. That of a small one counts with the event, apart from the header's
    /// prefixes that it declares.
    pub(crate) fn copy_work(&self) -> u32 {
        const SMALL: usize = 512;
        const DECLARATION: u32 = 3;
        let length = self.bytes.len();
        let content = if length < SMALL {
            0
        } else if self.head.odd.any() {
            length as u32 / 3
        } else {
            length as u32 / 128
        };
        content + self.head.inherited.count_ones() * DECLARATION
    }

    fn append_rewritten(&self, out: &mut Vec<u8>) -> Envelope {
        let (head, start, mut envelope) = (&self.head, out.len(), self.envelope());
        let name = head.name.local_span();
        out.push(b'<');
        out.extend_from_slice(name.of(self.bytes));
        self.declare_inherited(out);
        for (written, name, address, noted) in
            [(head.from, "from", &self.from, &mut envelope.from), (head.to, "to", &self.to, &mut envelope.to)]
        {
            if let (None, Some(address)) = (written, address) {
                *noted = (out.len() - start + name.len() + 2) as u32;
                push_attribute(out, name, address.as_str());
            }
        }
        self.push_attributes(out, start, &mut envelope);
        let end = head.end as usize;
        let Some(content) = self.bytes.get(end..head.foot as usize) else { return envelope };
        if head.foot as usize == self.bytes.len() {
            return envelope;
        }
        self.push_piece(out, content, false);
        if head.name.has_prefix() {
            out.extend_from_slice(b"</");
            out.extend_from_slice(name.of(self.bytes));
            out.push(b'>');
        } else {
            self.push_piece(out, &self.bytes[head.foot as usize..], false);
        }
        envelope
    }

    /// What [`append_to`](Self::append_to) writes, by itself.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut written = Vec::with_capacity(self.bytes.len() + 128);
        self.append_to(&mut written);
        written
    }

    /// Appends the start tag behind its name: everything but its own `xmlns`, the addresses canonical. Notes where the
    /// values are, from `start` on.
    fn push_attributes(&self, out: &mut Vec<u8>, start: usize, envelope: &mut Envelope) {
        let head = &self.head;
        fn respelled<'a, 'b>(address: &'a Option<Jid<'b>>) -> Option<&'a Jid<'b>> {
            address.as_ref().filter(|address| !address.is_verbatim())
        }
        let mut at = head.name.end();
        let (before, whole) = (out.len(), head.end as usize - at);
        let edits = respelled(&self.to).is_some() || respelled(&self.from).is_some() || head.xmlns.is_some();
        if !edits && !head.odd.has(Oddities::FOREIGN_PREFIX) {
            self.push_piece(out, &self.bytes[at..head.end as usize], true);
            // Rewriting makes it shorter or leaves every byte in its place.
            if out.len() - before == whole {
                let shift = |written: Option<Value>, noted: &mut u32| {
                    *noted = written.map_or(*noted, |_| (*noted + (before - start) as u32) - at as u32);
                };
                shift(head.to, &mut envelope.to);
                shift(head.from, &mut envelope.from);
                shift(head.id, &mut envelope.id);
                shift(head.type_, &mut envelope.stanza_type);
                return;
            }
            out.truncate(before);
        }
        let mut values = [
            (head.to, respelled(&self.to), &mut envelope.to),
            (head.from, respelled(&self.from), &mut envelope.from),
            (head.id, None, &mut envelope.id),
            (head.type_, None, &mut envelope.stanza_type),
        ];
        values.sort_unstable_by_key(|(value, ..)| value.map_or(u32::MAX, |value| value.span.start));
        for (value, address, noted) in values {
            let Some(Value { span, .. }) = value else { break };
            let (quote, end) = (span.start as usize - 1, span.end as usize + 1);
            self.push_start_tag(out, at, quote);
            *noted = (out.len() - start) as u32;
            at = end;
            if let Some(address) = address {
                let quote = self.bytes[quote];
                out.push(quote);
                push_value(out, address.as_str(), quote);
                out.push(quote);
            } else {
                self.push_piece(out, &self.bytes[quote..end], true);
            }
        }
        self.push_start_tag(out, at, head.end as usize);
    }

    /// Appends a part of the start tag that begins behind a value, but for its own `xmlns`.
    fn push_start_tag(&self, out: &mut Vec<u8>, from: usize, to: usize) {
        match self.head.xmlns {
            Some(Span { start, end }) if (from..to).contains(&(start as usize)) => {
                self.push_declarations(out, from, start as usize);
                self.push_declarations(out, end as usize, to);
            }
            _ => self.push_declarations(out, from, to),
        }
    }

    /// Appends this part of the start tag, its declarations made those of the receiver's stream.
    fn push_declarations(&self, out: &mut Vec<u8>, mut from: usize, to: usize) {
        if self.head.odd.has(Oddities::FOREIGN_PREFIX) {
            for uri in foreign_declarations(self.bytes, from, to) {
                self.push_piece(out, &self.bytes[from..uri.start as usize], true);
                out.extend_from_slice(ns::COMPONENT.as_bytes());
                // With its closing quote, so that the next piece begins between attributes.
                from = uri.end as usize + 1;
                out.push(self.bytes[from - 1]);
            }
        }
        self.push_piece(out, &self.bytes[from..to], true);
    }

    fn push_piece(&self, out: &mut Vec<u8>, piece: &[u8], in_tag: bool) {
        if self.head.odd.any() {
            rewrite::copy(out, piece, in_tag);
        } else {
            out.extend_from_slice(piece);
        }
    }

    /// Declares the prefixes that only the sender's stream header declared. Where the stanza itself has one of them,
    /// what they call the stream's namespace becomes the receiver's.
    fn declare_inherited(&self, out: &mut Vec<u8>) {
        let is_named_so = matches!(self.head.namespace, Some(Namespace::Header(_)));
        for (index, prefix) in self.prefixes.as_slice().iter().enumerate() {
            if self.head.inherited & (1 << index) != 0 {
                let foreign = is_named_so && is_foreign(prefix.uri.as_bytes());
                prefix.declare(if foreign { ns::COMPONENT } else { &prefix.uri }, out);
            }
        }
    }
}

impl fmt::Debug for Stanza<'_> {
    /// Shows what it is and how long, not what it says: stanzas must not get into logs by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stanza")
            .field("kind", &self.kind)
            .field("type", &self.stanza_type())
            .field("from", &self.from.as_ref().map(Jid::as_str))
            .field("to", &self.to.as_ref().map(Jid::as_str))
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The `to` and the `from` of an element, where it has them.
#[inline(always)]
pub(crate) fn addresses<'b>(
    bytes: &'b [u8],
    head: &Head,
    work: &mut u32,
) -> Result<(Option<Jid<'b>>, Option<Jid<'b>>), AddressFault> {
    let mut address = |value| address(bytes, value, work);
    let to = head.to.map(&mut address).transpose().map_err(AddressFault::To)?;
    let from = head.from.map(&mut address).transpose().map_err(AddressFault::From)?;
    Ok((to, from))
}

/// An address, and the work on it in steps of the scan.
pub(crate) fn address<'b>(bytes: &'b [u8], value: Value, work: &mut u32) -> Result<Jid<'b>, JidError> {
    if value.plain {
        Jid::parse_noting(span_text(bytes, value.span), work)
    } else {
        let written = value.span.of(bytes);
        *work += written.len() as u32 / 2;
        Jid::parse_noting(&rewrite::value(written), work).map(Jid::into_owned)
    }
}

/// An attribute's value, unescaped where it has to be.
fn text_of(bytes: &[u8], value: Value) -> Cow<'_, str> {
    let written = span_text(bytes, value.span);
    if value.plain { Cow::Borrowed(written) } else { Cow::Owned(rewrite::value(written.as_bytes())) }
}

fn span_text(bytes: &[u8], span: Span) -> &str {
    // The scan has checked that it is UTF-8.
    core::str::from_utf8(span.of(bytes)).unwrap_or_default()
}
