//! What is said of a connection's end, and what becomes of a stanza whose receiver, or whose sender, ends meanwhile.

use core::task::Waker;
use std::io;
use std::sync::Arc;

use super::streams::{T, stanza, stream_of};
use crate::error::Cause;
use crate::handshake::{Secret, StreamId};
use crate::host::HostInfo;
use crate::jid::{Domain, Jid};
use crate::limits::Limits;
use crate::router::Claim;
use crate::rt::deliver::{Deliverer, Delivery, Place, bounce_unsent};
use crate::rt::driver::Session;
use crate::rt::session::ServerSession;
use crate::rt::switch::Port;
use crate::rt::*;
use crate::stream::ServerStream;
use crate::xml::scan::Scan;
use crate::xml::{XmlError, XmlFault};

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(super) fn switch() -> Switch {
    Switch::new([domain("host.example")], HostInfo::new("enjamb", "1"), String::new, false)
}

pub(super) fn bound(switch: &Switch, listener: Listener, name: &str) -> Arc<Port> {
    let port = switch.connect(Arc::new(listener));
    switch.bind(&port, Claim::Domain(domain(name))).unwrap();
    port
}

pub(super) fn listener() -> Listener {
    Listener::new(Secret::new("s"))
}

/// The stream of `a.example`.
fn stream() -> ServerStream {
    stream_of("to='a.example'", true)
}

/// Delivers a message of `a.example`'s to `b.example`; gives what is answered.
fn deliver(switch: &Switch, own: &Port) -> (Delivery, String) {
    let (mut stream, mut out, mut deliverer) = (stream(), Vec::new(), Deliverer::default());
    let message = stanza(&mut stream, b"<message to='b.example' id='1'/>");
    let place = Place { waker: Waker::noop(), now: T, switch, own };
    let delivery = deliverer.deliver(&place, &mut stream, &message.as_stanza(), &mut out);
    deliverer.end_batch(switch.counters());
    (delivery, String::from_utf8(out).unwrap())
}

/// Between the end of a connection and the loss of its name the switch still finds it.
#[test]
fn a_receiver_that_has_closed_and_is_still_bound_is_away() {
    let switch = switch();
    let (own, receiver) = (bound(&switch, listener(), "a.example"), bound(&switch, listener(), "b.example"));
    receiver.outbox().set_open(false);
    let (delivery, out) = deliver(&switch, &own);
    assert_eq!(delivery, Delivery::Done);
    assert!(out.contains("<remote-server-timeout ") && out.contains("'b.example' is not connected"), "{out}");
    assert_eq!(switch.counters().get(Count::Bounced), 1);
    assert_eq!(switch.counters().get(Count::Delivered), 0);
    receiver.outbox().set_open(true);
    assert_eq!(deliver(&switch, &own), (Delivery::Done, String::new()));
    assert_eq!(switch.counters().get(Count::Delivered), 1);
}

/// As it is delivered it has a `from`, and may be longer than it was.
#[test]
fn a_stanza_that_is_longer_than_its_receiver_takes_comes_back() {
    let switch = switch();
    let own = bound(&switch, listener(), "a.example");
    let mut small = listener();
    small.limits = Arc::new(Limits { stanza: 40, ..Limits::default() });
    let receiver = bound(&switch, small, "b.example");
    let (delivery, out) = deliver(&switch, &own);
    assert_eq!(delivery, Delivery::Done);
    assert!(out.contains("<error type='modify'><policy-violation "), "{out}");
    assert!(out.contains("the component takes stanzas up to 40 bytes, and this one is longer"), "{out}");
    assert!(receiver.outbox().close().is_empty());
}

#[test]
fn what_was_not_sent_goes_back_to_its_sender_or_is_counted() {
    let switch = switch();
    let message = &b"<message from='a.example' to='b.example' id='1'/>"[..];
    let unsent = |stanza| bounce_unsent(&switch, T, None, [stanza].into_iter());
    let counts = || [Count::UnsentBounced, Count::UnsentDropped].map(|count| switch.counters().get(count));
    let mut full = listener();
    full.outbox_mark = 1;
    let sender = bound(&switch, full, "a.example");

    assert_eq!(unsent(message), 1);
    assert_eq!(counts(), [1, 0]);
    let queue = sender.outbox().close();
    let bounced = std::str::from_utf8(queue.unsent_after(0, None).next().unwrap()).unwrap();
    assert!(
        bounced.starts_with("<message from='b.example' to='a.example' id='1' type='error'>"),
        "{bounced}"
    );
    assert!(bounced.contains("the component's connection ended before this could be sent"), "{bounced}");

    // Its own connection has ended, too.
    assert_eq!(unsent(message), 1);
    assert_eq!(counts(), [1, 1]);
    // It has room for one and no more.
    sender.outbox().set_open(true);
    assert_eq!(unsent(message) + unsent(message), 2);
    assert_eq!(counts(), [2, 2]);
    // Nobody is there, or nothing may answer, or there is nobody to answer.
    for dropped in [
        &b"<message from='c.example' to='b.example'/>"[..],
        b"<message from='a.example' to='b.example' type='error'/>",
        b"<presence from='a.example' to='b.example' type='unavailable'/>",
        b"<message to='b.example'/>",
        b"<message from='a.example' to='b.example'",
    ] {
        assert_eq!(unsent(dropped), 1);
    }
    assert_eq!(counts(), [2, 7]);
    assert_eq!(bounce_unsent(&switch, T, Some(&Cause::Replaced), [message].into_iter()), 1);
    assert_eq!(counts(), [2, 7]);
    assert_eq!(switch.counters().get(Count::UnsentReplaced), 1);
}

