//! An uplink: our own stream, as a component, to another XMPP server (XEP-0114, the component's side).
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`Uplink`]: what to call, and when |
//! | `link` | how a stream begins, is closed and ends |
//! | `stream` | one stream: what the server sends, and what is for it |
//! | `config` | [`UplinkConfig`] |
//! | `retry` | when it connects again |
//! | `gate` | [`Gate`]: how many attempts all uplinks to one server make |
//! | `presence` | users whom the component saw available |
//! | `event` | [`UplinkEvent`] |
//!
//! With a runtime, use `uplink` of `enjamb-runtime`, which resolves the address, connects and drives this.

mod config;
mod event;
mod gate;
mod link;
mod presence;
mod retry;
mod stream;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

pub use config::{ConnectWhen, UplinkConfig};
use event::Events;
pub use event::UplinkEvent;
pub use gate::{Attempted, Gate};
use presence::Presences;
use retry::Retry;
pub use retry::Trouble;
use stream::{IDLE, Stream, Surroundings};

use crate::connection::{Budget, ClientConnection, Next, Progress, Transmit, Written};
use crate::router::{AttachError, PortId};
use crate::switch::{Metric, Switch, Unsent, attach_uplink, detach_uplink};
use crate::time::{Instant, Now};

/// An uplink of a switch: the default route of one domain, with a stream to another server behind it.
///
/// The port outlives its streams. While there is none, stanzas for the server are held or bounced. Its driver calls
///
/// | when | what |
/// | --- | --- |
/// | there is no connection: the switch woke it, or the time has come | [`poll`](Self::poll) |
/// | it says [`UplinkState::Connect`] | [`connected`](Self::connected) or [`failed`](Self::failed) |
/// | there is a connection | the methods that a [`Connection`](crate::connection::Connection) has, too, until [`poll_output`](Self::poll_output) gives [`Transmit::Done`] |
/// | the connection is dropped before | [`handle_error`](Self::handle_error) |
/// | at any time | [`poll_event`](Self::poll_event) |
/// | it ends | [`detach`](Self::detach) |
///
/// All calls take the switch that it was attached to, and times of one clock that never runs backwards.
pub struct Uplink<S: Switch> {
    port: S::Port,
    config: Box<UplinkConfig>,
    stream: Option<Box<Stream<S>>>,
    retry: Retry,
    /// The port that holds the domain, in this epoch of the switch.
    holder: Option<PortId>,
    epoch: u64,
    /// Since when no port does, and how long the stream stays after that.
    vacant_since: Option<Instant>,
    linger: Duration,
    /// Nothing is held for the component any more, and the stream is about to be closed: when to look again.
    closing_at: Option<Instant>,
    /// Stanzas for the server that were not sent, and are not held.
    left: Vec<Unsent>,
    /// Users whom the component saw available. Boxed, as most uplinks note none.
    presences: Option<Box<Presences>>,
    /// Since when there is no stream.
    away_since: Option<Instant>,
    events: Events,
    random: u64,
    is_over: bool,
}

/// What an uplink without a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UplinkState {
    /// To be woken by the switch, or for this time.
    Waiting {
        /// That time, if there is any.
        until: Option<Instant>,
    },
    /// A connection to the server: make one.
    Connect,
    /// It has one.
    Connected,
    /// Nothing: the switch has ended it. Detach it.
    Ended,
}

/// Unsent stanzas, and users who are not available any more, that are dealt with at once.
const SHARE: usize = 64;
/// While an uplink is about to be closed, how often it looks whether everything is answered.
const CLOSING: Duration = Duration::from_millis(100);
/// How long the server is away at least before its users are not available any more.
const PRESENCE: Duration = Duration::from_secs(10);

