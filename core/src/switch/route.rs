//! Which port a stanza is for.

use super::directory::Directory;
use super::shared::PortInfo;
use crate::router::{Destination, Holder};

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
    /// `has_prefix`: the source is bound by a prefix, so only the directory knows which names are its own.
    pub(crate) fn route(&self, source: &PortInfo, has_prefix: bool, from: &str, to: &str) -> Route<P> {
        let is_bound =
            || matches!(self.router.holder(from), Some(Holder::Component(id, _)) if *id == source.id);
        // The stream has checked a component with a name of its own; what it sent before it was replaced goes on.
        let check_from = source.listener.policy.check_from;
        if check_from && has_prefix && !is_bound() {
            return Route::ForeignFrom;
        }
        match self.router.route_domain(to) {
            Destination::Component(id, policy) => self.ports.get(&id).map_or(Route::Away, |port| {
                let port = port.clone();
                if policy.access.is_everyone() {
                    Route::Open(port)
                } else {
                    // A checked sender speaks for its own names, and a host's name is never a component's.
                    let from_host = !check_from && self.router.is_host(from);
                    Route::Ruled { port, from_host }
                }
            }),
            Destination::Host => Route::Host,
            Destination::Away => Route::Away,
            Destination::Unknown => Route::Unknown,
        }
    }
}
