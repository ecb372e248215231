//! The one writer of text and attribute values.

use alloc::vec::Vec;

use crate::bytes;

/// Appends `text` as element content. CR is written as a reference, so that it survives the reader's
/// line-end normalisation (XML 1.0, 2.11).
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    let escape = |byte| -> Option<&'static [u8]> {
        match byte {
            b'&' => Some(b"&amp;"),
            b'<' => Some(b"&lt;"),
            b'>' => Some(b"&gt;"),
            b'\r' => Some(b"&#13;"),
            _ => None,
        }
    };
    // Both angle brackets at once.
    push(out, text, escape, |word| bytes::equal_but_2(word, b'>') | bytes::equal(word, b'\r'));
}

/// Appends `value` for an attribute between these quotes. White space but the blank is written as references,
/// so that it survives attribute-value normalisation (XML 1.0, 3.3.3).
pub(crate) fn push_value(out: &mut Vec<u8>, value: &str, quote: u8) {
    let escape = |byte| -> Option<&'static [u8]> {
        match byte {
            b'&' => Some(b"&amp;"),
            b'<' => Some(b"&lt;"),
            b'\'' if byte == quote => Some(b"&apos;"),
            b'"' if byte == quote => Some(b"&quot;"),
            b'\t' => Some(b"&#9;"),
            b'\n' => Some(b"&#10;"),
            b'\r' => Some(b"&#13;"),
            _ => None,
        }
    };
    let ends = |word| bytes::equal(word, b'<') | bytes::equal(word, quote) | bytes::below(word, b' ');
    push(out, value, escape, ends);
}

/// Appends ` name='value'`, escaped; in double quotes where the value has more of the others. So a value that was
/// received is written in at most 6/5 of its length, and nobody gets long answers for short questions.
pub fn push_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    push_attribute_of(out, name, &[value]);
}

/// [`push_attribute`] of a value in pieces.
pub(crate) fn push_attribute_of(out: &mut Vec<u8>, name: &str, pieces: &[&str]) {
    let number_of = |quote| -> usize {
        pieces.iter().map(|piece| memchr::memchr_iter(quote, piece.as_bytes()).count()).sum()
    };
    let has_apostrophe = pieces.iter().any(|piece| memchr::memchr(b'\'', piece.as_bytes()).is_some());
    let quote = if has_apostrophe && number_of(b'\'') > number_of(b'"') { b'"' } else { b'\'' };
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&[b'=', quote]);
    for piece in pieces {
        push_value(out, piece, quote);
    }
    out.push(quote);
}

/// `ends` tells the bytes of a word that `escape` changes, `&` apart; it may tell of others.
#[inline(always)]
fn push(
    out: &mut Vec<u8>,
    text: &str,
    escape: impl Fn(u8) -> Option<&'static [u8]>,
    ends: impl Fn(u64) -> u64,
) {
    let text = text.as_bytes();
    let tests = |word| (ends(word) | bytes::equal(word, b'&')) & !bytes::not_ascii(word);
    let (mut plain, mut at) = (0, 0);
    loop {
        at = bytes::find(text, at, tests, |byte| escape(byte).is_some());
        let Some(&byte) = text.get(at) else { break };
        if let Some(escaped) = escape(byte) {
            out.extend_from_slice(&text[plain..at]);
            out.extend_from_slice(escaped);
            plain = at + 1;
        }
        at += 1;
    }
    out.extend_from_slice(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_that_could_be_misread_is_written_as_a_reference() {
        let mut out = Vec::new();
        push_text(&mut out, "a<b>&\r\n'\"]]>");
        assert_eq!(out, b"a&lt;b&gt;&amp;&#13;\n'\"]]&gt;");
        out.clear();
        push_attribute(&mut out, "id", "a<b>&\r\n\t'\"");
        assert_eq!(out, b" id='a&lt;b>&amp;&#13;&#10;&#9;&apos;\"'");
        out.clear();
        push_attribute(&mut out, "id", "''\"");
        assert_eq!(out, b" id=\"''&quot;\"");
    }

    /// Long runs are passed over eight bytes at a time.
    #[test]
    fn every_character_is_escaped_wherever_it_stands() {
        for (written, in_text, in_value) in [
            ("&", "&amp;", "&amp;"),
            ("<", "&lt;", "&lt;"),
            (">", "&gt;", ">"),
            ("\r", "&#13;", "&#13;"),
            ("\n", "\n", "&#10;"),
            ("\t", "\t", "&#9;"),
            ("'", "'", "&apos;"),
            ("\"", "\"", "\""),
        ] {
            for (before, between, after) in [("", "", ""), ("a", "", "b"), ("\u{e4}=", "?\u{1f0}", "\u{bc}")]
            {
                for length in 0..20 {
                    let fill = "x".repeat(length);
                    let of =
                        |special: &str| [before, &fill, special, between, &fill, special, after].concat();
                    let mut out = Vec::new();
                    push_text(&mut out, &of(written));
                    assert_eq!(out, of(in_text).as_bytes());
                    out.clear();
                    push_value(&mut out, &of(written), b'\'');
                    assert_eq!(out, of(in_value).as_bytes());
                }
            }
        }
    }
}
