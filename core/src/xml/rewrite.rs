//! Copies scanned XML and rewrites the parts that may not be delivered as they came.
//!
//! What goes in was accepted by the scan, so nothing here can fail; bytes that are not what they must be
//! come out as they are.

use alloc::string::String;
use alloc::vec::Vec;

use super::escape::push_text;
use super::text::{PORTABLE_DIGITS, reference};
use crate::bytes;

/// Appends a piece of a scanned stanza: CDATA sections become text, line ends and CR become what parsers make
/// of them, long character references become short ones. `in_tag`: the piece begins inside a start tag.
pub(crate) fn copy(out: &mut Vec<u8>, bytes: &[u8], in_tag: bool) {
    const CDATA: &[u8] = b"<![CDATA[";
    let mut place = if in_tag { Place::Tag } else { Place::Text };
    // What is between them comes out as it is.
    let (mut plain, mut at) = (0, 0);
    loop {
        // Odd bytes come in runs.
        if !bytes.get(at).is_some_and(|&byte| place.may_end(byte)) {
            at = bytes::find(bytes, at, |word| place.ends(word), |byte| place.may_end(byte));
        }
        let Some(&byte) = bytes.get(at) else { break };
        let behind = match (byte, place) {
            (b'<', Place::Text) if bytes[at..].starts_with(CDATA) => {
                let start = at + CDATA.len();
                let end = section_end(bytes, start);
                out.extend_from_slice(&bytes[plain..at]);
                push_line_ends(out, &bytes[start..end]);
                (end + 3).min(bytes.len())
            }
            (b'\r', _) => {
                out.extend_from_slice(&bytes[plain..at]);
                out.push(if matches!(place, Place::Text) { b'\n' } else { b' ' });
                at + 1 + usize::from(bytes.get(at + 1) == Some(&b'\n'))
            }
            (b'&', _) => match reference(bytes, at) {
                Ok(Some(found)) if found.digits > PORTABLE_DIGITS => {
                    out.extend_from_slice(&bytes[plain..at]);
                    push_reference(out, found.stands_for);
                    found.end
                }
                found => {
                    at = found.ok().flatten().map_or(at + 1, |found| found.end);
                    continue;
                }
            },
            // The brackets before it may have come out of a CDATA section: ']]>' must not come about.
            (b'>', Place::Text) => {
                out.extend_from_slice(&bytes[plain..at]);
                out.extend_from_slice(b"&gt;");
                at + 1
            }
            _ => {
                place = place.behind(byte);
                at += 1;
                continue;
            }
        };
        (plain, at) = (behind, behind);
    }
    out.extend_from_slice(&bytes[plain..]);
}

/// Where the first `]]>` from `start` on is: short sections take no searcher.
fn section_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    let closes = |word| bytes::equal(word, b'>') & !bytes::not_ascii(word);
    loop {
        at = bytes::find(bytes, at, closes, |byte| byte == b'>');
        if at == bytes.len() {
            return at;
        }
        if bytes[start..at].ends_with(b"]]") {
            return at - 2;
        }
        at += 1;
    }
}

#[derive(Clone, Copy)]
enum Place {
    Text,
    Tag,
    /// In an attribute value, up to this quote.
    Value(u8),
}

impl Place {
    /// Where one is behind this byte.
    fn behind(self, byte: u8) -> Self {
        match (byte, self) {
            (b'<', Self::Text) => Self::Tag,
            (b'>', Self::Tag) => Self::Text,
            (b'\'' | b'"', Self::Tag) => Self::Value(byte),
            (_, Self::Value(quote)) if byte == quote => Self::Tag,
            _ => self,
        }
    }

    /// Needs this byte a look?
    fn may_end(self, byte: u8) -> bool {
        match self {
            Self::Text => matches!(byte, b'<' | b'>' | b'&' | b'\r'),
            Self::Tag => matches!(byte, b'>' | b'\'' | b'"' | b'&' | b'\r'),
            Self::Value(quote) => byte == quote || matches!(byte, b'&' | b'\r'),
        }
    }

    #[inline(always)]
    fn ends(self, word: u64) -> u64 {
        let place = match self {
            Self::Text => bytes::equal_but_2(word, b'>'),
            Self::Tag => bytes::equal(word, b'>') | bytes::equal(word, b'\'') | bytes::equal(word, b'"'),
            Self::Value(quote) => bytes::equal(word, quote),
        };
        (place | bytes::equal(word, b'&') | bytes::equal(word, b'\r')) & !bytes::not_ascii(word)
    }
}

/// Appends a CDATA section's content as text, its line ends as XML 1.0 section 2.11 makes them.
fn push_line_ends(out: &mut Vec<u8>, content: &[u8]) {
    let mut lines = content;
    while let Some(at) = memchr::memchr(b'\r', lines) {
        push_text(out, core::str::from_utf8(&lines[..at]).unwrap_or_default());
        out.push(b'\n');
        let followed = lines.get(at + 1) == Some(&b'\n');
        lines = &lines[at + 1 + usize::from(followed)..];
    }
    push_text(out, core::str::from_utf8(lines).unwrap_or_default());
}

