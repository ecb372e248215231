//! Character data: text, CDATA sections, references.

use super::names::{self, is_char};
use super::{XmlError, XmlFault};
use crate::bytes;

/// Contents for which a stanza has to be rewritten before it is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities(u8);

impl Oddities {
    /// A carriage return, which parsers turn into a line feed or a blank.
    pub(crate) const CARRIAGE_RETURN: Self = Self(1);
    /// A CDATA section, which hand-made receivers miss.
    pub(crate) const CDATA: Self = Self(2);
    /// A character reference of more than 8 digits, which some parsers refuse.
    pub(crate) const LONG_REFERENCE: Self = Self(4);

    /// A declaration of the first-level element that `rescope` finds.
    pub(crate) const FOREIGN_PREFIX: Self = Self(8);

    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl core::ops::BitOrAssign for Oddities {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What the scan notes of the bytes that it checks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    pub(super) odd: Oddities,
    /// What checking them cost, in steps of some 8 ns, beside their number.
    pub(super) work: u32,
    /// Bytes of text and sections, which cost least.
    pub(super) text: u32,
}

/// Digits of a character reference that all parsers take.
pub(crate) const PORTABLE_DIGITS: usize = 8;
/// Most digits or letters of a reference.
const LONGEST_REFERENCE: usize = 64;
const TOO_LONG: XmlFault = XmlFault::LongReference { limit: LONGEST_REFERENCE };

/// How far a run of character data was checked.
pub(super) struct Run {
    /// Everything before this offset is checked.
    pub(super) end: usize,
    /// The run ended (at a `<`, or behind the end of the CDATA section); else `bytes` ended first.
    pub(super) complete: bool,
}

/// Checks text from `at` to the next `<`.
pub(super) fn check_text(bytes: &[u8], mut at: usize, notes: &mut Notes) -> Result<Run, XmlError> {
    loop {
        at = skip_plain(bytes, at, &mut notes.work);
        let Some(&byte) = bytes.get(at) else { return Ok(Run { end: at, complete: false }) };
        notes.work += 1;
        match byte {
            b'<' => return Ok(Run { end: at, complete: true }),
            b'>' if bytes[..at].ends_with(b"]]") => {
                return Err(XmlFault::NotWellFormed("']]>' in text").at(at));
            }
            b'>' => at += 1,
            b'&' => match check_reference(bytes, at, notes)? {
                Some(end) => at = end,
                None => return Ok(Run { end: at, complete: false }),
            },
            _ => {
                let run = check_other(bytes, at, notes)?;
                if !run.complete {
                    return Ok(run);
                }
                at = run.end;
            }
        }
    }
}

/// Checks a CDATA section's content from `at`, which began at `start`, to behind its `]]>`.
pub(super) fn check_cdata(
    bytes: &[u8],
    start: usize,
    mut at: usize,
    notes: &mut Notes,
) -> Result<Run, XmlError> {
    loop {
        at = skip_plain(bytes, at, &mut notes.work);
        let Some(&byte) = bytes.get(at) else { return Ok(Run { end: at, complete: false }) };
        notes.work += 1;
        match byte {
            b'>' if bytes[start..at].ends_with(b"]]") => return Ok(Run { end: at + 1, complete: true }),
            b'>' | b'<' | b'&' => at += 1,
            _ => {
                let run = check_other(bytes, at, notes)?;
                if !run.complete {
                    return Ok(run);
                }
                at = run.end;
            }
        }
    }
}

/// The first byte from `at` on that needs a look: markup, a reference, `>`, a control, anything but ASCII.
fn skip_plain(bytes: &[u8], mut at: usize, work: &mut u32) -> usize {
    loop {
        at = skip_blocks(bytes, at);
        at = bytes::find(bytes, at, specials, is_special);
        if !matches!(bytes.get(at), Some(b'\n' | b'\t')) {
            return at;
        }
        *work += 1;
        at += 1;
    }
}

/// Skips blocks in which nothing is special and no line ends. A loop without branches, which compilers turn into
/// vector instructions; the budget of instructions says so.
fn skip_blocks(bytes: &[u8], mut at: usize) -> usize {
    const BLOCK: usize = 32;
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        let mut special = 0;
        for &byte in block {
            // As a signed number, what is not ASCII is below the blank, too; '<' and '>' differ in one bit.
            special |=
                u8::from(byte.cast_signed() < 0x20) | u8::from(byte == b'&') | u8::from(byte | 2 == b'>');
        }
        if special != 0 {
            break;
        }
        at += BLOCK;
    }
    at
}

fn is_special(byte: u8) -> bool {
    !matches!(byte, b'\n' | b'\t' | b' '..0x80) || matches!(byte, b'<' | b'&' | b'>')
}

/// The same of a word's bytes, but that line ends and tabs count as special.
#[inline(always)]
fn specials(word: u64) -> u64 {
    // '<' and '>' differ in one bit.
    bytes::below(word, b' ')
        | bytes::equal(word, b'&')
        | bytes::equal_but_2(word, b'>')
        | bytes::not_ascii(word)
}

