//! Start tags: where one ends, and its name and attributes, checked.

use alloc::vec::Vec;

use super::names::{self, CLASS, NAME, NAME_START, is_space};
use super::text::{self, Oddities};
use super::{XmlError, XmlFault};
use crate::bytes;
use crate::limits::Limits;

/// A part of a stanza, by its offsets from the stanza's `<`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// Offsets fit in 32 bits: no stanza limit is above 64 MiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    /// Of an attribute's value: with the quotes around it.
    pub(crate) fn quoted(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize - 1..=self.end as usize]
    }
}

/// A qualified name, by its offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    start: u32,
    len: u16,
    /// Length of the prefix, 0 without one.
    prefix: u16,
}

impl Name {
    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.start as usize + usize::from(self.len)
    }

    pub(crate) fn whole(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end()]
    }

    /// Is `other` written the same? Most differ in length or in the first letter.
    pub(super) fn is_same(self, other: Self, bytes: &[u8]) -> bool {
        self.len == other.len
            && bytes[self.start as usize] == bytes[other.start as usize]
            && self.whole(bytes) == other.whole(bytes)
    }

    pub(crate) fn has_prefix(self) -> bool {
        self.prefix != 0
    }

    pub(crate) fn prefix(self, bytes: &[u8]) -> &[u8] {
        &self.whole(bytes)[..usize::from(self.prefix)]
    }

    pub(crate) fn local(self, bytes: &[u8]) -> &[u8] {
        let skip = if self.has_prefix() { usize::from(self.prefix) + 1 } else { 0 };
        &self.whole(bytes)[skip..]
    }

    pub(crate) fn local_span(self) -> Span {
        let skip = if self.has_prefix() { usize::from(self.prefix) + 1 } else { 0 };
        Span::new(self.start as usize + skip, self.end())
    }
}

/// An attribute, by its offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    /// From the white space before it to behind its closing quote.
    pub(crate) whole: Span,
    pub(crate) name: Name,
    /// Between the quotes.
    pub(crate) value: Span,
    /// The value as written is the value: no reference, no TAB, LF or CR in it.
    pub(crate) plain: bool,
    /// The key of its prefix's namespace, once that is looked up.
    pub(crate) namespace: Option<u64>,
}

/// A checked start tag; its attributes are in the list that was passed in.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartTag {
    pub(super) name: Name,
    /// Behind its `>`.
    pub(super) end: usize,
    /// It ends with `/>`.
    pub(super) empty: bool,
    /// It declares a namespace.
    pub(super) declares: bool,
    /// An attribute has a prefix.
    pub(super) prefixed: bool,
}

/// Finds a tag's `>`, going on where it stopped, so that a tag that drips in costs no more than a whole one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TagEnd {
    /// Offset to go on at; 0 when no tag is waited for.
    at: usize,
    /// The quote that is open.
    quote: Option<u8>,
}

impl TagEnd {
    pub(super) fn is_waiting(&self) -> bool {
        self.at != 0
    }

    pub(super) fn reach(&self) -> usize {
        self.at
    }

    /// Gives true once the tag at `start` is there up to its `>`. A `<` on the way can't be right, so a tag
    /// that is broken does not wait for an end that never comes.
    pub(super) fn reached(&mut self, bytes: &[u8], start: usize) -> Result<bool, XmlError> {
        let mut at = self.at.max(start + 1);
        while let Some(&byte) = bytes.get(at) {
            match (byte, self.quote) {
                (b'<', _) => return Err(XmlFault::NotWellFormed("a '<' inside a tag").at(at)),
                (b'>', None) => {
                    *self = Self::default();
                    return Ok(true);
                }
                (b'\'' | b'"', None) => self.quote = Some(byte),
                (_, Some(quote)) if byte == quote => self.quote = None,
                _ => {}
            }
            at += 1;
        }
        self.at = at;
        Ok(false)
    }
}

