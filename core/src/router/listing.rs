//! What each host lists in disco#items, kept in order, so that an answer costs its items and nothing else.

use alloc::collections::{BTreeMap, BTreeSet};
use core::iter;

use super::policy::{BindPolicy, Claim};
use crate::jid::Domain;

/// The names that the hosts list.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) with_hidden: bool,
    /// Of components with a name of their own: every host lists them.
    everywhere: BTreeSet<Domain>,
    /// Of components with a prefix, by host.
    under: BTreeMap<Domain, BTreeSet<Domain>>,
}

impl Listing {
    /// A component holds a name now. Hidden ones are not even passed over later: what that takes would show in how long an
    /// answer takes.
    pub(super) fn insert(&mut self, claim: &Claim, policy: &BindPolicy, name: &Domain) {
        if policy.hidden && !self.with_hidden {
            return;
        }
        match host_of(claim, name) {
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
    pub(super) fn remove(&mut self, claim: &Claim, name: &Domain) {
        let Some(host) = host_of(claim, name) else {
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

/// The host under which a prefix has a name.
fn host_of<'a>(claim: &Claim, name: &'a Domain) -> Option<&'a str> {
    let Claim::Prefix(prefix) = claim else { return None };
    name.as_str().strip_prefix(prefix.as_str())?.strip_prefix('.')
}
