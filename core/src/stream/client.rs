//! The component's side: connect to a server, prove the secret, exchange stanzas.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Step;
use super::accept::push_initial_header;
use super::alive::Alive;
use super::open::{First, Open};
use crate::error::{Cause, StreamCondition, StreamError, push_trailer};
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::namespaces as ns;
use crate::stanza::Stanza;
use crate::time::Instant;
use crate::xml::header::{Early, Prologue};
use crate::xml::scan::{Head, StreamElement};

/// A component whose server has not accepted it yet.
pub struct Initiator {
    inner: Box<Inner>,
}

struct Inner {
    domain: Domain,
    is_subdomain: bool,
    secret: Secret,
    limits: Arc<Limits>,
    deadline: Instant,
    stage: Stage,
}

enum Stage {
    /// Our header is out.
    Header(Box<Prologue>),
    /// Our handshake is out.
    Handshake(Box<Open>),
    Failed(StreamError),
}

/// What became of an [`Initiator`].
#[must_use]
pub enum Initiating {
    /// More input is needed.
    Reading(Initiator),
    /// The server accepted the secret: stanzas may flow.
    Established(Box<ClientStream>),
    /// The stream failed, or the server refused it; what is to be said is in `out`.
    Failed(StreamError),
}

impl Initiator {
    /// Begins a stream as `domain`: the header goes to `out`. With `is_subdomain` the domain is a prefix, to
    /// be bound under every host of the server (MongooseIM's extension).
    #[must_use]
    pub fn connect(
        domain: Domain,
        is_subdomain: bool,
        secret: Secret,
        limits: Arc<Limits>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Self {
        push_initial_header(out, &domain, is_subdomain);
        let deadline = now + limits.negotiation_step;
        let stage = Stage::Header(Box::new(Prologue::new()));
        Self { inner: Box::new(Inner { domain, is_subdomain, secret, limits, deadline, stage }) }
    }

    /// Reads on; see the [module](super) for how. The bytes behind the server's `<handshake/>` stay
    /// unconsumed.
    pub fn process(mut self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> (usize, Initiating) {
        let mut consumed = 0;
        if let Stage::Header(prologue) = &mut self.inner.stage {
            match prologue.read(input, &self.inner.limits) {
                Ok((taken, None)) => return (taken, Initiating::Reading(self)),
                Ok((taken, Some(Early::Header(mut header)))) => {
                    consumed = taken;
                    let Some(id) = header.id.take() else {
                        let cause = Cause::Other("the server's stream header has no id");
                        return (taken, self.fail(cause.into(), out));
                    };
                    out.extend_from_slice(b"<handshake>");
                    out.extend_from_slice(&self.inner.secret.handshake(&id));
                    out.extend_from_slice(b"</handshake>");
                    self.inner.deadline = now + self.inner.limits.negotiation_step;
                    let open = Open::new(*header, Arc::clone(&self.inner.limits), now);
                    self.inner.stage = Stage::Handshake(Box::new(open));
                }
                Ok((taken, Some(_))) => {
                    let cause = Cause::Other("the server ended the stream before the handshake");
                    return (taken, self.fail(cause.into(), out));
                }
                Err(error) => return (0, self.fail(error, out)),
            }
        }
        let (taken, next) = self.await_acceptance(now, &input[consumed..], out);
        (consumed + taken, next)
    }

    fn await_acceptance(mut self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> (usize, Initiating) {
        let open = match &mut self.inner.stage {
            Stage::Handshake(open) => open,
            Stage::Failed(error) => return (input.len(), Initiating::Failed(error.clone())),
            Stage::Header(_) => return (0, Initiating::Reading(self)),
        };
        match next_element(open, now, input, out) {
            Ok((taken, None)) => (taken, Initiating::Reading(self)),
            Ok((taken, Some(First::Element(bytes)))) if open.head().name.local(bytes) == b"handshake" => {
                let Stage::Handshake(open) = self.inner.stage else {
                    return (taken, Initiating::Reading(self));
                };
                // A prefix is no address that a ping could go to.
                let alive = if self.inner.is_subdomain { None } else { Alive::new(&self.inner.limits, now) };
                let stream = ClientStream { open: *open, domain: self.inner.domain, alive };
                (taken, Initiating::Established(Box::new(stream)))
            }
            Ok((taken, Some(First::ClosingTag))) => {
                let cause = Cause::Other("the server ended the stream instead of accepting the handshake");
                let error = open.fail_by_peer(cause.into(), out);
                (taken, Initiating::Failed(error))
            }
            Ok((taken, Some(_))) => {
                let error = open.fail(Cause::NoHandshake.into(), out);
                (taken, Initiating::Failed(error))
            }
            Err(error) => (0, Initiating::Failed(error)),
        }
    }

    fn fail(mut self, error: StreamError, out: &mut Vec<u8>) -> Initiating {
        push_trailer(out);
        self.inner.stage = Stage::Failed(error.clone());
        Initiating::Failed(error)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.inner.deadline
    }

    /// Fails the stream if the server's answer is overdue.
    ///
    /// # Errors
    /// `connection-timeout`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        if now < self.inner.deadline {
            return Ok(());
        }
        let step = match self.inner.stage {
            Stage::Header(_) => "the server's stream header",
            Stage::Handshake(_) => "the server's answer to the handshake",
            Stage::Failed(ref error) => return Err(error.clone()),
        };
        let within = self.inner.limits.negotiation_step;
        let error = StreamError::from(Cause::SlowNegotiation { step, within });
        push_trailer(out);
        self.inner.stage = Stage::Failed(error.clone());
        Err(error)
    }
}

/// An authenticated stream, as the component sees it. Stanzas are sent by writing them to the connection's
/// output, whole, between any two calls.
#[derive(Debug)]
pub struct ClientStream {
    open: Open,
    domain: Domain,
    alive: Option<Alive>,
}

/// What came from the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent<'b> {
    /// A stanza.
    Stanza(Stanza<'b>),
    /// An element that is no stanza, one with an address that is none, or the stream's own ping come back: nothing
    /// to do about it.
    Ignored,
    /// The server ended the stream in good order; our closing tag is in `out`.
    Closed,
}

impl ClientStream {
    /// The domain that the component asked for.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The stream has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Takes at most one event out of `input`; see the [module](super) for how.
    ///
    /// # Errors
    /// What ended the stream: a fault of the server's, which is in `out` then, or an error that the server
    /// sent ([`Cause::Peer`]).
    pub fn process<'b>(
        &mut self,
        now: Instant,
        input: &'b [u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<ClientEvent<'b>>, StreamError> {
        if let Some(alive) = &mut self.alive
            && !input.is_empty()
        {
            alive.heard(now);
        }
        let (consumed, first) = next_element(&mut self.open, now, input, out)?;
        let event = match first {
            None => None,
            Some(First::Element(bytes)) => {
                let (head, rooms, prefixes) = self.open.parts();
                Some(match Stanza::new(bytes, head, prefixes, rooms) {
                    Some(Ok(stanza)) if !Alive::is_own(&stanza, &self.domain) => ClientEvent::Stanza(stanza),
                    Some(Ok(_) | Err(_)) | None => ClientEvent::Ignored,
                })
            }
            Some(First::ClosingTag) => {
                self.open.close(out);
                Some(ClientEvent::Closed)
            }
            Some(First::OfStreams(_)) => return Err(self.open.fail(Cause::NestedStream.into(), out)),
        };
        Ok(Step { consumed, event })
    }

