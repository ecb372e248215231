//! The server's side of an authenticated stream.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::alive::{Alive, ID};
use super::excerpt::Excerpt;
use super::open::{First, Open};
use super::rest::Rest;
use super::step::Step;
use crate::error::{StreamError, StreamErrorCause};
use crate::jid::{Domain, Jid};
use crate::limits::Limits;
use crate::stanza::{AddressFault, Stanza, StanzaKind, address, addresses, expects_reply, is_proper};
use crate::stanza_error::{Answer, ErrorType, RejectReason, StanzaCondition, StanzaError, Value};
use crate::time::Instant;
use crate::xml::scan::{Head, StreamElement};
use crate::xml::scope::{HeaderPrefixes, Namespace};

/// The stream of a component that is authenticated and bound.
///
/// | kind | methods |
/// | --- | --- |
/// | reads | [`process`](Self::process), [`put_back`](Self::put_back), [`set_reading`](Self::set_reading), [`handle_eof`](Self::handle_eof) |
/// | writes | [`refuse_sender`](Self::refuse_sender), [`close`](Self::close), [`fail`](Self::fail) |
/// | time | [`poll_timeout`](Self::poll_timeout), [`handle_timeout`](Self::handle_timeout), [`wrote`](Self::wrote) |
///
/// Any of them may be called at any time, also while a [`Stanza`] is held: it borrows the input only. What
/// other components send is appended to the connection's output with [`Stanza::append_to`], between any two
/// calls.
#[derive(Debug)]
pub struct ServerStream {
    open: Open,
    peer: Peer,
    /// Work on addresses, and on what is to be rewritten.
    work: u32,
    /// Whether the component still answers; boxed, as most are not asked.
    alive: Option<Box<Watch>>,
}

/// How the server asks a component whether it is there.
#[derive(Debug)]
struct Watch {
    alive: Alive,
    from: String,
    to: String,
}

/// Whose stream it is, and what it may say.
#[derive(Debug)]
struct Peer {
    domain: Domain,
    is_subdomain: bool,
    check_from: bool,
    /// A host of ours.
    host: Domain,
}

/// What came on a component's stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent<'b> {
    /// A stanza with a valid `to` and a `from` that the component may use: route it. For a subdomain
    /// component only the prefix of `from` is checked; ask the router for the rest.
    Stanza(Stanza<'b>),
    /// An element that can't be routed. It was answered, in `out`, or dropped because nothing may answer it.
    Rejected(Rejected),
    /// The answer to a ping of ours: nothing is to be done.
    Pong,
    /// The component ended the stream; our closing tag is in `out`.
    Closed,
}

/// An element that was not routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: RejectReason,
    /// An error went back; else it was dropped, and is to be counted.
    pub answered: bool,
    /// The `to` or `from` that is the reason, as it was written.
    pub address: Option<Excerpt>,
}

impl ServerStream {
    pub(super) fn new(
        open: Open,
        domain: Domain,
        is_subdomain: bool,
        check_from: bool,
        host: Domain,
    ) -> Self {
        Self { open, peer: Peer { domain, is_subdomain, check_from, host }, work: 0, alive: None }
    }

    /// Asks the component by XEP-0199 whether it is there, after each such silence: from the server's first host if it has one,
    /// else from the component's own domain. Silence after that ends the stream if the component has answered such a
    /// question before.
    pub fn set_ping(&mut self, now: Instant, silence: Duration, host: Option<&Domain>) {
        let domain = self.peer.domain.as_str();
        let to = if self.peer.is_subdomain {
            [domain, ".", self.peer.host.as_str()].concat()
        } else {
            domain.into()
        };
        let from = host.map_or_else(|| to.clone(), |host| host.as_str().into());
        let alive = Alive::of_server(silence, &self.open.limits, now);
        self.alive = Some(Box::new(Watch { alive, from, to }));
    }