/// Appends a reference in as few digits as can be.
fn push_reference(out: &mut Vec<u8>, stands_for: char) {
    out.extend_from_slice(b"&#x");
    let code = u32::from(stands_for);
    let highest = (31 - (code | 1).leading_zeros()) / 4;
    for place in (0..=highest).rev() {
        let digit = (code >> (place * 4)) & 0xf;
        out.push(b"0123456789ABCDEF"[digit as usize]);
    }
    out.push(b';');
}

/// What an attribute value as written means (XML 1.0, 3.3.3).
pub(crate) fn value(written: &[u8]) -> String {
    // What is meant is never longer.
    let mut bytes = Vec::with_capacity(written.len());
    bytes.extend(value_bytes(written));
    String::from_utf8(bytes).unwrap_or_default()
}

fn value_bytes(written: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    // What a reference stands for, from its second byte on.
    let (mut rest, mut next) = ([0; 4], 4);
    core::iter::from_fn(move || {
        if next < rest.len() {
            next += 1;
            return Some(rest[next - 1]);
        }
        let byte = *written.get(at)?;
        at += 1;
        match byte {
            b'&' => {
                let Ok(Some(found)) = reference(written, at - 1) else { return Some(byte) };
                at = found.end;
                let length = found.stands_for.len_utf8();
                next = rest.len() - length + 1;
                found.stands_for.encode_utf8(&mut rest[4 - length..]);
                Some(rest[next - 1])
            }
            b'\r' => {
                at += usize::from(written.get(at) == Some(&b'\n'));
                Some(b' ')
            }
            b'\n' | b'\t' => Some(b' '),
            _ => Some(byte),
        }
    })
}

/// Do two values as written mean the same?
pub(crate) fn same_value(a: &[u8], b: &[u8]) -> bool {
    a == b || ((a.contains(&b'&') || b.contains(&b'&')) && value_bytes(a).eq(value_bytes(b)))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn copied(text: &str) -> String {
        let mut out = Vec::new();
        copy(&mut out, text.as_bytes(), false);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_parsers_read_alike_is_copied_as_it_is() {
        let plain = "<a b='\"' c=\"'>\"><d/>&amp;&#x41;\n</a>";
        assert_eq!(copied(plain), plain);
    }

    /// Brackets may stand before any byte that is not ASCII, at any place of a word.
    #[test]
    fn end_of_a_section_is_found_among_any_characters() {
        for length in 0..20 {
            let fill = "x".repeat(length);
            for odd in ["\u{80}", "\u{be}", "\u{7be}", "\u{fffe0}", "\u{90010}", "]", ">", "]>"] {
                for content in
                    [format!("{fill}]]{odd}]"), format!("]]{odd}{fill}]]{odd}"), format!("{odd}{fill}")]
                {
                    let written = format!("<a><![CDATA[{content}]]>{odd}</a>");
                    let wanted = format!("<a>{}</a>", [content.as_str(), odd].concat().replace('>', "&gt;"));
                    // A section ends at the first such sequence.
                    if !content.contains("]]>") {
                        assert_eq!(copied(&written), wanted, "{written}");
                    }
                }
            }
        }
    }

    #[test]
    fn cdata_cr_and_long_references_are_written_plainly() {
        assert_eq!(copied("<a>x<![CDATA[<b>&\r\nc]]>y</a>"), "<a>x&lt;b&gt;&amp;\ncy</a>");
        for joined in ["<a><![CDATA[]]]]>></a>", "<a>]<![CDATA[]]]>></a>", "<a><![CDATA[]]]>]></a>"] {
            assert_eq!(
                copied(joined),
                "<a>]]&gt;</a>",
                "{joined}: brackets of a section before a '>' of the text"
            );
        }
        assert_eq!(copied("<a b='x\r\ny\rz'\r>p\rq\r\nr</a\r>"), "<a b='x y z' >p\nq\nr</a >");
        assert_eq!(
            copied("<a b='&#x0000000041;'>&#000000000;&#0000000128512;</a>"),
            "<a b='&#x41;'>&#000000000;&#x1F600;</a>"
        );
    }

    #[test]
    fn values_are_normalised_as_parsers_do() {
        assert_eq!(value(b"a&#10;b\tc\r\nd\re&lt;"), "a\nb c d e<");
        assert_eq!(value("&#233;é&#x20ac;&#128512;&&#0;".as_bytes()), "éé€😀&&#0;");
        assert!(same_value(b"urn:&#120;", b"urn:x"));
        assert!(!same_value(b"urn:y", b"urn:x"));
    }

    #[test]
    fn what_is_no_reference_comes_out_as_it_is() {
        assert_eq!(value(b"a & b&"), "a & b&");
        assert_eq!(copied("<a>\r& b</a>"), "<a>\n& b</a>");
    }
}
