//! The settings of a switch and of its listeners.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::{NonZeroU64, NonZeroUsize};
use core::time::Duration;

use crate::handshake::Secret;
use crate::host::HostInfo;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::router::{BindPolicy, ConflictBehaviour, DomainPattern};

/// The settings of one switch. Make it with [`SwitchConfig::new`] and change what has to differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SwitchConfig {
    /// The hosts of the server. The first names it in answers that no other name fits.
    pub hosts: Vec<Domain>,
    /// What a host says of the software (XEP-0092, XEP-0030).
    pub info: HostInfo,
    /// Whether disco#items lists hidden components as well.
    pub list_hidden: bool,
    /// Bytes that may wait in all queues together, beside 64 KiB in each: 256 MiB. Over it, a stanza for a component
    /// for which more than 64 KiB wait bounces at once with `resource-constraint`. As much again may be kept of
    /// partial stanzas; over it, the stream of a component that goes on with one of more than 64 KiB ends with
    /// `resource-constraint`. The ports of one [realm](BindPolicy::realm) hold at most half while another has ports, and
    /// an equal part is never refused to a realm; so all together hold at most twice as much. A port for which nothing
    /// waits may use a quarter more.
    pub max_queued: usize,
    /// What is configured for domains, or for all below one (`[domain]`). For others, [`DomainConfig::default`] holds.
    pub domains: Vec<(DomainPattern, DomainConfig)>,
}

/// The settings of one domain, whatever connection or port holds it. Make it with [`DomainConfig::default`] and change what
/// has to differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DomainConfig {
    /// Time for an answer to a request (`iq` of type `get` or `set`), after which the asker gets an error: 120 s.
    pub iq_timeout: Duration,
    /// Requests that are noted at once: 10,000. One over it is delivered, and its asker waits for the component alone.
    pub max_pending_iqs: usize,
    /// How long stanzas wait while no component is connected: 0, and nothing waits.
    pub hold: Duration,
    /// Bytes of stanzas that wait then: 1 MiB.
    pub hold_bytes: usize,
    /// Silence of the component after which it is pinged (XEP-0199); `None`: never. No byte within
    /// [`Limits::ping_answer`](crate::Limits::ping_answer) ends its stream if it has answered a ping before.
    pub ping: Option<Duration>,
    /// What becomes of a component whose name a newcomer claims; `None`: what the newcomer's listener says
    /// ([`BindPolicy::conflict`]). Of a prefix, the first of its names for which it is configured counts.
    pub conflict: Option<ConflictBehaviour>,
}

impl Default for DomainConfig {
    fn default() -> Self {
        Self {
            iq_timeout: Duration::from_secs(120),
            max_pending_iqs: 10_000,
            hold: Duration::ZERO,
            hold_bytes: 1 << 20,
            ping: None,
            conflict: None,
        }
    }
}

impl SwitchConfig {
    /// A switch for these hosts, with defaults for the rest.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = Domain>) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            info: HostInfo::default(),
            list_hidden: false,
            max_queued: 256 << 20,
            domains: Vec::new(),
        }
    }
}

/// The settings of one listener: what it grants to its components, and what it asks of them. Make it with
/// [`ListenerConfig::new`] and change what has to differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerConfig {
    /// What the handshake has to prove. `None`: each connection asks for it by
    /// [`SecretsNeeded`](crate::connection::ConnectionEvent::SecretsNeeded).
    pub secret: Option<Secret>,
    /// What its components are bound on: names, access, hidden, `from` check, conflict behaviour.
    pub policy: Arc<BindPolicy>,
    /// What each stream may cost.
    pub limits: Arc<Limits>,
    /// Bytes per second taken from each component. `None`: as fast as they come. Nothing is dropped; reading waits.
    pub rate: Option<NonZeroU64>,
    /// Stanzas that may wait for a component whose socket takes no bytes; over it the connection ends. `None`:
    /// only [`queue_mark`](Self::queue_mark) bounds them.
    pub max_queue: Option<NonZeroUsize>,
    /// Bytes waiting for a component over which its senders have to wait: 1 MiB; at most 1 GiB.
    pub queue_mark: usize,
    /// How long senders wait for a full receiver before their stanzas for it bounce: 5 s.
    pub stall: Duration,
    /// Idle time after which a connection gives its buffers back: 1 s, which is also the minimum.
    pub hibernate_after: Duration,
}

impl ListenerConfig {
    /// A listener whose components prove this secret, with defaults for the rest.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self { secret: Some(secret), ..Self::with_lookup() }
    }

    /// A listener whose connections ask for the secret of each name, with defaults for the rest.
    #[must_use]
    pub fn with_lookup() -> Self {
        Self {
            secret: None,
            policy: Arc::new(BindPolicy::default()),
            limits: Arc::new(Limits::default()),
            rate: None,
            max_queue: None,
            queue_mark: 1024 * 1024,
            stall: Duration::from_secs(5),
            hibernate_after: Duration::from_secs(1),
        }
    }
}
