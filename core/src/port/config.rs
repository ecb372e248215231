//! The settings of a local port, and why it can't send.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use thiserror::Error;

use crate::config::ListenerConfig;
use crate::limits::Limits;
use crate::router::{Access, BindPolicy, Claim, DefaultRoute};
use crate::stanza_error::RejectReason;
use crate::time::Instant;
use crate::xml::XmlError;

/// The settings of a local port. Make it with [`PortConfig::new`] and change what has to differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortConfig {
    /// What it holds: names, wildcards, prefixes, whole hosts, any number of each.
    pub claims: Vec<Claim>,
    /// Whose stanzas it gets that no port holds the receiver of.
    pub default_route: DefaultRoute,
    /// Which addresses it may send from.
    pub senders: Senders,
    /// Who may send to it.
    pub access: Access,
    /// Its names are left out of disco#items, unless hidden ones are listed.
    pub hidden: bool,
    /// What each stanza may cost. Its times mean nothing here.
    pub limits: Arc<Limits>,
    /// Bytes waiting for it over which its senders have to wait: 1 MiB.
    pub queue_mark: usize,
    /// How long senders wait for it before their stanzas bounce: 5 s.
    pub stall: Duration,
}

/// Which addresses a local port may send from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Senders {
    /// Those of the domains that it holds.
    #[default]
    Own,
    /// All, as a gateway to other servers does.
    Any,
}

impl PortConfig {
    /// A port that holds these, with defaults for the rest.
    #[must_use]
    pub fn new(claims: impl IntoIterator<Item = Claim>) -> Self {
        let ListenerConfig { limits, queue_mark, stall, .. } = ListenerConfig::with_lookup();
        Self {
            claims: claims.into_iter().collect(),
            default_route: DefaultRoute::None,
            senders: Senders::Own,
            access: Access::Everyone,
            hidden: false,
            limits,
            queue_mark,
            stall,
        }
    }

    /// What the queue of the port goes by.
    pub(super) fn listener(&self) -> ListenerConfig {
        let policy = BindPolicy {
            hidden: self.hidden,
            check_from: self.senders == Senders::Own,
            access: self.access.clone(),
            ..BindPolicy::default()
        };
        ListenerConfig {
            policy: Arc::new(policy),
            limits: Arc::clone(&self.limits),
            queue_mark: self.queue_mark,
            stall: self.stall,
            ..ListenerConfig::with_lookup()
        }
    }
}

/// Why a local port can't send something.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is not well-formed, or holds what no stream may (RFC 6120, 11.1).
    #[error("not a stanza: {0}")]
    Xml(XmlError),
    /// It is not exactly one element.
    #[error("not exactly one element")]
    NotOne,
    /// It is longer than [`Limits::stanza`].
    #[error("longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// It can't be routed, for the reason for which a component's stanza would be refused.
    #[error("{0}")]
    Rejected(RejectReason),
    /// Its receiver has no room. Send it again when the port is woken, and at that time at the latest: it bounces then.
    #[error("the receiver's queue is full")]
    Full {
        /// That time.
        until: Instant,
    },
    /// The port has ended.
    #[error("the port has ended")]
    Ended,
}
