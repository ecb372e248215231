//! From a connection's first byte to the bound component.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::event::ConnectionEvent;
use super::phase::{Binding, Phase};
use super::progress::Next;
use super::session::Session;
use crate::close::CloseReason;
use crate::error::{StreamError, StreamErrorCause};
use crate::handshake::{Secret, StreamId};
use crate::jid::Domain;
use crate::router::{BindError, BindOutcome, Claim, DomainSet};
use crate::shaper::Shaper;
use crate::stream::{Acceptor, Authenticated, Handshake, Opened};
use crate::switch::{Bind, ListenerConfig, Switch, connect};
use crate::time::{Instant, Now};

/// Makes the port and the first phase of a connection.
pub(super) fn begin<S: Switch>(
    switch: &S,
    listener: Arc<ListenerConfig>,
    id: StreamId,
    now: Now,
) -> (S::Port, Phase) {
    let limits = Arc::clone(&listener.limits);
    let host = switch.read(|directory| directory.first_host().cloned());
    let host = host.unwrap_or_else(|| Domain::parse("localhost").expect("it is a domain name"));
    let port = connect(switch, listener);
    (port, Phase::Accepting(Box::new(Acceptor::new(host, id, limits, now.monotonic))))
}

/// The bytes that refuse a connection for which no [`Connection`](super::Connection) is made: a stream header from `host` with a fresh `id`, the
/// error and the closing tag (RFC 6120, 4.9.1.2). Write them and close the socket.
#[must_use]
pub fn refusal(host: &Domain, id: StreamId, error: StreamError) -> Vec<u8> {
    let mut bytes = Vec::new();
    Acceptor::new(host.clone(), id, Arc::default(), Instant::ORIGIN).refuse(error, &mut bytes);
    bytes
}

fn claim_of(domain: &Domain, is_subdomain: bool) -> Claim {
    if is_subdomain { Claim::Prefix(domain.clone()) } else { Claim::Domain(domain.clone()) }
}

impl<S: Switch> Session<S> {
    /// Takes one step of the negotiation.
    pub(super) fn negotiate(
        &mut self,
        switch: &S,
        now: Now,
        phase: Phase,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> (usize, Next) {
        match phase {
            Phase::Accepting(acceptor) => {
                let (consumed, next) = acceptor.process(now.monotonic, input, out);
                match next {
                    Handshake::Reading(acceptor) => {
                        self.phase = Phase::Accepting(Box::new(acceptor));
                        return (consumed, Next::Input);
                    }
                    Handshake::Opened(opened) => self.opened(switch, now, opened, out),
                    Handshake::Authenticated(authenticated) => self.bind(switch, now, authenticated, out),
                    Handshake::Closed => self.close(switch, now, CloseReason::ByPeer),
                    Handshake::Failed(error) => self.close(switch, now, CloseReason::Error(error)),
                }
                let is_pending = matches!(self.phase, Phase::Binding(_));
                (consumed, if is_pending { Next::Room } else { Next::More })
            }
            Phase::Binding(binding) => {
                self.bind(switch, now, binding.authenticated, out);
                let is_pending = matches!(self.phase, Phase::Binding(_));
                (0, if is_pending { Next::Room } else { Next::More })
            }
            waiting => {
                self.phase = waiting;
                (0, Next::Room)
            }
        }
    }

    /// The header is there: refuses the name, or asks for the handshake.
    fn opened(&mut self, switch: &S, now: Now, mut opened: Opened, out: &mut Vec<u8>) {
        self.domain = Some(opened.domain().clone());
        if switch.read(|directory| directory.first_host().is_none()) {
            opened.name_as_asked();
        }
        // Nothing is proved yet, so only what costs little is looked at: the names of a prefix are when it is bound.
        let domain = opened.domain().as_str();
        let is_listed = |set: &DomainSet| opened.is_subdomain() || set.matches(domain);
        if !self.listener().policy.domains.as_ref().is_none_or(is_listed) {
            let error = StreamError::from(StreamErrorCause::DomainNotListed { domain: domain.into() });
            opened.refuse(error.clone(), out);
            self.close(switch, now, CloseReason::Error(error));
        } else if let Some(secret) = self.listener().secret.clone() {
            let acceptor = opened.accept(now.monotonic, [secret].into(), out);
            self.phase = Phase::Accepting(Box::new(acceptor));
        } else {
            let claim = claim_of(opened.domain(), opened.is_subdomain());
            if opened.is_subdomain() && !self.listener().policy.later_hosts {
                switch.write(|directory| directory.router.note_asked(self.port.as_ref().id));
            }
            self.events.get_or_insert_default().push(ConnectionEvent::SecretsNeeded { claim });
            opened.wait(now.monotonic);
            self.phase = Phase::Opened(Box::new(opened));
        }
    }

    /// Goes on to the handshake with these secrets, or ends the stream if they come too late. Does nothing if the
    /// connection has not asked for them.
    pub(super) fn secrets(&mut self, switch: &S, now: Now, secrets: Arc<[Secret]>, out: &mut Vec<u8>) {
        match core::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Opened(mut opened) if self.closed.is_none() => {
                if let Err(error) = opened.handle_timeout(now.monotonic, out) {
                    self.close(switch, now, CloseReason::Error(error));
                } else {
                    self.phase = Phase::Accepting(Box::new(opened.accept(now.monotonic, secrets, out)));
                }
            }
            other => self.phase = other,
        }
    }

