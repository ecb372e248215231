//! A switch, with components and scripted peers.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::jid::Domain;
use enjamb_core::switch::ListenerConfig;
use enjamb_core::{Limits, Secret, Stanza, StreamId};
use enjamb_runtime::{
    Component, ComponentConnection, ComponentSettings, ConnectError, ServerConnection, SharedSwitch,
    Transport,
};

use super::runtime::{Late, Log, Runtime};
use crate::sim::{SECRET, handshake, header, switch};

/// Where a script plays.
pub(super) struct Stage<R: Runtime> {
    pub(super) runtime: R,
    pub(super) switch: Arc<SharedSwitch>,
    pub(super) listener: ListenerConfig,
    /// How late the next connections' alarms are.
    pub(super) late: Duration,
    connections: u32,
}

/// A connection as the drive loop has it, in this runtime's tasks.
pub(super) type Driven<R> = ComponentConnection<<R as Runtime>::Stream, Late<<R as Runtime>::Timer>>;

impl<R: Runtime> Stage<R> {
    pub(super) fn new(runtime: R) -> Self {
        let listener = ListenerConfig::new(Secret::new(SECRET));
        Self { runtime, switch: switch(&["host.example"]), listener, late: Duration::ZERO, connections: 0 }
    }

    pub(super) fn timer(&self) -> Late<R::Timer> {
        Late(self.runtime.timer(), self.late)
    }

    /// The other end of a connection that the server has accepted, and what it logs of it.
    pub(super) async fn accept(&mut self) -> (R::Stream, Log) {
        let (theirs, ours) = self.runtime.pair().await;
        self.connections += 1;
        let id = StreamId::from_text(&format!("stream{}", self.connections)).expect("letters and digits");
        let (switch, listener) = (Arc::clone(&self.switch), Arc::new(self.listener.clone()));
        let connection = ServerConnection::new(switch, listener, id, ours, self.timer());
        let log = Log::default();
        self.runtime.spawn_server(connection, Arc::clone(&log));
        (theirs, log)
    }

    /// A component that nobody drives yet.
    pub(super) async fn undriven(&mut self, domain: &str) -> (Component, Driven<R>, Log) {
        let (stream, log) = self.accept().await;
        let (component, connection) = Component::connect(settings(domain), stream, self.timer());
        (component, connection, log)
    }

    /// A component that the server has accepted, and what the server logs of it.
    pub(super) async fn component(&mut self, domain: &str) -> (Component, Log) {
        let (component, connection, log) = self.undriven(domain).await;
        self.runtime.spawn_component(connection);
        component.established().await.expect("the name is free");
        (component, log)
    }

    /// A component that the server may refuse.
    pub(super) async fn try_component(&mut self, domain: &str) -> Result<Component, ConnectError> {
        let (component, connection, _) = self.undriven(domain).await;
        self.runtime.spawn_component(connection);
        component.established().await.map_err(ConnectError::Refused)?;
        Ok(component)
    }

    /// A scripted peer that the server has accepted.
    pub(super) async fn peer(&mut self, domain: &str) -> (Peer<R::Stream>, Log) {
        let (stream, log) = self.accept().await;
        let mut peer = Peer::of(stream);
        peer.write(&header(domain, "")).await;
        peer.read_until("' id='").await;
        while !peer.text().ends_with('>') {
            peer.read().await;
        }
        peer.write(&handshake(&format!("stream{}", self.connections))).await;
        peer.read_until("<handshake/>").await;
        (peer, log)
    }

    /// Waits until the server has logged a connection's end, and gives it with how many stanzas were not sent.
    pub(super) async fn end_of(&self, log: &Log) -> String {
        loop {
            let ended =
                log.lock().expect("nobody panics while holding it").iter().find_map(|notice| match notice {
                    ConnectionEvent::Closed { reason: end, unsent, .. } => {
                        Some(format!("{}, {unsent} unsent", kind_of(end)))
                    }
                    _ => None,
                });
            match ended {
                Some(ended) => return ended,
                None => self.runtime.sleep(Duration::from_millis(2)).await,
            }
        }
    }
}

pub(super) fn settings(domain: &str) -> ComponentSettings {
    let mut settings = ComponentSettings::new(Domain::parse(domain).expect("a domain"), Secret::new(SECRET));
    settings.limits = Arc::new(quick_limits());
    settings
}

/// Those of a script that should not take seconds to end.
pub(super) fn quick_limits() -> Limits {
    let mut limits = Limits::default();
    limits.linger = Duration::from_millis(200);
    limits
}

/// An end, in words that are the same whatever broke it.
pub(super) fn kind_of(end: &CloseReason) -> String {
    match end {
        CloseReason::ByPeer => "by peer".into(),
        CloseReason::ByUs => "by us".into(),
        CloseReason::Error(error) => error.condition.to_string(),
        _ => "broken".into(),
    }
}

/// Who a stanza is from, and what is in it; of an error the condition.
pub(super) fn shown(stanza: &Stanza<'_>) -> String {
    let from = stanza.from().map_or("nobody", |from| from.as_str());
    let content = String::from_utf8_lossy(stanza.content()).into_owned();
    if stanza.stanza_type().as_deref() != Some("error") {
        return format!("{from}: {content}");
    }
    let error = content.split_once("<error").and_then(|(_, error)| error.split_once("><")).expect("an error");
    let condition = error.1.split([' ', '/', '>']).next().unwrap_or_default();
    format!("{from}: error {condition} to {}", stanza.id().unwrap_or_default())
}

/// A component that says what it is told, byte by byte, over a runtime's stream.
pub(super) struct Peer<T> {
    stream: T,
    received: Vec<u8>,
}

impl<T: Transport> Peer<T> {
    /// One that has said nothing yet.
    pub(super) fn of(stream: T) -> Self {
        Self { stream, received: Vec::new() }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Writes all of it.
    pub(super) async fn write(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let n = std::future::poll_fn(|cx| self.stream.poll_write(cx, rest)).await.expect("it is open");
            rest = &rest[n..];
        }
    }

    /// Shuts the sending side.
    pub(super) async fn shut(&mut self) {
        std::future::poll_fn(|cx| self.stream.poll_shutdown(cx)).await.expect("it is open");
    }

    /// Reads once; false at the end.
    pub(super) async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = std::future::poll_fn(|cx| self.stream.poll_read(cx, &mut buffer)).await;
        let n = read.expect("the server resets nothing");
        self.received.extend_from_slice(&buffer[..n]);
        n > 0
    }

    /// Reads until this has come.
    pub(super) async fn read_until(&mut self, what: &str) {
        while !self.text().contains(what) {
            assert!(self.read().await, "{what} did not come: {}", self.text());
        }
    }

    /// Reads to the end, and shows what came behind the handshake.
    pub(super) async fn rest(&mut self) -> String {
        while self.read().await {}
        let text = self.text();
        text.split_once("<handshake/>").map_or(text.clone(), |(_, rest)| rest.trim().into())
    }
}
