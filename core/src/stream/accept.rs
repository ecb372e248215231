//! The server's side up to the end of the handshake, as values that turn into one another.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::header;
use super::open::{First, Open};
use super::server::ServerStream;
use crate::error::{StreamError, StreamErrorCause};
use crate::handshake::{Secret, StreamId};
use crate::jid::Domain;
use crate::limits::Limits;
use crate::time::Instant;

/// A connection that has not proved a secret. Its stream header is awaited and, once that is
/// [accepted](Opened::accept), its handshake.
pub struct Acceptor {
    negotiation: Box<Negotiation>,
    /// The domain that the header asks for, and the secrets of which one is to be proved.
    claim: Option<(Domain, Arc<[Secret]>)>,
}

/// What became of an [`Acceptor`].
#[must_use]
pub enum Handshake {
    /// More input is needed.
    Reading(Acceptor),
    /// The header is there: decide.
    Opened(Opened),
    /// The secret is proved: bind the domain, or refuse.
    Authenticated(Authenticated),
    /// The peer ended the stream; our closing tag is in `out`.
    Closed,
    /// The stream failed; the error is in `out`.
    Failed(StreamError),
}

/// A stream header that names a domain, not answered yet. The server now looks up the secret, and calls
/// [`accept`](Self::accept) or [`refuse`](Self::refuse). A look-up that takes a while has a step of time of its own,
/// which [`wait`](Self::wait) begins.
pub struct Opened {
    negotiation: Box<Negotiation>,
    domain: Domain,
}

/// A component that has proved the secret and has no answer yet. Conflicts are decided here, so that nobody
/// learns which names are taken, or takes one over, without the secret.
pub struct Authenticated {
    negotiation: Box<Negotiation>,
    domain: Domain,
}

/// What all phases need. In a box, since it is moved from phase to phase.
struct Negotiation {
    open: Open,
    /// Names us in the header of a refusal.
    host: Domain,
    id: StreamId,
    is_subdomain: bool,
    /// Our header is out.
    answered: bool,
    deadline: Instant,
    /// A byte has come.
    begun: bool,
}

/// The first byte of a TLS handshake. No XML begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

impl Acceptor {
    /// Begins with a connection that was just made. `host` is one of the server's own names, for the header
    /// of a refusal; `id` is fresh and random (RFC 6120, 4.7.3), for a refusal as well.
    #[must_use]
    pub fn new(host: Domain, id: StreamId, limits: Arc<Limits>, now: Instant) -> Self {
        let deadline = now + limits.negotiation_step;
        let open = Open::new(limits, now);
        let negotiation =
            Negotiation { open, host, id, is_subdomain: false, answered: false, deadline, begun: false };
        Self { negotiation: Box::new(negotiation), claim: None }
    }

    /// Reads on, up to the end of the header or of the handshake; see the [module](super) for how. Gives the number of
    /// bytes consumed. Those behind a handshake stay unconsumed: they are the stream's.
    pub fn process(self, now: Instant, input: &[u8], out: &mut Vec<u8>) -> (usize, Handshake) {
        let Self { mut negotiation, claim } = self;
        let Some((domain, secrets)) = claim else {
            return match negotiation.header(input) {
                Ok((consumed, Some(domain))) => (consumed, Handshake::Opened(Opened { negotiation, domain })),
                Ok((consumed, None)) => (consumed, Handshake::Reading(Self { negotiation, claim: None })),
                Err(error) => (0, Handshake::Failed(negotiation.fail(error, out))),
            };
        };
        match negotiation.handshake(now, input, &secrets) {
            Ok((consumed, None)) => {
                (consumed, Handshake::Reading(Self { negotiation, claim: Some((domain, secrets)) }))
            }
            Ok((consumed, Some(First::Element(_)))) => {
                (consumed, Handshake::Authenticated(Authenticated { negotiation, domain }))
            }
            Ok((consumed, Some(First::ClosingTag | First::OfStreams(_) | First::TooLong(_)))) => {
                negotiation.open.close(out);
                (consumed, Handshake::Closed)
            }
            Err(error) => (0, Handshake::Failed(negotiation.fail(error, out))),
        }
    }

    /// Ends the connection with an error, say `system-shutdown`; a header comes first (RFC 6120, 4.9.1.2).
    pub fn refuse(mut self, error: StreamError, out: &mut Vec<u8>) {
        self.negotiation.fail(error, out);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.negotiation.deadline
    }

    /// Fails the stream if the header or the handshake is overdue.
    ///
    /// # Errors
    /// `connection-timeout`, which is in `out` then.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let step = if self.claim.is_none() { "the stream header" } else { "the handshake" };
        self.negotiation.overdue(now, out, |within| StreamErrorCause::SlowNegotiation { step, within })
    }
}

