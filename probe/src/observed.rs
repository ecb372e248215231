//! What a server did with a case, and whether that is among what was expected.

use std::fmt;
use std::sync::LazyLock;

use regex::bytes::Regex;
use serde::Serialize;

use crate::judge::{STREAM, well_formed};
use crate::phase::Phase;
use crate::wire::{has_handshake, has_header, pattern};

const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

static ERROR: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"<(?:\w+:)?error[ >].*?</(?:\w+:)?error>|<(?:\w+:)?error[^>]*/>"));
static STREAM_CONDITION: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("<([a-z-]+) [^>]*{STREAMS}")));
static STANZA_CONDITION: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("<([a-z-]+) [^>]*{STANZAS}")));

/// How good an outcome is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The one to aim at.
    Best,
    /// Another one that the rule allows.
    Accepted,
    /// None that the rule allows.
    Outside,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Best => "best",
            Self::Accepted => "accepted",
            Self::Outside => "OUTSIDE",
        })
    }
}

/// What a server did with a case.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The negotiation before the case's bytes failed: what came instead.
    pub setup_failed: Option<String>,
    /// Conditions of the stream errors that came.
    pub stream_errors: Vec<String>,
    /// Conditions of the stanza errors that came, each as `stanza:CONDITION`.
    pub stanza_errors: Vec<String>,
    /// A stream error came only after our question, with which the case's bytes ended.
    pub late_stream_error: bool,
    /// The server's header came in answer to the case's bytes.
    pub header: bool,
    /// The server's consent to the handshake came in answer to the case's bytes.
    pub handshake: bool,
    /// The server's closing tag came.
    pub trailer: bool,
    /// The server closed the connection.
    pub closed: bool,
    /// The stream, still open, no longer does its work.
    pub dead: bool,
    /// What is wrong with the server's own stream.
    pub ill_formed: Option<String>,
    /// What the receiver got, our question aside.
    pub delivered: Option<String>,
    /// The receiver's stream was ended.
    pub receiver_closed: bool,
    /// What the judge says of the receiver's stream, where it refuses it.
    pub receiver_poisoned: Option<String>,
}

impl Observed {
    /// Reads the errors, the header and the trailer off what the server sent. May be called again with what came after.
    pub fn read(&mut self, received: &[u8]) {
        for error in ERROR.find_iter(received) {
            let condition = |of: &Regex| {
                let names =
                    of.captures_iter(error.as_bytes()).map(|c| String::from_utf8_lossy(&c[1]).into_owned());
                names.into_iter().find(|n| n != "text" && n != "error")
            };
            if let Some(name) = condition(&STREAM_CONDITION) {
                self.stream_errors.push(name);
            } else if let Some(name) = condition(&STANZA_CONDITION) {
                self.stanza_errors.push(format!("stanza:{name}"));
            }
        }
        self.header |= has_header(received);
        self.handshake |= has_handshake(received);
        let text = String::from_utf8_lossy(received);
        self.trailer |= text.contains("</stream:stream>") || text.contains("</stream>");
    }

    /// Looks at all that the server sent on a connection as the one document that it has to be.
    pub(crate) fn check_own_stream(&mut self, received: &[u8]) {
        let headless = !has_header(received);
        let stream = if headless { [STREAM.as_bytes(), received].concat() } else { received.to_vec() };
        // A header of its own kind may have another prefix for the closing tag; that is no fault.
        let own_prefix = stream.ends_with(b">") && !stream.windows(8).any(|w| w == b"<stream:");
        if !own_prefix {
            self.ill_formed = well_formed(&stream).err();
        }
    }

    /// Is this one of these outcomes? A stream error counts only with its header, closing tag and closed connection,
    /// a stanza error only while the stream lives. Something delivered spoils all, unless `may_deliver`.
    pub(crate) fn is_one_of(&self, phase: Phase, accepted: &[String], may_deliver: bool) -> bool {
        let accepts = |outcome: &str| accepted.iter().any(|a| a == outcome);
        if self.setup_failed.is_some()
            || self.ill_formed.is_some()
            || self.receiver_closed
            || self.receiver_poisoned.is_some()
        {
            return false;
        }
        let delivered = self.delivered.is_some();
        if delivered && !may_deliver {
            return false;
        }
        let ended = self.closed && self.trailer && (self.header || phase != Phase::PreOpen);
        let usable = !self.closed && !self.dead;
        if (ended && self.stream_errors.iter().any(|c| accepts(c)))
            || (usable && self.stanza_errors.iter().any(|c| accepts(c)))
            || (delivered && accepts("deliver"))
        {
            return true;
        }
        if self.late_stream_error || !self.stream_errors.is_empty() || !self.stanza_errors.is_empty() {
            return false;
        }
        let answered = phase != Phase::PreOpen || self.header;
        (usable && answered && (accepts("ok") || accepts("defer")))
            || (!self.closed && !delivered && accepts("ignore"))
            || (self.closed && accepts("close"))
    }
}

