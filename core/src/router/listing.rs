//! What each host lists in disco#items, kept in order, so that an answer costs its items and nothing else.

use alloc::collections::{BTreeMap, BTreeSet};
use core::iter;

use super::policy::BindPolicy;
use crate::jid::Domain;

/// The names that the hosts list.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) with_hidden: bool,
    /// Names that ports hold as their own: every host lists them.
    everywhere: BTreeSet<Domain>,
    /// Names of prefixes, by host.
    under: BTreeMap<Domain, BTreeSet<Domain>>,
}

impl Listing {
    /// A port holds a name now: its own, or a prefix's under a host. Hidden ones are not even passed over later: what that takes would show in how long an
    /// answer takes.
    pub(super) fn insert(&mut self, policy: &BindPolicy, name: &Domain, host: Option<&str>) {
        if policy.hidden && !self.with_hidden {
            return;
        }
        match host {
            None => {
                self.everywhere.insert(name.clone());
            }
            Some(host) => {
                if let Some(names) = self.under.get_mut(host) {
                    names.insert(name.clone());
                } else if let Ok(host) = Domain::parse(host) {
                    self.under.insert(host, BTreeSet::from([name.clone()]));
                }
            }
        }
    }

    /// It does not hold it any more.
    pub(super) fn remove(&mut self, name: &Domain, host: Option<&str>) {
        let Some(host) = host else {
            self.everywhere.remove(name);
            return;
        };
        if let Some(names) = self.under.get_mut(host) {
            names.remove(name);
            if names.is_empty() {
                self.under.remove(host);
            }
        }
    }

    /// What this host lists, in order; nothing without a host.
    pub(super) fn of(&self, host: Option<&str>) -> impl Iterator<Item = &Domain> {
        let mut everywhere = host.map(|_| self.everywhere.iter()).into_iter().flatten().peekable();
        let mut under = host.and_then(|host| self.under.get(host)).into_iter().flatten().peekable();
        iter::from_fn(move || match (everywhere.peek(), under.peek()) {
            (Some(one), Some(other)) if one > other => under.next(),
            (Some(_), _) => everywhere.next(),
            (None, _) => under.next(),
        })
    }
}
