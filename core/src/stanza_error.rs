//! Stanza errors (RFC 6120, 8.3): the answer to a stanza that goes no further.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use crate::error::conditions;
use crate::jid::JidError;
use crate::namespaces as ns;
use crate::stanza::{Envelope, Stanza, StanzaKind};
use crate::xml::escape::{push_attribute, push_attribute_of, push_text};
use crate::xml::rewrite;

conditions! {
    /// The conditions of a stanza error (RFC 6120, 8.3.3).
    StanzaCondition {
        /// The stanza breaks a rule of its kind.
        BadRequest = "bad-request",
        /// Something of that name is there already.
        Conflict = "conflict",
        /// The receiver does not do that.
        FeatureNotImplemented = "feature-not-implemented",
        /// The sender may not do that.
        Forbidden = "forbidden",
        /// The receiver is no longer there.
        Gone = "gone",
        /// The server failed.
        InternalServerError = "internal-server-error",
        /// There is no such thing.
        ItemNotFound = "item-not-found",
        /// An address is invalid.
        JidMalformed = "jid-malformed",
        /// The receiver does not take it as it is.
        NotAcceptable = "not-acceptable",
        /// Nobody may do that, or this sender may not reach the receiver at all.
        NotAllowed = "not-allowed",
        /// The sender has to prove who it is first.
        NotAuthorized = "not-authorized",
        /// It breaks a rule of the server's operator.
        PolicyViolation = "policy-violation",
        /// The receiver is not there for the moment.
        RecipientUnavailable = "recipient-unavailable",
        /// Ask somewhere else.
        Redirect = "redirect",
        /// The sender has to register first.
        RegistrationRequired = "registration-required",
        /// There is no way to the domain.
        RemoteServerNotFound = "remote-server-not-found",
        /// The domain is known, but does not answer.
        RemoteServerTimeout = "remote-server-timeout",
        /// The receiver or the server has too little of something.
        ResourceConstraint = "resource-constraint",
        /// Nobody there offers that.
        ServiceUnavailable = "service-unavailable",
        /// The sender has to subscribe first.
        SubscriptionRequired = "subscription-required",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
        /// It came at the wrong time.
        UnexpectedRequest = "unexpected-request",
    }
}

/// What the sender is to do about an error (RFC 6120, 8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Prove who it is and try again.
    Auth,
    /// Give up.
    Cancel,
    /// Nothing: it was a warning.
    Continue,
    /// Change the stanza and try again.
    Modify,
    /// Try again later.
    Wait,
}

impl ErrorType {
    /// The value of the error's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

/// A stanza error, ready to be written as the answer to a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What is wrong.
    pub condition: StanzaCondition,
    /// What to do about it.
    pub error_type: ErrorType,
    /// What exactly is wrong, in English; empty: no more than the condition says.
    pub text: Cow<'static, str>,
}

/// Why an element can't be routed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// It is no iq, message or presence of the component protocol.
    #[error("the element is no iq, message or presence in jabber:component:accept")]
    NoStanza,
    /// It has no `to` (XEP-0114, section 3).
    #[error("a stanza must have a 'to'")]
    NoTo,
    /// Its `to` is no address.
    #[error("the 'to' is no address: {0}")]
    BadTo(JidError),
    /// It has no `from`, and the component has several names.
    #[error("a stanza of a subdomain component must have a 'from'")]
    NoFrom,
    /// Its `from` is no address.
    #[error("the 'from' is no address: {0}")]
    BadFrom(JidError),
    /// Its `from` is of a domain that is not the component's.
    #[error("the 'from' is not of the component's own domain")]
    ForeignFrom,
    /// An iq without an id, of no known type, or a request without exactly one child (RFC 6120, 8.2.3).
    #[error(
        "an iq needs an id, one of the types get, set, result and error, and exactly one child in a get or set"
    )]
    ImproperIq,
}

impl StanzaError {
    /// Makes an error.
    #[must_use]
    pub fn new(
        condition: StanzaCondition,
        error_type: ErrorType,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { condition, error_type, text: text.into() }
    }

    /// Appends the answer to `stanza` (RFC 6120, 8.3.1): the addresses swapped, its id, type `error`, and no
    /// echo of what it held. The caller asks [`Stanza::expects_reply`] first.
    pub(crate) fn append_answer_to(&self, stanza: &Stanza<'_>, out: &mut Vec<u8>) {
        Answer {
            name: stanza.kind().as_str(),
            namespace: None,
            from: stanza.to().map(|to| to.as_str()).unwrap_or_default(),
            to: &[stanza.from().map(|from| from.as_str()).unwrap_or_default()],
            id: stanza.written_id(),
        }
        .append(self, out);
    }

    /// Answers a stanza with this error, in `out`, unless no error may answer it; says whether it did. Send it back to where
    /// the stanza came from, whatever its `from` says: an error must not reach somebody who has asked for nothing.
    pub fn answer(&self, stanza: &Stanza<'_>, out: &mut Vec<u8>) -> bool {
        let may = stanza.expects_reply();
        if may {
            self.append_answer_to(stanza, out);
        }
        may
    }

