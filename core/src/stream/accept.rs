//! The server's side up to the end of the handshake, as values that turn into one another.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::header::{Early, Prologue, Read, StreamHeader};
use super::open::Open;
use super::server::ServerStream;
use crate::error::{StreamError, StreamErrorCause, push_trailer};
use crate::handshake::{Secret, StreamId};
use crate::jid::Domain;
use crate::limits::Limits;
use crate::namespaces as ns;
use crate::time::Instant;
use crate::xml::escape::push_attribute;

/// A connection whose stream header is awaited.
pub struct Acceptor {
    negotiation: Box<Negotiation>,
}

/// What became of an [`Acceptor`].
#[must_use]
pub enum Accepting {
    /// More input is needed.
    Reading(Acceptor),
    /// The header is there: decide.
    Opened(Opened),
    /// The stream failed; the error is in `out`.
    Failed(StreamError),
}

/// A stream header that names a domain, not answered yet. The server now looks up the secret, and calls
/// [`accept`](Self::accept) or [`refuse`](Self::refuse). A look-up that takes a while has a step of time of its own,
/// which [`wait`](Self::wait) begins.
pub struct Opened {
    negotiation: Box<Negotiation>,
    header: StreamHeader,
    domain: Domain,
}

/// A connection whose handshake is awaited.
pub struct Handshaking {
    negotiation: Box<Negotiation>,
    header: StreamHeader,
    domain: Domain,
    secrets: Arc<[Secret]>,
}

/// What became of a [`Handshaking`].
#[must_use]
pub enum Shaking {
    /// More input is needed.
    Reading(Handshaking),
    /// The secret is proved: bind the domain, or refuse.
    Proved(Proved),
    /// The peer ended the stream; our closing tag is in `out`.
    Closed,
    /// The stream failed; the error is in `out`.
    Failed(StreamError),
}

/// A component that has proved the secret and has no answer yet. Conflicts are decided here, so that nobody
/// learns which names are taken, or takes one over, without the secret.
pub struct Proved {
    negotiation: Box<Negotiation>,
    header: StreamHeader,
    domain: Domain,
}

/// What all phases need. In a box, since it is moved from phase to phase.
struct Negotiation {
    prologue: Prologue,
    /// Names us in the header of a refusal.
    host: Domain,
    id: StreamId,
    limits: Arc<Limits>,
    deadline: Instant,
    failed: Option<StreamError>,
}

impl Acceptor {
    /// Begins with a connection that was just made. `host` is one of the server's own names, for the header
    /// of a refusal; `id` is fresh and random (RFC 6120, 4.7.3), for a refusal as well.
    #[must_use]
    pub fn new(host: Domain, id: StreamId, limits: Arc<Limits>, now: Instant) -> Self {
        let deadline = now + limits.negotiation_step;
        let prologue = Prologue::new();
        Self { negotiation: Box::new(Negotiation { prologue, host, id, limits, deadline, failed: None }) }
    }

    /// Reads on; see the [module](super) for how. Gives the number of bytes consumed.
    pub fn process(mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Accepting) {
        match self.negotiation.read(input, Prologue::read_header) {
            Ok((consumed, Some(header))) => {
                (consumed, self.open(*header, out).unwrap_or_else(Accepting::Failed))
            }
            Ok((consumed, None)) => (consumed, Accepting::Reading(self)),
            Err(error) => (0, Accepting::Failed(self.fail(error, out))),
        }
    }

    fn open(mut self, header: StreamHeader, out: &mut Vec<u8>) -> Result<Accepting, StreamError> {
        let domain = match header.to.as_deref() {
            None => Err(StreamError::from(StreamErrorCause::NoDomain)),
            Some(to) => Domain::parse(to).map_err(|error| {
                let asked = to.escape_debug().take(80).collect();
                StreamErrorCause::BadDomain { asked, error }.into()
            }),
        };
        match domain {
            Ok(domain) => Ok(Accepting::Opened(Opened { negotiation: self.negotiation, header, domain })),
            Err(error) => Err(self.fail(error, out)),
        }
    }

    fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        let host = self.negotiation.host.clone();
        self.negotiation.fail_before_header(&host, error, out)
    }

    /// Ends the connection with an error, say `system-shutdown`; a header comes first (RFC 6120, 4.9.1.2).
    pub fn refuse(mut self, error: StreamError, out: &mut Vec<u8>) {
        self.fail(error, out);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.negotiation.deadline
    }

    /// Fails the stream if the header is overdue.
    ///
    /// # Errors
    /// `connection-timeout`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match self.negotiation.overdue(now, "the stream header") {
            Some(error) => Err(self.fail(error, out)),
            None => Ok(()),
        }
    }
}

impl Opened {
    /// The domain that the component asks for, canonical; with [`is_subdomain`](Self::is_subdomain) the
    /// prefix.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// `is_subdomain='true'`: the component asks to be bound under every host (MongooseIM's extension).
    #[must_use]
    pub fn is_subdomain(&self) -> bool {
        self.header.is_subdomain
    }

    /// Answers with our header; the handshake has to prove one of `secrets`. The time for it begins.
    #[must_use]
    pub fn accept(mut self, now: Instant, secrets: Arc<[Secret]>, out: &mut Vec<u8>) -> Handshaking {
        push_header(out, &self.domain, &self.negotiation.id);
        self.negotiation.deadline = now + self.negotiation.limits.negotiation_step;
        self.negotiation.prologue.release();
        let Self { negotiation, header, domain } = self;
        Handshaking { negotiation, header, domain, secrets }
    }

    /// Begins the time for a look-up of the secret.
    pub fn wait(&mut self, now: Instant) {
        self.negotiation.deadline = now + self.negotiation.limits.negotiation_step;
    }

