//! Which port a stanza is for.

use alloc::string::String;

use super::directory::Directory;
use super::shared::PortInfo;
use crate::router::Destination;

/// Where stanzas from one domain to another go.
#[derive(Debug, Default)]
pub(crate) enum Route<P> {
    /// To a port that takes stanzas from everyone.
    Open(P),
    /// To one whose access rule judges every sender, and may ask whether the sender's domain is a host of ours.
    Ruled { port: P, from_host: bool },
    /// To a host of ours, which answers.
    Host,
    /// Nowhere: the sender does not speak for the domain.
    ForeignFrom,
    /// Nowhere: the component is not connected.
    Away,
    /// Nowhere: no component has the name.
    #[default]
    Unknown,
}

impl<P: Clone> Directory<P> {
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
        let (id, policy) = match self.router.route_domain(to, sender) {
            Destination::Port(id, policy) => (id, policy),
            // It would come back, and again.
            Destination::DefaultRoute(id) if id == source.id => return Route::Unknown,
            Destination::DefaultRoute(id) => match self.router.policy(id) {
                Some(policy) => (id, policy),
                None => return Route::Unknown,
            },
            Destination::Host => return Route::Host,
            Destination::Away => return Route::Away,
            Destination::Unknown => return Route::Unknown,
        };
        self.ports.get(&id).map_or(Route::Away, |port| {
            let port = port.clone();
            if policy.access.is_everyone() {
                Route::Open(port)
            } else {
                // A component's own name is never a host's.
                let from_host = (source.is_local || !check_from) && self.router.is_host(from);
                Route::Ruled { port, from_host }
            }
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
