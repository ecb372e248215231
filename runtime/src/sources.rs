//! Who connects from where, and how often they failed: limits by source address, on the time that is given.
//!
//! A source is an IPv4 address, or the /64 of an IPv6 address, which is what one subscriber has. To be asked
//! right after a connection is accepted (behind the header of a proxy, where there is one), before anything
//! else is made for it. RFC 6120, section 13.12, and XEP-0205 ask for such limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::{Instant, StreamCondition};

/// What one source may do. Start from [`SourceLimits::default`] and change what has to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceLimits {
    /// Connections at once, authenticated or not. 1,000: a host full of bots is one source.
    pub connections: u32,
    /// Of those, connections that are not authenticated yet. 64. (XEP-0205 counts connections by address.)
    pub unauthenticated: u32,
    /// Failures that cost nothing. 10.
    pub failures: u32,
    /// How long a source is turned away after the first failure over [`failures`](Self::failures); each
    /// further one doubles it. 1 s.
    pub backoff: Duration,
    /// The most that it is doubled to. 5 minutes.
    pub backoff_max: Duration,
    /// How long after the end of its last back-off a source's failures are remembered. 10 minutes.
    pub memory: Duration,
    /// Sources without a connection whose failures are remembered. 10,000, less than 2 MiB; over it those that
    /// would be forgotten next are forgotten first.
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
    /// The source has failed too often, and has to wait.
    BackOff {
        /// How often.
        failures: u32,
        /// How much longer.
        wait: Duration,
    },
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections { limit } => {
                write!(f, "its address has {limit} connections, which is the most")
            }
            Self::Unauthenticated { limit } => {
                write!(f, "its address has {limit} connections that are not authenticated, which is the most")
            }
            Self::BackOff { failures, wait } => {
                write!(f, "its address has failed {failures} times and has to wait {} s", wait.as_secs() + 1)
            }
        }
    }
}

/// The table of sources. Its memory is bounded by the connections that are there, and by
/// [`SourceLimits::remembered`]; what a call does, by the logarithm of both.
#[derive(Debug)]
pub struct SourceLimiter {
    limits: SourceLimits,
    table: BTreeMap<IpAddr, Entry>,
    /// The sources that have failures and no connection, in the order in which they are forgotten.
    idle: BTreeSet<(Instant, IpAddr)>,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    unauthenticated: u32,
    failures: u32,
    /// Turned away until then.
    until: Instant,
    /// Its failures count until then.
    forget_at: Instant,
}

/// A connection that was let in. Give it back with [`SourceLimiter::leave`].
#[derive(Debug)]
#[must_use = "a permit that is not given back counts for ever"]
pub struct Permit {
    /// `None`: it is exempt.
    source: Option<IpAddr>,
    authenticated: bool,
}

impl SourceLimiter {
    /// An empty table.
    #[must_use]
    pub fn new(limits: SourceLimits) -> Self {
        Self { limits, table: BTreeMap::new(), idle: BTreeSet::new() }
    }

    /// A connection comes in.
    ///
    /// # Errors
    /// Why it has to be closed at once, without a word. That is no failure: who waits is not made to wait longer.
    pub fn enter(&mut self, now: Instant, address: IpAddr) -> Result<Permit, Denied> {
        self.forget(now);
        let address = address.to_canonical();
        if self.limits.exempt_loopback && address.is_loopback() {
            return Ok(Permit { source: None, authenticated: false });
        }
        let source = source_of(address);
        let SourceLimits { connections, unauthenticated, .. } = self.limits;
        if let Some(entry) = self.table.get(&source) {
            if entry.until > now {
                return Err(Denied::BackOff { failures: entry.failures, wait: entry.until.since(now) });
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
        Ok(Permit { source: Some(source), authenticated: false })
    }

    /// The connection proved the secret. The failures of its source are forgiven.
    pub fn authenticated(&mut self, permit: &mut Permit) {
        if let Some(entry) = permit.source.and_then(|source| self.table.get_mut(&source))
            && !permit.authenticated
        {
            permit.authenticated = true;
            entry.unauthenticated = entry.unauthenticated.saturating_sub(1);
            (entry.failures, entry.until) = (0, Instant::ORIGIN);
        }
    }

    /// The connection got a stream error for something that it did before it had proved the secret. To be said
    /// as soon as that is known. Who connects and leaves, as health checks do, has not failed.
    pub fn failed(&mut self, now: Instant, permit: &Permit) {
        if let Some(entry) = permit.source.and_then(|source| self.table.get_mut(&source))
            && !permit.authenticated
        {
            if entry.forget_at <= now {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.until = now + self.limits.wait_after(entry.failures);
            entry.forget_at = entry.until + self.limits.memory;
        }
    }

    /// Takes note of how a connection does, by its events.
    pub fn note(&mut self, now: Instant, permit: &mut Permit, event: &ConnectionEvent) {
        match event {
            ConnectionEvent::Bound { .. } => self.authenticated(permit),
            ConnectionEvent::Closed { reason: CloseReason::Error(error), .. } => {
                // A conflict is decided after the secret was proved; that the server stops or is slow is its own doing.
                let innocent = [
                    StreamCondition::SystemShutdown,
                    StreamCondition::Conflict,
                    StreamCondition::InternalServerError,
                ];
                if !innocent.contains(&error.condition) {
                    self.failed(now, permit);
                }
            }
            _ => {}
        }
    }

    /// The connection is over.
    pub fn leave(&mut self, permit: Permit) {
        let Some(source) = permit.source else { return };
        let Some(entry) = self.table.get_mut(&source) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        entry.unauthenticated = entry.unauthenticated.saturating_sub(u32::from(!permit.authenticated));
        if entry.connections > 0 {
            return;
        }
        if entry.failures == 0 {
            self.table.remove(&source);
            return;
        }
        self.idle.insert((entry.forget_at, source));
        if self.idle.len() > self.limits.remembered {
            self.forget_first();
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

    /// Forgets two of those that are due: one comes in at most with each call, so none stays for long.
    fn forget(&mut self, now: Instant) {
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
    /// How long a source is turned away after so many failures.
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
