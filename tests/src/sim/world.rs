//! A server's connections and their peers, ready to play with.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::StreamId;
use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::host::HostInfo;
use enjamb_core::jid::Domain;
use enjamb_core::port::PortConfig;
use enjamb_core::router::AttachError;
use enjamb_core::switch::{ListenerConfig, Metric, Switch, SwitchConfig};
use enjamb_runtime::{Component, ComponentSettings, ServerConnection, SharedSwitch};
use sha1::{Digest, Sha1};

use super::clock::SimTimer;
use super::executor::{Executor, TaskId};
use super::peer::Peer;
use super::port::Port;
use super::random::Random;
use super::wire::{SimTransport, Wire};

/// The secret of every listener here.
pub const SECRET: &str = "s3cr3t";

/// A switch for these hosts.
///
/// # Panics
/// One is no domain.
#[must_use]
pub fn switch(hosts: &[&str]) -> Arc<SharedSwitch> {
    let hosts = hosts.iter().map(|host| Domain::parse(host).expect("a domain"));
    let mut config = SwitchConfig::new(hosts);
    config.info = HostInfo::new("simulated", "1");
    Arc::new(SharedSwitch::new(config))
}

/// A component's header; `more` are attributes.
#[must_use]
pub fn header(to: &str, more: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{to}' {more}>"
    )
}

