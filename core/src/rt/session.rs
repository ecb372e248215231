//! A component's connection to a server, from its first byte to its last, as the drive loop sees it.

use core::fmt;
use core::task::Context;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use super::counters::Count;
use super::deliver::{Deliverer, Delivery, Place, bounce_unsent};
use super::driver::{Progress, Session};
use super::listener::Listener;
use super::outgoing::Outgoing;
use super::pool::FREE;
use super::switch::{Port, Switch};
use crate::error::{Cause, StreamError};
use crate::handshake::StreamId;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::router::{Change, Claim, Conflict, ConnId};
use crate::shaper::Shaper;
use crate::stream::{
    Accepting, Acceptor, Event, Handshaking, Opened, Proved, Refused, ServerStream, Shaking, Step,
};
use crate::time::Instant;

/// What is worth a line in the log. Nothing in it is secret, nor the content of a stanza.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The component proved the secret and is bound; stanzas flow.
    Bound {
        /// Its domain, or with `is_subdomain` its prefix.
        domain: Domain,
        /// It is bound under every host.
        is_subdomain: bool,
        /// Connections that it replaced (`kick_old`).
        replaced: Vec<ConnId>,
        /// Names that others got or lost over it.
        changes: Vec<Change>,
    },
    /// An element that it sent was refused.
    Refused(Refused),
    /// So many more were, for which there was no notice: a log needs no line for each.
    MoreRefused(u64),
    /// The connection is over.
    Ended {
        /// Its domain, if it got as far.
        domain: Option<Domain>,
        /// Why.
        end: End,
        /// Stanzas for it that were not sent.
        unsent: u64,
        /// Names that others got over it.
        changes: Vec<Change>,
    },
}

/// How a connection ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum End {
    /// The other side closed the stream, or its side of the connection.
    ByPeer,
    /// This side closed the stream in good order.
    ByUs,
    /// A stream error, of which it was told.
    Error(StreamError),
    /// The connection broke.
    Broken(io::ErrorKind),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the other side"),
            Self::ByUs => f.write_str("closed"),
            Self::Error(error) => error.fmt(f),
            Self::Broken(kind) => write!(f, "the connection broke: {kind}"),
        }
    }
}

pub(super) struct ServerSession {
    switch: Arc<Switch>,
    port: Arc<Port>,
    stage: Stage,
    // Boxed, as most connections have none of it, or are idle.
    shaper: Option<Box<Shaper>>,
    deliverer: Option<Box<Deliverer>>,
    /// The stanza that is next waits for room until then.
    waits: Option<Instant>,
    /// A few at most, first come first.
    notices: Vec<Notice>,
    /// Elements refused without a notice of their own.
    unnoticed: u32,
    /// It was bound; the stage does not tell while an event is taken, and after the end.
    bound: bool,
    /// What it keeps of its input is counted.
    keeps: bool,
    domain: Option<Domain>,
    ended: Option<Box<Ended>>,
}

/// How it ended, the names that others got over it, and stanzas that were not sent.
struct Ended {
    end: End,
    changes: Vec<Change>,
    unsent: u64,
}

enum Stage {
    Accepting(Acceptor),
    // Boxed so that a connection's future stays small, and taking the stage out for an event costs nothing.
    Handshaking(Box<Handshaking>),
    Open(Box<ServerStream>),
    Ended,
}

impl ServerSession {
    pub(super) fn new(switch: Arc<Switch>, listener: Arc<Listener>, id: StreamId, now: Instant) -> Self {
        let limits = Arc::clone(&listener.limits);
        let port = switch.connect(listener);
        let host = switch.first_host();
        let host = host.unwrap_or_else(|| Domain::parse("localhost").expect("it is a domain name"));
        let stage = Stage::Accepting(Acceptor::new(host, id, limits, now));
        Self {
            switch,
            port,
            stage,
            shaper: None,
            deliverer: None,
            waits: None,
            notices: Vec::new(),
            unnoticed: 0,
            bound: false,
            keeps: false,
            domain: None,
            ended: None,
        }
    }

    pub(super) fn id(&self) -> ConnId {
        self.port.id
    }