/// Checks the start tag whose `<` is at `at`. `None` if `bytes` ends inside it.
// The scan calls it for each tag, and once more on a cold path, for which the compiler would not inline it: 6 % of a
// server's time.
#[inline(always)]
pub(super) fn start_tag(
    bytes: &[u8],
    at: usize,
    attributes: &mut Vec<Attribute>,
    limits: &Limits,
    odd: &mut Oddities,
) -> Result<Option<StartTag>, XmlError> {
    attributes.clear();
    let Some(name) = name(bytes, at + 1, limits)? else { return Ok(None) };
    let mut tag = StartTag { name, end: name.end(), empty: false, declares: false, prefixed: false };
    loop {
        let before = tag.end;
        let at = skip_space(bytes, before, odd);
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'>') => {
                tag.end = at + 1;
                return Ok(Some(tag));
            }
            Some(b'/') => {
                (tag.end, tag.empty) = (at + 2, true);
                return match bytes.get(at + 1) {
                    None => Ok(None),
                    Some(b'>') => Ok(Some(tag)),
                    Some(_) => Err(XmlFault::NotWellFormed("a '/' inside a tag").at(at)),
                };
            }
            Some(_) if at == before => {
                return Err(XmlFault::NotWellFormed("no white space before an attribute").at(at));
            }
            Some(_) => {}
        }
        let Some(attribute) = attribute(bytes, before, at, limits, odd)? else { return Ok(None) };
        if attributes.len() == limits.attributes {
            return Err(XmlFault::ManyAttributes { limit: limits.attributes }.at(attribute.name.start()));
        }
        if attributes.iter().any(|other| other.name.is_same(attribute.name, bytes)) {
            return Err(XmlFault::NotWellFormed("an attribute given twice").at(attribute.name.start()));
        }
        let prefix = attribute.name.prefix(bytes);
        tag.declares |= prefix == b"xmlns" || attribute.name.whole(bytes) == b"xmlns";
        tag.prefixed |= !prefix.is_empty();
        tag.end = attribute.whole.end as usize;
        attributes.push(attribute);
    }
}

/// The name and the attributes of the start tag whose `<` is at `at`, once it was checked.
pub(crate) fn checked_start_tag(bytes: &[u8], at: usize) -> Option<(Name, impl Iterator<Item = Attribute>)> {
    let name = name(bytes, at + 1, &checked_limits()).ok()??;
    Some((name, attributes_from(bytes, name.end())))
}