    /// See [`ServerStream::put_back`](super::ServerStream::put_back).
    #[must_use = "the input must be rewound by that"]
    pub fn put_back(&mut self) -> usize {
        self.open.put_back()
    }

    /// See [`ServerStream::set_reading`](super::ServerStream::set_reading).
    pub fn set_reading(&mut self, now: Instant, reading: bool) {
        self.open.set_reading(now, reading);
        if let Some(alive) = &mut self.alive {
            alive.set_reading(now, reading);
        }
    }

    /// Ends the stream in good order: the closing tag goes to `out`.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.open.close(out);
    }

    /// The connection ended without a closing tag.
    pub fn handle_eof(&mut self) {
        self.open.end();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let alive = self.alive.as_ref().filter(|_| !self.open.is_closed()).and_then(Alive::poll_timeout);
        [self.open.poll_timeout(), alive].into_iter().flatten().min()
    }

    /// Appends a keepalive or a ping that is due, or fails the stream whose stanza is overdue, or whose server
    /// gives no sign of life.
    ///
    /// # Errors
    /// `connection-timeout`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        self.open.handle_timeout(now, out)?;
        match &mut self.alive {
            Some(alive) if !self.open.is_closed() => {
                alive.handle_timeout(now, &self.domain, out).map_err(|error| self.open.fail(error, out))
            }
            _ => Ok(()),
        }
    }

    /// Tells that bytes went out, so that the next keepalive waits.
    pub fn wrote(&mut self, now: Instant) {
        self.open.wrote(now);
    }
}

/// The next thing from the server; an error that it sent is waited for whole and turned into ours.
fn next_element<'b>(
    open: &mut Open,
    now: Instant,
    input: &'b [u8],
    out: &mut Vec<u8>,
) -> Result<(usize, Option<First<'b>>), StreamError> {
    loop {
        let next = match open.next(now, input) {
            Ok(next) => next,
            Err(error) => return Err(open.fail(error, out)),
        };
        match next {
            // Its start tag is noted: the scan goes on to its end.
            (_, Some(First::OfStreams(StreamElement::Error))) => {}
            (_, Some(First::Element(bytes))) if is_stream_error(bytes, open) => {
                let error = peer_error(bytes, open.head());
                return Err(open.fail_by_peer(error, out));
            }
            next => return Ok(next),
        }
    }
}

fn is_stream_error(bytes: &[u8], open: &Open) -> bool {
    let head = open.head();
    head.name.local(bytes) == b"error"
        && (core::str::from_utf8(head.name.prefix(bytes))
            .is_ok_and(|prefix| open.prefixes.uri(prefix) == Some(ns::STREAMS)))
}

/// Characters that are kept of what the server says in its error.
const PEER_WORDS: usize = 512;

/// What the server's error says. It was scanned, so rxml reads it.
fn peer_error(bytes: &[u8], head: &Head) -> StreamError {
    use rxml::{Parse, RawEvent, RawParser};
    let content = bytes.get(head.end as usize..head.foot as usize).unwrap_or_default();
    let document = [b"<e>", content, b"</e>"].concat();
    let mut parser = RawParser::new();
    let mut rest = &document[..];
    let (mut condition, mut text, mut name) =
        (StreamCondition::UndefinedCondition, String::new(), String::new());
    while let Ok(Some(event)) = parser.parse(&mut rest, true) {
        match event {
            RawEvent::ElementHeadOpen(_, (_, local)) => {
                name = local.as_str().into();
                condition = StreamCondition::from_name(&name).unwrap_or(condition);
            }
            RawEvent::Text(_, piece) if name == "text" => {
                let room = PEER_WORDS.saturating_sub(text.chars().count());
                text.extend(piece.chars().filter(|c| !c.is_control()).take(room));
            }
            RawEvent::ElementFoot(_) => name.clear(),
            _ => {}
        }
    }
    StreamError { condition, cause: Cause::Peer { text } }
}