    /// Ends the connection with an error, say `host-unknown`.
    pub fn refuse(mut self, error: StreamError, out: &mut Vec<u8>) {
        self.fail(error, out);
    }

    fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        let host = self.negotiation.host.clone();
        self.negotiation.fail_before_header(&host, error, out)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.negotiation.deadline
    }

    /// Fails the stream if the look-up of the secret is overdue.
    ///
    /// # Errors
    /// `internal-server-error`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match self.negotiation.server_overdue(now, "the server's look-up of the secret") {
            Some(error) => Err(self.fail(error, out)),
            None => Ok(()),
        }
    }
}

impl Handshaking {
    /// Reads on. The bytes behind a handshake stay unconsumed: they are the stream's.
    pub fn process(mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Shaking) {
        match self.negotiation.read(input, Prologue::read_handshake) {
            Ok((consumed, Some(Early::Handshake(text)))) => (consumed, self.check(&text, out)),
            Ok((consumed, Some(Early::Closed))) => {
                push_trailer(out);
                (consumed, Shaking::Closed)
            }
            Ok((consumed, None)) => (consumed, Shaking::Reading(self)),
            Err(error) => (0, Shaking::Failed(self.negotiation.fail(error, out))),
        }
    }

    fn check(mut self, text: &str, out: &mut Vec<u8>) -> Shaking {
        let id = self.negotiation.id.as_str();
        // Each is compared, so that the time does not tell which one it was.
        let is_proved = self.secrets.iter().fold(false, |any, secret| secret.is_proved_by(id, text) | any);
        if is_proved {
            let Self { negotiation, header, domain, .. } = self;
            Shaking::Proved(Proved { negotiation, header, domain })
        } else {
            Shaking::Failed(self.negotiation.fail(StreamErrorCause::WrongHandshake.into(), out))
        }
    }

    /// Ends the connection with an error, say `system-shutdown`.
    pub fn refuse(mut self, error: StreamError, out: &mut Vec<u8>) {
        self.negotiation.fail(error, out);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.negotiation.deadline
    }

    /// Fails the stream if the handshake is overdue.
    ///
    /// # Errors
    /// `connection-timeout`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match self.negotiation.overdue(now, "the handshake") {
            Some(error) => Err(self.negotiation.fail(error, out)),
            None => Ok(()),
        }
    }
}

impl Proved {
    /// The domain that the component asked for, canonical.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// It asked to be bound under every host.
    #[must_use]
    pub fn is_subdomain(&self) -> bool {
        self.header.is_subdomain
    }

    /// Answers `<handshake/>`: the stream is open. To be called once the domain is bound. With `check_from`
    /// the stream refuses stanzas from other domains.
    #[must_use]
    pub fn bind(self, now: Instant, check_from: bool, out: &mut Vec<u8>) -> ServerStream {
        out.extend_from_slice(b"<handshake/>");
        let is_subdomain = self.header.is_subdomain;
        let Negotiation { host, limits, .. } = *self.negotiation;
        let open = Open::new(self.header, limits, now);
        ServerStream::new(open, self.domain, is_subdomain, check_from, host)
    }

    /// Ends the connection with an error, say `conflict`.
    pub fn refuse(mut self, error: StreamError, out: &mut Vec<u8>) {
        self.negotiation.fail(error, out);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.negotiation.deadline
    }

    /// Fails the stream if the decision takes longer than the handshake may.
    ///
    /// # Errors
    /// `internal-server-error`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match self.negotiation.server_overdue(now, "the server's decision on the name") {
            Some(error) => Err(self.negotiation.fail(error, out)),
            None => Ok(()),
        }
    }
}

impl Negotiation {
    fn read<T>(&mut self, input: &[u8], read: fn(&mut Prologue, &[u8], &Limits) -> Read<T>) -> Read<T> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let read = read(&mut self.prologue, input, &self.limits);
        self.prologue.release();
        read
    }

    fn overdue(&self, now: Instant, step: &'static str) -> Option<StreamError> {
        let within = self.limits.negotiation_step;
        (self.deadline <= now).then(|| StreamErrorCause::SlowNegotiation { step, within }.into())
    }

    /// The server itself is late.
    fn server_overdue(&self, now: Instant, step: &'static str) -> Option<StreamError> {
        let within = self.limits.negotiation_step;
        (self.deadline <= now).then(|| StreamErrorCause::SlowServer { step, within }.into())
    }

    fn fail_before_header(&mut self, from: &Domain, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        if self.failed.is_none() {
            push_header(out, from, &self.id);
        }
        self.fail(error, out)
    }

    fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        if let Some(first) = &self.failed {
            return first.clone();
        }
        error.push_with_trailer(out);
        self.failed = Some(error.clone());
        error
    }
}

/// Appends our header: the two namespaces, `from` and `id`, and nothing else. A `version` would make old
/// clients wait for features; an attribute that is not in XEP-0114 makes strict ones give up.
fn push_header(out: &mut Vec<u8>, from: &Domain, id: &StreamId) {
    out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
    push_attribute(out, "xmlns", ns::COMPONENT);
    push_attribute(out, "xmlns:stream", ns::STREAMS);
    push_attribute(out, "from", from.as_str());
    push_attribute(out, "id", id.as_str());
    out.push(b'>');
}

/// Appends a component's header.
pub(super) fn push_initial_header(out: &mut Vec<u8>, to: &Domain, is_subdomain: bool) {
    out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
    push_attribute(out, "xmlns", ns::COMPONENT);
    push_attribute(out, "xmlns:stream", ns::STREAMS);
    push_attribute(out, "to", to.as_str());
    if is_subdomain {
        push_attribute(out, "is_subdomain", "true");
    }
    out.push(b'>');
}
