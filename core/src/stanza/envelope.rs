//! Where the addresses of a stanza stand in what was written of it.

use alloc::string::String;

use super::kind::{StanzaKind, expects_reply, known_type};
use crate::xml::rewrite;

/// Where the addresses of a stanza stand in what was written of it: enough to answer it much later without reading it
/// again. Small, since each stanza in a queue has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(super) kind: StanzaKind,
    /// Where the domain begins in the `from`.
    pub(super) domain: u16,
    // Offsets of the values' opening quotes; 0 without such an attribute.
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) id: u32,
    pub(super) stanza_type: u32,
}

impl Envelope {
    /// That of an error answer as `StanzaError` writes it: first its `from`, then `to`, `id` and `type`, of those that it
    /// has.
    pub(crate) fn of_answer(kind: StanzaKind, answer: &[u8]) -> Self {
        let mut at = 1 + kind.as_str().len();
        let mut next = |name: &[u8]| {
            let after = answer.get(at..)?.strip_prefix(name)?;
            let quote = answer.len() - after.len();
            at = quote + quoted(answer, quote as u32)?.len();
            Some(quote as u32)
        };
        let [from, to, id, stanza_type] =
            [" from=", " to=", " id=", " type="].map(|name| next(name.as_bytes()).unwrap_or(0));
        // A local part holds no character that is written as a reference.
        let domain = quoted(answer, from).map_or(0, |quoted| {
            let bare = quoted.split(|&byte| byte == b'/').next().unwrap_or_default();
            memchr::memchr(b'@', bare).unwrap_or(0) as u16
        });
        Self { kind, domain, from, to, id, stanza_type }
    }

    /// May an error answer the stanza?
    pub(crate) fn expects_reply(&self, stanza: &[u8]) -> bool {
        let known = quoted(stanza, self.stanza_type).map(|quoted| known_type(inner(quoted)));
        expects_reply(self.kind.as_str(), known)
    }

    /// The domain of its `from`.
    pub(crate) fn sender(&self, stanza: &[u8]) -> Option<String> {
        let mut from = self.from(stanza)?;
        from.drain(..usize::from(self.domain));
        from.truncate(from.find('/').unwrap_or(from.len()));
        Some(from)
    }

    /// The domain of its `to`.
    pub(crate) fn receiver(&self, stanza: &[u8]) -> Option<String> {
        let mut to = self.to(stanza)?;
        to.truncate(to.find('/').unwrap_or(to.len()));
        to.drain(..to.find('@').map_or(0, |at| at + 1));
        Some(to)
    }

    pub(crate) fn kind(&self) -> StanzaKind {
        self.kind
    }

    /// Its `to` as it was written, with its quotes.
    pub(crate) fn written_to<'a>(&self, stanza: &'a [u8]) -> Option<&'a [u8]> {
        quoted(stanza, self.to)
    }

    /// Its `from` as it was written, with its quotes.
    pub(crate) fn written_from<'a>(&self, stanza: &'a [u8]) -> Option<&'a [u8]> {
        quoted(stanza, self.from)
    }

    pub(crate) fn stanza_type(&self, stanza: &[u8]) -> Option<String> {
        meant(stanza, self.stanza_type)
    }

    pub(crate) fn from(&self, stanza: &[u8]) -> Option<String> {
        meant(stanza, self.from)
    }

    pub(crate) fn to(&self, stanza: &[u8]) -> Option<String> {
        meant(stanza, self.to)
    }

    /// Its `id` as it was written, with its quotes.
    pub(crate) fn written_id<'a>(&self, stanza: &'a [u8]) -> Option<&'a [u8]> {
        quoted(stanza, self.id)
    }
}

fn meant(stanza: &[u8], at: u32) -> Option<String> {
    quoted(stanza, at).map(|quoted| rewrite::value(inner(quoted)))
}

/// The value whose opening quote is there, with its quotes.
fn quoted(stanza: &[u8], at: u32) -> Option<&[u8]> {
    let value = stanza.get(at as usize..).filter(|_| at > 0)?;
    let (quote, rest) = value.split_first()?;
    memchr::memchr(*quote, rest).map(|end| &value[..end + 2])
}

fn inner(quoted: &[u8]) -> &[u8] {
    &quoted[1..quoted.len() - 1]
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use crate::jid::Jid;
    use crate::limits::Limits;
    use crate::stanza::Stanza;
    use crate::stanza_error::StanzaError;
    use crate::xml::scan::{Progress, Scan};
    use crate::xml::scope::HeaderPrefixes;

    fn with_stanza<R>(bytes: &[u8], header: &HeaderPrefixes, look: impl FnOnce(&Stanza<'_>) -> R) -> R {
        let mut scan = Scan::default();
        let progress = scan.advance(bytes, &Limits::default(), header.as_slice());
        assert_eq!(progress, Ok(Progress::Whole(bytes.len())));
        look(&Stanza::new(bytes, scan.head(), header).unwrap().unwrap())
    }

    /// The envelope of a rewritten stanza says what a second scan would.
    #[test]
    fn an_envelope_says_what_is_in_the_stanza_as_it_was_written() {
        let declared = HeaderPrefixes::from(Vec::from([("p".into(), "urn:p".into())]));
        for stanza in [
            "<message from='r@a.example/x@y/z' to='b.example' id='1' type='chat'/>",
            "<message id=\"1'\" type='error' to=\"b.example/a'b\" from='a.example'/>",
            "<presence to='b.example' type='subscribe' from='a.example'/>",
            "<presence to='b.example' from='a.example' type='unavailable'/>",
            "<iq to='b.example' type='&#103;et' id='&quot;&apos;' from='A.example.'/>",
            "<iq id='1' from='r@A.example/x&amp;y' xmlns='jabber:client' type='result' to='B.example'><q/></iq>",
            "<message xmlns='jabber:client' id='1\r\n2' to='&#x62;.example/&apos;' from=\"&#97;.EXAMPLE/'\"/>",
            "<message to='b.example' id='&#0000000000120;' from='r@a.example'><body><![CDATA[<]]></body></message>",
            "<message from='a.example' to='b.example' id='1'><p:x/></message>",
            "<c:message xmlns:c='jabber:component:accept' id='1' from='a.example' to='b.example'/>",
            "<message to='b.example'/>",
            "<message/>",
        ] {
            with_stanza(stanza.as_bytes(), &declared, |stanza| {
                let own = Jid::parse("own.example/r").unwrap();
                let given = stanza.with_addresses(&own, &own);
                for stanza in [stanza, &given] {
                    let mut out = b"<before/>".to_vec();
                    let envelope = stanza.append_noting(&mut out);
                    let written = &out[9..];
                    with_stanza(written, &HeaderPrefixes::Usual, |read| {
                        assert_eq!(envelope.expects_reply(written), read.expects_reply(), "{stanza:?}");
                        let sender = envelope.sender(written);
                        assert_eq!(sender.as_deref(), read.from().map(Jid::domain), "{stanza:?}");
                        let receiver = envelope.receiver(written);
                        assert_eq!(receiver.as_deref(), read.to().map(Jid::domain), "{stanza:?}");
                        let (mut answer, mut expected) = (Vec::new(), Vec::new());
                        let of_answer =
                            StanzaError::recipient_gone().append_answer_by(&envelope, written, &mut answer);
                        StanzaError::recipient_gone().append_answer_to(read, &mut expected);
                        assert_eq!(answer, expected, "{stanza:?}");
                        with_stanza(&answer, &HeaderPrefixes::Usual, |read| {
                            assert_eq!(of_answer, read.envelope(), "{stanza:?}");
                        });
                    });
                }
            });
        }
    }
}