/// The handshake for this stream id.
#[must_use]
pub fn handshake(id: &str) -> String {
    let digest = Sha1::digest(format!("{id}{SECRET}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("<handshake>{hex}</handshake>")
}

/// A server's connection and the scripted peer at its other end.
#[derive(Clone)]
pub struct Link {
    /// The other end.
    pub peer: Peer,
    /// The server's task.
    pub task: TaskId,
    /// What the server logged of it.
    pub notices: Rc<RefCell<Vec<ConnectionEvent>>>,
}

impl Link {
    /// How the connection ended, and how many stanzas were not sent.
    ///
    /// # Panics
    /// It ended twice.
    #[must_use]
    pub fn end(&self) -> Option<(CloseReason, u64)> {
        let notices = self.notices.borrow();
        let mut ends = notices.iter().filter_map(|notice| match notice {
            ConnectionEvent::Closed { reason: end, unsent, .. } => Some((end.clone(), *unsent)),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "a connection ends once");
        end
    }
}

/// Everything that one test plays with.
pub struct World {
    executor: Executor,
    /// Chance, for the test's own use, too.
    pub random: Random,
    /// What the next connections are like.
    pub wire: Wire,
    /// Where the server's connections meet.
    pub switch: Arc<SharedSwitch>,
    /// What the next connections come to.
    pub listener: ListenerConfig,
    ids: u128,
}

impl World {
    /// A world in which chance follows this seed.
    #[must_use]
    pub fn new(seed: u64, hosts: &[&str]) -> Self {
        let mut random = Random::new(seed);
        let mut executor = Executor::new(random.fork());
        let switch = switch(hosts);
        let (timed, timer) = (Arc::clone(&switch), SimTimer::new(&executor.clock, Wire::default().late));
        executor.spawn(async move { match timed.keep_time(timer).await {} });
        Self {
            executor,
            random,
            wire: Wire::default(),
            switch,
            listener: ListenerConfig::new(enjamb_core::Secret::new(SECRET)),
            ids: 0,
        }
    }

    /// Tasks run in any order, and for nothing after one in `n` polls.
    ///
    /// # Panics
    /// `n` is below 2: it would never end.
    pub fn be_restless(&mut self, n: usize) {
        assert!(n > 1, "every poll would make another");
        self.executor.restless = Some(n);
    }

    /// The time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.executor.clock.now()
    }

    /// Lets this much time pass.
    pub fn run(&mut self, span: Duration) {
        self.executor.run_until(self.now() + span);
    }

    /// Lets milliseconds pass.
    pub fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// Takes at most this many steps at this instant: a task is polled, or what is due happens.
    pub fn step(&mut self, steps: usize) {
        for _ in 0..steps {
            if !self.executor.step_now() {
                return;
            }
        }
    }

    /// Runs a task of the test's own.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> TaskId {
        self.executor.spawn(future)
    }

    /// Drops a task where it is.
    pub fn cancel(&mut self, task: TaskId) -> bool {
        self.executor.cancel(task)
    }

    /// The task has not ended.
    #[must_use]
    pub fn is_running(&self, task: TaskId) -> bool {
        self.executor.is_running(task)
    }

    /// How often a task was polled; 0 once it has ended.
    #[must_use]
    pub fn polls(&self, task: TaskId) -> u64 {
        self.executor.polls(task)
    }

    /// The server's end of a connection, and the other end.
    fn serve(&mut self) -> (SimTransport, TaskId, Rc<RefCell<Vec<ConnectionEvent>>>) {
        let clock = Rc::clone(&self.executor.clock);
        let (ours, theirs) = SimTransport::pair(&clock, &self.wire, &mut self.random);
        self.ids += 1;
        let id = StreamId::from_random(self.ids << 64 | u128::from(self.random.number()));
        let timer = SimTimer::new(&clock, self.wire.late);
        let listener = Arc::new(self.listener.clone());
        let mut connection = ServerConnection::new(Arc::clone(&self.switch), listener, id, ours, timer);
        let notices = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&notices);
        let task = self.executor.spawn(async move {
            while let Some(notice) = connection.next_event().await {
                log.borrow_mut().push(notice);
            }
        });
        (theirs, task, notices)
    }

    /// A connection with a scripted peer that has said nothing yet.
    pub fn link(&mut self) -> Link {
        let (theirs, task, notices) = self.serve();
        let (peer, moves) = Peer::new(theirs, &self.executor.clock);
        self.executor.spawn(moves);
        Link { peer, task, notices }
    }

    /// A connection on which a component has opened the stream and proved the secret; `more` are attributes of
    /// its header. No time passes but the wire's.
    ///
    /// # Panics
    /// The server does not answer.
    pub fn prove(&mut self, domain: &str, more: &str) -> Link {
        let link = self.link();
        link.peer.send(header(domain, more));
        self.wait(|| link.peer.text().ends_with('>'));
        link.peer.send(handshake(&link.peer.stream().id));
        self.wait(|| link.peer.text().contains("<handshake/>") || link.peer.is_over());
        link
    }

    /// A connection that is bound.
    ///
    /// # Panics
    /// The server does not accept it.
    pub fn bind(&mut self, domain: &str) -> Link {
        let link = self.prove(domain, "");
        assert!(link.peer.text().contains("<handshake/>"), "refused: {}", link.peer.text());
        link
    }

    fn wait(&mut self, done: impl Fn() -> bool) {
        for _ in 0..4000 {
            if done() {
                return;
            }
            self.run_ms(1);
        }
        panic!("nothing came of it in 4 s");
    }

    /// A connection of the project's own component: its handle, its task, and the server's side.
    ///
    /// # Panics
    /// The domain is not a domain name.
    pub fn component(&mut self, domain: &str) -> (Component, TaskId, TaskId) {
        let domain = Domain::parse(domain).expect("a domain");
        let settings = ComponentSettings::new(domain, enjamb_core::Secret::new(SECRET));
        let (theirs, server, _) = self.serve();
        let timer = SimTimer::new(&self.executor.clock, self.wire.late);
        let (component, connection) = Component::connect(settings, theirs, timer);
        let client = self.executor.spawn(connection.run());
        (component, client, server)
    }

    /// A local port. It visits what waits for it, and writes while it does; or it takes batches, and sends.
    ///
    /// # Errors
    /// Another port holds what it is to hold.
    pub fn port(&mut self, config: PortConfig, visits: bool) -> Result<Port, AttachError> {
        let (port, moves) = Port::attach(&self.switch, config, visits, &self.executor.clock)?;
        self.executor.spawn(moves);
        Ok(port)
    }

    /// A component whose server is a script.
    ///
    /// # Panics
    /// The domain is not a domain name.
    pub fn component_alone(&mut self, settings: ComponentSettings) -> (Component, TaskId, Peer) {
        let clock = Rc::clone(&self.executor.clock);
        let (ours, theirs) = SimTransport::pair(&clock, &self.wire, &mut self.random);
        let timer = SimTimer::new(&clock, self.wire.late);
        let (component, connection) = Component::connect(settings, ours, timer);
        let client = self.executor.spawn(connection.run());
        let (peer, moves) = Peer::new(theirs, &clock);
        self.executor.spawn(moves);
        (component, client, peer)
    }

    /// A counter of the switch.
    #[must_use]
    pub fn count(&self, count: Metric) -> u64 {
        self.switch.metrics().get(count)
    }

    /// All the stanzas that were taken from components, however they ended.
    #[must_use]
    pub fn taken(&self) -> u64 {
        [
            Metric::Routed,
            Metric::Answered,
            Metric::Bounced,
            Metric::Rejected,
            Metric::DroppedRejected,
            Metric::DroppedUndeliverable,
            Metric::DroppedByHost,
            Metric::LateAnswers,
        ]
        .into_iter()
        .map(|count| self.count(count))
        .sum()
    }

    /// Delivered stanzas that were never sent.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        [Metric::UnsentBounced, Metric::UnsentDropped, Metric::UnsentReplaced]
            .into_iter()
            .map(|count| self.count(count))
            .sum()
    }
}
