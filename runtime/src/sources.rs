//! Who connects from where, and how often they failed: limits by source address, on the time that is given.
//!
//! A source is an IPv4 address, or the /64 of an IPv6 address, which is what one subscriber has. Ask
//! [`SourceLimiter::enter`] right after a connection is accepted (behind the header of a proxy, if there is one), and
//! [`SourceLimiter::claim`] once its stream header says which name it wants. Failures count by source and name, so that a
//! component with a wrong secret locks out no other of its address. One that fails under ever new names uses up a budget of
//! the whole source. RFC 6120, section 13.12, and XEP-0205 ask for such limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU64;
use std::time::Duration;

use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::jid::Domain;
use enjamb_core::{Instant, StreamCondition, StreamErrorCause};

mod remembered;

use remembered::Remembered;

/// What one source may do. Start from [`SourceLimits::default`] and change what has to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceLimits {
    /// Connections at once, authenticated or not. 1,000: a host full of bots is one source.
    pub connections: u32,
    /// Of those, connections that are not authenticated yet. 64. (XEP-0205 counts connections by address.)
    pub unauthenticated: u32,
    /// Failures of one source under one name that cost nothing. 10.
    pub failures: u32,
    /// How long a source may not use a name after the first failure over [`failures`](Self::failures); each
    /// further one doubles it. 1 s.
    pub backoff: Duration,
    /// The maximum that it is doubled to. 5 minutes.
    pub backoff_max: Duration,
    /// How long after the end of its last back-off a name's failures are remembered, and how long a name that has proved
    /// its secret is let in whatever the others of its source do. 10 minutes.
    pub memory: Duration,
    /// Failures of one source under all names together. Over it, the source may use only names that have proved their
    /// secrets lately. 100.
    pub source_failures: u32,
    /// How long it takes until one of them is forgotten. 10 s.
    pub source_recovery: Duration,
    /// Sources without a connection whose failures are remembered; names with failures; names with a proof. 10,000 of
    /// each, less than 4 MiB; over it those that would be forgotten next are forgotten first.
    pub remembered: usize,
    /// Loopback addresses are let in without being counted. True.
    pub exempt_loopback: bool,
}

impl Default for SourceLimits {
    fn default() -> Self {
        Self {
            connections: 1000,
            unauthenticated: 64,
            failures: 10,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            memory: Duration::from_secs(600),
            source_failures: 100,
            source_recovery: Duration::from_secs(10),
            remembered: 10_000,
            exempt_loopback: true,
        }
    }
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The source has as many connections as it may.
    Connections {
        /// The limit.
        limit: u32,
    },
    /// The source has as many connections that are not authenticated as it may.
    Unauthenticated {
        /// The limit.
        limit: u32,
    },
    /// The source has failed too often under this name.
    Name {
        /// How often.
        failures: u32,
        /// How much longer it has to wait.
        wait: Duration,
    },
    /// The source has failed too often under all names together.
    Source {
        /// How much longer it has to wait.
        wait: Duration,
    },
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections { limit } => {
                write!(f, "this address has {limit} connections, which is the maximum")
            }
            Self::Unauthenticated { limit } => {
                write!(
                    f,
                    "this address has {limit} connections that are not authenticated, which is the maximum"
                )
            }
            Self::Name { failures, wait } => {
                let wait = wait.as_secs() + 1;
                write!(f, "this name has failed {failures} times from this address: try again in {wait} s")
            }
            Self::Source { wait } => {
                let wait = wait.as_secs() + 1;
                write!(f, "this address has failed too often, under several names: try again in {wait} s")
            }
        }
    }
}

/// A name, or a connection without one.
type Name = (IpAddr, NonZeroU64);

/// Stands for the failures of connections that named no domain.
const NAMELESS: NonZeroU64 = NonZeroU64::MIN;

