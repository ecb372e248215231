//! Which port a stanza is for.

use alloc::string::String;

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

/// What the directory says of the domain that a stanza is from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SenderStatus {
    /// It is bound to the port that sent it.
    Bound,
    /// It is a host of ours.
    Host,
    /// It is another port's, or nobody's.
    Other,
}

/// The sender's domain that was looked up last: most ports have one.
#[derive(Default)]
pub(crate) struct LastSender {
    domain: String,
    /// `None`: none was looked up.
    status: Option<SenderStatus>,
}

impl LastSender {
    /// Returns the status of `domain`; looks it up unless it is the one of last time.
    fn status(&mut self, domain: &str, look_up: impl FnOnce() -> SenderStatus) -> SenderStatus {
        if let Some(status) = self.status.filter(|_| self.domain == domain) {
            return status;
        }
        self.domain.clear();
        self.domain.push_str(domain);
        *self.status.insert(look_up())
    }

    pub(crate) fn forget(&mut self) {
        self.status = None;
    }
}

impl<P: Clone> Directory<P> {
    /// Finds the way from one domain to another, for a stanza that `source` sends. It holds for every stanza between
    /// the two until the epoch changes: an access rule asks nothing but whether the sender's domain is a host.
    ///
    /// `has_prefix`: the source is bound by a prefix, so only the directory knows which names are its own.
    pub(crate) fn route(
        &self,
        source: &PortInfo,
        has_prefix: bool,
        last: &mut LastSender,
        from: &str,
        to: &str,
    ) -> Route<P> {
        let mut sender = || {
            last.status(from, || match self.router.holder(from) {
                Some(Holder::Host) => SenderStatus::Host,
                Some(Holder::Component(id, _)) if *id == source.id => SenderStatus::Bound,
                Some(Holder::Component(..)) | None => SenderStatus::Other,
            })
        };
        // The stream has checked a component with a name of its own; what it sent before it was replaced goes on.
        let check_from = source.listener.policy.check_from;
        if check_from && has_prefix && sender() != SenderStatus::Bound {
            return Route::ForeignFrom;
        }
        match self.router.route_domain(to) {
            Destination::Component(id, policy) => self.ports.get(&id).map_or(Route::Away, |port| {
                let port = port.clone();
                if policy.access.is_everyone() {
                    Route::Open(port)
                } else {
                    // A checked sender speaks for its own names, and a host's name is never a component's.
                    let from_host = !check_from && sender() == SenderStatus::Host;
                    Route::Ruled { port, from_host }
                }
            }),
            Destination::Host => Route::Host,
            Destination::Away => Route::Away,
            Destination::Unknown => Route::Unknown,
        }
    }
}
