//! A server's side of one connection, fed with pieces of input.

use std::sync::Arc;

use enjamb_core::jid::Domain;
use enjamb_core::stream::{Accepting, Acceptor, Event, Handshaking, ServerStream, Shaking};
use enjamb_core::{Instant, Limits, Secret, StreamId};

/// What a component sends before its first stanza. The header declares a prefix that stanzas may use.
pub(crate) const NEGOTIATION: &[u8] = b"<stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x' to='component.example'>\
    <handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>";

/// Limits small enough to be met by a fuzzer's inputs.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.header, limits.negotiation, limits.stanza) = (512, 1024, 2048);
    (limits.depth, limits.attributes, limits.name, limits.namespaces) = (8, 8, 32, 8);
    limits
}

/// A connection, its phases and what it gave so far.
pub(crate) struct Connection {
    stage: Stage,
    check_from: bool,
    input: Vec<u8>,
    /// What was to be sent.
    pub(crate) out: Vec<u8>,
    /// What happened, in order.
    pub(crate) events: Vec<Happened>,
}

/// One event, with the bytes that were to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The phase after this one began.
    Advanced,
    /// A stanza as its receiver would get it, and what routing saw of it.
    Stanza {
        delivered: Vec<u8>,
        to: Option<String>,
        from: Option<String>,
        id: Option<String>,
        kind: Option<String>,
    },
    /// Anything else, in words.
    Other(String),
}

enum Stage {
    Accepting(Acceptor),
    Handshaking(Handshaking),
    Open(Box<ServerStream>),
    Ended,
}

impl Connection {
    /// A connection that has given and got nothing.
    pub(crate) fn new(limits: Limits, check_from: bool) -> Self {
        let host = Domain::parse("localhost").expect("it is a domain");
        let id = StreamId::from_text("3BF96D32").expect("letters and digits");
        let acceptor = Acceptor::new(host, id, Arc::new(limits), Instant::ORIGIN);
        let stage = Stage::Accepting(acceptor);
        Self { stage, check_from, input: Vec::new(), out: Vec::new(), events: Vec::new() }
    }

    /// Gives it a piece more and takes all events.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Ended);
            let (consumed, next, goes_on) = match stage {
                Stage::Accepting(acceptor) => self.accept(acceptor),
                Stage::Handshaking(handshaking) => self.shake(handshaking),
                Stage::Open(stream) => self.take(stream),
                Stage::Ended => (self.input.len(), Stage::Ended, false),
            };
            self.input.drain(..consumed);
            self.stage = next;
            if !goes_on {
                return;
            }
        }
    }

    fn accept(&mut self, acceptor: Acceptor) -> (usize, Stage, bool) {
        let (consumed, next) = acceptor.process(&self.input, &mut self.out);
        match next {
            Accepting::Reading(acceptor) => (consumed, Stage::Accepting(acceptor), false),
            Accepting::Opened(opened) => {
                self.events.push(Happened::Advanced);
                let secret = Secret::new("test");
                let handshaking = opened.accept(Instant::ORIGIN, secret, &mut self.out);
                (consumed, Stage::Handshaking(handshaking), true)
            }
            Accepting::Closed => (consumed, self.end("closed".into()), false),
            Accepting::Failed(error) => (consumed, self.end(error.to_string()), false),
        }
    }

    fn shake(&mut self, handshaking: Handshaking) -> (usize, Stage, bool) {
        let (consumed, next) = handshaking.process(&self.input, &mut self.out);
        match next {
            Shaking::Reading(handshaking) => (consumed, Stage::Handshaking(handshaking), false),
            Shaking::Proved(proved) => {
                self.events.push(Happened::Advanced);
                let stream = proved.bind(Instant::ORIGIN, self.check_from, &mut self.out);
                (consumed, Stage::Open(Box::new(stream)), true)
            }
            Shaking::Closed => (consumed, self.end("closed".into()), false),
            Shaking::Failed(error) => (consumed, self.end(error.to_string()), false),
        }
    }

    fn take(&mut self, mut stream: Box<ServerStream>) -> (usize, Stage, bool) {
        let step = match stream.process(Instant::ORIGIN, &self.input, &mut self.out) {
            Ok(step) => step,
            Err(error) => return (self.input.len(), self.end(error.to_string()), false),
        };
        assert!(step.consumed <= self.input.len());
        let goes_on = step.event.is_some();
        match step.event {
            None => {}
            Some(Event::Stanza(stanza)) => {
                let mut delivered = Vec::new();
                stanza.append_to(&mut delivered);
                self.events.push(Happened::Stanza {
                    delivered,
                    to: stanza.to().map(|to| to.as_str().into()),
                    from: stanza.from().map(|from| from.as_str().into()),
                    id: stanza.id().map(|id| id.into_owned()),
                    kind: stanza.type_().map(|kind| kind.into_owned()),
                });
            }
            Some(other) => self.events.push(Happened::Other(format!("{other:?}"))),
        }
        (step.consumed, Stage::Open(stream), goes_on)
    }

    fn end(&mut self, why: String) -> Stage {
        self.events.push(Happened::Other(why));
        Stage::Ended
    }
}
