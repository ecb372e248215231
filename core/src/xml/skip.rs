//! Finds where an element ends that is passed over, without keeping any of it.

use super::names::{CLASS, NAME_START};
use super::tag::{INSIDE, NO_NAME};
use super::{XmlError, XmlFault};

/// The end of an element that nobody reads, found piece by piece: each byte is shown once.
///
/// It looks at tags, quotes and CDATA sections, and counts how many elements are open. What the strict scan refuses in
/// markup, and other parsers would pass over in another way, is a fault here, too; names, text and values are not checked.
/// For what the scan accepts, it ends at the same byte.
#[derive(Debug, Default)]
pub(crate) struct Skipper {
    /// Open elements. No limit is needed: it is a number, and nothing is kept for each.
    depth: usize,
    /// Bytes of the element before the next piece.
    at: usize,
    state: State,
    work: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Text,
    /// Behind a `<`.
    Markup,
    StartTag,
    /// Behind the `/` of a start tag.
    Slash,
    /// In a value that begins with this quote.
    Value(u8),
    EndTag,
    /// Behind that many bytes of [`CDATA`].
    Bang(u8),
    /// In a CDATA section, behind that many `]`, two being all that count.
    Cdata(u8),
}

/// What a CDATA section begins with.
pub(super) const CDATA: &[u8] = b"<![CDATA[";

/// What is wrong with a `<!` that begins no CDATA section, by the first byte behind it that says so.
pub(super) fn no_section(third: u8) -> XmlFault {
    match third {
        b'-' => XmlFault::Restricted("a comment"),
        b'A'..=b'Z' | b'a'..=b'z' => XmlFault::Restricted("a document type declaration"),
        _ => XmlFault::NotWellFormed("a '<!' that begins nothing"),
    }
}

/// Bytes that cost one step where most are text, and in tags.
const TEXT_STEP: usize = 64;
const TAG_STEP: usize = 8;

impl Skipper {
    /// For an element of which `at` bytes are passed already, between two tokens and inside `depth` elements.
    pub(super) fn inside(depth: usize, at: usize) -> Self {
        Self { depth, at, ..Self::default() }
    }

    /// The same in a CDATA section, behind this much of its content.
    pub(super) fn inside_section(depth: usize, at: usize, content: &[u8]) -> Self {
        let brackets = content.iter().rev().take(2).take_while(|&&byte| byte == b']').count();
        Self { state: State::Cdata(brackets as u8), ..Self::inside(depth, at) }
    }

    /// Bytes of the element that are passed.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes the work that was done since the last time, in steps of some 8 ns.
    pub(crate) fn take_work(&mut self) -> u32 {
        core::mem::take(&mut self.work)
    }

    /// Passes over the next piece. Once the element ends, gives how many bytes of the piece belong to it.
    pub(crate) fn advance(&mut self, piece: &[u8]) -> Result<Option<usize>, XmlError> {
        let mut next = 0;
        while next < piece.len() {
            let rest = &piece[next..];
            let at = self.at + next;
            let (passed, step) = match self.state {
                State::Text => (memchr::memchr(b'<', rest), TEXT_STEP),
                State::Value(quote) => (memchr::memchr(quote, rest), TEXT_STEP),
                State::Cdata(0) => (memchr::memchr(b']', rest), TEXT_STEP),
                State::StartTag => (rest.iter().position(|&byte| ends_name(byte)), TAG_STEP),
                State::EndTag => (memchr::memchr2(b'>', b'<', rest), TEXT_STEP),
                State::Markup | State::Slash | State::Bang(_) | State::Cdata(_) => (Some(0), TEXT_STEP),
            };
            self.work += 1 + (passed.unwrap_or(rest.len()) / step) as u32;
            let Some(passed) = passed else { break };
            next += passed + 1;
            if self.token(rest[passed], at + passed)? {
                self.at += next;
                return Ok(Some(next));
            }
        }
        self.at += piece.len();
        Ok(None)
    }

    /// Takes the byte that ends a run, which is the one at `at` of the element. Says whether the element ends with it.
    fn token(&mut self, byte: u8, at: usize) -> Result<bool, XmlError> {
        self.state = match (self.state, byte) {
            (State::Text, _) => State::Markup,
            (State::Markup, b'/') => State::EndTag,
            (State::Markup, b'!') => State::Bang(2),
            // A declaration is no better: the scan tells them apart for the one who reads the error.
            (State::Markup, b'?') => return Err(XmlFault::Restricted("a processing instruction").at(at - 1)),
            (State::Markup, b'<') => return Err(INSIDE.at(at)),
            (State::Markup, byte) if byte.is_ascii() && CLASS[usize::from(byte)] & NAME_START == 0 => {
                return Err(NO_NAME.at(at));
            }
            (State::Markup, _) => State::StartTag,
            (State::StartTag, b'>') => {
                self.depth += 1;
                State::Text
            }
            (State::StartTag, b'/') => State::Slash,
            (State::StartTag | State::EndTag | State::Slash, b'<') => return Err(INSIDE.at(at)),
            (State::StartTag, quote) => State::Value(quote),
            (State::Value(_), _) => State::StartTag,
            (State::Slash, b'>') if self.depth == 0 => return Ok(true),
            (State::Slash, b'>') => State::Text,
            (State::Slash, _) => return Err(XmlFault::NotWellFormed("a '/' inside a tag").at(at - 1)),
            (State::EndTag, _) => {
                let Some(depth) = self.depth.checked_sub(1) else {
                    return Err(XmlFault::NotWellFormed("an end tag that closes nothing").at(at));
                };
                self.depth = depth;
                if depth == 0 {
                    return Ok(true);
                }
                State::Text
            }
            (State::Bang(passed), byte) => match CDATA.get(usize::from(passed)) {
                Some(&wanted) if wanted == byte && usize::from(passed) + 1 == CDATA.len() => State::Cdata(0),
                Some(&wanted) if wanted == byte => State::Bang(passed + 1),
                _ => {
                    let third = if passed == 2 { byte } else { b'[' };
                    return Err(no_section(third).at(at - usize::from(passed)));
                }
            },
            (State::Cdata(brackets), b']') => State::Cdata(2.min(brackets + 1)),
            (State::Cdata(2), b'>') => State::Text,
            (State::Cdata(_), _) => State::Cdata(0),
        };
        Ok(false)
    }
}

/// Does this byte end a run of a start tag, outside its values?
fn ends_name(byte: u8) -> bool {
    matches!(byte, b'>' | b'/' | b'\'' | b'"' | b'<')
}

#[cfg(test)]
mod tests;
