//! What is said to the application, and what is shown of it.

use std::io;
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::{ElementCheck, Limits, NotOneElement, Secret, StreamErrorCause, XmlError, XmlFault};

use crate::{ComponentSettings, ConnectError, Request, RequestError, SendError};

#[test]
fn connect_errors_have_their_words() {
    let refused = ConnectError::Refused(CloseReason::Error(StreamErrorCause::Shutdown.into()));
    assert_eq!(
        refused.to_string(),
        "the server refused the component: system-shutdown: the server is shutting down"
    );
    let unreachable = ConnectError::from(io::Error::other("no route"));
    assert_eq!(unreachable.to_string(), "the server can't be reached: no route");
}

#[test]
fn send_and_request_errors_have_their_words() {
    let fault = XmlError { fault: XmlFault::NotUtf8, at: 3 };
    for (error, words) in [
        (
            NotOneElement::Malformed(fault).into(),
            "not a stanza: the bytes are not UTF-8 (RFC 6120, 11.6) (at byte 3 of the element)",
        ),
        (NotOneElement::Length { limit: 9 }.into(), "not exactly one element, within the limit of 9 bytes"),
        (
            SendError::NoSender,
            "a component that is bound by a prefix must say which of its addresses it asks from",
        ),
        (SendError::Ended, "the stream has ended"),
    ] {
        assert_eq!(error.to_string(), words);
        assert_eq!(RequestError::from(error).to_string(), words);
    }
    for (error, words) in [
        (RequestError::Late(Duration::from_secs(2)), "no answer came within 2s"),
        (RequestError::Ended, "the stream ended before the answer came"),
    ] {
        assert_eq!(error.to_string(), words);
    }
}

/// What is sent is checked as the server will check it, and a fault leaves nothing behind for the next.
#[test]
fn elements_are_checked_as_the_server_checks_them() {
    let mut check = ElementCheck::default();
    for (sent, words) in [
        (
            "</message>",
            "not a stanza: not well-formed: an end tag that closes nothing (at byte 0 of the element)",
        ),
        ("words", "not exactly one element, within the limit of 1048576 bytes"),
        ("<message/> ", "not exactly one element, within the limit of 1048576 bytes"),
        ("<message>", "not exactly one element, within the limit of 1048576 bytes"),
        ("<stream:error/>", "not a stanza: not well-formed: a namespace prefix that is not declared"),
    ] {
        let error = check.check(sent.as_bytes(), &Limits::default()).unwrap_err();
        assert!(error.to_string().starts_with(words), "{sent}: {error}");
        assert_eq!(check.check(b"<message/>", &Limits::default()), Ok(()), "after {sent}");
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let domain = Domain::parse("a.example").unwrap();
    let shown = format!("{:?}", ComponentSettings::new(domain, Secret::new("s3cr3t")));
    assert!(shown.contains("\"a.example\"") && !shown.contains("s3cr3t"), "{shown}");
    let shown = format!("{:?}", Request::get(&Jid::parse("b.example").unwrap(), "<x/>"));
    assert!(shown.contains("b.example"), "{shown}");
}