    /// The domain that the component is bound as; with [`is_subdomain`](Self::is_subdomain) the prefix.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.peer.domain
    }

    /// The component is bound under every host.
    #[must_use]
    pub fn is_subdomain(&self) -> bool {
        self.peer.is_subdomain
    }

    /// The stream has ended, in good order or not. It consumes what still comes and gives no event.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Takes at most one event out of `input`; see the [module](super) for how. The work is bounded by one
    /// stanza, and goes on where it stopped.
    ///
    /// # Errors
    /// What ended the stream; it is in `out` already, and stays the same for ever.
    pub fn process<'b>(
        &mut self,
        now: Instant,
        input: &'b [u8],
        out: &mut Vec<u8>,
    ) -> Result<Step<ServerEvent<'b>>, StreamError> {
        if let Some(watch) = &mut self.alive
            && !input.is_empty()
        {
            watch.alive.heard(now);
        }
        let (consumed, first) = match self.open.next(now, input) {
            Ok(next) => next,
            Err(error) => return Err(self.open.fail(error, out)),
        };
        let event = match first {
            None => None,
            Some(First::Element(bytes)) => Some(self.element(bytes, out)),
            Some(First::ClosingTag | First::OfStreams(StreamElement::Error)) => {
                self.open.close(out);
                Some(ServerEvent::Closed)
            }
            Some(First::OfStreams(StreamElement::Stream)) => {
                return Err(self.open.fail(StreamErrorCause::NestedStream.into(), out));
            }
            // Only a component's side is told to skip.
            Some(First::TooLong(window)) => {
                let cause = StreamErrorCause::BigStanza { limit: window.len() };
                return Err(self.open.fail(cause.into(), out));
            }
        };
        Ok(Step { consumed, event })
    }

    #[inline(always)]
    fn element<'b>(&mut self, bytes: &'b [u8], out: &mut Vec<u8>) -> ServerEvent<'b> {
        let (head, prefixes) = (self.open.head(), &self.open.prefixes);
        match self.peer.checked(bytes, head, &mut self.work) {
            Ok((kind, to, from)) => {
                let addresses = (Some(to), Some(from));
                let stanza = Stanza::assemble(bytes, kind, head, prefixes, addresses);
                if let Some(watch) = &mut self.alive
                    && Alive::is_answer(&stanza, &watch.from, &watch.to)
                {
                    watch.alive.answered();
                    return ServerEvent::Pong;
                }
                self.work += stanza.copy_work();
                ServerEvent::Stanza(stanza)
            }
            Err(reason) => {
                let element = Refusable { bytes, head, prefixes };
                let answered = self.peer.refuse(&element, &reason, out);
                let address = match reason {
                    RejectReason::BadTo(_) => head.to,
                    RejectReason::BadFrom(_) | RejectReason::ForeignFrom => head.from,
                    _ => None,
                };
                let address = address.map(|value| Excerpt::of(value.span.of(bytes)));
                ServerEvent::Rejected(Rejected { reason, answered, address })
            }
        }
    }

    /// Refuses a stanza of this stream after all: its `from` is not the component's, as the router knows. The
    /// answer, where one may be given, goes to `out`.
    pub fn refuse_sender(&mut self, stanza: &Stanza<'_>, out: &mut Vec<u8>) -> Rejected {
        let answered = stanza.expects_reply();
        if answered {
            Answer {
                name: stanza.kind().as_str(),
                namespace: None,
                from: stanza.to().map_or(self.peer.host.as_str(), Jid::as_str),
                to: &self.peer.own_address(),
                id: stanza.written_id(),
            }
            .append(&refused(&RejectReason::ForeignFrom), out);
        }
        let address = stanza.from().map(|from| Excerpt::of(from.as_str().as_bytes()));
        Rejected { reason: RejectReason::ForeignFrom, answered, address }
    }

    /// The stanza given last can't be taken yet, say because its receiver's queue is full. The next
    /// [`process`](Self::process) gives it again, without a second scan. Returns its length: that many bytes
    /// of what that call consumed are unconsumed again, and must begin the next input.
    #[must_use = "the input must be rewound by that"]
    pub fn put_back(&mut self) -> usize {
        self.open.put_back()
    }

    /// Tells that reading from the connection stops (no tokens, or a full receiver) or goes on: the time in
    /// between does not count against a stanza that has begun.
    pub fn set_reading(&mut self, now: Instant, reading: bool) {
        self.open.set_reading(now, reading);
        if let Some(watch) = &mut self.alive {
            watch.alive.set_reading(now, reading);
        }
    }

    /// Ends the stream in good order: the closing tag goes to `out`.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.open.close(out);
    }

    /// Says that the stream ends, with an error. What the component still sends is for the rest that this returns, if the
    /// stream had not ended.
    pub(crate) fn say_end(self, error: &StreamError, out: &mut Vec<u8>) -> Option<Box<Rest>> {
        if self.is_closed() {
            return None;
        }
        error.push_with_trailer(out);
        Some(Rest::new(self.open))
    }

    /// Ends the stream with an error of the caller's, such as `system-shutdown`. Does nothing to a stream
    /// that has ended.
    pub fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) {
        if !self.is_closed() {
            self.open.fail(error, out);
        }
    }

    /// The connection ended without a closing tag: a close like any other.
    pub fn handle_eof(&mut self) {
        self.open.end();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let open_at = self.open.poll_timeout();
        let Some(watch) = &self.alive else { return open_at };
        let alive_at = if self.open.is_closed() { None } else { watch.alive.poll_timeout() };
        [open_at, alive_at].into_iter().flatten().min()
    }

    /// Appends a keepalive or a ping that is due, or fails the stream whose stanza is overdue, or whose component does not
    /// answer any more.
    ///
    /// # Errors
    /// `connection-timeout`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        self.open.handle_timeout(now, out)?;
        match &mut self.alive {
            Some(watch) if !self.open.is_closed() => {
                let Watch { alive, from, to } = &mut **watch;
                alive.handle_timeout(now, ID, (from, to), out).map_err(|error| self.open.fail(error, out))
            }
            _ => Ok(()),
        }
    }

    /// Tells that bytes went out, so that the next keepalive waits.
    pub fn wrote(&mut self, now: Instant) {
        self.open.wrote(now);
    }

    /// Gives back memory that odd stanzas made the stream take; for a connection that is idle.
    pub fn release(&mut self) {
        self.open.release();
    }

    /// Bytes of the input that the stream has looked at and not consumed. Show it more than that.
    pub(crate) fn reach(&self) -> usize {
        self.open.reach()
    }

    /// The work that the input cost since it was asked last, in steps of some 8 ns.
    pub(crate) fn take_work(&mut self) -> u32 {
        self.open.take_work() + mem::take(&mut self.work)
    }

    /// What the stream may cost.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.open.limits
    }
}

