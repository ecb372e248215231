//! State of a domain that outlives its connections: what an operator configured for it, and what waits for its next port.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::config::{DomainConfig, ListenerConfig};
use crate::jid::Domain;
use crate::router::{DomainMap, DomainPattern, PortId};

use super::announced::Announced;

/// The settings of domains, and the state of those that no port holds.
///
/// While a port holds a domain, the state is in the port's queue. When the port ends, it moves to a *place*: a port
/// without a connection, whose queue keeps it until the next port takes the name.
#[derive(Debug)]
pub(super) struct Domains<P> {
    configs: DomainMap<DomainConfig>,
    usual: DomainConfig,
    /// Domains that no port holds, with what waits for them.
    pub(super) places: BTreeMap<Domain, P>,
    /// What waits for domains that had a port by a wildcard or a default route.
    pub(super) nameless: Option<P>,
    /// Ports that have lost their names and have not said yet what they did not send.
    pub(super) leaving: BTreeMap<PortId, Leaving>,
    /// Domains whose state has something to do at once.
    pub(super) unsettled: BTreeSet<Option<Domain>>,
    /// Nothing is held any more.
    pub(super) is_over: bool,
    /// The same for these domains, whose uplinks are about to close.
    pub(super) closing: BTreeSet<Domain>,
    /// What places have for the settings of a listener.
    pub(super) listener: Arc<ListenerConfig>,
    /// Ports whose queues have more to do than one share.
    pub(super) again: Vec<P>,
    /// Uplinks whose names have changed hands: they are to be woken.
    pub(super) changed: Vec<P>,
    /// What the last uplink had for the settings of a listener: most have the same.
    pub(super) uplink_listener: Option<Arc<ListenerConfig>>,
    /// What the servers behind uplinks have announced to these names, for the next component.
    pub(super) announced: BTreeMap<Domain, Announced>,
}

/// Max places, beside those of names with a section of their own. Requests to further domains are answered, and nothing is
/// held for them.
pub(super) const MAX_PLACES: usize = 10_000;

/// A port that has lost its names and has not said yet what it did not send.
#[derive(Debug)]
pub(super) struct Leaving {
    /// The names; `None`: those of wildcards and default routes.
    pub(super) names: Vec<Option<Domain>>,
    /// What it did not send is to be held for one of them.
    pub(super) is_held: bool,
}

impl<P> Default for Domains<P> {
    fn default() -> Self {
        Self {
            configs: DomainMap::default(),
            usual: DomainConfig::default(),
            places: BTreeMap::new(),
            nameless: None,
            leaving: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            is_over: false,
            closing: BTreeSet::new(),
            listener: Arc::new(ListenerConfig::with_lookup()),
            again: Vec::new(),
            changed: Vec::new(),
            uplink_listener: None,
            announced: BTreeMap::new(),
        }
    }
}

impl<P> Domains<P> {
    /// Sets what is configured for domains. Of two wildcards that cover a name the longer one counts.
    pub(super) fn configure(&mut self, configs: impl IntoIterator<Item = (DomainPattern, DomainConfig)>) {
        self.configs = configs.into_iter().collect();
    }

    /// What is configured for `domain`, a canonical name: for itself, else for the longest wildcard, else the defaults.
    pub(super) fn config(&self, domain: &str) -> &DomainConfig {
        self.configs.get(domain).unwrap_or(&self.usual)
    }

    /// Whether `domain`, a canonical name, is configured by itself: it is known while nobody is connected for it.
    pub(super) fn is_known(&self, domain: &str) -> bool {
        self.configs.lists(domain)
    }

    /// Whether `domain`, a canonical name, may have a place of its own. Components choose names, so places are bounded.
    pub(super) fn has_room(&self, domain: &str) -> bool {
        self.places.len() < MAX_PLACES || self.is_known(domain) || self.places.contains_key(domain)
    }

    /// All places.
    pub(super) fn all_places(&self) -> impl Iterator<Item = &P> {
        self.places.values().chain(&self.nameless)
    }

    pub(super) fn has_unsettled(&self) -> bool {
        !(self.unsettled.is_empty() && self.again.is_empty() && self.changed.is_empty())
    }

    /// The next domain whose state has something to do at once.
    pub(super) fn next_unsettled(&mut self) -> Option<Option<Domain>> {
        self.unsettled.pop_first()
    }
}