/// The table of sources. Its memory is bounded by the connections that are there, and by
/// [`SourceLimits::remembered`]; what a call does, by the logarithm of both.
#[derive(Debug)]
pub struct SourceLimiter {
    limits: SourceLimits,
    table: BTreeMap<IpAddr, Entry>,
    /// The sources that have failures and no connection, in the order in which they are forgotten.
    idle: BTreeSet<(Instant, IpAddr)>,
    /// Names that have failed.
    failed: Remembered<Name, Failures>,
    /// Names that have proved their secrets.
    proved: Remembered<Name, ()>,
    /// Names are kept as hashes: a peer chooses their length.
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    number: u32,
    /// Turned away until then.
    until: Instant,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    unauthenticated: u32,
    /// Its failures, of all names, are forgotten then: each moves it by [`SourceLimits::source_recovery`].
    forget_at: Instant,
}

impl Entry {
    /// How long until its failures are no more than the limit.
    fn wait(&self, now: Instant, limits: &SourceLimits) -> Option<Duration> {
        let free = limits.source_recovery.saturating_mul(limits.source_failures);
        self.forget_at.since(now).checked_sub(free).filter(|wait| !wait.is_zero())
    }
}

/// A connection that was let in. Give it back with [`SourceLimiter::leave`].
#[derive(Debug)]
#[must_use = "a permit that is not given back counts for ever"]
pub struct Permit {
    /// `None`: it is exempt.
    source: Option<IpAddr>,
    /// The name that it may try to prove.
    name: Option<NonZeroU64>,
    authenticated: bool,
}

impl SourceLimiter {
    /// An empty table.
    #[must_use]
    pub fn new(limits: SourceLimits) -> Self {
        let (failed, proved) = (Remembered::new(limits.remembered), Remembered::new(limits.remembered));
        let (table, idle) = (BTreeMap::new(), BTreeSet::new());
        Self { limits, table, idle, failed, proved, hasher: RandomState::new() }
    }

    /// A connection comes in.
    ///
    /// # Errors
    /// Why it has to be closed at once. That is no failure: a rejected attempt does not extend the wait.
    pub fn enter(&mut self, now: Instant, address: IpAddr) -> Result<Permit, Denied> {
        self.forget(now);
        let address = address.to_canonical();
        if self.limits.exempt_loopback && address.is_loopback() {
            return Ok(Permit { source: None, name: None, authenticated: false });
        }
        let source = source_of(address);
        let SourceLimits { connections, unauthenticated, .. } = self.limits;
        if let Some(entry) = self.table.get(&source) {
            if let Some(wait) = entry.wait(now, &self.limits)
                && !self.proved.any(now, (source, NonZeroU64::MIN)..=(source, NonZeroU64::MAX))
            {
                return Err(Denied::Source { wait });
            }
            if entry.connections >= connections {
                return Err(Denied::Connections { limit: connections });
            }
            if entry.unauthenticated >= unauthenticated {
                return Err(Denied::Unauthenticated { limit: unauthenticated });
            }
        }
        let entry = self.table.entry(source).or_default();
        if entry.connections == 0 {
            self.idle.remove(&(entry.forget_at, source));
        }
        entry.connections += 1;
        entry.unauthenticated += 1;
        Ok(Permit { source: Some(source), name: None, authenticated: false })
    }

    /// The connection says which name it wants, and is about to prove its secret.
    ///
    /// # Errors
    /// Why it may not try: end its stream with this reason. That is no failure.
    pub fn claim(&mut self, now: Instant, permit: &mut Permit, name: &str) -> Result<(), Denied> {
        let Some(source) = permit.source else { return Ok(()) };
        let name = self.hash(name);
        if let Some(&Failures { number, until }) = self.failed.get(now, &(source, name))
            && until > now
        {
            return Err(Denied::Name { failures: number, wait: until.since(now) });
        }
        if let Some(wait) = self.table.get(&source).and_then(|entry| entry.wait(now, &self.limits))
            && self.proved.get(now, &(source, name)).is_none()
        {
            return Err(Denied::Source { wait });
        }
        permit.name = Some(name);
        Ok(())
    }

    /// The connection proved the secret of its name. The failures under this name are forgiven.
    pub fn authenticated(&mut self, now: Instant, permit: &mut Permit) {
        if permit.authenticated {
            return;
        }
        permit.authenticated = true;
        if let Some(entry) = permit.source.and_then(|source| self.table.get_mut(&source)) {
            entry.unauthenticated = entry.unauthenticated.saturating_sub(1);
        }
        if let (Some(source), Some(name)) = (permit.source, permit.name) {
            self.failed.remove(&(source, name));
            self.proved.put(now, (source, name), (), now + self.limits.memory);
        }
    }

