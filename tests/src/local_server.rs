//! A server without sockets: the core's connections on a switch for one thread, fed with bytes and with the time.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::{Budget, Connection, ConnectionEvent, Next};
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::PortId;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, Metric, Switch, SwitchConfig};
use enjamb_core::{Instant, Now, Secret, StreamId};

/// The wall clock's time when a server begins: 2026-11-22T18:00:00Z.
pub const BEGIN: Duration = Duration::from_secs(1_795_370_400);

/// The server; set the listener before the first connection is made.
pub struct LocalServer {
    /// Who is bound to what.
    pub switch: LocalSwitch,
    /// What every connection comes to.
    pub listener: ListenerConfig,
    now: Instant,
    links: BTreeMap<PortId, Link>,
}

struct Link {
    connection: Connection<LocalSwitch>,
    input: Vec<u8>,
    out: Vec<u8>,
    events: Vec<ConnectionEvent>,
}

impl LocalServer {
    /// A server of these hosts.
    #[must_use]
    pub fn new(hosts: &[&str], secret: &str) -> Self {
        Self {
            switch: LocalSwitch::new(SwitchConfig::new(hosts.iter().map(|host| domain(host)))),
            listener: ListenerConfig::new(Secret::new(secret)),
            now: Instant::ORIGIN,
            links: BTreeMap::new(),
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { monotonic: self.now, unix: BEGIN + self.now.since_origin() }
    }

    /// A connection comes in, and is given this stream id.
    ///
    /// # Panics
    /// No stream may have that id.
    pub fn connect(&mut self, id: &str) -> PortId {
        let id = StreamId::from_text(id).expect("tests use ids that a stream may have");
        let connection = Connection::new(&self.switch, Arc::new(self.listener.clone()), id, self.now());
        let conn = connection.id();
        let link = Link { connection, input: Vec::new(), out: Vec::new(), events: Vec::new() };
        self.links.insert(conn, link);
        self.drive(conn);
        conn
    }

    /// A read on a connection gave these bytes.
    pub fn receive(&mut self, conn: PortId, bytes: &[u8]) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.input.extend_from_slice(bytes);
            self.drive(conn);
        }
    }

    /// The peer shut its side down.
    pub fn receive_eof(&mut self, conn: PortId) {
        let now = self.now();
        if let Some(link) = self.links.get_mut(&conn) {
            link.connection.handle_eof(&self.switch, now);
            self.drive(conn);
        }
    }

    /// Time passes; what falls due happens at its own time.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((at, conn)) = self.next_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now();
            match conn {
                Some(conn) => {
                    if let Some(link) = self.links.get_mut(&conn) {
                        link.connection.handle_timeout(&self.switch, now);
                    }
                    self.drive(conn);
                }
                None => {
                    self.switch.handle_timeout(now);
                    self.drive_woken();
                }
            }
        }
        self.now = end;
    }

    /// Ends all streams: the server stops.
    pub fn shut_down(&mut self) {
        self.switch.shut_down();
        self.drive_woken();
    }

    /// What was sent on a connection since the last call.
    pub fn take_out(&mut self, conn: PortId) -> Vec<u8> {
        self.links.get_mut(&conn).map(|link| mem::take(&mut link.out)).unwrap_or_default()
    }

    /// What happened on a connection so far.
    #[must_use]
    pub fn events(&self, conn: PortId) -> &[ConnectionEvent] {
        self.links.get(&conn).map_or(&[], |link| &link.events)
    }

    /// The stream is over, and the connection is to be closed.
    #[must_use]
    pub fn has_ended(&self, conn: PortId) -> bool {
        self.links.get(&conn).is_none_or(|link| link.connection.is_closed())
    }

    /// The stream is authenticated and lives.
    #[must_use]
    pub fn is_open(&self, conn: PortId) -> bool {
        let is_bound = |event: &ConnectionEvent| matches!(event, ConnectionEvent::Bound { .. });
        !self.has_ended(conn) && self.events(conn).iter().any(is_bound)
    }

    /// The counters, in the order of [`Metric::ALL`].
    #[must_use]
    pub fn metrics(&self) -> Vec<u64> {
        Metric::ALL.iter().map(|metric| self.switch.metrics().get(*metric)).collect()
    }

    /// Lets a connection do all that it can, and those that it left something for.
    fn drive(&mut self, conn: PortId) {
        self.drive_one(conn);
        self.drive_woken();
    }

    fn drive_woken(&mut self) {
        while let Some(conn) = self.switch.poll_wake() {
            self.drive_one(conn);
        }
    }

    fn drive_one(&mut self, conn: PortId) {
        let now = self.now();
        let Self { switch, links, .. } = self;
        let Some(link) = links.get_mut(&conn) else { return };
        loop {
            let Link { connection, input, out, .. } = link;
            connection.write_to(switch, now, out);
            let progress = connection.process(switch, now, input, &mut Budget::default());
            input.drain(..progress.consumed);
            if progress.next != Next::More {
                connection.write_to(switch, now, out);
                break;
            }
        }
        // As a driver asks before each read.
        link.connection.read_budget(now);
        link.events.extend(std::iter::from_fn(|| link.connection.poll_event()));
    }

    /// When something is due, and of which connection; `None`: of the switch.
    fn next_timeout(&self) -> Option<(Instant, Option<PortId>)> {
        let timeout = |(conn, link): (&PortId, &Link)| Some((link.connection.poll_timeout()?, Some(*conn)));
        let of_switch = self.switch.poll_timeout().map(|at| (at, None));
        self.links.iter().filter_map(timeout).chain(of_switch).min()
    }
}

/// A domain that a test wrote.
///
/// # Panics
/// It is not a domain.
#[must_use]
pub fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("tests write valid domains")
}

/// An address that a test wrote.
///
/// # Panics
/// It is not an address.
#[must_use]
pub fn jid(text: &str) -> Jid<'_> {
    Jid::parse(text).expect("tests write valid addresses")
}