    /// Refuses the names that the connection has asked secrets for.
    pub(super) fn refuse(&mut self, switch: &S, now: Now, error: StreamError, out: &mut Vec<u8>) {
        match core::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Opened(opened) if self.closed.is_none() => {
                opened.refuse(error.clone(), out);
                self.close(switch, now, CloseReason::Error(error));
            }
            other => self.phase = other,
        }
    }

    /// The secret is proved: binds the names, or refuses them.
    fn bind(&mut self, switch: &S, now: Now, authenticated: Authenticated, out: &mut Vec<u8>) {
        let claim = claim_of(authenticated.domain(), authenticated.is_subdomain());
        match switch.bind(&self.port, &claim, now) {
            Bind::Bound(bound) => self.bound(switch, now, authenticated, bound, out),
            Bind::Rejected(conflict) => {
                let error = StreamError::from(match conflict {
                    BindError::NoName { host, error } => {
                        let asked = format!("{}.{host}", authenticated.domain()).chars().take(80).collect();
                        StreamErrorCause::BadDomain { asked, error }
                    }
                    BindError::HostOfOurs(host) => StreamErrorCause::OwnHost { domain: host.as_str().into() },
                    BindError::Taken { name, .. } => {
                        StreamErrorCause::DomainTaken { domain: name.as_str().into() }
                    }
                    BindError::Denied(name) if self.listener().policy.domains.is_some() => {
                        StreamErrorCause::DomainNotListed { domain: name.as_str().into() }
                    }
                    BindError::Denied(name) => {
                        StreamErrorCause::DomainReserved { domain: name.as_str().into() }
                    }
                    BindError::HostsChanged => StreamErrorCause::HostsChanged,
                    BindError::AlreadyBound(_) => StreamErrorCause::Other("the connection is bound already"),
                });
                authenticated.refuse(error.clone(), out);
                self.close(switch, now, CloseReason::Error(error));
            }
            Bind::Pending { until } => {
                self.phase = Phase::Binding(Box::new(Binding { authenticated, ask_at: until }));
            }
        }
    }

    fn bound(
        &mut self,
        switch: &S,
        now: Now,
        authenticated: Authenticated,
        bound: BindOutcome,
        out: &mut Vec<u8>,
    ) {
        self.bound = true;
        self.events.get_or_insert_default().push(ConnectionEvent::Bound {
            domain: authenticated.domain().clone(),
            is_subdomain: authenticated.is_subdomain(),
            replaced: bound.replaced,
            changes: bound.changes,
        });
        let listener = self.listener();
        let (rate, check_from) = (listener.rate, listener.policy.check_from);
        self.shaper = rate.map(|rate| Box::new(Shaper::new(rate, now.monotonic)));
        let mut stream = authenticated.bind(now.monotonic, check_from, out);
        let (ping, host) = switch.read(|directory| directory.ping_of(self.port.as_ref().id));
        if let Some(silence) = ping {
            stream.set_ping(now.monotonic, silence, host.as_ref());
        }
        // The server behind an uplink has said it once, on a stream that lasts longer than this one.
        switch.read(|directory| {
            directory.announced_to(self.port.as_ref().id).for_each(|stanza| out.extend_from_slice(stanza));
        });
        self.phase = Phase::Open(Box::new(stream));
    }
}
