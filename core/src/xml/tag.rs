//! Start tags: where one ends, and its name and attributes, checked.

use super::attributes::Attributes;
use super::names::{self, CLASS, NAME, NAME_START, is_space};
use super::span::{Attribute, Name, Span};
use super::text::{self, Notes, Oddities};
use super::{XmlError, XmlFault};
use crate::bytes;
use crate::limits::Limits;

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

/// A tag that the input ended in, and how far it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished {
    tag: StartTag,
    attribute: Begun,
}

impl Unfinished {
    pub(super) fn reach(&self) -> usize {
        self.attribute.at
    }
}

/// How far the next attribute is read; before its name are blanks.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// Everything before this offset is read.
    at: usize,
    /// Its length is 0 until it is read.
    name: Name,
    is_equated: bool,
    /// The quote in front of its value, 0 until it is read.
    quote: u8,
    value: usize,
    is_plain: bool,
}

impl Begun {
    fn behind(at: usize) -> Self {
        Self { at, name: Name::default(), is_equated: false, quote: 0, value: 0, is_plain: true }
    }

    /// The whole attribute, with what stands before it from there on.
    fn done(&self, before: usize) -> Attribute {
        let (whole, value) = (Span::new(before, self.at + 1), Span::new(self.value, self.at));
        Attribute { whole, name: self.name, value, plain: self.is_plain, namespace: 0 }
    }
}

pub(super) const INSIDE: XmlFault = XmlFault::NotWellFormed("a '<' inside a tag");

/// Checks the start tag whose `<` is at `at`, and gives it once it is whole. If `bytes` ends inside it, the next call goes
/// on there.
// Two copies of the loop: the one for tags that are there as a whole keeps nothing of an attribute that is not.
#[inline(always)]
pub(super) fn start_tag(
    bytes: &[u8],
    at: usize,
    unfinished: &mut Option<Unfinished>,
    attributes: &mut Attributes,
    limits: &Limits,
    notes: &mut Notes,
) -> Result<Option<StartTag>, XmlError> {
    if unfinished.is_some() {
        return finish(bytes, unfinished, attributes, limits, notes);
    }
    attributes.clear();
    let name = match name(bytes, at + 1, limits, notes) {
        Ok(Some(name)) => name,
        Ok(None) => return Ok(None),
        Err(error) => return Err(inside(bytes, error)),
    };
    let tag = StartTag { name, end: name.end(), empty: false, declares: false, prefixed: false };
    let begun = Unfinished { tag, attribute: Begun::behind(name.end()) };
    go_on(bytes, begun, unfinished, attributes, limits, notes).map_err(|error| inside(bytes, error))
}

#[cold]
#[inline(never)]
fn finish(
    bytes: &[u8],
    unfinished: &mut Option<Unfinished>,
    attributes: &mut Attributes,
    limits: &Limits,
    notes: &mut Notes,
) -> Result<Option<StartTag>, XmlError> {
    let Some(begun) = unfinished.take() else { return Ok(None) };
    go_on(bytes, begun, unfinished, attributes, limits, notes).map_err(|error| inside(bytes, error))
}

/// A '<' is never right in a tag, whatever else would be.
#[cold]
fn inside(bytes: &[u8], error: XmlError) -> XmlError {
    if bytes.get(error.at) == Some(&b'<') { INSIDE.at(error.at) } else { error }
}

#[inline(always)]
fn go_on(
    bytes: &[u8],
    begun: Unfinished,
    unfinished: &mut Option<Unfinished>,
    attributes: &mut Attributes,
    limits: &Limits,
    notes: &mut Notes,
) -> Result<Option<StartTag>, XmlError> {
    let Unfinished { mut tag, attribute: mut begun } = begun;
    loop {
        if !attribute(bytes, tag.end, &mut begun, limits, notes)? {
            match (begun.name.len, bytes.get(begun.at), bytes.get(begun.at + 1)) {
                (0, Some(b'>'), _) => tag.end = begun.at + 1,
                (0, Some(b'/'), Some(b'>')) => (tag.end, tag.empty) = (begun.at + 2, true),
                (0, Some(b'/'), Some(b'<')) => return Err(INSIDE.at(begun.at + 1)),
                (0, Some(b'/'), Some(_)) => {
                    return Err(XmlFault::NotWellFormed("a '/' inside a tag").at(begun.at));
                }
                _ => {
                    *unfinished = Some(Unfinished { tag, attribute: begun });
                    return Ok(None);
                }
            }
            return Ok(Some(tag));
        }
        let attribute = begun.done(tag.end);
        if attributes.as_slice().len() == limits.attributes {
            return Err(XmlFault::ManyAttributes { limit: limits.attributes }.at(attribute.name.start()));
        }
        if !attributes.push(attribute, bytes) {
            return Err(XmlFault::NotWellFormed("an attribute given twice").at(attribute.name.start()));
        }
        let prefix = attribute.name.prefix(bytes);
        tag.declares |= prefix == b"xmlns" || attribute.name.whole(bytes) == b"xmlns";
        tag.prefixed |= !prefix.is_empty();
        tag.end = attribute.whole.end as usize;
        begun = Begun::behind(tag.end);
    }
}

