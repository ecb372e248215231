//! A whole server in one thread: the connection that is fed, and a receiver that takes everything.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::{Budget, Connection, ConnectionEvent, Next};
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{Access, BindPolicy};
use enjamb_core::switch::{ListenerConfig, LocalSwitch, Metric, Switch, SwitchConfig};
use enjamb_core::{Instant, Now, Secret, StreamId};

use crate::connection::{HANDSHAKE, limits};

/// The name that everything is delivered to.
const RECEIVER: &str = "receiver.example";

/// What can be seen of a session from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Written to the component.
    pub(crate) out: String,
    /// Written to the receiver.
    received: String,
    /// How the connection ended, if it has.
    closed: Option<String>,
    metrics: Vec<u64>,
}

/// One connection on a switch of its own.
pub(crate) struct Served {
    switch: LocalSwitch,
    connection: Connection<LocalSwitch>,
    receiver: Connection<LocalSwitch>,
    input: Vec<u8>,
    out: Vec<u8>,
    received: Vec<u8>,
    now: Now,
    closed: Option<String>,
}

impl Served {
    pub(crate) fn new() -> Self {
        let host = Domain::parse("localhost").expect("it is a domain");
        let switch = LocalSwitch::new(SwitchConfig::new([host]));
        let now = Now { monotonic: Instant::ORIGIN, unix: Duration::ZERO };
        let mut receiver = Connection::new(&switch, Arc::new(listener()), id(), now);
        let header = format!(
            "<stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{RECEIVER}'>"
        );
        let opening = [header.as_bytes(), HANDSHAKE].concat();
        let progress = receiver.process(&switch, now, &opening, &mut Budget::default());
        assert_eq!(progress.consumed, opening.len());
        receiver.write_to(&switch, now, &mut Vec::new());
        // Nothing is delivered to the component itself: when that comes back depends on the reads.
        let mut closed = listener();
        let nobody = |_: &Jid<'_>, _: bool| false;
        closed.policy =
            Arc::new(BindPolicy { access: Access::Rule(Arc::new(nobody)), ..BindPolicy::default() });
        let connection = Connection::new(&switch, Arc::new(closed), id(), now);
        let (input, out, received) = (Vec::new(), Vec::new(), Vec::new());
        Self { switch, connection, receiver, input, out, received, now, closed: None }
    }

    /// Gives it a piece more, and lets everything happen that has a cause.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        loop {
            let Self { switch, connection, input, .. } = self;
            let progress = connection.process(switch, self.now, input, &mut Budget::default());
            input.drain(..progress.consumed);
            let wrote = self.connection.write_to(&self.switch, self.now, &mut self.out);
            self.receiver.write_to(&self.switch, self.now, &mut self.received);
            if progress.consumed == 0 && progress.next != Next::More && !wrote {
                break;
            }
        }
        while let Some(event) = self.connection.poll_event() {
            if let ConnectionEvent::Closed { reason, unsent, .. } = event {
                self.closed = Some(format!("{reason}, {unsent} unsent"));
            }
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Seen {
            out: text(&self.out),
            received: text(&self.received),
            closed: self.closed.clone(),
            metrics: Metric::ALL.iter().map(|metric| self.switch.metrics().get(*metric)).collect(),
        }
    }
}

fn id() -> StreamId {
    StreamId::from_text("3BF96D32").expect("letters and digits")
}

fn listener() -> ListenerConfig {
    let mut listener = ListenerConfig::new(Secret::new("test"));
    listener.limits = Arc::new(limits());
    listener
}
