//! A stanza that borrows the input: what routing needs of it, and how it is written for its receiver.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use crate::jid::{Jid, JidError, Room};
use crate::namespaces as ns;
use crate::xml::child::Child;
use crate::xml::escape::{push_attribute, push_value};
use crate::xml::rescope::{foreign_declarations, is_foreign};
use crate::xml::rewrite;
use crate::xml::scan::{Head, TopLevel, Value};
use crate::xml::scope::{HeaderPrefixes, Namespace};
use crate::xml::tag::Span;
use crate::xml::text::Oddities;

/// The three kinds of stanza (RFC 6120, 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StanzaKind {
    /// A request, or the answer to one.
    Iq,
    /// Something pushed to somebody.
    Message,
    /// Availability, and subscriptions to it.
    Presence,
}

impl StanzaKind {
    /// Which kind of stanza an element is, if any.
    pub(crate) fn of(head: &Head) -> Option<Self> {
        match head.top {
            TopLevel::Iq => Some(Self::Iq),
            TopLevel::Message => Some(Self::Message),
            TopLevel::Presence => Some(Self::Presence),
            TopLevel::Handshake | TopLevel::StreamError | TopLevel::Other => None,
        }
    }

    /// The element's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iq => "iq",
            Self::Message => "message",
            Self::Presence => "presence",
        }
    }
}

