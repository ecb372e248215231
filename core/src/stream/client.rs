//! The component's side: connect to a server, prove the secret, exchange stanzas.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rxml::RawEvent;

use super::header;
use super::open::{First, Open};
use super::own_ping::OwnPing;
use super::rest::Rest;
use super::step::Step;
use super::too_long::TooLong;
use crate::error::{StreamCondition, StreamError, StreamErrorCause, push_trailer};
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::stanza::Stanza;
use crate::time::Instant;
use crate::xml::scan::{StreamElement, TopLevel};

/// A component whose server has not accepted it yet.
pub struct Initiator(Box<Negotiation>);

struct Negotiation {
    open: Open,
    domain: Domain,
    is_subdomain: bool,
    secret: Secret,
    /// Of the server's header, once that is read.
    stream_id: String,
    /// Our handshake is out.
    proved: bool,
    deadline: Instant,
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
        let attributes = [("to", domain.as_str()), ("is_subdomain", "true")];
        header::push(out, if is_subdomain { &attributes } else { &attributes[..1] });
        let deadline = now + limits.negotiation_step;
        let open = Open::new(Arc::new(limits.handed_on()), now);
        let stream_id = String::new();
        Self(Box::new(Negotiation { open, domain, is_subdomain, secret, stream_id, proved: false, deadline }))
    }

    /// Reads on; see the [module](super) for how. The bytes behind the server's `<handshake/>` stay
    /// unconsumed.
    pub fn process(mut self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> (usize, Initiating) {
        match self.0.read(now, input, out) {
            Ok((consumed, false)) => (consumed, Initiating::Reading(self)),
            Ok((consumed, true)) => (consumed, Initiating::Established(Box::new(self.0.establish(now)))),
            Err(error) => (0, Initiating::Failed(error)),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.0.deadline
    }

    /// Fails the stream if the server's answer is overdue.
    ///
    /// # Errors
    /// `connection-timeout`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let Negotiation { open, proved, deadline, .. } = &mut *self.0;
        if now < *deadline {
            return Ok(());
        }
        let step =
            if *proved { "the server's answer to the handshake" } else { "the server's stream header" };
        let within = open.limits.negotiation_step;
        Err(open.fail_by_peer(StreamErrorCause::SlowNegotiation { step, within }.into(), out))
    }
}

impl Negotiation {
    /// Gives true, with the bytes consumed, once the server has accepted the handshake.
    fn read(&mut self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), StreamError> {
        let mut before = 0;
        if !self.proved {
            before = match self.prove(now, input, out) {
                Ok(Some(consumed)) => consumed,
                Ok(None) => return Ok((0, false)),
                Err(error) => return Err(self.open.fail_by_peer(error, out)),
            };
        }
        match next_element(&mut self.open, now, &input[before..], out)? {
            (consumed, None) => Ok((before + consumed, false)),
            (consumed, Some(First::Element(_))) => Ok((before + consumed, true)),
            (_, Some(First::ClosingTag | First::OfStreams(_) | First::TooLong(_))) => {
                let cause =
                    StreamErrorCause::Other("the server ended the stream instead of accepting the handshake");
                Err(self.open.fail_by_peer(cause.into(), out))
            }
        }
    }