    /// [`append_answer_to`](Self::append_answer_to) for a stanza that was written long ago. Says where the addresses of the
    /// answer are.
    pub(crate) fn append_answer_by(&self, envelope: &Envelope, stanza: &[u8], out: &mut Vec<u8>) -> Envelope {
        let start = out.len();
        Answer {
            name: envelope.kind().as_str(),
            namespace: None,
            from: &envelope.to(stanza).unwrap_or_default(),
            to: &[&envelope.from(stanza).unwrap_or_default()],
            id: envelope.written_id(stanza),
        }
        .append(self, out);
        Envelope::of_answer(envelope.kind(), &out[start..])
    }
}

impl StanzaError {
    /// Appends this error as the answer to an iq `from` one address `to` another. Says where the addresses of the answer are.
    pub(crate) fn append_iq_answer(&self, from: &str, to: &str, id: &str, out: &mut Vec<u8>) -> Envelope {
        let start = out.len();
        let mut written = Vec::new();
        push_attribute(&mut written, "id", id);
        // Behind ` id=`.
        let id = written.get(4..);
        Answer { name: StanzaKind::Iq.as_str(), namespace: None, from, to: &[to], id }.append(self, out);
        Envelope::of_answer(StanzaKind::Iq, &out[start..])
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.condition, self.error_type.as_str(), self.text)
    }
}

/// The addresses and the name of an error reply.
pub(crate) struct Answer<'a> {
    pub(crate) name: &'a str,
    /// Its namespace, for an element that is no stanza of the stream's own.
    pub(crate) namespace: Option<Value<'a>>,
    pub(crate) from: &'a str,
    /// In pieces.
    pub(crate) to: &'a [&'a str],
    /// As it was written, with its quotes.
    pub(crate) id: Option<&'a [u8]>,
}

/// An attribute's value.
pub(crate) enum Value<'a> {
    /// As the scan took it, with its quotes.
    Written(&'a [u8]),
    Meant(&'a str),
}

/// Appends ` name=` and a value as it was written, with its quotes.
pub(crate) fn push_written(out: &mut Vec<u8>, name: &str, quoted: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    if memchr::memchr2(b'&', b'\r', quoted).is_some() {
        rewrite::copy(out, quoted, true);
    } else {
        out.extend_from_slice(quoted);
    }
}

impl Answer<'_> {
    pub(crate) fn append(&self, error: &StanzaError, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        match self.namespace {
            Some(Value::Written(quoted)) => push_written(out, "xmlns", quoted),
            Some(Value::Meant(namespace)) => push_attribute(out, "xmlns", namespace),
            None => {}
        }
        if !self.from.is_empty() {
            push_attribute(out, "from", self.from);
        }
        if self.to.iter().any(|piece| !piece.is_empty()) {
            push_attribute_of(out, "to", self.to);
        }
        if let Some(id) = self.id {
            push_written(out, "id", id);
        }
        out.extend_from_slice(b" type='error'><error type='");
        out.extend_from_slice(error.error_type.as_str().as_bytes());
        // For an element of another namespace the error is still one of the stream's content.
        if self.namespace.is_some() {
            out.extend_from_slice(b"' xmlns='");
            out.extend_from_slice(ns::COMPONENT.as_bytes());
        }
        out.extend_from_slice(b"'><");
        out.extend_from_slice(error.condition.as_str().as_bytes());
        // Ours, so there is nothing to escape in it.
        let push_xmlns = |out: &mut Vec<u8>| {
            out.extend_from_slice(b" xmlns='");
            out.extend_from_slice(ns::STANZA_ERRORS.as_bytes());
            out.push(b'\'');
        };
        push_xmlns(out);
        out.extend_from_slice(b"/>");
        if !error.text.is_empty() {
            out.extend_from_slice(b"<text");
            push_xmlns(out);
            out.extend_from_slice(b" xml:lang='en'>");
            push_text(out, &error.text);
            out.extend_from_slice(b"</text>");
        }
        out.extend_from_slice(b"</error></");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }
}

/// The usual errors of a server.
impl StanzaError {
    /// Nobody is bound to the domain, and nobody is expected (RFC 6120, 10.4.3).
    #[must_use]
    pub fn no_such_domain(domain: &str) -> Self {
        let words = ["no component serves '", domain, "' here, and this server reaches no other server"];
        Self::new(StanzaCondition::RemoteServerNotFound, ErrorType::Cancel, words.concat())
    }

    /// The component is known and not connected.
    #[must_use]
    pub fn component_away(domain: &str) -> Self {
        let words = ["the component '", domain, "' is not connected"];
        Self::new(StanzaCondition::RemoteServerTimeout, ErrorType::Wait, words.concat())
    }

    /// The listener's access rule denies the sender.
    #[must_use]
    pub fn access_denied(domain: &str) -> Self {
        let words = ["the access rule of '", domain, "' does not let you send to it"];
        Self::new(StanzaCondition::NotAllowed, ErrorType::Cancel, words.concat())
    }