impl Opened {
    /// The domain that the component asks for, canonical; with [`is_subdomain`](Self::is_subdomain) the
    /// prefix.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Names us by the domain that is asked for: the server has no name of its own.
    pub(crate) fn name_as_asked(&mut self) {
        self.negotiation.host = self.domain.clone();
    }

    /// `is_subdomain='true'`: the component asks to be bound under every host (MongooseIM's extension).
    #[must_use]
    pub fn is_subdomain(&self) -> bool {
        self.negotiation.is_subdomain
    }

    /// Answers with our header; the handshake has to prove one of `secrets`. The time for it begins.
    #[must_use]
    pub fn accept(mut self, now: Instant, secrets: Arc<[Secret]>, out: &mut Vec<u8>) -> Acceptor {
        self.wait(now);
        self.negotiation.answer(&self.domain, out);
        Acceptor { negotiation: self.negotiation, claim: Some((self.domain, secrets)) }
    }

    /// Begins the time for a look-up of the secret.
    pub fn wait(&mut self, now: Instant) {
        self.negotiation.deadline = now + self.negotiation.open.limits.negotiation_step;
    }

    /// Ends the connection with an error, say `host-unknown`.
    pub fn refuse(mut self, error: StreamError, out: &mut Vec<u8>) {
        self.negotiation.fail(error, out);
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
        let step = "the server's look-up of the secret";
        self.negotiation.overdue(now, out, |within| StreamErrorCause::SlowServer { step, within })
    }
}

impl Authenticated {
    /// The domain that the component asked for, canonical.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// It asked to be bound under every host.
    #[must_use]
    pub fn is_subdomain(&self) -> bool {
        self.negotiation.is_subdomain
    }

    /// Answers `<handshake/>`: the stream is open. To be called once the domain is bound. With `check_from`
    /// the stream refuses stanzas from other domains.
    #[must_use]
    pub fn bind(self, now: Instant, check_from: bool, out: &mut Vec<u8>) -> ServerStream {
        out.extend_from_slice(b"<handshake/>");
        let Negotiation { mut open, host, is_subdomain, .. } = *self.negotiation;
        open.authenticated(now);
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
        let step = "the server's decision on the name";
        self.negotiation.overdue(now, out, |within| StreamErrorCause::SlowServer { step, within })
    }
}

impl Negotiation {
    /// The domain that the header asks for.
    fn header(&mut self, input: &[u8]) -> Result<(usize, Option<Domain>), StreamError> {
        if let Some(&first) = input.first()
            && !core::mem::replace(&mut self.begun, true)
            && first == TLS_HANDSHAKE
        {
            return Err(StreamErrorCause::LooksLikeTls.into());
        }
        let Some((consumed, header)) = self.open.read_header(input)? else { return Ok((0, None)) };
        self.is_subdomain = header.is_subdomain;
        let to = header.to.ok_or(StreamErrorCause::NoDomain)?;
        let domain = Domain::parse(&to).map_err(|error| {
            let asked = to.escape_debug().take(80).collect();
            StreamErrorCause::BadDomain { asked, error }
        })?;
        Ok((consumed, Some(domain)))
    }

    /// A handshake that proves one of `secrets`, or what ends the stream in good order.
    fn handshake<'b>(
        &mut self,
        now: Instant,
        input: &'b [u8],
        secrets: &[Secret],
    ) -> Result<(usize, Option<First<'b>>), StreamError> {
        let (consumed, first) = self.open.next(now, input)?;
        if let Some(First::Element(element)) = first {
            let (id, text) = (self.id.as_str(), header::text_of(element)?);
            // Each is compared, so that the time does not tell which one it was.
            let is_proved = secrets.iter().fold(false, |any, secret| secret.is_proved_by(id, &text) | any);
            if !is_proved {
                return Err(StreamErrorCause::WrongHandshake.into());
            }
        }
        Ok((consumed, first))
    }

    /// Appends our header.
    fn answer(&mut self, from: &Domain, out: &mut Vec<u8>) {
        header::push(out, &[("from", from.as_str()), ("id", self.id.as_str())]);
        self.answered = true;
    }

    fn overdue(
        &mut self,
        now: Instant,
        out: &mut Vec<u8>,
        cause: impl FnOnce(Duration) -> StreamErrorCause,
    ) -> Result<(), StreamError> {
        if now < self.deadline {
            return Ok(());
        }
        let within = self.open.limits.negotiation_step;
        Err(self.fail(cause(within).into(), out))
    }

    fn fail(&mut self, error: StreamError, out: &mut Vec<u8>) -> StreamError {
        if !self.answered {
            let host = self.host.clone();
            self.answer(&host, out);
        }
        self.open.fail(error, out)
    }
}
