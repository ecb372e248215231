//! Which port a stanza is for.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;

use super::directory::Directory;
use super::shared::{PortInfo, PortRole};
use crate::jid::Domain;
use crate::queue::{HoldTerms, RequestTerms, Towards};
use crate::router::{BindPolicy, Claim, Destination, PortId};

/// Where stanzas from one domain to another go.
#[derive(Debug, Default)]
pub(crate) enum Route<P> {
    /// To a port. If its access rule judges every sender, it may ask whether the sender's domain is a host of ours.
    Port { port: P, rule: Option<FromHost>, terms: RequestTerms },
    /// To a host of ours, which answers.
    Host,
    /// To where stanzas for the domain are held until its component is back; `None`: to be made first.
    Hold(Option<P>),
    /// Nowhere: the sender does not speak for the domain.
    ForeignFrom,
    /// Nowhere: the component is not connected.
    Away,
    /// Nowhere: no component has the name.
    #[default]
    Unknown,
}

/// Whether the sender's domain is a host of ours.
pub(crate) type FromHost = bool;

impl<P: Clone + AsRef<PortInfo>> Directory<P> {
    /// Finds the way from one domain to another, for a stanza that `source` sends. It holds for every stanza between
    /// the two until the epoch changes: an access rule asks nothing but whether the sender's domain is a host.
    ///
    /// `has_names`: the source may hold several names, so only the directory knows which are its own.
    pub(crate) fn route(&self, source: &PortInfo, has_names: bool, from: &str, to: &str) -> Route<P> {
        let check_from = source.listener.policy.check_from;
        let is_own = has_names && self.router.speaks_for(source.id, from);
        // The stream has checked a component with a name of its own; what it sent before it was replaced goes on.
        if check_from && has_names && !is_own {
            return Route::ForeignFrom;
        }
        let sender = if is_own { Some(from) } else { self.router.own_name(source.id) };
        if let Some(id) = self.uplink_around(sender, to) {
            return self.up(id, from, to);
        }
        let (id, policy) = match self.router.route_domain(to, sender) {
            Destination::Port(id, policy) => (id, policy),
            Destination::Host => return Route::Host,
            _ if self.hold_terms(to).is_some() => {
                return Route::Hold(self.domains.places.get(to).cloned());
            }
            _ if self.domains.is_known(to) => return Route::Away,
            // It would come back, and again.
            Destination::DefaultRoute(id) if id == source.id => return Route::Unknown,
            Destination::DefaultRoute(id) => match self.router.policy(id) {
                Some(policy) if policy.access.is_everyone() => return self.up(id, from, to),
                Some(policy) => (id, policy),
                None => return Route::Unknown,
            },
            Destination::Away => return Route::Away,
            Destination::Unknown => return Route::Unknown,
        };
        self.ports.get(&id).map_or(Route::Away, |port| {
            // A component's own name is never a host's.
            let rule = (!policy.access.is_everyone()).then(|| self.is_from_host(source, from));
            Route::Port { port: port.clone(), rule, terms: RequestTerms::of(self.domains.config(to)) }
        })
    }

    /// Whether an access rule takes the sender for a host of ours. A component's own name is never a host's, and no host of ours
    /// is behind an uplink.
    fn is_from_host(&self, source: &PortInfo, from: &str) -> bool {
        let may_be = match source.role {
            PortRole::Local => true,
            PortRole::Uplink(_) => false,
            PortRole::Connection | PortRole::Place => !source.listener.policy.check_from,
        };
        may_be && self.router.is_host(from)
    }

    /// The way by a default route. An uplink takes stanzas from its own domain alone.
    fn up(&self, id: PortId, from: &str, to: &str) -> Route<P> {
        let Some(port) = self.ports.get(&id) else { return Route::Unknown };
        let asked = match port.as_ref().uplink() {
            Some(uplink) if uplink.domain.as_str() != from => return Route::ForeignFrom,
            Some(_) => from,
            None => to,
        };
        Route::Port { port: port.clone(), rule: None, terms: RequestTerms::of(self.domains.config(asked)) }
    }

    /// The uplink of `sender` that takes stanzas for `to` although that is a component here, too.
    fn uplink_around(&self, sender: Option<&str>, to: &str) -> Option<PortId> {
        if self.around == 0 || sender == Some(to) {
            return None;
        }
        let uplink_of = |name: &str| {
            let id = self.router.own_default_route(name)?;
            Some((id, self.ports.get(&id)?.as_ref().uplink()?))
        };
        let (id, own) = uplink_of(sender?)?;
        let (_, other) = uplink_of(to)?;
        (!own.local_routing && own.group == other.group).then_some(id)
    }

    /// What a listener grants for a claim, with what is configured for its names.
    pub(super) fn policy_for(&self, claim: &Claim, policy: &Arc<BindPolicy>) -> Arc<BindPolicy> {
        let names = self.router.names_of(claim);
        let conflict = names.iter().find_map(|name| self.domains.config(name.as_str()).conflict);
        match conflict {
            Some(conflict) if conflict != policy.conflict => {
                Arc::new(BindPolicy { conflict, ..BindPolicy::clone(policy) })
            }
            _ => Arc::clone(policy),
        }
    }

    /// After which silence a component is asked whether it is there, and by which host: the shortest that is configured for its
    /// names.
    pub(crate) fn ping_of(&self, id: PortId) -> (Option<Duration>, Option<Domain>) {
        let names = self.router.port_names(id).map(|(_, names)| names);
        let pings = names.into_iter().flatten().filter_map(|name| self.domains.config(name.as_str()).ping);
        (pings.min(), self.first_host().cloned())
    }

    /// On which terms stanzas for a domain that no port holds wait, if they do. Under a wildcard, only those for a name that
    /// was held within the last 24 hours.
    pub(super) fn hold_terms(&self, domain: &str) -> Option<HoldTerms> {
        let is_expected = || self.domains.is_known(domain) || self.router.was_held(domain);
        self.terms_of_held(domain).filter(|_| is_expected() && self.domains.has_room(domain))
    }

    /// The same for a domain that a port has held until now.
    pub(super) fn terms_of_held(&self, domain: &str) -> Option<HoldTerms> {
        let config = self.domains.config(domain);
        let is_over = self.shutting_down || self.domains.is_over || self.domains.closing.contains(domain);
        let holds = !(config.hold.is_zero() || is_over);
        holds.then_some(HoldTerms {
            time: config.hold,
            bytes: config.hold_bytes,
            towards: Towards::Component,
        })
    }

    /// The port that gets an error for a stanza from `sender` which was taken and could not be delivered: the one that
    /// holds the name, else the default route of the receiver, unless the name stays here.
    pub(super) fn way_back(&self, sender: &str, receiver: impl FnOnce() -> Option<String>) -> Option<P> {
        let by_default = || self.router.default_route_to(sender, receiver().as_deref());
        let id = self.router.owner(sender).or_else(by_default)?;
        self.ports.get(&id).cloned()
    }
}