    fn opened(&mut self, now: Instant, opened: Opened, out: &mut Vec<u8>) {
        self.domain = Some(opened.domain().clone());
        if let Some(cause) = self.refusal(&opened) {
            let error = StreamError::from(cause);
            opened.refuse(error.clone(), out);
            self.end_with(End::Error(error));
        } else {
            let secret = self.port.listener.secret.clone();
            self.stage = Stage::Handshaking(Box::new(opened.accept(now, secret, out)));
        }
    }

    /// Why no component of that name may connect here, if so.
    fn refusal(&self, opened: &Opened) -> Option<Cause> {
        let state = self.switch.read();
        let names = state.router.names_of(&claim_of(opened.domain(), opened.is_subdomain()));
        // A prefix that makes a name with no host would be bound as nothing, and pass any list of domains.
        if let Some(host) = state.router.hosts().next().filter(|_| names.is_empty())
            && let Err(error) = Domain::under(opened.domain(), host)
        {
            let asked = format!("{}.{host}", opened.domain()).chars().take(80).collect();
            return Some(Cause::BadDomain { asked, error });
        }
        let domain = || opened.domain().as_str().into();
        (!self.port.listener.allows(&names)).then(|| Cause::DomainNotListed { domain: domain() })
    }

    fn proved(&mut self, now: Instant, proved: Proved, out: &mut Vec<u8>) {
        let claim = claim_of(proved.domain(), proved.is_subdomain());
        match self.switch.bind(&self.port, claim) {
            Ok(bound) => {
                self.bound = true;
                self.notices.push(Notice::Bound {
                    domain: proved.domain().clone(),
                    is_subdomain: proved.is_subdomain(),
                    replaced: bound.replaced,
                    changes: bound.changes,
                });
                self.shaper = self.port.listener.rate.map(|rate| Box::new(Shaper::new(rate, now)));
                let check_from = self.port.listener.terms.check_from;
                self.stage = Stage::Open(Box::new(proved.bind(now, check_from, out)));
            }
            Err(conflict) => {
                let error = StreamError::from(match conflict {
                    Conflict::HostOfOurs(host) => Cause::OwnHost { domain: host.as_str().into() },
                    Conflict::Taken { name, .. } => Cause::DomainTaken { domain: name.as_str().into() },
                    _ => Cause::Other("the connection is bound already"),
                });
                proved.refuse(error.clone(), out);
                self.end_with(End::Error(error));
            }
        }
    }

