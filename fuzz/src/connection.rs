//! A server's side of one connection, fed with pieces of input.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::stream::{Acceptor, Handshake, Rejected, ServerEvent, ServerStream};
use enjamb_core::{
    Instant, Limits, OwnedStanza, Secret, Stanza, StanzaKind, StreamError, StreamErrorCause, StreamId,
};

/// A component's header. It declares a prefix that stanzas may use.
pub(crate) const HEADER: &[u8] = b"<stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x' to='component.example'>";
/// The secret, proved on the stream that [`Connection`] opens.
pub(crate) const HANDSHAKE: &[u8] = b"<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>";
/// The header of a stream that stanzas are delivered on.
pub(crate) const RECEIVING: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='component.example' id='3BF96D32'>";
/// The end of either.
pub(crate) const TRAILER: &[u8] = b"</stream:stream>";

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
    /// Bytes consumed since the stream was established, before it ended.
    pub(crate) consumed: usize,
    now: Instant,
    /// So many stanzas are put back before they are taken.
    put_backs: usize,
    /// The stanza that was put back.
    waits: Option<Delivery>,
}

/// One event, with the bytes that were to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The phase after this one began.
    Advanced,
    /// A stanza as its receiver would get it, and what routing saw of it.
    Stanza(Delivery),
    /// An element that is not routed.
    Rejected(Rejected),
    /// The stream ended in good order.
    Closed,
    /// It failed.
    Failed(StreamError),
}

/// A stanza that may be routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// As its receiver would get it.
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: StanzaKind,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) id: Option<String>,
    pub(crate) type_: Option<String>,
}

enum Stage {
    Accepting(Acceptor),
    Open(Box<ServerStream>),
    /// An established stream that has ended.
    Over(Box<ServerStream>),
    Ended,
}

impl Connection {
    /// A connection that has given and got nothing.
    pub(crate) fn new(limits: Limits, check_from: bool) -> Self {
        let host = Domain::parse("localhost").expect("it is a domain");
        let id = StreamId::from_text("3BF96D32").expect("letters and digits");
        let acceptor = Acceptor::new(host, id, Arc::new(limits), Instant::ORIGIN);
        Self {
            stage: Stage::Accepting(acceptor),
            check_from,
            input: Vec::new(),
            out: Vec::new(),
            events: Vec::new(),
            consumed: 0,
            now: Instant::ORIGIN,
            put_backs: 0,
            waits: None,
        }
    }

    /// One that is established, with nothing in it.
    pub(crate) fn established(limits: Limits, check_from: bool) -> Self {
        let mut connection = Self::new(limits, check_from);
        connection.feed(HEADER);
        connection.feed(HANDSHAKE);
        assert_eq!(connection.events, [Happened::Advanced, Happened::Advanced]);
        connection.events.clear();
        connection
    }

    /// Gives it a piece more and takes all events.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Ended);
            let (consumed, next, goes_on) = match stage {
                Stage::Accepting(acceptor) => self.accept(acceptor),
                Stage::Open(stream) => self.take(stream),
                Stage::Over(stream) => self.stay_over(stream),
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
        let (consumed, next) = acceptor.process(self.now, &self.input, &mut self.out);
        match next {
            Handshake::Reading(acceptor) => (consumed, Stage::Accepting(acceptor), false),
            Handshake::Opened(opened) => {
                self.events.push(Happened::Advanced);
                let acceptor = opened.accept(self.now, [Secret::new("test")].into(), &mut self.out);
                (consumed, Stage::Accepting(acceptor), true)
            }
            Handshake::Authenticated(component) => {
                self.events.push(Happened::Advanced);
                let stream = component.bind(self.now, self.check_from, &mut self.out);
                (consumed, Stage::Open(Box::new(stream)), true)
            }
            Handshake::Closed => (consumed, self.close(), false),
            Handshake::Failed(error) => (consumed, self.fail(error), false),
        }
    }

