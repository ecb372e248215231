//! Where a stanza ends, for who trusts the peer's XML: delimiters are looked for with memchr, and nothing is checked.

use memchr::{memchr, memchr_iter, memchr3, memmem};

/// Gives the length of the stanza that the bytes begin with, once it is there whole.
pub(crate) type Cut = fn(&[u8]) -> Option<usize>;

/// Cuts messages that hold no other message.
pub(crate) fn message_end(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'>', bytes).find(|&at| bytes[..at].ends_with(b"</message")).map(|at| at + 1)
}

/// Cuts any element, by counting how many are open.
pub(crate) fn element_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut open) = (0, 0_usize);
    loop {
        at += memchr(b'<', &bytes[at..])?;
        let rest = &bytes[at..];
        let length = match rest.get(1)? {
            b'/' => {
                open = open.saturating_sub(1);
                memchr(b'>', rest)? + 1
            }
            // A section of text.
            b'!' => memmem::find(rest, b"]]>")? + 3,
            _ => {
                let length = tag_end(rest)?;
                open += usize::from(rest[length - 2] != b'/');
                length
            }
        };
        at += length;
        if open == 0 {
            return Some(at);
        }
    }
}

/// The length of a start tag, whose values may hold a `>`.
fn tag_end(tag: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr3(b'>', b'\'', b'"', &tag[at..])?;
        if tag[at] == b'>' {
            return Some(at + 1);
        }
        at += 1 + memchr(tag[at], &tag[at + 1..])? + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_find(stanza: &str, cut: Cut) {
        let stream = format!("{stanza}<message/>");
        assert_eq!(cut(stream.as_bytes()), Some(stanza.len()), "{stanza}");
        for end in 0..stanza.len() {
            assert_eq!(cut(&stanza.as_bytes()[..end]), None, "{}", &stanza[..end]);
        }
    }

    #[test]
    fn a_message_ends_at_its_end_tag_and_not_before_it_is_there() {
        for cut in [message_end, element_end] {
            both_find("<message to='b' id='1'><body>a</body></message>", cut);
            both_find("<message><body>&gt;</body><x xmlns='urn:x'/></message>", cut);
        }
    }

    #[test]
    fn elements_are_counted_whatever_they_hold() {
        for stanza in [
            "<presence/>",
            "<iq id='1' type='result' />",
            "<message><forwarded xmlns='urn:xmpp:forward:0'><message><body/></message></forwarded></message>",
            "<message a='1 > 0' b=\"it's /\"><b>x</b></message>",
            "<message><body><![CDATA[</message>]]]]></body></message>",
        ] {
            both_find(stanza, element_end);
        }
    }
}
