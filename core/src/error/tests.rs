use alloc::string::ToString;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What operators read in their logs, and developers on their wire.
#[test]
fn each_cause_has_its_condition_and_its_words() {
    let domain = || String::from("a.example");
    let bad = JidError::LabelHyphen;
    for (cause, said) in [
        (
            StreamErrorCause::Xml(XmlError { fault: XmlFault::NotWellFormed("a '<' inside a tag"), at: 7 }),
            "not-well-formed: not well-formed: a '<' inside a tag (at byte 7 of the element)",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::Restricted("a comment")),
            "restricted-xml: a comment may not appear on a stream (RFC 6120, 11.1), before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::NotUtf8),
            "unsupported-encoding: the bytes are not UTF-8 (RFC 6120, 11.6), before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::UnportableName),
            "policy-violation: a name has a character that XML 1.0 allows only since its fifth edition, \
             before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::UnportableNamespace),
            "policy-violation: a namespace name has a character that no URI has, before the handshake was done",
        ),
        (
            StreamErrorCause::Xml(XmlError { fault: XmlFault::AmbiguousAttribute, at: 9 }),
            "policy-violation: an attribute stands twice, in two of jabber:component:accept, jabber:client and \
             jabber:server, which are one here (at byte 9 of the element)",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::LongName { limit: 1 }),
            "policy-violation: a name is longer than 1 bytes, before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::LongReference { limit: 5 }),
            "policy-violation: a reference has more than 5 digits or letters, before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::TooDeep { limit: 2 }),
            "policy-violation: elements are nested deeper than 2, before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::ManyAttributes { limit: 3 }),
            "policy-violation: a tag has more than 3 attributes, before the handshake was done",
        ),
        (
            StreamErrorCause::EarlyXml(XmlFault::ManyNamespaces { limit: 4 }),
            "policy-violation: more than 4 namespace prefixes are declared at one place, \
             before the handshake was done",
        ),
        (
            StreamErrorCause::LooksLikeTls,
            "not-well-formed: this looks like TLS, and the port takes plain XML: switch TLS off in the component, \
             or use the TLS port",
        ),
        (StreamErrorCause::TurnedAway("wait".into()), "policy-violation: wait"),
        (
            StreamErrorCause::LongHeader { limit: 5 },
            "policy-violation: the stream header is longer than 5 bytes",
        ),
        (
            StreamErrorCause::LongNegotiation { limit: 6 },
            "policy-violation: more than 6 bytes came before the handshake was done",
        ),
        (StreamErrorCause::BigStanza { limit: 7 }, "policy-violation: a stanza is longer than 7 bytes"),
        (
            StreamErrorCause::ManyPrefixes { limit: 8 },
            "policy-violation: the stream header declares more than 8 namespace prefixes",
        ),
        (
            StreamErrorCause::LongPrefixes { limit: 9 },
            "policy-violation: the namespace prefixes of the stream header take more than 9 bytes: \
             declare them in the stanzas",
        ),
        (
            StreamErrorCause::NoStream,
            "invalid-namespace: the first element is not 'stream' in the namespace \
             http://etherx.jabber.org/streams",
        ),
        (
            StreamErrorCause::WrongNamespace,
            "invalid-namespace: the default namespace of the stream is not jabber:component:accept (XEP-0114)",
        ),
        (
            StreamErrorCause::NoDomain,
            "improper-addressing: the stream header has no 'to': it must name the component's domain",
        ),
        (
            StreamErrorCause::BadDomain { asked: "-".into(), error: bad },
            "host-unknown: the 'to' of the stream header, \"-\", is no domain: \
             a label of the domain begins or ends with a hyphen",
        ),
        (
            StreamErrorCause::DomainNotListed { domain: domain() },
            "host-unknown: no component may connect as 'a.example' here: it is not among the listener's domains",
        ),
        (
            StreamErrorCause::DomainReserved { domain: domain() },
            "host-unknown: no component of this listener may connect as 'a.example': \
             the domains of another listener include it",
        ),
        (
            StreamErrorCause::WrongHandshake,
            "not-authorized: the handshake is not the SHA-1 of the stream id and the secret, in hexadecimal",
        ),
        (StreamErrorCause::NoHandshake, "not-authorized: the first element must be a handshake"),
        (
            StreamErrorCause::TextBetween,
            "bad-format: text other than white space between first-level elements",
        ),
        (StreamErrorCause::NestedStream, "invalid-xml: a second stream header inside the stream"),
        (
            StreamErrorCause::SlowNegotiation { step: "the handshake", within: SECOND },
            "connection-timeout: the handshake did not come within 1s",
        ),
        (
            StreamErrorCause::SlowServer { step: "a look-up", within: SECOND },
            "internal-server-error: a look-up took longer than 1s",
        ),
        (
            StreamErrorCause::SlowStanza { within: SECOND },
            "connection-timeout: a stanza that had begun did not end within 1s",
        ),
        (
            StreamErrorCause::Silence { within: SECOND },
            "connection-timeout: nothing came from the server within 1s, not even the answer to a ping",
        ),
        (StreamErrorCause::DomainTaken { domain: domain() }, "conflict: 'a.example' is connected already"),
        (
            StreamErrorCause::OwnHost { domain: domain() },
            "conflict: 'a.example' is a host of the server itself",
        ),
        (StreamErrorCause::Replaced, "conflict: Replaced by new connection"),
        (StreamErrorCause::Shutdown, "system-shutdown: the server is shutting down"),
        (
            StreamErrorCause::LongQueue { limit: 9 },
            "resource-constraint: the component does not read: more than 9 stanzas wait for it",
        ),
        (
            StreamErrorCause::PoolEmpty { free: 9 },
            "resource-constraint: server-wide limit on partial stanzas reached: no \
             stanza over 9 bytes is taken for now",
        ),
        (StreamErrorCause::Other("it rains"), "undefined-condition: it rains"),
        (StreamErrorCause::Peer { text: "bye".into() }, "undefined-condition: the peer says: bye"),
        (
            StreamErrorCause::Peer { text: String::new() },
            "undefined-condition: the peer says no more than that",
        ),
    ] {
        assert_eq!(StreamError::from(cause).to_string(), said);
    }
}

#[test]
fn a_condition_is_found_by_its_name_and_no_other() {
    use StreamCondition::{ConnectionTimeout, SeeOtherHost, UndefinedCondition, UnsupportedVersion};
    for condition in [ConnectionTimeout, SeeOtherHost, UndefinedCondition, UnsupportedVersion] {
        assert_eq!(StreamCondition::from_name(condition.as_str()), Some(condition));
    }
    assert_eq!(SeeOtherHost.to_string(), "see-other-host");
    for other in ["", "See-Other-Host", "item-not-found"] {
        assert_eq!(StreamCondition::from_name(other), None);
    }
}