/// The name and the attributes of the start tag whose `<` is at `at`, once it was checked.
pub(crate) fn checked_start_tag(bytes: &[u8], at: usize) -> Option<(Name, impl Iterator<Item = Attribute>)> {
    let name = name(bytes, at + 1, &checked_limits(), &mut Notes::default()).ok()??;
    Some((name, attributes_from(bytes, name.end())))
}

/// The attributes of a start tag that was checked, from behind its name or one of them on.
pub(super) fn attributes_from(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Attribute> {
    let (limits, mut notes) = (checked_limits(), Notes::default());
    core::iter::from_fn(move || {
        let mut begun = Begun::behind(at);
        let is_whole = attribute(bytes, at, &mut begun, &limits, &mut notes).unwrap_or(false);
        let attribute = is_whole.then(|| begun.done(at))?;
        at = attribute.whole.end as usize;
        Some(attribute)
    })
}

/// Whatever limits a tag was checked with do not matter any more.
fn checked_limits() -> Limits {
    Limits { name: usize::MAX, ..Limits::default() }
}

/// Checks the attribute that follows `before`, white space in front of it included. False if the tag ends before it, or
/// `bytes` does inside it; `begun` says how far it came.
#[inline(always)]
fn attribute(
    bytes: &[u8],
    before: usize,
    begun: &mut Begun,
    limits: &Limits,
    notes: &mut Notes,
) -> Result<bool, XmlError> {
    if begun.name.len == 0 {
        begun.at = skip_space(bytes, begun.at, notes);
        match bytes.get(begun.at) {
            None | Some(b'>' | b'/') => return Ok(false),
            Some(_) if begun.at == before => {
                return Err(XmlFault::NotWellFormed("no white space before an attribute").at(before));
            }
            Some(_) => {}
        }
        let Some(name) = name(bytes, begun.at, limits, notes)? else { return Ok(false) };
        (begun.name, begun.at) = (name, name.end());
    }
    if !begun.is_equated {
        begun.at = skip_space(bytes, begun.at, notes);
        match bytes.get(begun.at) {
            None => return Ok(false),
            Some(b'=') => {}
            Some(_) => return Err(XmlFault::NotWellFormed("an attribute without a value").at(begun.at)),
        }
        (begun.is_equated, begun.at) = (true, begun.at + 1);
    }
    if begun.quote == 0 {
        begun.at = skip_space(bytes, begun.at, notes);
        match bytes.get(begun.at) {
            None => return Ok(false),
            Some(&quote @ (b'\'' | b'"')) => begun.quote = quote,
            Some(_) => {
                return Err(XmlFault::NotWellFormed("an attribute value without quotes").at(begun.at));
            }
        }
        begun.at += 1;
        begun.value = begun.at;
    }
    value(bytes, begun, notes)
}

/// Checks a value up to its closing quote; false if `bytes` ends before that.
#[inline(always)]
fn value(bytes: &[u8], begun: &mut Begun, notes: &mut Notes) -> Result<bool, XmlError> {
    let quote = begun.quote;
    loop {
        let at = bytes::find(bytes, begun.at, |word| specials(word, quote), |byte| is_special(byte, quote));
        begun.at = at;
        let Some(&byte) = bytes.get(at) else { return Ok(false) };
        if byte == quote {
            return Ok(true);
        }
        notes.work += 1;
        match byte {
            b'<' => return Err(INSIDE.at(at)),
            b'&' => {
                begun.is_plain = false;
                match text::check_reference(bytes, at, notes)? {
                    Some(end) => begun.at = end,
                    None => return Ok(false),
                }
            }
            b'\t' | b'\n' => {
                begun.is_plain = false;
                begun.at += 1;
            }
            _ => {
                begun.is_plain &= byte != b'\r';
                let run = text::check_other(bytes, at, notes)?;
                begun.at = run.end;
                if !run.complete {
                    return Ok(false);
                }
            }
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

/// Checks the name that begins at `start`; `None` if `bytes` ends in it.
#[inline(always)]
fn name(bytes: &[u8], start: usize, limits: &Limits, notes: &mut Notes) -> Result<Option<Name>, XmlError> {
    let limit = limits.name.min(usize::from(u16::MAX));
    match name_of_any_length(bytes, start, notes) {
        Ok(Some((prefix, end))) if end - start <= limit => Ok(Some(Name::new(start, end, prefix))),
        other => odd_name(bytes, start, limit, other.map(|whole| whole.is_some())),
    }
}

/// A name that is wrong, cut or too long. It is read from its first byte on each time, so one that is cut is not waited
/// for once it is too long, and what stands behind that does not count.
#[cold]
fn odd_name(
    bytes: &[u8],
    start: usize,
    limit: usize,
    is_whole: Result<bool, XmlError>,
) -> Result<Option<Name>, XmlError> {
    const LONGEST_CHARACTER: usize = 4;
    match is_whole {
        Err(error) if error.at - start <= limit => Err(error),
        Ok(false) if bytes.len() - start <= limit + LONGEST_CHARACTER => Ok(None),
        _ => Err(XmlFault::LongName { limit }.at(start)),
    }
}

/// The length of its prefix, and where it ends.
#[inline(always)]
fn name_of_any_length(
    bytes: &[u8],
    start: usize,
    notes: &mut Notes,
) -> Result<Option<(usize, usize)>, XmlError> {
    let Some(mut end) = name_part(bytes, start, notes)? else { return Ok(None) };
    let mut prefix = 0;
    if bytes[end] == b':' {
        prefix = end - start;
        let Some(local) = name_part(bytes, end + 1, notes)? else { return Ok(None) };
        end = local;
        if bytes[end] == b':' {
            return Err(XmlFault::NotWellFormed("a name with two colons").at(end));
        }
    }
    Ok(Some((prefix, end)))
}

/// Checks a name without a colon; gives the offset of the byte behind it, `None` where `bytes` ends first.
#[inline(always)]
fn name_part(bytes: &[u8], start: usize, notes: &mut Notes) -> Result<Option<usize>, XmlError> {
    let mut at = start;
    let Some(&first) = bytes.get(at) else { return Ok(None) };
    if !begins_name(first) {
        return Err(NO_NAME.at(at));
    }
    loop {
        at = skip_name(bytes, at);
        let Some(&byte) = bytes.get(at) else { return Ok(None) };
        if byte < 0x80 {
            return Ok(Some(at));
        }
        let Some(length) = name_character(bytes, at, at == start, notes)? else { return Ok(None) };
        at += length;
    }
}

/// Skips the characters of a name that are ASCII.
// By itself, since its loop is short of registers among all the rest.
#[inline(never)]
fn skip_name(bytes: &[u8], mut at: usize) -> usize {
    while let Some(&byte) = bytes.get(at)
        && CLASS[byte as usize] & NAME != 0
    {
        at += 1;
    }
    at
}

/// The length of a character of a name that is not ASCII.
#[inline(never)]
fn name_character(
    bytes: &[u8],
    at: usize,
    first: bool,
    notes: &mut Notes,
) -> Result<Option<usize>, XmlError> {
    let decoded = names::decode(&bytes[at..]).map_err(|fault| fault.at(at))?;
    let Some((c, length)) = decoded else { return Ok(None) };
    names::check_name_char(c, first).map_err(|fault| fault.at(at))?;
    notes.work += 2;
    Ok(Some(length))
}

pub(super) const NO_NAME: XmlFault =
    XmlFault::NotWellFormed("a name with a character that names do not have");

/// May a name begin with this byte? What is not ASCII is looked at elsewhere.
fn begins_name(first: u8) -> bool {
    first >= 0x80 || CLASS[first as usize] & NAME_START != 0
}

pub(super) fn skip_space(bytes: &[u8], mut at: usize, notes: &mut Notes) -> usize {
    while let Some(&byte) = bytes.get(at)
        && byte <= b' '
        && is_space(byte)
    {
        if byte == b'\r' {
            notes.odd |= Oddities::CARRIAGE_RETURN;
        }
        at += 1;
    }
    at
}