fn refused(reason: &RejectReason) -> StanzaError {
    StanzaError::new(StanzaCondition::BadRequest, ErrorType::Modify, reason.to_string())
}

/// An element that is refused.
struct Refusable<'a> {
    bytes: &'a [u8],
    head: &'a Head,
    prefixes: &'a HeaderPrefixes,
}

impl Peer {
    /// The kind and the addresses of an element that may be routed.
    #[inline(always)]
    fn checked<'b>(
        &self,
        bytes: &'b [u8],
        head: &Head,
        work: &mut u32,
    ) -> Result<(StanzaKind, Jid<'b>, Jid<'b>), RejectReason> {
        let kind = StanzaKind::of(head).ok_or(RejectReason::NoStanza)?;
        let (to, from) = addresses(bytes, head, work).map_err(|fault| match fault {
            AddressFault::To(error) => RejectReason::BadTo(error),
            AddressFault::From(error) => RejectReason::BadFrom(error),
        })?;
        let to = to.ok_or(RejectReason::NoTo)?;
        let from = match from {
            Some(from) if self.check_from && !self.is_ours(from.domain()) => {
                return Err(RejectReason::ForeignFrom);
            }
            Some(from) => from,
            None if self.is_subdomain => return Err(RejectReason::NoFrom),
            None => Jid::of_domain(&self.domain),
        };
        if is_proper(bytes, kind, head) { Ok((kind, to, from)) } else { Err(RejectReason::ImproperIq) }
    }

    /// May the component send from this domain, as far as the stream can tell?
    fn is_ours(&self, domain: &str) -> bool {
        if self.is_subdomain {
            domain.strip_prefix(self.domain.as_str()).is_some_and(|host| host.starts_with('.'))
        } else {
            domain == self.domain.as_str()
        }
    }

    /// Answers an element with `bad-request`, or drops it where no error may answer it; says which.
    fn refuse(&self, element: &Refusable<'_>, reason: &RejectReason, out: &mut Vec<u8>) -> bool {
        let &Refusable { bytes, head, .. } = element;
        let name = core::str::from_utf8(head.name.local(bytes)).unwrap_or_default();
        let answered = expects_reply(name, head.known_type(bytes));
        if answered {
            let to = head.to.and_then(|value| address(bytes, value, &mut 0).ok());
            let from = head.from.filter(|_| *reason != RejectReason::ForeignFrom);
            let from = from.and_then(|value| address(bytes, value, &mut 0).ok());
            let namespace = head.namespace.filter(|_| *reason == RejectReason::NoStanza);
            Answer {
                name,
                namespace: namespace.and_then(|namespace| element.namespace(namespace)),
                from: to.as_ref().map_or(self.host.as_str(), Jid::as_str),
                to: &from.as_ref().map_or(self.own_address(), |from| [from.as_str(), "", ""]),
                id: head.id.map(|value| value.span.quoted(bytes)),
            }
            .append(&refused(reason), out);
        }
        answered
    }

    /// The address that stands for the component where it gave none that is valid, in pieces.
    fn own_address(&self) -> [&str; 3] {
        let domain = self.domain.as_str();
        if self.is_subdomain { [domain, ".", self.host.as_str()] } else { [domain, "", ""] }
    }
}

impl Refusable<'_> {
    fn namespace(&self, declared: Namespace) -> Option<Value<'_>> {
        match declared {
            Namespace::Inner(span) => Some(Value::Written(span.quoted(self.bytes))),
            Namespace::Header(index) => {
                self.prefixes.as_slice().get(index).map(|prefix| Value::Meant(&prefix.uri))
            }
            // It can't be the default one, and not every parser takes an element with its prefix.
            Namespace::Xml => Some(Value::Meant("")),
        }
    }
}
