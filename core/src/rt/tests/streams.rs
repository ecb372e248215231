//! Streams as they are once they are open, and what comes on them, for tests with loom's locks or the usual ones.

use std::sync::Arc;

use crate::handshake::{Secret, StreamId};
use crate::jid::Domain;
use crate::stanza::StanzaBuf;
use crate::stream::{Accepting, Acceptor, Event, ServerStream, Shaking};
use crate::time::Instant;

pub(super) const T: Instant = Instant::ORIGIN;

/// A stream whose header has these attributes.
pub(super) fn stream_of(attributes: &str, check_from: bool) -> ServerStream {
    let (id, mut out) = (StreamId::from_text("1").unwrap(), Vec::new());
    let header = format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
    );
    let acceptor = Acceptor::new(Domain::parse("host.example").unwrap(), id, Arc::default(), T);
    let (_, next) = acceptor.process(header.as_bytes(), &mut out);
    let Accepting::Opened(opened) = next else { panic!("the header is right") };
    let proof = [b"<handshake>", &Secret::new("s").handshake("1")[..], b"</handshake>"].concat();
    let (_, next) = opened.accept(T, Secret::new("s"), &mut out).process(&proof, &mut out);
    let Shaking::Proved(proved) = next else { panic!("so is the proof") };
    proved.bind(T, check_from, &mut out)
}

pub(super) fn stanza(stream: &mut ServerStream, bytes: &[u8]) -> StanzaBuf {
    match stream.process(T, bytes, &mut Vec::new()).unwrap().event {
        Some(Event::Stanza(stanza)) => StanzaBuf::new(&stanza),
        other => panic!("no stanza: {other:?}"),
    }
}