    fn take(&mut self, mut stream: Box<ServerStream>) -> (usize, Stage, bool) {
        let step = match stream.process(self.now, &self.input, &mut self.out) {
            Ok(step) => step,
            Err(error) => {
                self.events.push(Happened::Failed(error));
                return (self.input.len(), Stage::Over(stream), false);
            }
        };
        assert!(step.consumed <= self.input.len());
        let mut consumed = step.consumed;
        let happened = match step.event {
            None => {
                self.consumed += consumed;
                return (consumed, Stage::Open(stream), false);
            }
            Some(ServerEvent::Stanza(stanza)) => {
                let delivery = Delivery::of(&stanza);
                if let Some(before) = self.waits.take() {
                    assert_eq!(before, delivery, "put back, and given as another");
                }
                if self.put_backs > 0 {
                    self.put_backs -= 1;
                    self.waits = Some(delivery);
                    consumed -= stream.put_back();
                    self.consumed += consumed;
                    return (consumed, Stage::Open(stream), true);
                }
                Happened::Stanza(delivery)
            }
            Some(ServerEvent::Rejected(refused)) => Happened::Rejected(refused),
            Some(_) => Happened::Closed,
        };
        self.consumed += consumed;
        let is_over = happened == Happened::Closed;
        self.events.push(happened);
        if is_over { (consumed, Stage::Over(stream), false) } else { (consumed, Stage::Open(stream), true) }
    }

    /// A stream that has ended says the same for ever, and nothing more to the peer.
    fn stay_over(&mut self, mut stream: Box<ServerStream>) -> (usize, Stage, bool) {
        let said = self.out.len();
        let again = stream.process(self.now, &self.input, &mut self.out);
        match (self.events.last(), again) {
            (Some(Happened::Failed(error)), again) => assert_eq!(again.err().as_ref(), Some(error)),
            (_, again) => {
                let step = again.expect("it ended in good order");
                assert!(step.event.is_none() && step.consumed == self.input.len());
            }
        }
        assert!(stream.is_closed());
        let _same_error = stream.handle_timeout(self.now, &mut self.out);
        stream.fail(StreamErrorCause::Shutdown.into(), &mut self.out);
        stream.close(&mut self.out);
        assert_eq!(self.out.len(), said, "it says more after its end");
        (self.input.len(), Stage::Over(stream), false)
    }

    /// The next stanza is put back once before it is taken.
    pub(crate) fn put_back_next(&mut self) {
        self.put_backs += 1;
    }

    /// Time passes, and timers with it.
    pub(crate) fn wait(&mut self, span: Duration) {
        self.now += span;
        let (due, result) = match &mut self.stage {
            Stage::Accepting(acceptor) => {
                (Some(acceptor.poll_timeout()), acceptor.handle_timeout(self.now, &mut self.out))
            }
            Stage::Open(stream) => (stream.poll_timeout(), stream.handle_timeout(self.now, &mut self.out)),
            Stage::Over(_) | Stage::Ended => return,
        };
        let was_due = due.is_some_and(|due| due <= self.now);
        if let Err(error) = result {
            assert!(was_due, "a timer fires early");
            self.events.push(Happened::Failed(error));
            self.over();
        } else if let Stage::Open(stream) = &self.stage {
            let next = stream.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a timer stays due: a loop that spins");
        }
    }

    /// The connection's owner ends it: in good order, or with an error.
    pub(crate) fn end(&mut self, error: Option<StreamError>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        match (stage, error) {
            (Stage::Open(mut stream), None) => {
                stream.close(&mut self.out);
                self.events.push(Happened::Closed);
                self.stage = Stage::Over(stream);
            }
            (Stage::Open(mut stream), Some(error)) => {
                stream.fail(error.clone(), &mut self.out);
                self.events.push(Happened::Failed(error));
                self.stage = Stage::Over(stream);
            }
            (Stage::Accepting(acceptor), Some(error)) => {
                acceptor.refuse(error.clone(), &mut self.out);
                self.events.push(Happened::Failed(error));
            }
            (stage, _) => self.stage = stage,
        }
    }

    fn over(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Open(stream) => Stage::Over(stream),
            _ => Stage::Ended,
        };
    }

    fn fail(&mut self, error: StreamError) -> Stage {
        self.events.push(Happened::Failed(error));
        Stage::Ended
    }

    fn close(&mut self) -> Stage {
        self.events.push(Happened::Closed);
        Stage::Ended
    }
}

impl Delivery {
    fn of(stanza: &Stanza<'_>) -> Self {
        let bytes = stanza.to_vec();
        assert_eq!(OwnedStanza::new(stanza).as_stanza().to_vec(), bytes, "a copy is delivered as another");
        Self {
            bytes,
            kind: stanza.kind(),
            to: stanza.to().expect("a server's stream gives none without").as_str().into(),
            from: stanza.from().expect("a server's stream gives none without").as_str().into(),
            id: stanza.id().map(Into::into),
            type_: stanza.stanza_type().map(Into::into),
        }
    }
}
