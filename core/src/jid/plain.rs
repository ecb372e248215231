//! The common case of an address, in one pass: ASCII, its domain canonical already.

use super::error::MAX_PART;
use crate::bytes;

const LOCAL: u8 = 1;
/// Part of a label without doubt.
const LABEL: u8 = 2;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = b'!';
    while byte < 0x7f {
        if !matches!(byte, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@') {
            table[byte as usize] |= LOCAL;
        }
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' {
            table[byte as usize] |= LABEL;
        }
        byte += 1;
    }
    table
}

fn skip(bytes: &[u8], at: usize, class: u8) -> usize {
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| CLASS[byte as usize] & class == 0).unwrap_or(rest.len())
}

/// Where the domain of a plain address begins and ends; `None` says nothing: the address needs a closer look.
pub(super) fn parts(text: &[u8]) -> Option<(usize, usize)> {
    let first = skip(text, 0, LOCAL);
    let start = if text.get(first) == Some(&b'@') { first + 1 } else { 0 };
    let local_fits = start == 0 || (2..=MAX_PART + 1).contains(&start);
    let end = canonical_domain(text, start)?;
    let rest = &text[end..];
    let resource_fits = match rest.first() {
        None => true,
        Some(b'/') => (2..=MAX_PART + 1).contains(&rest.len()) && is_plain_resource(&rest[1..]),
        Some(_) => false,
    };
    (local_fits && resource_fits).then_some((start, end))
}

/// Where the domain that begins at `start` ends, if it is canonical without doubt. Hyphens where they may mean
/// something are left to the closer look, and what may be numbers alone.
fn canonical_domain(text: &[u8], start: usize) -> Option<usize> {
    let (mut label, mut at) = (start, start);
    loop {
        at = skip(text, at, LABEL);
        let is_label = (1..=63).contains(&(at - label)) && text[at - 1] != b'-';
        match text.get(at) {
            Some(b'-') if at != label && at - label != 2 && at - label != 3 => at += 1,
            Some(b'.') if is_label => {
                at += 1;
                label = at;
            }
            // A name whose first and last label begin with a digit may consist of numbers.
            _ => {
                let numbers = text.get(label).is_some_and(u8::is_ascii_digit) && text[start].is_ascii_digit();
                let fits = is_label && !numbers && at - start <= MAX_PART;
                return fits.then_some(at);
            }
        }
    }
}

fn is_plain_resource(resource: &[u8]) -> bool {
    let odd = |word| bytes::below(word, b' ') | bytes::from(word, 0x7f) | bytes::not_ascii(word);
    bytes::find(resource, 0, odd, |byte| !matches!(byte, b' '..0x7f)) == resource.len()
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use crate::jid::Jid;

    #[test]
    fn what_passes_here_is_what_the_closer_look_finds() {
        let long = ["a".repeat(63), "b".repeat(64), "c".repeat(1023), "d".repeat(1024)];
        let mut texts: Vec<String> = [
            "",
            "a",
            "a.b",
            "a@b.c/d",
            "@b",
            "a@",
            "a/",
            "/a",
            "a@b/",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "a-.b",
            "a.-b",
            "xn--a",
            "ab--c",
            "abc-d",
            "a-b",
            "a@b@c",
            "a:b@c",
            "a b@c",
            "a@b/c d",
            "a@b/\u{7f}",
            "a@b/é",
            "é@b",
            "A",
            "a_b",
            "127.0.0.1",
            "127.1",
            "a.0x7f",
            "a.1.2.3.4",
            "1.2.3.4.5",
            "0x7f.a.1",
            "a.3com",
            "1.2.a",
            "[::1]",
            "a'b",
            "a@b.c/@/",
            "a/b@c",
        ]
        .map(Into::into)
        .into();
        for part in &long {
            texts.extend([part.clone(), alloc::format!("{part}@b"), alloc::format!("a@b/{part}")]);
        }
        for text in &texts {
            let closer = Jid::parse_any(text, &mut 0);
            if let Some((start, end)) = super::parts(text.as_bytes()) {
                let jid = closer.unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!((jid.domain(), jid.is_verbatim()), (&text[start..end], true), "{text}");
            }
        }
        assert!(super::parts(b"alice@a.example/desktop").is_some());
        assert!(super::parts(b"a.b").is_some());
        assert!(super::parts(b"a@b.10.0.0.1/c").is_some());
    }
}