/// Checks the control or non-ASCII characters at `at`; not complete where the last one is cut.
pub(super) fn check_other(bytes: &[u8], at: usize, notes: &mut Notes) -> Result<Run, XmlError> {
    if bytes[at] < 0x80 {
        if bytes[at] != b'\r' {
            return Err(XmlFault::NotWellFormed("a control character").at(at));
        }
        notes.odd |= Oddities::CARRIAGE_RETURN;
        return Ok(Run { end: at + 1, complete: true });
    }
    let rest = &bytes[at..];
    // Blanks and letters between are taken along: a look for each word would cost more than the words.
    let stretch = &rest[..bytes::find(rest, 0, stretch_ends, ends_stretch)];
    notes.work += 1 + stretch.len() as u32 / 8;
    let (valid, rest_is) = match core::str::from_utf8(stretch) {
        Ok(_) => (stretch.len(), Rest::Fine),
        Err(error) if error.error_len().is_none() && stretch.len() == rest.len() => {
            (error.valid_up_to(), Rest::Cut)
        }
        Err(error) => (error.valid_up_to(), Rest::Broken),
    };
    // What comes first is said first, however the bytes were cut.
    if let Some(offset) = noncharacter(&stretch[..valid]) {
        return Err(XmlFault::NotWellFormed("U+FFFE or U+FFFF").at(at + offset));
    }
    match rest_is {
        Rest::Broken => Err(XmlFault::NotUtf8.at(at + valid)),
        Rest::Fine => Ok(Run { end: at + valid, complete: true }),
        Rest::Cut => Ok(Run { end: at + valid, complete: false }),
    }
}

/// Does a byte need a look of its own, in text, in a CDATA section or in an attribute's value?
fn ends_stretch(byte: u8) -> bool {
    byte < b' ' || matches!(byte, b'<' | b'>' | b'&' | b'\'' | b'"')
}

#[inline(always)]
fn stretch_ends(word: u64) -> u64 {
    let quotes = bytes::equal(word, b'\'') | bytes::equal(word, b'"');
    let markup = bytes::equal(word, b'&') | bytes::equal_but_2(word, b'>');
    (quotes | markup | bytes::below(word, b' ')) & !bytes::not_ascii(word)
}

/// What follows the valid part of a stretch that is not ASCII.
enum Rest {
    /// Nothing: all of it is valid.
    Fine,
    /// The beginning of a character, of which more may come.
    Cut,
    /// No UTF-8.
    Broken,
}

/// Where U+FFFE or U+FFFF stands, the two that UTF-8 can hold and XML can't.
fn noncharacter(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xef, text).find(|&at| matches!(text[at..], [_, 0xbf, 0xbe | 0xbf, ..]))
}

/// Checks the reference whose `&` is at `at`; gives the offset behind its `;`, `None` where it is cut.
pub(super) fn check_reference(bytes: &[u8], at: usize, notes: &mut Notes) -> Result<Option<usize>, XmlError> {
    match reference(bytes, at)? {
        None => Ok(None),
        Some(found) => {
            if found.digits > PORTABLE_DIGITS {
                notes.odd |= Oddities::LONG_REFERENCE;
            }
            Ok(Some(found.end))
        }
    }
}

/// A reference and what it stands for.
pub(crate) struct Reference {
    pub(crate) stands_for: char,
    /// Offset behind the `;`.
    pub(crate) end: usize,
    /// Digits of a numeric one, 0 for a named one.
    pub(crate) digits: usize,
}

/// Reads the reference whose `&` is at `at`; `None` where `bytes` ends inside it.
pub(crate) fn reference(bytes: &[u8], at: usize) -> Result<Option<Reference>, XmlError> {
    const MALFORMED: XmlFault = XmlFault::NotWellFormed("a '&' that begins no reference");
    let name = at + 1;
    let Some(&first) = bytes.get(name) else { return Ok(None) };
    if first == b'#' {
        return numeric_reference(bytes, at);
    }
    let mut end = name;
    loop {
        let Some(&byte) = bytes.get(end) else { return Ok(None) };
        let class = names::CLASS[byte as usize];
        match byte {
            b';' if end > name => break,
            _ if end - name >= LONGEST_REFERENCE => return Err(TOO_LONG.at(at)),
            _ if class & names::NAME_START != 0 || (end > name && class & names::NAME != 0) => end += 1,
            _ => return Err(MALFORMED.at(end)),
        }
    }
    let stands_for = match &bytes[name..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        _ => return Err(XmlFault::Restricted("an entity other than amp, lt, gt, quot and apos").at(at)),
    };
    Ok(Some(Reference { stands_for, end: end + 1, digits: 0 }))
}

fn numeric_reference(bytes: &[u8], at: usize) -> Result<Option<Reference>, XmlError> {
    let digits = at + 2;
    let Some(&first) = bytes.get(digits) else { return Ok(None) };
    let (start, radix) = if first == b'x' { (digits + 1, 16) } else { (digits, 10) };
    let mut value: u32 = 0;
    let mut end = start;
    loop {
        let Some(&byte) = bytes.get(end) else { return Ok(None) };
        if byte == b';' && end > start {
            break;
        }
        let Some(digit) = (byte as char).to_digit(radix) else {
            return Err(XmlFault::NotWellFormed("a character reference that is no number").at(end));
        };
        if end - start >= LONGEST_REFERENCE {
            return Err(TOO_LONG.at(at));
        }
        // Stays above every character once it is: no wrap-around brings it back.
        value = value.saturating_mul(radix).saturating_add(digit);
        end += 1;
    }
    match char::from_u32(value).filter(|&c| is_char(c)) {
        Some(stands_for) => Ok(Some(Reference { stands_for, end: end + 1, digits: end - start })),
        None => Err(XmlFault::NotWellFormed("a reference to no XML character").at(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_needs_a_look_is_found_wherever_it_stands() {
        for byte in 0..=255 {
            for place in 0..40 {
                let mut text = [b'x'; 40];
                text[place] = byte;
                let expected = if is_special(byte) { place } else { text.len() };
                assert_eq!(skip_plain(&text, 0, &mut 0), expected, "{byte:#x} at {place}");
            }
        }
        let lines = b"a line\n\tand another one that is longer than a group\n";
        assert_eq!(skip_plain(lines, 0, &mut 0), lines.len());
        assert_eq!(skip_plain(lines, lines.len(), &mut 0), lines.len());
    }
}
