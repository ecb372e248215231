//! The settings of an uplink.

use alloc::sync::Arc;
use core::time::Duration;

use crate::config::ListenerConfig;
use crate::handshake::Secret;
use crate::jid::Domain;
use crate::limits::Limits;
use crate::queue::{HoldTerms, Towards};
use crate::router::BindPolicy;
use crate::switch::UplinkRole;

/// The settings of an uplink. Make it with [`UplinkConfig::new`] and change what has to differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UplinkConfig {
    /// The domain as which we log in to the server, and whose default route the uplink is.
    pub domain: Domain,
    /// What proves it to the server.
    pub secret: Secret,
    /// The secret proves other domains to the server, too: once it is refused, their uplinks try one at a time: true.
    pub shares_secret: bool,
    /// When the stream is there.
    pub connect: ConnectWhen,
    /// Uplinks with the same number lead to the same server: 0.
    pub group: u32,
    /// Stanzas between two components whose uplinks are of one group stay here. Set it to false if the server has to see
    /// them.
    pub local_routing: bool,
    /// How long stanzas for the server are held while it is away: 10 s.
    pub hold: Duration,
    /// Bytes of stanzas that are held then: 1 MiB.
    pub hold_bytes: usize,
    /// Bytes of a stanza for the server at most: 512 KiB, over which Prosody ends the stream.
    pub max_stanza: usize,
    /// Bytes waiting for the server over which its components have to wait: 1 MiB.
    pub queue_mark: usize,
    /// How long they wait before their stanzas bounce: 5 s.
    pub stall: Duration,
    /// What the server's stream may cost. A stanza over [`Limits::stanza`] is skipped, and answered with an error.
    pub limits: Arc<Limits>,
    /// Tells the component, once the server has been away for [`hold`](Self::hold) and at least 10 s, that the users whom it
    /// saw available are not: false.
    pub end_presence: bool,
}

/// When an uplink has a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectWhen {
    /// While a component of its domain is bound; after that as long as stanzas are held for the component, and at least a
    /// second.
    #[default]
    WithComponent,
    /// Always.
    Always,
}

impl UplinkConfig {
    /// An uplink that proves this secret, with defaults for the rest.
    #[must_use]
    pub fn new(domain: Domain, secret: Secret) -> Self {
        let ListenerConfig { queue_mark, stall, .. } = ListenerConfig::with_lookup();
        Self {
            domain,
            secret,
            shares_secret: true,
            connect: ConnectWhen::WithComponent,
            group: 0,
            local_routing: true,
            hold: Duration::from_secs(10),
            hold_bytes: 1 << 20,
            max_stanza: 512 * 1024,
            queue_mark,
            stall,
            limits: Arc::default(),
            end_presence: false,
        }
    }

    /// What the queue of its port goes by.
    pub(super) fn listener(&self) -> ListenerConfig {
        // The server speaks for all its users, and for other servers.
        let policy = BindPolicy { check_from: false, ..BindPolicy::default() };
        let limits = Limits { stanza: self.max_stanza, ..Limits::clone(&self.limits) };
        ListenerConfig {
            policy: Arc::new(policy),
            limits: Arc::new(limits),
            queue_mark: self.queue_mark,
            stall: self.stall,
            ..ListenerConfig::with_lookup()
        }
    }

    pub(super) fn role(&self) -> UplinkRole {
        let Self { domain, group, local_routing, .. } = self;
        UplinkRole { domain: domain.clone(), group: *group, local_routing: *local_routing }
    }

    pub(super) fn hold_terms(&self) -> HoldTerms {
        HoldTerms { time: self.hold, bytes: self.hold_bytes, towards: Towards::Server }
    }
}
