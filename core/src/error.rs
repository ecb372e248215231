//! Errors of a stream: what the peer is told, and what the log is told.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::jid::JidError;
use crate::namespaces as ns;
use crate::xml::escape::push_text;
use crate::xml::{XmlError, XmlFault};

/// Why a stream ended in an error. Sticky: a stream that failed gives the same error for ever, and what the
/// peer is told is in the output already when it is returned.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{condition}: {cause}")]
pub struct StreamError {
    /// What the peer is told.
    pub condition: StreamCondition,
    /// What the log is told, and the peer as the error's text.
    pub cause: StreamErrorCause,
}

macro_rules! conditions {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// The condition's element name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The condition of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use conditions;

conditions! {
    /// The conditions of a stream error (RFC 6120, 4.9.3).
    StreamCondition {
        /// Something else is wrong with the format.
        BadFormat = "bad-format",
        /// A namespace prefix that is not supported.
        BadNamespacePrefix = "bad-namespace-prefix",
        /// The domain is bound to another connection, or to the server itself.
        Conflict = "conflict",
        /// A step took too long.
        ConnectionTimeout = "connection-timeout",
        /// The domain is no longer served.
        HostGone = "host-gone",
        /// The domain is not served.
        HostUnknown = "host-unknown",
        /// An address is missing or invalid.
        ImproperAddressing = "improper-addressing",
        /// The server failed.
        InternalServerError = "internal-server-error",
        /// A `from` that the stream may not use.
        InvalidFrom = "invalid-from",
        /// The stream's or the content's namespace is wrong.
        InvalidNamespace = "invalid-namespace",
        /// Well-formed, but not what may be here.
        InvalidXml = "invalid-xml",
        /// The handshake is wrong or missing.
        NotAuthorized = "not-authorized",
        /// Not well-formed.
        NotWellFormed = "not-well-formed",
        /// A limit or rule of the server.
        PolicyViolation = "policy-violation",
        /// Another server could not be reached.
        RemoteConnectionFailed = "remote-connection-failed",
        /// The stream must be opened again.
        Reset = "reset",
        /// The server has too little of something.
        ResourceConstraint = "resource-constraint",
        /// XML that RFC 6120 forbids.
        RestrictedXml = "restricted-xml",
        /// Go to another host.
        SeeOtherHost = "see-other-host",
        /// The server stops.
        SystemShutdown = "system-shutdown",
        /// None of the others.
        UndefinedCondition = "undefined-condition",
        /// Not UTF-8.
        UnsupportedEncoding = "unsupported-encoding",
        /// A feature that is not supported.
        UnsupportedFeature = "unsupported-feature",
        /// A first-level element that is no stanza.
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// A version that is not supported.
        UnsupportedVersion = "unsupported-version",
    }
}

/// What exactly went wrong: which rule, which limit, what was seen. Its text names no secret and holds no
/// control character, so it may be logged and sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamErrorCause {
    /// The XML of a first-level element.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// The XML before the handshake was done.
    #[error("{0}, before the handshake was done")]
    EarlyXml(XmlFault),
    /// The stream header is over [`Limits::header`](crate::Limits::header).
    #[error("the stream header is longer than {limit} bytes")]
    LongHeader {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More came before the handshake was done than [`Limits::negotiation`](crate::Limits::negotiation).
    #[error("more than {limit} bytes came before the handshake was done")]
    LongNegotiation {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A first-level element is over [`Limits::stanza`](crate::Limits::stanza).
    #[error("a stanza is longer than {limit} bytes")]
    BigStanza {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The header declares more prefixes than one may use.
    #[error("the stream header declares more than {limit} namespace prefixes")]
    ManyPrefixes {
        /// The limit.
        limit: usize,
    },
    /// The prefixes that the header declares would add too much to a stanza that uses them: its receiver gets them
    /// declared in the stanza.
    #[error(
        "the namespace prefixes of the stream header take more than {limit} bytes: declare them in the stanzas"
    )]
    LongPrefixes {
        /// The limit, in bytes, of all declarations but that of the streams namespace.
        limit: usize,
    },
    /// The root element is not `<stream:stream>`.
    #[error("the first element is not 'stream' in the namespace http://etherx.jabber.org/streams")]
    NoStream,
    /// The default namespace is not `jabber:component:accept`.
    #[error("the default namespace of the stream is not jabber:component:accept (XEP-0114)")]
    WrongNamespace,
    /// The header names no domain.
    #[error("the stream header has no 'to': it must name the component's domain")]
    NoDomain,
    /// What the header names is no domain.
    #[error("the 'to' of the stream header, \"{asked}\", is no domain: {error}")]
    BadDomain {
        /// What was asked for, escaped, and cut after 80 characters.
        asked: String,
        /// Which rule it breaks.
        error: JidError,
    },
    /// The domain is not in the list of those that may connect.
    #[error("no component may connect as '{domain}' here: it is not among the listener's domains")]
    DomainNotListed {
        /// The domain, canonical.
        domain: String,
    },
    /// Another listener lists the domain, and this one lists none.
    #[error(
        "no component of this listener may connect as '{domain}': the domains of another listener include it"
    )]
    DomainReserved {
        /// The domain, canonical.
        domain: String,
    },
    /// The digest in the handshake is wrong.
    #[error("the handshake is not the SHA-1 of the stream id and the secret, in hexadecimal")]
    WrongHandshake,
    /// Something else than a handshake came first.
    #[error("the first element must be a handshake")]
    NoHandshake,
    /// Text between first-level elements.
    #[error("text other than white space between first-level elements")]
    TextBetween,
    /// A stream header inside the stream.
    #[error("a second stream header inside the stream")]
    NestedStream,
    /// A negotiation step took too long.
    #[error("{step} did not come within {within:?}")]
    SlowNegotiation {
        /// What was waited for.
        step: &'static str,
        /// The time allowed.
        within: Duration,
    },
    /// A negotiation step of the server's own took too long.
    #[error("{step} took longer than {within:?}")]
    SlowServer {
        /// What was waited for.
        step: &'static str,
        /// The time allowed.
        within: Duration,
    },
    /// A stanza took too long to end.
    #[error("a stanza that had begun did not end within {within:?}")]
    SlowStanza {
        /// The time allowed.
        within: Duration,
    },
    /// The server said nothing, and did not answer a ping.
    #[error("nothing came from the server within {within:?}, not even the answer to a ping")]
    Silence {
        /// The time allowed.
        within: Duration,
    },
    /// The domain is bound to another connection.
    #[error("'{domain}' is connected already")]
    DomainTaken {
        /// The domain, canonical.
        domain: String,
    },
    /// The domain is one of the server's own.
    #[error("'{domain}' is a host of the server itself")]
    OwnHost {
        /// The domain, canonical.
        domain: String,
    },
    /// A new connection took the domain over (conflict behaviour `kick_old`).
    #[error("Replaced by new connection")]
    Replaced,
    /// The server stops.
    #[error("the server is shutting down")]
    Shutdown,
    /// The component does not read what is sent to it.
    #[error("the component does not read: more than {limit} stanzas wait for it")]
    LongQueue {
        /// The limit, in stanzas.
        limit: usize,
    },
    /// A stanza goes on, and all connections together hold as much of unfinished ones as they may.
    #[error("server-wide limit on partial stanzas reached: no stanza over {free} bytes is taken for now")]
    PoolEmpty {
        /// What each connection may hold all the same, in bytes.
        free: usize,
    },
    /// The first byte is that of a TLS handshake.
    #[error(
        "this looks like TLS, and the port takes plain XML: switch TLS off in the component, or use the TLS port"
    )]
    LooksLikeTls,
    /// The driver lets nobody in for now, for a reason in words; `policy-violation`.
    #[error("{0}")]
    TurnedAway(String),
    /// A host was added during the handshake of a prefix whose names have secrets of their own.
    #[error("a host was added during the handshake, and its name has a secret of its own: connect again")]
    HostsChanged,
    /// The operator, or the program around the switch, ends the connection, for a reason in words; `policy-violation`.
    #[error("ended by the operator: {0}")]
    Kicked(String),
    /// A reason in words, where none of the others fits; `undefined-condition`.
    #[error("{0}")]
    Other(&'static str),
    /// The peer ended the stream with an error of its own; the text is the peer's, with controls taken out.
    #[error("{}", peer_says(text))]
    Peer {
        /// Its words, empty if it gave none.
        text: String,
    },
}