impl fmt::Display for StanzaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    /// Makes a stanza of what the scan found; `None` if the element is none.
    pub(crate) fn new(
        bytes: &'b [u8],
        head: &Head,
        header: &HeaderPrefixes,
        rooms: &mut Rooms,
    ) -> Option<Result<Self, AddressFault>> {
        let kind = StanzaKind::of(head)?;
        let addresses = addresses(bytes, head, rooms);
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

    /// Its `type`, where that is one of those that mean something.
    pub(crate) fn known_type(&self) -> Option<&'static str> {
        known_type(self.bytes, &self.head)
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
    /// parts written anew that can't. Allocates nothing but what `out` needs to grow.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        if self.is_as_received() {
            out.extend_from_slice(self.bytes);
        } else {
            self.append_anew(out);
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

    fn append_anew(&self, out: &mut Vec<u8>) {
        let head = &self.head;
        let name = head.name.local_span();
        out.push(b'<');
        out.extend_from_slice(name.of(self.bytes));
        self.declare_inherited(out);
        if head.from.is_none()
            && let Some(from) = &self.from
        {
            push_attribute(out, "from", from.as_str());
        }
        if head.to.is_none()
            && let Some(to) = &self.to
        {
            push_attribute(out, "to", to.as_str());
        }
        self.push_attributes(out);
        let end = head.end as usize;
        let Some(content) = self.bytes.get(end..head.foot as usize) else { return };
        if head.foot as usize == self.bytes.len() {
            return;
        }
        self.push_piece(out, content, false);
        if head.name.has_prefix() {
            out.extend_from_slice(b"</");
            out.extend_from_slice(name.of(self.bytes));
            out.push(b'>');
        } else {
            self.push_piece(out, &self.bytes[head.foot as usize..], false);
        }
    }

    /// What [`append_to`](Self::append_to) writes, by itself.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut written = Vec::with_capacity(self.bytes.len() + 128);
        self.append_to(&mut written);
        written
    }

    /// Appends the start tag behind its name: everything but its own `xmlns`, the addresses canonical.
    fn push_attributes(&self, out: &mut Vec<u8>) {
        let head = &self.head;
        fn changed<'a, 'b>(
            value: Option<Value>,
            address: Option<&'a Jid<'b>>,
        ) -> Option<(Span, &'a Jid<'b>)> {
            let address = address.filter(|address| !address.is_verbatim())?;
            Some((value?.span, address))
        }
        let mut edits = [
            head.xmlns.map(|span| (span, None)),
            changed(head.to, self.to.as_ref()).map(|(span, to)| (span, Some(to))),
            changed(head.from, self.from.as_ref()).map(|(span, from)| (span, Some(from))),
        ];
        edits.sort_unstable_by_key(|edit| edit.as_ref().map_or(u32::MAX, |(span, _)| span.start));
        let mut at = head.name.end();
        for (span, address) in edits.iter().flatten() {
            self.push_start_tag(out, at, span.start as usize);
            at = span.end as usize;
            if let Some(address) = address {
                // With its closing quote, so that the next piece begins between attributes.
                let quote = self.bytes[at];
                push_value(out, address.as_str(), quote);
                out.push(quote);
                at += 1;
            }
        }
        self.push_start_tag(out, at, head.end as usize);
    }

    /// Appends this part of the start tag, its declarations made those of the receiver's stream.
    fn push_start_tag(&self, out: &mut Vec<u8>, mut from: usize, to: usize) {
        if self.head.odd.has(Oddities::FOREIGN_PREFIX) {
            for uri in foreign_declarations(self.bytes, from, to) {
                self.push_piece(out, &self.bytes[from..uri.start as usize], true);
                out.extend_from_slice(ns::COMPONENT.as_bytes());
                // With its closing quote, as above.
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
        for (index, (prefix, uri)) in self.prefixes.as_slice().iter().enumerate() {
            if self.head.inherited & (1 << index) != 0 {
                out.extend_from_slice(b" xmlns:");
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(b"='");
                let foreign = is_named_so && is_foreign(uri.as_bytes());
                push_value(out, if foreign { ns::COMPONENT } else { uri }, b'\'');
                out.push(b'\'');
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

/// Is it no iq, or one that RFC 6120 section 8.2.3 allows: with an id, one of the four types, and exactly one child in
/// a request? Strict receivers end their stream over others.
pub(crate) fn is_proper(bytes: &[u8], kind: StanzaKind, head: &Head) -> bool {
    kind != StanzaKind::Iq
        || (head.id.is_some()
            && match known_type(bytes, head) {
                Some("get" | "set") => head.children == 1,
                Some("result" | "error") => true,
                _ => false,
            })
}

/// May an error answer an element of that name and type?
pub(crate) fn expects_reply(name: &str, known_type: Option<&str>) -> bool {
    match (name, known_type) {
        (_, Some("error")) | ("iq", Some("result")) => false,
        ("presence", kind) => matches!(kind, None | Some("subscribe" | "probe")),
        _ => true,
    }
}

/// The `type` of an element, empty where it is none that a rule here asks for.
pub(crate) fn known_type(bytes: &[u8], head: &Head) -> Option<&'static str> {
    let written = head.type_?.span.of(bytes);
    let known = ["get", "set", "result", "error", "subscribe", "probe"];
    Some(known.into_iter().find(|known| rewrite::same_value(written, known.as_bytes())).unwrap_or_default())
}

/// Where addresses of one stream are written that can't be handed on as received.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    pub(crate) to: Room,
    pub(crate) from: Room,
}

/// The `to` and the `from` of an element, where it has them.
#[inline(always)]
pub(crate) fn addresses<'b>(
    bytes: &'b [u8],
    head: &Head,
    rooms: &mut Rooms,
) -> Result<(Option<Jid<'b>>, Option<Jid<'b>>), AddressFault> {
    let to = head.to.map(|value| address(bytes, value, &mut rooms.to));
    let to = to.transpose().map_err(AddressFault::To)?;
    let from = head.from.map(|value| address(bytes, value, &mut rooms.from));
    let from = from.transpose().map_err(AddressFault::From)?;
    Ok((to, from))
}

pub(crate) fn address<'b>(bytes: &'b [u8], value: Value, room: &mut Room) -> Result<Jid<'b>, JidError> {
    if value.plain {
        Jid::parse_in(span_text(bytes, value.span), room)
    } else {
        room.parse_unescaped(|text| rewrite::value_into(value.span.of(bytes), text))
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
