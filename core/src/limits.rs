//! Every limit, with its number, unit and precedent. None can be switched off: zero is not "unlimited".

use core::time::Duration;

/// Max prefixes that a stream header may declare: a stanza marks those it uses in 32 bits.
pub(crate) const MOST_PREFIXES: usize = 32;

/// Max bytes that the prefixes of a stream header may add to a stanza, each declared once: 30 of the usual length. So a short
/// stanza that uses them is not many times as long for its receiver.
pub(crate) const LONGEST_ADDITION: usize = 1024;

/// Max bytes of a namespace name, as it is written. No XEP has more than 80, and none is written in references. A tag
/// may have 128 of them, which are checked in one piece.
pub(crate) const LONGEST_NAMESPACE: usize = 256;

/// What one stream may cost. Start from [`Limits::default`] and change what has to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the XML declaration and `<stream:stream ...>` together. 8 KiB; a header with long names fits
    /// in 4. (ejabberd 26.04 allows a client 8,192 bytes before authentication.)
    pub header: usize,
    /// Bytes before the handshake is done, header and blanks included. 16 KiB. More would mean an open door
    /// for anybody: nothing before authentication needs half of it.
    pub negotiation: usize,
    /// Bytes of one stanza, from its `<` to its last `>`, counted while it is read. 1 MiB; at least 10,000 by
    /// RFC 6120 section 13.12. (Prosody allows a component 512 KiB, MongooseIM and ejabberd any size.)
    pub stanza: usize,
    /// Elements open at once, the stanza itself being the first. 128; no XEP goes deeper than 12.
    pub depth: usize,
    /// Attributes of one tag, namespace declarations included. 128; no XEP has more than 15. A component takes more from
    /// its server ([`handed_on`](Self::handed_on)).
    pub attributes: usize,
    /// Bytes of an element's or attribute's name, prefix included. 256.
    pub name: usize,
    /// Namespace prefixes declared at one place, those of all open elements together. 256; no XEP has more
    /// than 17 in a stanza. (RUSTSEC-2026-0195 is what happens without one.)
    pub namespaces: usize,
    /// Time for each step of the negotiation: the header, a look-up of the secret, the handshake. 5 s, as in MongooseIM.
    pub negotiation_step: Duration,
    /// Time in which a stanza that has begun must end, not counting the time in which nothing is read from
    /// the stream because of its rate or of a full receiver. 120 s.
    pub stanza_time: Duration,
    /// Silence towards the peer after which a space is sent, once it is authenticated; `None` sends none.
    /// 30 s: tokio-xmpp ends a stream after 60 s without a byte.
    pub keepalive: Option<Duration>,
    /// Silence from the server after which a component asks by a ping (XEP-0199) whether it is there; `None` never
    /// asks. 60 s: twice the keepalive above, which is a sign of life, too.
    ///
    /// The ping goes to the component's own domain. A server that spreads the stanzas of a domain over several
    /// connections may give it to another one. So silence after a ping ends the stream only if the last three pings
    /// before it came back on this stream, or their answers did, and no ping of another connection has come on it. A
    /// dead server is thus not noticed by pings on a stream that is new, or whose server does not return them.
    pub ping: Option<Duration>,
    /// Time for a sign of life after that. 20 s.
    pub ping_answer: Duration,
    /// Time to get the last bytes out when a stream ends. 5 s.
    pub flush: Duration,
    /// Time to read on after our side is shut, so that the peer gets our last words before a reset. 1 s.
    pub linger: Duration,
    /// Bytes read and thrown away in that time. 64 KiB.
    pub linger_bytes: usize,
}

impl Limits {
    /// What a server with these limits may hand on, and a component must take: to the first tag of a stanza it adds
    /// `from` and `to` where they were left out, and what a prefix of the sender's header stands for.
    #[must_use]
    pub fn handed_on(&self) -> Self {
        let mut limits = self.clone();
        limits.attributes = self.attributes.saturating_add(MOST_PREFIXES + 2);
        limits.namespaces = self.namespaces.saturating_add(MOST_PREFIXES);
        limits
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: 8 * 1024,
            negotiation: 16 * 1024,
            stanza: 1024 * 1024,
            depth: 128,
            attributes: 128,
            name: 256,
            namespaces: 256,
            negotiation_step: Duration::from_secs(5),
            stanza_time: Duration::from_secs(120),
            keepalive: Some(Duration::from_secs(30)),
            ping: Some(Duration::from_secs(60)),
            ping_answer: Duration::from_secs(20),
            flush: Duration::from_secs(5),
            linger: Duration::from_secs(1),
            linger_bytes: 64 * 1024,
        }
    }
}
