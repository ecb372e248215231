//! What the attackers send, made before the clock runs.

use std::fmt::Write;
use std::sync::Arc;

/// Bytes of the largest stanza that a server with our defaults takes.
const LARGEST: usize = 1 << 20;

/// A user who is looked at for as long as a user can be, with [`PATTERN`].
const USER: usize = 1000;

/// The dearest regexp that our server takes: its table would be too large, so that it is run on 240 places at once.
pub(super) const PATTERN: &str = "a[ab]{240}[^ab]x";

/// A message of nearly this size, with these elements open around copies of `piece`.
fn large(size: usize, to: &str, front: &str, piece: &str) -> Arc<[u8]> {
    let back = "</w>".repeat(front.matches("<w").count()) + "</message>";
    let mut text = format!("<message to='{to}'>{front}");
    while text.len() + piece.len() + back.len() < size - 1024 {
        text.push_str(piece);
    }
    (text + &back).into_bytes().into()
}

/// Names among the 240 prefixes that two elements declare.
pub(super) fn lookups(to: &str) -> Arc<[u8]> {
    let mut front = String::new();
    for prefix in 0..240 {
        let begins = if prefix % 120 == 0 { "<w" } else { "" };
        let ends = if prefix % 120 == 119 { ">" } else { "" };
        // Writing to a string can't fail.
        let _ = write!(front, "{begins} xmlns:p{prefix:03}='urn:p{prefix:03}'{ends}");
    }
    let names: String = (0..100).map(|number| format!(" p000:a{number:02}=\"\"")).collect();
    large(LARGEST, to, &front, &format!("<a{names}/>"))
}

/// Sections, which are written as text for the receiver. Not longer, so that 250 of them that are begun fit into the server.
pub(super) fn sections(to: &str) -> Arc<[u8]> {
    large(LARGEST * 2 / 5, to, "<w>", "<![CDATA[<]]>")
}

/// The beginning of a message that needs 100 more bytes to be as large as allowed.
pub(super) fn begun(to: &str) -> Arc<[u8]> {
    let mut text = format!("<message to='{to}'><body>");
    text.extend(std::iter::repeat_n('x', LARGEST - 100 - text.len()));
    text.into_bytes().into()
}

/// Messages with a body of this length, some 64 KiB together, or one if that is longer.
pub(super) fn bodies(to: &str, length: usize) -> Arc<[u8]> {
    let one = format!("<message to='{to}'><body>{}</body></message>", "x".repeat(length));
    one.repeat((65_536 / one.len()).max(1)).into_bytes().into()
}

/// Questions for the list of a host's components.
pub(super) fn items(host: &str) -> Arc<[u8]> {
    let one = format!(
        "<iq type='get' id='i' to='{host}'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
    );
    one.repeat(16).into_bytes().into()
}

/// Messages of a user whom [`PATTERN`] takes longest for.
pub(super) fn judged(own: &str, to: &str) -> Arc<[u8]> {
    let mut state = 1_u32;
    let user: String = (0..USER)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { 'a' } else { 'b' }
        })
        .collect();
    format!("<message from='{user}@{own}' to='{to}'><body>x</body></message>").repeat(8).into_bytes().into()
}

/// Declarations of a stream header: nearly the 1,024 bytes that it may add to a stanza.
pub(super) fn declared() -> String {
    (0..31).map(|number| format!(" xmlns:p{number:02}='urn:prefixes.xml:{number:02}'")).collect()
}

/// Messages that use all of [`declared`].
pub(super) fn amplified(to: &str) -> Arc<[u8]> {
    let used: String = (0..31).map(|number| format!("<p{number:02}:a/>")).collect();
    format!("<message to='{to}'>{used}</message>").repeat(64).into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_stanzas_are_nearly_as_large_as_allowed() {
        for bytes in [lookups("b.example"), begun("b.example")] {
            assert!((LARGEST - 3 * 1024..LARGEST).contains(&bytes.len()), "{}", bytes.len());
        }
    }

    #[test]
    fn declarations_add_at_most_a_kilobyte() {
        let declared = declared();
        assert!((900..=1024).contains(&declared.len()), "{}", declared.len());
    }
}
