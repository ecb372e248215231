//! The component's side: connect to a server, prove the secret, exchange stanzas.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::accept::push_initial_header;
use super::alive::Alive;
use super::header::Prologue;
use super::open::{First, Open};
use super::step::Step;
use crate::error::{StreamCondition, StreamError, StreamErrorCause, push_trailer};
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::stanza::Stanza;
use crate::time::Instant;
use crate::xml::scan::{Head, StreamElement, TopLevel};

/// A component whose server has not accepted it yet.
pub struct Initiator {
    settings: Box<Settings>,
    stage: Stage,
}

struct Settings {
    domain: Domain,
    is_subdomain: bool,
    secret: Secret,
    limits: Arc<Limits>,
    deadline: Instant,
}

enum Stage {
    /// Our header is out.
    Header(Box<Prologue>),
    /// Our handshake is out.
    Handshake(Box<Open>),
    Failed(Box<StreamError>),
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
    /// be bound under every host of the server (MongooseIM's extension). `limits` are those that the server has: what it
    /// adds to a stanza at their edge is taken, too ([`Limits::handed_on`]).
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
        let limits = Arc::new(limits.handed_on());
        let deadline = now + limits.negotiation_step;
        let stage = Stage::Header(Box::new(Prologue::new()));
        Self { settings: Box::new(Settings { domain, is_subdomain, secret, limits, deadline }), stage }
    }

    /// Reads on; see the [module](super) for how. The bytes behind the server's `<handshake/>` stay
    /// unconsumed.
    pub fn process(self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> (usize, Initiating) {
        let Self { mut settings, stage } = self;
        let (before, open) = match stage {
            Stage::Handshake(open) => (0, open),
            Stage::Failed(error) => return (input.len(), Initiating::Failed(*error)),
            Stage::Header(mut prologue) => match prologue.read_header(input, &settings.limits) {
                Ok((taken, None)) => {
                    return (taken, Initiating::Reading(Self { settings, stage: Stage::Header(prologue) }));
                }
                Ok((taken, Some(mut header))) => {
                    let Some(id) = header.id.take() else {
                        push_trailer(out);
                        let cause = StreamErrorCause::Other("the server's stream header has no id");
                        return (taken, Initiating::Failed(cause.into()));
                    };
                    out.extend_from_slice(b"<handshake>");
                    out.extend_from_slice(&settings.secret.handshake(&id));
                    out.extend_from_slice(b"</handshake>");
                    settings.deadline = now + settings.limits.negotiation_step;
                    (taken, Box::new(Open::new(*header, Arc::clone(&settings.limits), now)))
                }
                Err(error) => {
                    push_trailer(out);
                    return (0, Initiating::Failed(error));
                }
            },
        };
        let (taken, next) = settings.await_acceptance(open, now, &input[before..], out);
        (before + taken, next)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.settings.deadline
    }

    /// Fails the stream if the server's answer is overdue.
    ///
    /// # Errors
    /// `connection-timeout`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        if now < self.settings.deadline {
            return Ok(());
        }
        let step = match &self.stage {
            Stage::Header(_) => "the server's stream header",
            Stage::Handshake(_) => "the server's answer to the handshake",
            Stage::Failed(error) => return Err((**error).clone()),
        };
        let within = self.settings.limits.negotiation_step;
        let error = StreamError::from(StreamErrorCause::SlowNegotiation { step, within });
        push_trailer(out);
        self.stage = Stage::Failed(Box::new(error.clone()));
        Err(error)
    }
}

impl Settings {
    fn await_acceptance(
        self: Box<Self>,
        mut open: Box<Open>,
        now: Instant,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> (usize, Initiating) {
        match next_element(&mut open, now, input, out) {
            Ok((taken, None)) => {
                let waiting = Initiator { settings: self, stage: Stage::Handshake(open) };
                (taken, Initiating::Reading(waiting))
            }
            Ok((taken, Some(First::Element(_)))) if open.head().top == TopLevel::Handshake => {
                // A prefix is no address that a ping could go to.
                let alive = if self.is_subdomain { None } else { Alive::new(&self.limits, now) };
                open.forget();
                let stream = ClientStream { open: *open, domain: self.domain, alive };
                (taken, Initiating::Established(Box::new(stream)))
            }
            Ok((taken, Some(First::ClosingTag))) => {
                let cause =
                    StreamErrorCause::Other("the server ended the stream instead of accepting the handshake");
                let error = open.fail_by_peer(cause.into(), out);
                (taken, Initiating::Failed(error))
            }
            Ok((taken, Some(_))) => {
                let error = open.fail(StreamErrorCause::NoHandshake.into(), out);
                (taken, Initiating::Failed(error))
            }
            Err(error) => (0, Initiating::Failed(error)),
        }
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
    /// sent ([`StreamErrorCause::Peer`]).
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
            Some(First::OfStreams(_)) => {
                return Err(self.open.fail(StreamErrorCause::NestedStream.into(), out));
            }
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
            (_, Some(First::Element(bytes))) if open.head().top == TopLevel::StreamError => {
                let error = peer_error(bytes, open.head());
                return Err(open.fail_by_peer(error, out));
            }
            next => return Ok(next),
        }
    }
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
    StreamError { condition, cause: StreamErrorCause::Peer { text } }
}

#[cfg(test)]
mod tests;
