//! A server without sockets: the core's streams and its router, fed with bytes and with the time.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{Claim, Conflict, ConnId, DomainPattern, Route, Router, Terms};
use enjamb_core::stream::{Accepting, Acceptor, Event, Handshaking, Opened, Proved, ServerStream, Shaking};
use enjamb_core::{
    Cause, ErrorType, Instant, Kind, Limits, Secret, Stanza, StanzaCondition, StanzaError, StreamError,
    StreamId,
};

/// The server; set the fields before the first connection is made.
pub struct MiniServer {
    /// Who is bound to what.
    pub router: Router,
    /// What each stream may cost.
    pub limits: Arc<Limits>,
    /// The secret of every component.
    pub secret: Secret,
    /// What every component is granted.
    pub terms: Arc<Terms>,
    /// The names that may connect; `None` where any may.
    pub domains: Option<Vec<DomainPattern>>,
    now: Instant,
    host: Domain,
    made: u64,
    connections: BTreeMap<ConnId, Connection>,
}

struct Connection {
    phase: Phase,
    input: Vec<u8>,
    out: Vec<u8>,
    log: Vec<String>,
}

enum Phase {
    Opening(Acceptor),
    Shaking(Handshaking),
    Open(Box<ServerStream>),
    Ended,
}

impl MiniServer {
    /// A server of these hosts; the first names it in refusals.
    #[must_use]
    pub fn new(hosts: &[&str], secret: &str) -> Self {
        let hosts: Vec<Domain> = hosts.iter().map(|host| domain(host)).collect();
        Self {
            host: hosts[0].clone(),
            router: Router::new(hosts),
            limits: Arc::new(Limits::default()),
            secret: Secret::new(secret),
            terms: Arc::new(Terms::default()),
            domains: None,
            now: Instant::ORIGIN,
            made: 0,
            connections: BTreeMap::new(),
        }
    }

    /// A connection comes in, and is given this stream id.
    pub fn connect(&mut self, id: &str) -> ConnId {
        let id = StreamId::from_text(id).expect("tests use ids that a stream may have");
        let acceptor = Acceptor::new(self.host.clone(), id, Arc::clone(&self.limits), self.now);
        self.made += 1;
        let conn = ConnId(self.made);
        let phase = Phase::Opening(acceptor);
        self.connections
            .insert(conn, Connection { phase, input: Vec::new(), out: Vec::new(), log: Vec::new() });
        conn
    }