/// In a few words: conditions, what became of the stanza, and how the stream is left.
impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(came) = &self.setup_failed {
            let came: String = came.chars().take(200).collect();
            return write!(f, "the negotiation before it failed: {came:?}");
        }
        let mut words = self.stream_errors.clone();
        words.extend(self.stanza_errors.clone());
        words.dedup();
        let erred = !self.stream_errors.is_empty();
        let mut say = |on: bool, word: &str| words.extend(on.then(|| word.to_owned()));
        say(self.late_stream_error, "stream error only after our question");
        say(self.delivered.is_some(), "delivered");
        say(self.handshake, "handshake");
        say(self.header && !erred, "header");
        say(erred && !self.trailer, "no closing tag");
        say(self.trailer && !erred, "closing tag");
        say(self.receiver_closed, "RECEIVER'S STREAM ENDED");
        match (self.closed, self.dead) {
            (true, _) => say(!erred, "closed"),
            (false, true) => say(true, "open but dead"),
            // A stanza error and a delivery are told by themselves: they count on a living stream alone.
            (false, false) => say(self.stanza_errors.is_empty() && self.delivered.is_none(), "open"),
        }
        let mut faults = [("its own stream", &self.ill_formed), ("the receiver's", &self.receiver_poisoned)];
        for (whose, fault) in &mut faults {
            words.extend(fault.as_ref().map(|fault| format!("{whose} NOT WELL-FORMED: {fault}")));
        }
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(received: &[u8]) -> Observed {
        let mut observed = Observed::default();
        observed.read(received);
        observed
    }

    fn is(observed: &Observed, outcome: &str) -> bool {
        observed.is_one_of(Phase::PreOpen, &[outcome.to_owned()], outcome == "deliver")
    }

    #[test]
    fn a_stream_error_counts_only_with_header_trailer_and_close() {
        let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                     <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>x</text></stream:error>";
        let mut whole = after(format!("<stream:stream id='1'>{error}</stream:stream>").as_bytes());
        assert!(!is(&whole, "not-well-formed"), "the connection is open");
        whole.closed = true;
        assert!(is(&whole, "not-well-formed"));
        assert!(!is(&whole, "bad-format"));
        let mut headless = after(format!("{error}</stream:stream>").as_bytes());
        headless.closed = true;
        assert!(!is(&headless, "not-well-formed"));
        let mut endless = after(format!("<stream:stream id='1'>{error}").as_bytes());
        endless.closed = true;
        assert!(!is(&endless, "not-well-formed"));
    }

    #[test]
    fn a_stanza_error_counts_only_on_a_living_stream() {
        let mut observed = after(
            b"<iq type='error'><error type='modify'><bad-request \
              xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        );
        assert!(is(&observed, "stanza:bad-request"));
        observed.dead = true;
        assert!(!is(&observed, "stanza:bad-request"));
    }

    #[test]
    fn a_poisoned_receiver_is_never_accepted() {
        let mut observed = after(b"");
        observed.delivered = Some("<message/>".to_owned());
        assert!(is(&observed, "deliver"));
        assert!(!is(&observed, "ok"));
        observed.receiver_poisoned = Some("unbound prefix".to_owned());
        assert!(!is(&observed, "deliver"));
    }

    #[test]
    fn an_answer_that_is_not_well_formed_is_never_accepted() {
        let mut observed = after(b"<stream:stream id='1'>");
        assert!(is(&observed, "ok"));
        observed.check_own_stream(
            b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' id='1'>",
        );
        assert!(is(&observed, "ok"), "{observed}");
        observed.check_own_stream(b"<stream:error><text>a & b</text></stream:error>");
        assert!(!is(&observed, "ok"));
    }
}