#[test]
fn a_switch_without_a_host_speaks_as_localhost() {
    let switch = Switch::new([], HostInfo::new("enjamb", "1"), String::new, false);
    let mut session = ServerSession::new(Arc::new(switch), Arc::new(listener()), id(), T);
    let mut out = Vec::new();
    let cx = core::task::Context::from_waker(Waker::noop());
    session.process(&cx, T, b"<a>", &mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(" from='localhost' ") && out.contains("<invalid-namespace "), "{out}");
}

fn id() -> StreamId {
    StreamId::from_random(1)
}

#[test]
fn each_end_has_its_words() {
    let broken = io::ErrorKind::ConnectionReset;
    for (end, words) in [
        (End::ByPeer, "closed by the other side"),
        (End::ByUs, "closed"),
        (End::Error(Cause::Shutdown.into()), "system-shutdown: the server is shutting down"),
        (End::Broken(broken), "the connection broke: connection reset"),
    ] {
        assert_eq!(end.to_string(), words);
        assert_eq!(
            ConnectError::Refused(end).to_string(),
            format!("the server refused the component: {words}")
        );
    }
    let unreachable = ConnectError::from(io::Error::other("no route"));
    assert_eq!(unreachable.to_string(), "the server can't be reached: no route");
}

#[test]
fn what_was_not_sent_or_not_answered_has_its_words() {
    let fault = XmlError { fault: XmlFault::NotUtf8, at: 3 };
    for (error, words) in [
        (
            SendError::Malformed(fault),
            "no stanza: the bytes are not UTF-8 (RFC 6120, 11.6) (at byte 3 of the element)",
        ),
        (SendError::NotOne(9), "not exactly one element, within the limit of 9 bytes"),
        (
            SendError::NoSender,
            "a component that is bound by a prefix must say which of its addresses it asks from",
        ),
        (SendError::Ended, "the stream has ended"),
    ] {
        assert_eq!(error.to_string(), words);
        assert_eq!(RequestError::from(error).to_string(), words);
    }
    // What is to be sent is looked at as the server will.
    for (sent, words) in [
        (
            "</message>",
            "no stanza: not well-formed: an end tag that closes nothing (at byte 0 of the element)",
        ),
        ("words", "not exactly one element, within the limit of 1048576 bytes"),
        ("<message/> ", "not exactly one element, within the limit of 1048576 bytes"),
        ("<message>", "not exactly one element, within the limit of 1048576 bytes"),
        ("<stream:error/>", "no stanza: not well-formed: a namespace prefix that is not declared"),
    ] {
        let error = component::check(&mut Scan::default(), sent.as_bytes(), &listener().limits).unwrap_err();
        assert!(error.to_string().starts_with(words), "{sent}: {error}");
    }
    let mut stream = stream();
    let error = stanza(&mut stream, b"<iq to='b.example' id='1' type='error'/>");
    for (error, words) in [
        (RequestError::Refused(error), "the request was answered with an error"),
        (RequestError::Late(core::time::Duration::from_secs(2)), "no answer came within 2s"),
        (RequestError::Ended, "the stream ended before the answer came"),
    ] {
        assert_eq!(error.to_string(), words);
    }
}

#[test]
fn what_is_shown_of_them_holds_no_secret_and_no_content() {
    let switch = switch();
    bound(&switch, listener(), "a.example");
    assert_eq!(format!("{switch:?}"), "Switch { connections: 1, bound: 1, .. }");
    let shown = format!("{:?}", ComponentSettings::new(domain("a.example"), Secret::new("s3cr3t")));
    assert!(shown.contains("\"a.example\"") && !shown.contains("s3cr3t"), "{shown}");
    let mut stream = stream();
    let message =
        stanza(&mut stream, b"<message to='b.example/r' type='chat'><body>private</body></message>");
    assert_eq!(
        format!("{message:?}"),
        "Stanza { kind: Message, type: Some(\"chat\"), from: Some(\"a.example\"), to: Some(\"b.example/r\"), bytes: 68, .. }"
    );
    let shown = format!("{:?}", Request::get(&Jid::parse("b.example").unwrap(), "<x/>"));
    assert!(shown.contains("b.example"), "{shown}");
}

#[test]
fn every_number_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Count::ALL.iter().map(|count| count.name()).collect();
    assert_eq!(names.len(), Count::ALL.len());
    assert!(names.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))));
}