impl<S: Switch> Uplink<S> {
    /// Makes an uplink, which is the default route of its domain from now on. `seed` is random, for delays and ids.
    ///
    /// # Errors
    /// Another port is that default route, or the switch is shutting down.
    pub fn attach(switch: &S, config: UplinkConfig, seed: u64, now: Now) -> Result<Self, AttachError> {
        let (role, hold) = (config.role(), config.hold_terms());
        let port = attach_uplink(switch, role, config.listener(), hold, now.monotonic)?;
        Ok(Self {
            port,
            config: Box::new(config),
            stream: None,
            retry: Retry::default(),
            holder: None,
            epoch: 0,
            vacant_since: None,
            linger: Duration::ZERO,
            closing_at: None,
            left: Vec::new(),
            presences: None,
            away_since: None,
            events: Events::default(),
            random: seed,
            is_over: false,
        })
    }

    /// The uplink's port on the switch.
    #[must_use]
    pub fn id(&self) -> PortId {
        self.port.as_ref().id
    }

    /// The same, as the switch refers to it.
    #[must_use]
    pub fn port(&self) -> &S::Port {
        &self.port
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &UplinkConfig {
        &self.config
    }

    /// Whether nobody needs it now: its domain has no holder, it has no connection, and the next attempt need not wait.
    #[must_use]
    pub fn is_idle(&self, now: Now) -> bool {
        let is_free = self.retry.at().is_none_or(|at| at <= now.monotonic);
        self.holder.is_none() && self.stream.is_none() && self.left.is_empty() && is_free
    }

    /// Looks what has changed while there is no connection, and says what is next.
    pub fn poll(&mut self, switch: &S, now: Now) -> UplinkState {
        if self.stream.is_some() {
            return UplinkState::Connected;
        }
        self.look(switch, now);
        self.bounce(switch, now);
        self.end_presences(switch, now);
        if !self.left.is_empty() {
            return UplinkState::Waiting { until: Some(now.monotonic) };
        }
        if self.is_over {
            return UplinkState::Ended;
        }
        let presences_at = self.presences_at();
        if presences_at.is_some_and(|at| at <= now.monotonic) {
            return UplinkState::Waiting { until: Some(now.monotonic) };
        }
        let retry_at = self.retry.at().filter(|at| now.monotonic < *at);
        let is_needed = self.holder.is_some() || self.config.connect == ConnectWhen::Always;
        if is_needed && retry_at.is_none() {
            return UplinkState::Connect;
        }
        // One that nobody needs is idle once it need not wait.
        UplinkState::Waiting { until: [retry_at, presences_at].into_iter().flatten().min() }
    }

    /// A connection to the server is there: begins a stream on it.
    pub fn connected(&mut self, now: Now) {
        let UplinkConfig { domain, secret, limits, .. } = &*self.config;
        let mut connection =
            ClientConnection::new(domain.clone(), false, secret.clone(), Arc::clone(limits), now);
        connection.skip_long();
        self.stream = Some(Box::new(Stream::new(connection)));
    }

    /// No connection could be made, for this reason.
    pub fn failed(&mut self, now: Now, words: String) {
        let random = self.next_random();
        self.retry.note(now.monotonic, Trouble::Away, None, random);
        self.events.push(UplinkEvent::Unreachable { words, retry_at: self.retry.at() });
    }

    /// Makes the next attempt at once, whatever happened before. Wake its driver.
    pub fn retry_now(&mut self) {
        self.retry.reset();
    }

    /// See [`Connection::process`](crate::connection::Connection::process).
    #[must_use = "it says how many bytes to drop from the input"]
    pub fn process(&mut self, switch: &S, now: Now, input: &[u8], budget: &mut Budget) -> Progress {
        let Self { port, config, events, holder, presences, .. } = self;
        let Some(stream) = &mut self.stream else {
            return Progress { consumed: input.len(), next: Next::Input };
        };
        let domain = &config.domain;
        let is_noted = config.end_presence && holder.is_some();
        let presences = is_noted.then(|| &mut **presences.get_or_insert_default());
        let around = Surroundings { switch, port, domain, now, events, presences };
        let progress = stream.process(around, input, budget);
        if progress.next == Next::Input {
            stream.count_partial(switch, port, now, input.len() - progress.consumed);
        }
        self.publish(switch, now);
        progress
    }

    /// See [`Connection::poll_output`](crate::connection::Connection::poll_output).
    pub fn poll_output(&mut self, switch: &S, now: Now) -> Transmit<'_> {
        self.look(switch, now);
        self.go_on_closing(switch, now);
        self.publish(switch, now);
        if self.stream.as_ref().is_some_and(|stream| stream.connection.poll_output() == Transmit::Done) {
            self.drop_stream(switch);
        }
        self.stream.as_ref().map_or(Transmit::Done, |stream| stream.connection.poll_output())
    }