    /// Answers the server's header with the handshake, and gives the header's length.
    fn prove(&mut self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, StreamError> {
        let Some((consumed, header)) = self.open.read_header(input)? else { return Ok(None) };
        let id = header.id.ok_or(StreamErrorCause::Other("the server's stream header has no id"))?;
        out.extend_from_slice(b"<handshake>");
        out.extend_from_slice(&self.secret.handshake(&id));
        out.extend_from_slice(b"</handshake>");
        self.stream_id = id;
        self.proved = true;
        self.deadline = now + self.open.limits.negotiation_step;
        Ok(Some(consumed))
    }

    fn establish(self, now: Instant) -> ClientStream {
        let Self { mut open, domain, is_subdomain, stream_id, .. } = self;
        open.authenticated(now);
        // A prefix is no address that a ping could go to.
        let ping = if is_subdomain { None } else { Some(OwnPing::new(&stream_id, &open.limits, now)) };
        ClientStream { open, domain, ping }
    }
}

/// An authenticated stream, as the component sees it. Stanzas are sent by writing them to the connection's
/// output, whole, between any two calls.
#[derive(Debug)]
pub struct ClientStream {
    open: Open,
    domain: Domain,
    ping: Option<OwnPing>,
}

/// What came from the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent<'b> {
    /// A stanza.
    Stanza(Stanza<'b>),
    /// An element that is not a stanza, or one with an invalid address: nothing to do about it.
    Ignored,
    /// The stream's own ping come back, or that of another connection of the same domain, which is answered in `out`.
    OwnPing,
    /// A stanza over [`Limits::stanza`], if [such are skipped](ClientStream::set_skipping). It was answered, in `out`,
    /// or dropped because nothing may answer it.
    TooLong(TooLong<'b>),
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

    /// Whether a stanza over [`Limits::stanza`] is skipped while it is read, and answered with `policy-violation`. It
    /// ends the stream if not, as it does from the beginning. One whose start tag alone is longer ends it in any case.
    ///
    /// Nothing of what is skipped is kept, and it still has to end within [`Limits::stanza_time`]. Its markup is checked
    /// only as far as its end depends on it: what is wrong there ends the stream.
    pub fn set_skipping(&mut self, skipping: bool) {
        self.open.skips = skipping;
    }

    /// As [`ServerStream::reach`](super::ServerStream::reach).
    pub(crate) fn reach(&self) -> usize {
        self.open.reach()
    }

    /// The work of the scan since it was asked last, in its steps.
    pub(crate) fn take_work(&mut self) -> u32 {
        self.open.take_work()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.open.limits
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
        if let Some(ping) = &mut self.ping
            && !input.is_empty()
        {
            ping.heard(now);
        }
        let (consumed, first) = next_element(&mut self.open, now, input, out)?;
        let event = match first {
            None => None,
            Some(First::Element(bytes)) => {
                let (ping, own) = (&mut self.ping, self.domain.as_str());
                Some(match Stanza::new(bytes, self.open.head(), &self.open.prefixes) {
                    Some(Ok(stanza)) if ping.as_mut().is_none_or(|ping| !ping.takes(&stanza, own, out)) => {
                        ClientEvent::Stanza(stanza)
                    }
                    Some(Ok(_)) => ClientEvent::OwnPing,
                    Some(Err(_)) | None => ClientEvent::Ignored,
                })
            }
            Some(First::TooLong(window)) => {
                Some(ClientEvent::TooLong(TooLong::refuse(window, self.open.head(), &self.domain, out)))
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
        if let Some(ping) = &mut self.ping {
            ping.set_reading(now, reading);
        }
    }

    /// Ends the stream in good order: the closing tag goes to `out`.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.open.close(out);
    }

    /// Ends the stream with an error of this side's.
    pub(crate) fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) {
        self.open.fail(error, out);
    }

    /// Says that the stream ends. What the server still sends is for the rest that this returns, if the stream had not ended.
    pub(crate) fn say_end(self, out: &mut Vec<u8>) -> Option<Box<Rest>> {
        if self.is_closed() {
            return None;
        }
        push_trailer(out);
        Some(Rest::new(self.open))
    }

    /// The connection ended without a closing tag.
    pub fn handle_eof(&mut self) {
        self.open.end();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ping = self.ping.as_ref().filter(|_| !self.open.is_closed()).and_then(OwnPing::poll_timeout);
        [self.open.poll_timeout(), ping].into_iter().flatten().min()
    }

    /// Appends a keepalive or a ping that is due, or fails the stream whose stanza is overdue, or whose server
    /// gives no sign of life ([`Limits::ping`] says when that counts).
    ///
    /// # Errors
    /// `connection-timeout`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        self.open.handle_timeout(now, out)?;
        match &mut self.ping {
            Some(ping) if !self.open.is_closed() => ping
                .handle_timeout(now, self.domain.as_str(), out)
                .map_err(|error| self.open.fail(error, out)),
            _ => Ok(()),
        }
    }

    /// Gives back memory that odd stanzas made the stream take; for a connection that is idle.
    pub fn release(&mut self) {
        self.open.release();
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
    let mut consumed = 0;
    loop {
        let (taken, first) = match open.next(now, &input[consumed..]) {
            Ok(next) => next,
            Err(error) => return Err(open.fail(error, out)),
        };
        consumed += taken;
        let error = match first {
            Some(First::OfStreams(StreamElement::Error)) => {
                let tag = &input[consumed..consumed + open.head().end as usize];
                if !tag.ends_with(b"/>") {
                    // The scan goes on to its end.
                    continue;
                }
                peer_error(tag)
            }
            Some(First::Element(bytes)) if open.head().top == TopLevel::StreamError => peer_error(bytes),
            first => return Ok((consumed, first)),
        };
        return Err(open.fail_by_peer(error, out));
    }
}

/// Characters that are kept of what the server says in its error.
const PEER_WORDS: usize = 512;

/// What the server's error says. It was scanned, so rxml reads it, or what of it comes before something that it does not
/// take.
fn peer_error(element: &[u8]) -> StreamError {
    let (mut condition, mut text, mut name) =
        (StreamCondition::UndefinedCondition, String::new(), String::new());
    let _ = header::parse(element, |event| match event {
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
    });
    StreamError { condition, cause: StreamErrorCause::Peer { text } }
}

#[cfg(test)]
mod tests;