impl StreamError {
    /// An error with the condition that belongs to the cause.
    #[must_use]
    pub fn new(cause: StreamErrorCause) -> Self {
        Self { condition: condition_of(&cause), cause }
    }

    /// Appends the error and the closing tag: the last bytes of a stream whose header was sent.
    pub(crate) fn push_with_trailer(&self, out: &mut Vec<u8>) {
        use alloc::string::ToString;
        out.extend_from_slice(b"<stream:error><");
        out.extend_from_slice(self.condition.as_str().as_bytes());
        out.extend_from_slice(b" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
        out.extend_from_slice(b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>");
        push_text(out, &self.cause.to_string());
        out.extend_from_slice(b"</text>");
        if matches!(self.cause, StreamErrorCause::BigStanza { .. }) {
            out.extend_from_slice(b"<stanza-too-big xmlns='");
            out.extend_from_slice(ns::ERRORS.as_bytes());
            out.extend_from_slice(b"'/>");
        }
        out.extend_from_slice(b"</stream:error>");
        push_trailer(out);
    }
}

/// Appends our closing tag. Our headers bind the prefix `stream`, whatever the peer's does.
pub(crate) fn push_trailer(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</stream:stream>");
}

impl From<StreamErrorCause> for StreamError {
    fn from(cause: StreamErrorCause) -> Self {
        Self::new(cause)
    }
}

impl From<XmlError> for StreamError {
    fn from(error: XmlError) -> Self {
        Self::new(StreamErrorCause::Xml(error))
    }
}

fn peer_says(text: &str) -> String {
    match text {
        "" => String::from("the peer says no more than that"),
        text => alloc::format!("the peer says: {text}"),
    }
}

fn condition_of(cause: &StreamErrorCause) -> StreamCondition {
    match cause {
        StreamErrorCause::Xml(error) => xml_condition(error.fault),
        StreamErrorCause::EarlyXml(fault) => xml_condition(*fault),
        StreamErrorCause::LongHeader { .. }
        | StreamErrorCause::LongNegotiation { .. }
        | StreamErrorCause::BigStanza { .. }
        | StreamErrorCause::ManyPrefixes { .. }
        | StreamErrorCause::LongPrefixes { .. }
        | StreamErrorCause::Kicked(_)
        | StreamErrorCause::TurnedAway(_) => StreamCondition::PolicyViolation,
        StreamErrorCause::LooksLikeTls => StreamCondition::NotWellFormed,
        StreamErrorCause::NoStream | StreamErrorCause::WrongNamespace => StreamCondition::InvalidNamespace,
        StreamErrorCause::NoDomain => StreamCondition::ImproperAddressing,
        StreamErrorCause::BadDomain { .. }
        | StreamErrorCause::DomainNotListed { .. }
        | StreamErrorCause::DomainReserved { .. } => StreamCondition::HostUnknown,
        StreamErrorCause::WrongHandshake | StreamErrorCause::NoHandshake => StreamCondition::NotAuthorized,
        StreamErrorCause::TextBetween => StreamCondition::BadFormat,
        StreamErrorCause::NestedStream => StreamCondition::InvalidXml,
        StreamErrorCause::SlowNegotiation { .. }
        | StreamErrorCause::SlowStanza { .. }
        | StreamErrorCause::Silence { .. } => StreamCondition::ConnectionTimeout,
        StreamErrorCause::DomainTaken { .. }
        | StreamErrorCause::OwnHost { .. }
        | StreamErrorCause::Replaced => StreamCondition::Conflict,
        StreamErrorCause::SlowServer { .. } => StreamCondition::InternalServerError,
        StreamErrorCause::HostsChanged => StreamCondition::Reset,
        StreamErrorCause::Shutdown => StreamCondition::SystemShutdown,
        StreamErrorCause::LongQueue { .. } | StreamErrorCause::PoolEmpty { .. } => {
            StreamCondition::ResourceConstraint
        }
        StreamErrorCause::Other(_) | StreamErrorCause::Peer { .. } => StreamCondition::UndefinedCondition,
    }
}

fn xml_condition(fault: XmlFault) -> StreamCondition {
    match fault {
        XmlFault::NotWellFormed(_) => StreamCondition::NotWellFormed,
        XmlFault::Restricted(_) => StreamCondition::RestrictedXml,
        XmlFault::NotUtf8 => StreamCondition::UnsupportedEncoding,
        XmlFault::UnportableName
        | XmlFault::UnportableNamespace
        | XmlFault::AmbiguousAttribute
        | XmlFault::LongName { .. }
        | XmlFault::LongReference { .. }
        | XmlFault::TooDeep { .. }
        | XmlFault::ManyAttributes { .. }
        | XmlFault::ManyNamespaces { .. } => StreamCondition::PolicyViolation,
    }
}

#[cfg(test)]
mod tests;