/// The attributes of a start tag that was checked, from behind its name or one of them on.
pub(super) fn attributes_from(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Attribute> {
    let (limits, mut odd) = (checked_limits(), Oddities::default());
    core::iter::from_fn(move || {
        let before = at;
        let start = skip_space(bytes, before, &mut odd);
        if matches!(bytes.get(start), None | Some(b'>' | b'/')) {
            return None;
        }
        let attribute = attribute(bytes, before, start, &limits, &mut odd).ok()??;
        at = attribute.whole.end as usize;
        Some(attribute)
    })
}

/// Whatever limits a tag was checked with do not matter any more.
fn checked_limits() -> Limits {
    Limits { name: usize::MAX, ..Limits::default() }
}

/// Checks the attribute that begins at `at`, with white space in front of it from `before` on.
#[inline(always)]
fn attribute(
    bytes: &[u8],
    before: usize,
    at: usize,
    limits: &Limits,
    odd: &mut Oddities,
) -> Result<Option<Attribute>, XmlError> {
    let Some(name) = name(bytes, at, limits)? else { return Ok(None) };
    let at = skip_space(bytes, name.end(), odd);
    match bytes.get(at) {
        None => return Ok(None),
        Some(b'=') => {}
        Some(_) => return Err(XmlFault::NotWellFormed("an attribute without a value").at(at)),
    }
    let at = skip_space(bytes, at + 1, odd);
    let quote = match bytes.get(at) {
        None => return Ok(None),
        Some(&quote @ (b'\'' | b'"')) => quote,
        Some(_) => return Err(XmlFault::NotWellFormed("an attribute value without quotes").at(at)),
    };
    let start = at + 1;
    let Some((end, plain)) = value(bytes, start, quote, odd)? else { return Ok(None) };
    let (whole, value) = (Span::new(before, end + 1), Span::new(start, end));
    Ok(Some(Attribute { whole, name, value, plain, namespace: None }))
}

/// Checks a value up to its closing quote; gives that quote's offset and whether the value is plain.
#[inline(always)]
fn value(
    bytes: &[u8],
    mut at: usize,
    quote: u8,
    odd: &mut Oddities,
) -> Result<Option<(usize, bool)>, XmlError> {
    let mut plain = true;
    loop {
        at = bytes::find(bytes, at, |word| specials(word, quote), |byte| is_special(byte, quote));
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        let next = match byte {
            _ if byte == quote => return Ok(Some((at, plain))),
            b'<' => return Err(XmlFault::NotWellFormed("a '<' in an attribute value").at(at)),
            b'&' => {
                plain = false;
                text::check_reference(bytes, at, odd)?
            }
            b'\t' | b'\n' => {
                plain = false;
                Some(at + 1)
            }
            _ => {
                plain &= byte != b'\r';
                let run = text::check_other(bytes, at, odd)?;
                run.complete.then_some(run.end)
            }
        };
        match next {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
}

/// Needs a byte of a value in these quotes a look?
fn is_special(byte: u8, quote: u8) -> bool {
    !matches!(byte, b' '..0x80) || matches!(byte, b'<' | b'&') || byte == quote
}

#[inline(always)]
fn specials(word: u64, quote: u8) -> u64 {
    let markup = bytes::equal(word, b'<') | bytes::equal(word, b'&') | bytes::equal(word, quote);
    markup | bytes::below(word, b' ') | bytes::not_ascii(word)
}

/// Checks the name that begins at `start`; `None` where `bytes` ends in it.
#[inline(always)]
fn name(bytes: &[u8], start: usize, limits: &Limits) -> Result<Option<Name>, XmlError> {
    let Some(mut end) = name_part(bytes, start)? else { return Ok(None) };
    let mut prefix = 0;
    if bytes[end] == b':' {
        prefix = end - start;
        let Some(local) = name_part(bytes, end + 1)? else { return Ok(None) };
        end = local;
        if bytes[end] == b':' {
            return Err(XmlFault::NotWellFormed("a name with two colons").at(end));
        }
    }
    let len = end - start;
    if len > limits.name.min(usize::from(u16::MAX)) {
        return Err(XmlFault::LongName { limit: limits.name }.at(start));
    }
    Ok(Some(Name { start: start as u32, len: len as u16, prefix: prefix as u16 }))
}

/// Checks a name without a colon; gives the offset of the byte behind it, `None` where `bytes` ends first.
#[inline(always)]
fn name_part(bytes: &[u8], start: usize) -> Result<Option<usize>, XmlError> {
    let mut at = start;
    loop {
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        if CLASS[byte as usize] & NAME != 0 {
            at += 1;
        } else if byte < 0x80 {
            break;
        } else {
            let decoded = names::decode(&bytes[at..]).map_err(|fault| name_error(bytes, start, at, fault))?;
            let Some((c, length)) = decoded else { return Ok(None) };
            names::check_name_char(c, at == start).map_err(|fault| name_error(bytes, start, at, fault))?;
            at += length;
        }
    }
    if !begins_name(bytes[start]) {
        return Err(NO_NAME.at(start));
    }
    Ok(Some(at))
}

const NO_NAME: XmlFault = XmlFault::NotWellFormed("a name that is none");

/// May a name begin with this byte? What is not ASCII is looked at elsewhere.
fn begins_name(first: u8) -> bool {
    first >= 0x80 || CLASS[first as usize] & NAME_START != 0
}

/// The first fault of a name that begins at `start` and has one at `at`.
#[cold]
fn name_error(bytes: &[u8], start: usize, at: usize, fault: XmlFault) -> XmlError {
    if begins_name(bytes[start]) { fault.at(at) } else { NO_NAME.at(start) }
}

fn skip_space(bytes: &[u8], mut at: usize, odd: &mut Oddities) -> usize {
    while let Some(&byte) = bytes.get(at)
        && byte <= b' '
        && is_space(byte)
    {
        if byte == b'\r' {
            *odd |= Oddities::CARRIAGE_RETURN;
        }
        at += 1;
    }
    at
}