    /// Takes one event of an open stream.
    fn open_event(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        stream: &mut ServerStream,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Progress {
        // Looked at where it is: a stanza is too large to be moved about for each that passes.
        let consumed = match &stream.process(now, input, out) {
            Ok(Step { consumed, event: None }) => return Progress::NeedInput(*consumed),
            Ok(Step { consumed, event: Some(Event::Stanza(stanza)) }) => {
                let place = Place { waker: cx.waker(), now, switch: &self.switch, own: &self.port };
                let deliverer = self.deliverer.get_or_insert_default();
                match deliverer.deliver(&place, stream, stanza, out) {
                    Delivery::Done => self.waits = None,
                    Delivery::Refused(refused) => {
                        self.waits = None;
                        self.refused(refused);
                    }
                    Delivery::Wait(until) => {
                        self.waits = Some(until);
                        return Progress::Blocked(consumed - stream.put_back());
                    }
                }
                *consumed
            }
            Ok(Step { consumed, event: Some(Event::Refused(refused)) }) => {
                self.refused(refused.clone());
                *consumed
            }
            Ok(Step { consumed, event: Some(Event::Closed) }) => {
                self.end_with(End::ByPeer);
                *consumed
            }
            Err(error) => {
                self.end_with(End::Error(error.clone()));
                return Progress::NeedInput(input.len());
            }
        };
        Progress::More(consumed)
    }

    fn refused(&mut self, refused: Refused) {
        let count = if refused.answered { Count::Refused } else { Count::DroppedRefused };
        self.switch.counters().add(count, 1);
        // The log needs no more of them than it can show.
        if self.notices.len() < 8 {
            self.notices.push(Notice::Refused(refused));
        } else {
            self.unnoticed = self.unnoticed.saturating_add(1);
        }
    }

    fn end_with(&mut self, end: End) {
        if self.ended.is_none() {
            if !self.bound && matches!(end, End::Error(_)) {
                self.switch.counters().add(Count::FailedNegotiations, 1);
            }
            let changes = self.switch.disconnect(&self.port);
            self.ended = Some(Box::new(Ended { end, changes, unsent: 0 }));
            let senders = {
                let mut outbox = self.port.outbox();
                outbox.set_open(false);
                outbox.take_senders()
            };
            // Their stanzas go elsewhere now, or come back: no need to wait until this one is written out.
            for (_, sender) in senders {
                sender.wake();
            }
        }
    }

    /// Ends the connection for a reason that came from elsewhere.
    fn obey(&mut self, now: Instant, cause: Cause, outgoing: &mut Outgoing) {
        let queue = self.port.outbox().close();
        let mut unsent = 0;
        if matches!(cause, Cause::Shutdown) {
            // What was taken is still sent.
            outgoing.join(&queue);
        } else {
            unsent += bounce_unsent(&self.switch, now, Some(&cause), outgoing.unsent());
            unsent += bounce_unsent(&self.switch, now, Some(&cause), queue.unsent_after(0, None));
            outgoing.cut();
        }
        let error = StreamError::from(cause);
        self.end_with(End::Error(error.clone()));
        if let Some(ended) = &mut self.ended {
            ended.unsent += unsent;
        }
        outgoing.append(|out| match core::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Accepting(acceptor) => acceptor.refuse(error, out),
            Stage::Handshaking(handshaking) => handshaking.refuse(error, out),
            Stage::Open(mut stream) => stream.fail(error, out),
            Stage::Ended => {}
        });
    }
}

fn claim_of(domain: &Domain, is_subdomain: bool) -> Claim {
    if is_subdomain { Claim::Prefix(domain.clone()) } else { Claim::Domain(domain.clone()) }
}