    /// A read on a connection gave these bytes.
    pub fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(mut connection) = self.connections.remove(&conn) else { return };
        connection.input.extend_from_slice(bytes);
        let input = mem::take(&mut connection.input);
        let mut at = 0;
        loop {
            let (consumed, more) = self.step(conn, &mut connection, &input[at..]);
            at += consumed;
            if !more {
                break;
            }
        }
        connection.input = input;
        connection.input.drain(..at);
        self.connections.insert(conn, connection);
    }

    /// The peer shut its side down.
    pub fn receive_eof(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if let Phase::Open(stream) = &mut connection.phase {
            stream.handle_eof();
        }
        connection.phase = Phase::Ended;
        self.router.unbind(conn);
    }

    /// Time passes; what falls due happens at its own time.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((at, conn)) = self.next_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.time_out(conn);
        }
        self.now = end;
    }

    /// Ends all streams: the server stops.
    pub fn shut_down(&mut self) {
        for connection in self.connections.values_mut() {
            let error = StreamError::new(Cause::Shutdown);
            match mem::replace(&mut connection.phase, Phase::Ended) {
                Phase::Opening(acceptor) => acceptor.refuse(error, &mut connection.out),
                Phase::Shaking(shaking) => shaking.refuse(error, &mut connection.out),
                Phase::Open(mut stream) => stream.fail(error, &mut connection.out),
                Phase::Ended => {}
            }
        }
    }

    /// What was sent on a connection since the last call.
    pub fn take_out(&mut self, conn: ConnId) -> Vec<u8> {
        self.connections.get_mut(&conn).map(|connection| mem::take(&mut connection.out)).unwrap_or_default()
    }

    /// What happened on a connection so far, one line each.
    #[must_use]
    pub fn log(&self, conn: ConnId) -> &[String] {
        self.connections.get(&conn).map_or(&[], |connection| &connection.log)
    }

    /// The stream is over, and the connection is to be closed.
    #[must_use]
    pub fn has_ended(&self, conn: ConnId) -> bool {
        self.connections.get(&conn).is_none_or(|connection| matches!(connection.phase, Phase::Ended))
    }

    /// The stream is authenticated and lives.
    #[must_use]
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.connections.get(&conn).is_some_and(|connection| matches!(connection.phase, Phase::Open(_)))
    }

    /// One step; gives the bytes consumed and whether another one may do something.
    fn step(&mut self, conn: ConnId, connection: &mut Connection, input: &[u8]) -> (usize, bool) {
        let out = &mut connection.out;
        match mem::replace(&mut connection.phase, Phase::Ended) {
            Phase::Opening(acceptor) => {
                let (consumed, next) = acceptor.process(input, out);
                match next {
                    Accepting::Reading(acceptor) => connection.phase = Phase::Opening(acceptor),
                    Accepting::Opened(opened) => {
                        self.opened(connection, opened);
                        return (consumed, true);
                    }
                    Accepting::Failed(error) => connection.log.push(format!("failed: {error}")),
                }
                (consumed, false)
            }
            Phase::Shaking(shaking) => {
                let (consumed, next) = shaking.process(input, out);
                match next {
                    Shaking::Reading(shaking) => connection.phase = Phase::Shaking(shaking),
                    Shaking::Proved(proved) => {
                        self.bind(conn, connection, proved);
                        return (consumed, true);
                    }
                    Shaking::Closed => connection.log.push("closed".into()),
                    Shaking::Failed(error) => connection.log.push(format!("failed: {error}")),
                }
                (consumed, false)
            }
            Phase::Open(mut stream) => {
                let stepped = self.open_step(conn, connection, &mut stream, input);
                if stream.is_closed() {
                    self.router.unbind(conn);
                } else {
                    connection.phase = Phase::Open(stream);
                }
                stepped
            }
            Phase::Ended => (input.len(), false),
        }
    }

    fn opened(&mut self, connection: &mut Connection, opened: Opened) {
        let asked = opened.domain().clone();
        let claim = claim(opened.is_subdomain(), &asked);
        let names = self.router.names_of(&claim);
        let listed = |name: &Domain| {
            self.domains.as_ref().is_none_or(|all| all.iter().any(|pattern| pattern.matches(name.as_str())))
        };
        if names.iter().all(listed) {
            let shaking = opened.accept(self.now, self.secret.clone(), &mut connection.out);
            connection.phase = Phase::Shaking(shaking);
        } else {
            let error = StreamError::new(Cause::DomainNotListed { domain: asked.as_str().into() });
            connection.log.push(format!("refused: {error}"));
            opened.refuse(error, &mut connection.out);
        }
    }

    fn bind(&mut self, conn: ConnId, connection: &mut Connection, proved: Proved) {
        let claim = claim(proved.is_subdomain(), proved.domain());
        match self.router.bind(conn, claim, Arc::clone(&self.terms)) {
            Ok(bound) => {
                for old in bound.replaced {
                    self.replace(old);
                }
                let stream = proved.bind(self.now, self.terms.check_from, &mut connection.out);
                connection.phase = Phase::Open(Box::new(stream));
                connection.log.push("bound".into());
            }
            Err(conflict) => {
                let cause = match conflict {
                    Conflict::HostOfOurs(name) => Cause::OwnHost { domain: name.as_str().into() },
                    Conflict::Taken { name, .. } => Cause::DomainTaken { domain: name.as_str().into() },
                    Conflict::AlreadyBound(_) => Cause::Other("bound twice"),
                };
                let error = StreamError::new(cause);
                connection.log.push(format!("refused: {error}"));
                proved.refuse(error, &mut connection.out);
            }
        }
    }

    fn replace(&mut self, old: ConnId) {
        let Some(connection) = self.connections.get_mut(&old) else { return };
        if let Phase::Open(mut stream) = mem::replace(&mut connection.phase, Phase::Ended) {
            stream.fail(Cause::Replaced.into(), &mut connection.out);
        }
    }

    fn open_step(
        &mut self,
        conn: ConnId,
        connection: &mut Connection,
        stream: &mut ServerStream,
        input: &[u8],
    ) -> (usize, bool) {
        let before = connection.out.len();
        let step = match stream.process(self.now, input, &mut connection.out) {
            Ok(step) => step,
            Err(error) => {
                connection.log.push(format!("failed: {error}"));
                return (0, false);
            }
        };
        let more = step.event.is_some();
        match step.event {
            None => {}
            Some(Event::Stanza(stanza)) => self.route(conn, connection, stream, &stanza),
            Some(Event::Refused(refused)) => {
                connection.log.push(format!("refused, answered {}: {}", refused.answered, refused.reason));
            }
            Some(Event::Closed) => connection.log.push("closed".into()),
            Some(other) => panic!("an event that these tests do not know: {other:?}"),
        }
        if connection.out.len() > before {
            stream.wrote(self.now);
        }
        (step.consumed, more)
    }

    fn route(
        &mut self,
        conn: ConnId,
        connection: &mut Connection,
        stream: &mut ServerStream,
        stanza: &Stanza<'_>,
    ) {
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            panic!("a server's stream gives stanzas with both addresses");
        };
        // Of any other component the stream has checked it.
        let is_prefix = stream.is_subdomain() && self.terms.check_from;
        if is_prefix && !self.router.speaks_for(conn, from.domain()) {
            let refused = stream.refuse_sender(stanza, &mut connection.out);
            connection.log.push(format!("refused, answered {}: {}", refused.answered, refused.reason));
            return;
        }
        let error = match self.router.route(from, to) {
            Route::Deliver(receiver) => return self.deliver(conn, connection, receiver, stanza),
            Route::Host if stanza.kind() == Kind::Presence => {
                return connection.log.push("dropped: presence to a host".into());
            }
            Route::Host => {
                StanzaError::new(StanzaCondition::ServiceUnavailable, ErrorType::Cancel, "no such service")
            }
            Route::Refused => StanzaError::access_denied(to.domain()),
            Route::Away => StanzaError::component_away(to.domain()),
            Route::Unknown => StanzaError::no_such_domain(to.domain()),
        };
        let answered = stream.answer(stanza, &error, &mut connection.out);
        connection.log.push(format!("bounced, answered {answered}: {error}"));
    }

    fn deliver(&mut self, conn: ConnId, connection: &mut Connection, receiver: ConnId, stanza: &Stanza<'_>) {
        let mut bytes = Vec::new();
        stanza.append_to(&mut bytes);
        connection.log.push(format!("delivered: {}", String::from_utf8_lossy(&bytes)));
        if receiver == conn {
            connection.out.extend_from_slice(&bytes);
        } else if let Some(other) = self.connections.get_mut(&receiver) {
            other.out.extend_from_slice(&bytes);
            if let Phase::Open(stream) = &mut other.phase {
                stream.wrote(self.now);
            }
        }
    }

    fn next_timeout(&self) -> Option<(Instant, ConnId)> {
        let timeout = |(conn, connection): (&ConnId, &Connection)| {
            let at = match &connection.phase {
                Phase::Opening(acceptor) => Some(acceptor.poll_timeout()),
                Phase::Shaking(shaking) => Some(shaking.poll_timeout()),
                Phase::Open(stream) => stream.poll_timeout(),
                Phase::Ended => None,
            };
            at.map(|at| (at, *conn))
        };
        self.connections.iter().filter_map(timeout).min()
    }

    fn time_out(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let out = &mut connection.out;
        let result = match &mut connection.phase {
            Phase::Opening(acceptor) => acceptor.handle_timeout(self.now, out),
            Phase::Shaking(shaking) => shaking.handle_timeout(self.now, out),
            Phase::Open(stream) => stream.handle_timeout(self.now, out),
            Phase::Ended => Ok(()),
        };
        if let Err(error) = result {
            connection.log.push(format!("failed: {error}"));
            connection.phase = Phase::Ended;
            self.router.unbind(conn);
        }
    }
}

fn claim(is_subdomain: bool, name: &Domain) -> Claim {
    if is_subdomain { Claim::Prefix(name.clone()) } else { Claim::Domain(name.clone()) }
}

/// A domain that a test wrote.
#[must_use]
pub fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("tests write domains that are some")
}

/// An address that a test wrote.
#[must_use]
pub fn jid(text: &str) -> Jid<'_> {
    Jid::parse(text).expect("tests write addresses that are some")
}