    /// See [`Connection::wrote`](crate::connection::Connection::wrote).
    pub fn wrote(&mut self, switch: &S, now: Now, written: Written) {
        let Some(stream) = &mut self.stream else { return };
        let delivered = stream.connection.note_written(now, written);
        stream.idle_at = Some(now.monotonic + IDLE);
        switch.metrics().add(Metric::Delivered, delivered.into());
        let is_full = written == Written::Full;
        if is_full || !stream.connection.is_open() {
            let output = stream.connection.output();
            switch.queue(&self.port, |queue| queue.note_in_flight(output, is_full));
        }
        self.publish(switch, now);
    }

    /// See [`Connection::write_to`](crate::connection::Connection::write_to).
    pub fn write_to(&mut self, switch: &S, now: Now, out: &mut Vec<u8>) -> bool {
        let mut worked = false;
        loop {
            let written = match self.poll_output(switch, now) {
                Transmit::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    Written::Bytes(bytes.len())
                }
                Transmit::Shutdown => Written::Shut,
                Transmit::Nothing | Transmit::Done => return worked,
            };
            self.wrote(switch, now, written);
            worked = true;
        }
    }

    /// See [`Connection::read_budget`](crate::connection::Connection::read_budget).
    pub fn read_budget(&mut self, now: Now) -> usize {
        self.stream.as_mut().map_or(0, |stream| stream.connection.read_budget(now))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all. While a connection is being made, it is when to call
    /// [`poll`](Self::poll) again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let presences_at = self.presences_at();
        let Some(stream) = &self.stream else { return presences_at };
        if !self.left.is_empty() {
            return Some(Instant::ORIGIN);
        }
        let retry_at = stream.retry_at.filter(|_| stream.connection.waits_for_room());
        let close_at = self
            .closing_at
            .or_else(|| self.close_at())
            .filter(|_| stream.connection.is_open() && !stream.connection.is_closing());
        let stream_at = stream.connection.poll_timeout();
        [stream_at, retry_at, close_at, stream.idle_at, presences_at].into_iter().flatten().min()
    }

    /// Does what is due: a keepalive, a ping, the end of a stream that is late or that nobody needs.
    pub fn handle_timeout(&mut self, switch: &S, now: Now) {
        self.bounce(switch, now);
        if let Some(stream) = &mut self.stream {
            stream.connection.handle_timeout(now);
            if stream.idle_at.is_some_and(|at| at <= now.monotonic) {
                stream.release(switch, &self.port);
            }
        }
        self.look(switch, now);
        self.end_presences(switch, now);
        self.go_on_closing(switch, now);
        self.publish(switch, now);
    }

    /// The input has ended.
    pub fn handle_eof(&mut self, switch: &S, now: Now) {
        if let Some(stream) = &mut self.stream {
            stream.connection.handle_eof(now);
        }
        self.publish(switch, now);
    }

    /// The transport broke, in the operating system's `words`, or is about to be dropped.
    pub fn handle_error(&mut self, switch: &S, now: Now, words: String) {
        if let Some(stream) = &mut self.stream {
            stream.connection.handle_error(now, words);
        }
        self.publish(switch, now);
        self.drop_stream(switch);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<UplinkEvent> {
        self.events.take()
    }

    /// Gives up the default route. A stream that is there ends at once, and what was for the server is answered.
    pub fn detach(mut self, switch: &S, now: Now) {
        self.handle_error(switch, now, String::from("the uplink is given up"));
        while !self.left.is_empty() {
            self.bounce(switch, now);
        }
        detach_uplink(switch, &self.port, now.monotonic);
    }

    /// Random bits (splitmix64).
    fn next_random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}