impl Session for ServerSession {
    fn process(&mut self, cx: &Context<'_>, now: Instant, input: &[u8], out: &mut Vec<u8>) -> Progress {
        match core::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Accepting(acceptor) => {
                let (consumed, next) = acceptor.process(input, out);
                match next {
                    Accepting::Reading(acceptor) => {
                        self.stage = Stage::Accepting(acceptor);
                        return Progress::NeedInput(consumed);
                    }
                    Accepting::Opened(opened) => self.opened(now, opened, out),
                    Accepting::Failed(error) => self.end_with(End::Error(error)),
                }
                Progress::More(consumed)
            }
            Stage::Handshaking(handshaking) => {
                let (consumed, next) = handshaking.process(input, out);
                match next {
                    Shaking::Reading(handshaking) => {
                        self.stage = Stage::Handshaking(Box::new(handshaking));
                        return Progress::NeedInput(consumed);
                    }
                    Shaking::Proved(proved) => self.proved(now, proved, out),
                    Shaking::Closed => self.end_with(End::ByPeer),
                    Shaking::Failed(error) => self.end_with(End::Error(error)),
                }
                Progress::More(consumed)
            }
            Stage::Open(mut stream) => {
                let progress = self.open_event(cx, now, &mut stream, input, out);
                self.stage = Stage::Open(stream);
                progress
            }
            Stage::Ended => Progress::NeedInput(input.len()),
        }
    }

    fn end_batch(&mut self) {
        if let Some(deliverer) = &mut self.deliverer {
            deliverer.end_batch(self.switch.counters());
        }
    }

    fn collect(&mut self, cx: &Context<'_>, now: Instant, outgoing: &mut Outgoing) {
        let (order, senders) = {
            let mut outbox = self.port.outbox();
            let senders = outbox.collect(cx, outgoing, &self.port.listener);
            (outbox.take_order(), senders)
        };
        for (_, sender) in senders {
            sender.wake();
        }
        if let Some(cause) = order {
            self.obey(now, cause, outgoing);
        }
    }

    fn note_socket(&mut self, outgoing: &Outgoing, full: bool) {
        self.port.outbox().note_in_flight(outgoing, full);
    }

    fn wrote(&mut self, now: Instant) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.wrote(now);
        }
    }

    fn read_budget(&mut self, now: Instant) -> usize {
        match &mut self.shaper {
            // What comes behind the handshake in the same read is not shaped any more.
            None if !self.bound => self.port.listener.limits.negotiation,
            None => usize::MAX,
            Some(shaper) => match (shaper.allowance(now), shaper.poll_timeout()) {
                (_, Some(_)) => 0,
                (allowance, None) => allowance,
            },
        }
    }

    fn tokens_at(&self) -> Option<Instant> {
        self.shaper.as_ref().and_then(|shaper| shaper.poll_timeout())
    }

    fn retry_at(&self) -> Option<Instant> {
        self.waits
    }

    fn read(&mut self, n: usize) {
        if let Some(shaper) = &mut self.shaper {
            shaper.take(n);
        }
    }

    fn set_reading(&mut self, now: Instant, reading: bool) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.set_reading(now, reading);
        }
    }

    fn handle_eof(&mut self, out: &mut Vec<u8>) {
        if let Stage::Open(stream) = &mut self.stage {
            stream.close(out);
        }
        self.end_with(End::ByPeer);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Accepting(acceptor) => Some(acceptor.poll_timeout()),
            Stage::Handshaking(handshaking) => Some(handshaking.poll_timeout()),
            Stage::Open(stream) => stream.poll_timeout(),
            Stage::Ended => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) {
        let result = match &mut self.stage {
            Stage::Accepting(acceptor) => acceptor.handle_timeout(now, out),
            Stage::Handshaking(handshaking) => handshaking.handle_timeout(now, out),
            Stage::Open(stream) => stream.handle_timeout(now, out),
            Stage::Ended => Ok(()),
        };
        if let Err(error) = result {
            self.end_with(End::Error(error));
        }
    }

    fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    fn limits(&self) -> &Limits {
        &self.port.listener.limits
    }

    fn hibernate_after(&self) -> Duration {
        self.port.listener.hibernate_after
    }

    fn keep(&mut self, n: usize, out: &mut Vec<u8>) {
        // What one read may leave is nobody else's business.
        let n = if n > FREE { n } else { 0 };
        if n == 0 && !self.keeps {
            return;
        }
        self.keeps = n > 0;
        if self.port.outbox().note_unfinished(n) || self.ended.is_some() {
            return;
        }
        let error = StreamError::from(Cause::PoolEmpty { free: FREE });
        if let Stage::Open(stream) = &mut self.stage {
            stream.fail(error.clone(), out);
        }
        self.end_with(End::Error(error));
    }

    fn broke(&mut self, kind: io::ErrorKind) {
        self.end_with(End::Broken(kind));
    }

    fn finish(&mut self, now: Instant, outgoing: &Outgoing) {
        self.end_batch();
        let (order, queue) = {
            let mut outbox = self.port.outbox();
            // One that it did not live to obey, if it was dropped.
            (outbox.take_order(), outbox.close())
        };
        let (end, changes, mut unsent) = match &mut self.ended {
            Some(ended) => (ended.end.clone(), core::mem::take(&mut ended.changes), ended.unsent),
            None => (End::ByPeer, Vec::new(), 0),
        };
        unsent += bounce_unsent(&self.switch, now, order.as_ref(), outgoing.unsent());
        unsent += bounce_unsent(&self.switch, now, order.as_ref(), queue.unsent_after(0, None));
        let domain = self.domain.take();
        self.notices.push(Notice::Ended { domain, end, unsent, changes });
    }

    fn next_notice(&mut self) -> Option<Notice> {
        if self.unnoticed > 0 && !matches!(self.notices.first(), Some(Notice::Refused(_))) {
            return Some(Notice::MoreRefused(core::mem::take(&mut self.unnoticed).into()));
        }
        (!self.notices.is_empty()).then(|| self.notices.remove(0))
    }

    fn release(&mut self) {
        self.port.outbox().release();
        self.notices.shrink_to(0);
        // Empty between batches, but for ways that are soon found again.
        self.deliverer = None;
        if let Stage::Open(stream) = &mut self.stage {
            stream.release();
        }
    }
}