    /// The connection got a stream error for something that it did before it had proved the secret, with the name that its
    /// header had, if any. To be said as soon as that is known. A connection that comes and leaves, as health checks do,
    /// has not failed.
    pub fn failed(&mut self, now: Instant, permit: &Permit, name: Option<&str>) {
        let Some(source) = permit.source.filter(|_| !permit.authenticated) else { return };
        let name = (source, permit.name.or_else(|| name.map(|name| self.hash(name))).unwrap_or(NAMELESS));
        let before = self.failed.get(now, &name).copied();
        // Who was not let in to try has nothing to wait longer for.
        if permit.name.is_none() && before.is_some_and(|failures| failures.until > now) {
            return;
        }
        let number = before.map_or(0, |failures| failures.number).saturating_add(1);
        let until = now + self.limits.wait_after(number);
        self.failed.put(now, name, Failures { number, until }, until + self.limits.memory);
        if let Some(entry) = self.table.get_mut(&source) {
            entry.forget_at = entry.forget_at.max(now) + self.limits.source_recovery;
        }
    }

    /// Takes note of how a connection does, by its events.
    pub fn note(&mut self, now: Instant, permit: &mut Permit, event: &ConnectionEvent) {
        match event {
            ConnectionEvent::Bound { .. } => self.authenticated(now, permit),
            ConnectionEvent::Closed { domain, reason: CloseReason::Error(error), .. } => {
                // A conflict is decided after the secret was proved; that the server stops or is slow is its own doing.
                let innocent = [
                    StreamCondition::SystemShutdown,
                    StreamCondition::Conflict,
                    StreamCondition::InternalServerError,
                ];
                let was_turned_away = matches!(error.cause, StreamErrorCause::TurnedAway(_));
                if !innocent.contains(&error.condition) && !was_turned_away {
                    self.failed(now, permit, domain.as_ref().map(Domain::as_str));
                }
            }
            _ => {}
        }
    }

    /// The connection is over.
    pub fn leave(&mut self, now: Instant, permit: Permit) {
        let Some(source) = permit.source else { return };
        if let Some(name) = permit.name.filter(|_| permit.authenticated) {
            self.proved.put(now, (source, name), (), now + self.limits.memory);
        }
        let Some(entry) = self.table.get_mut(&source) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        entry.unauthenticated = entry.unauthenticated.saturating_sub(u32::from(!permit.authenticated));
        if entry.connections > 0 {
            return;
        }
        if entry.forget_at <= now {
            self.table.remove(&source);
            return;
        }
        self.idle.insert((entry.forget_at, source));
        if self.idle.len() > self.limits.remembered {
            self.forget_first();
        }
    }

    /// Forgets all failures: an operator has mended what caused them.
    pub fn forgive(&mut self) {
        self.failed.clear();
        self.idle.clear();
        self.table.retain(|_, entry| entry.connections > 0);
        for entry in self.table.values_mut() {
            entry.forget_at = Instant::ORIGIN;
        }
    }

    /// How many sources are in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Is the table empty?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn hash(&self, name: &str) -> NonZeroU64 {
        NAMELESS.saturating_add(self.hasher.hash_one(name).max(1))
    }

    /// Forgets two of those that are due: one comes in at most with each call, so none stays for long.
    fn forget(&mut self, now: Instant) {
        self.failed.forget(now);
        self.proved.forget(now);
        for _ in 0..2 {
            if self.idle.first().is_some_and(|&(at, _)| at <= now) {
                self.forget_first();
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, source)) = self.idle.pop_first() {
            self.table.remove(&source);
        }
    }
}

impl SourceLimits {
    /// How long a source may not use a name after this many failures.
    fn wait_after(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.failures) {
            None | Some(0) => Duration::ZERO,
            Some(over) => {
                let doubled = 2_u32.saturating_pow(over - 1);
                self.backoff.saturating_mul(doubled).min(self.backoff_max)
            }
        }
    }
}

/// What counts as one: an IPv4 address, or the first 64 bits of an IPv6 address.
fn source_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests;
