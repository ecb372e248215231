//! State of a domain that outlives its connections: what an operator configured for it, and what waits for its next port.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use crate::config::DomainConfig;
use crate::jid::Domain;
use crate::router::{DomainPattern, PortId};

/// The settings of domains, and the state of those that no port holds.
///
/// While a port holds a domain, the state is in the port's queue. When the port ends, it moves to a *place*: a port
/// without a connection, whose queue keeps it until the next port takes the name.
#[derive(Debug)]
pub(super) struct Domains<P> {
    exact: BTreeMap<Domain, Arc<DomainConfig>>,
    below: BTreeMap<Domain, Arc<DomainConfig>>,
    usual: Arc<DomainConfig>,
    /// Domains that no port holds, with what waits for them. `None`: those that had a port by a wildcard or a default route.
    pub(super) places: BTreeMap<Option<Domain>, P>,
    /// Ports that have lost their names and have not said yet what they did not send, with those names.
    pub(super) leaving: BTreeMap<PortId, Vec<Option<Domain>>>,
    /// Domains whose state has something to do at once.
    pub(super) unsettled: BTreeSet<Option<Domain>>,
    /// Ports whose queues have more to do than one share.
    pub(super) again: Vec<P>,
}

impl<P> Default for Domains<P> {
    fn default() -> Self {
        Self {
            exact: BTreeMap::new(),
            below: BTreeMap::new(),
            usual: Arc::default(),
            places: BTreeMap::new(),
            leaving: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            again: Vec::new(),
        }
    }
}

impl<P> Domains<P> {
    /// Sets what is configured for domains. Of two wildcards that cover a name the longer one counts.
    pub(super) fn configure(&mut self, configs: impl IntoIterator<Item = (DomainPattern, DomainConfig)>) {
        self.exact.clear();
        self.below.clear();
        for (pattern, config) in configs {
            match pattern {
                DomainPattern::Exact(name) => self.exact.insert(name, Arc::new(config)),
                DomainPattern::Below(name) => self.below.insert(name, Arc::new(config)),
            };
        }
    }

    /// What is configured for `domain`, a canonical name: for itself, else for the longest wildcard, else the defaults.
    pub(super) fn config(&self, domain: &str) -> &Arc<DomainConfig> {
        if let Some(config) = self.exact.get(domain) {
            return config;
        }
        if self.below.is_empty() {
            return &self.usual;
        }
        let below = domain.match_indices('.').find_map(|(dot, _)| self.below.get(&domain[dot + 1..]));
        below.unwrap_or(&self.usual)
    }

    pub(super) fn is_leaving(&self, port: PortId) -> bool {
        self.leaving.contains_key(&port)
    }

    pub(super) fn has_unsettled(&self) -> bool {
        !(self.unsettled.is_empty() && self.again.is_empty())
    }

    pub(super) fn take_unsettled(&mut self) -> BTreeSet<Option<Domain>> {
        mem::take(&mut self.unsettled)
    }
}