    /// The receiver takes no stanza of more than `limit` bytes.
    #[must_use]
    pub fn too_long(limit: usize) -> Self {
        let text = format!("the component takes stanzas up to {limit} bytes, and this one is longer");
        Self::new(StanzaCondition::PolicyViolation, ErrorType::Modify, text)
    }

    /// The receiver has not read for too long.
    pub(crate) fn queue_full() -> Self {
        Self::no_room("the component does not read what is sent to it: its queue is full")
    }

    /// All queues together hold as much as they may, and the receiver's is long.
    pub(crate) fn pool_empty() -> Self {
        Self::no_room(
            "the server-wide limit on waiting stanzas is reached, and many bytes wait for this component: try again later",
        )
    }

    /// As much waits for a component that is away as may.
    pub(crate) fn hold_full() -> Self {
        Self::no_room("as much waits for this component as may, until it is back: try again later")
    }

    /// It was held for a component that did not come back in time.
    pub(crate) fn held_too_long() -> Self {
        let text = "the component did not come back in time";
        Self::new(StanzaCondition::RemoteServerTimeout, ErrorType::Wait, text)
    }

    /// It was not sent, and is of no use later.
    pub(crate) fn not_held() -> Self {
        let text = "the component's connection ended before this could be sent";
        Self::new(StanzaCondition::RemoteServerTimeout, ErrorType::Wait, text)
    }

    fn no_room(text: &'static str) -> Self {
        Self::new(StanzaCondition::ResourceConstraint, ErrorType::Wait, text)
    }

    /// The connection of the component that was asked ended before it answered.
    pub(crate) fn ended_before_answer() -> Self {
        let text = "the component's connection ended before it answered";
        Self::new(StanzaCondition::RecipientUnavailable, ErrorType::Wait, text)
    }

    /// The component that was asked does not answer.
    pub(crate) fn no_answer() -> Self {
        let text = "the component has not answered in time";
        Self::new(StanzaCondition::RemoteServerTimeout, ErrorType::Wait, text)
    }

    /// The server behind an uplink is not connected.
    pub(crate) fn server_away(domain: &str) -> Self {
        let words = ["the server behind '", domain, "' is not connected at the moment"];
        Self::new(StanzaCondition::RemoteServerTimeout, ErrorType::Wait, words.concat())
    }

    /// The same error about a server behind an uplink: these texts speak of a component.
    pub(crate) fn of_server(mut self) -> Self {
        let text = self.text.replace("the component", "the server").replace("this component", "this server");
        self.text = text.into();
        self
    }

    /// The receiver's connection ended before the stanza was sent.
    pub(crate) fn recipient_gone() -> Self {
        let text = "the component's connection ended before this could be sent";
        Self::new(StanzaCondition::RecipientUnavailable, ErrorType::Wait, text)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;

    #[test]
    fn the_usual_errors_say_which_component_is_meant() {
        for (error, words) in [
            (
                StanzaError::no_such_domain("a.example"),
                "remote-server-not-found (cancel): \
                 no component serves 'a.example' here, and this server reaches no other server",
            ),
            (
                StanzaError::component_away("a.example"),
                "remote-server-timeout (wait): the component 'a.example' is not connected",
            ),
            (
                StanzaError::access_denied("a.example"),
                "not-allowed (cancel): the access rule of 'a.example' does not let you send to it",
            ),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }

    /// RFC 6120, 8.3.2 and 8.3.3.
    #[test]
    fn types_and_conditions_are_written_as_the_rfc_has_them() {
        use crate::stanza::StanzaKind;
        use StanzaCondition::{BadRequest, Gone, RegistrationRequired, UnexpectedRequest};
        for (condition, name) in [
            (BadRequest, "bad-request"),
            (Gone, "gone"),
            (RegistrationRequired, "registration-required"),
            (UnexpectedRequest, "unexpected-request"),
        ] {
            assert_eq!(StanzaCondition::from_name(name), Some(condition));
            assert_eq!(condition.to_string(), name);
        }
        assert_eq!(StanzaCondition::from_name("host-unknown"), None);
        use ErrorType::{Auth, Cancel, Continue, Modify, Wait};
        let types = [Auth, Cancel, Continue, Modify, Wait].map(ErrorType::as_str);
        assert_eq!(types, ["auth", "cancel", "continue", "modify", "wait"]);
        let kinds = [StanzaKind::Iq, StanzaKind::Message, StanzaKind::Presence].map(|kind| kind.to_string());
        assert_eq!(kinds, ["iq", "message", "presence"]);
    }

    #[test]
    fn an_error_without_words_is_written_without_a_text() {
        let mut out = Vec::new();
        let error = StanzaError::new(StanzaCondition::Gone, ErrorType::Cancel, "");
        Answer { name: "message", namespace: None, from: "", to: &["a.example"], id: None }
            .append(&error, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "<message to='a.example' type='error'><error type='cancel'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        );
    }
}
