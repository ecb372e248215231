//! The log of one connection.

use std::net::SocketAddr;

use enjamb_core::connection::{CloseReason, ConnectionEvent, Rejected};
use enjamb_core::router::{BindingChange, Claim, PortId};

use enjamb_core::switch::Switch as _;
use enjamb_core::{StreamCondition, StreamErrorCause};
use tracing::{debug, info, warn};

use super::bounds::{COMPONENTS, FAILURES, Line, PerMinute};
use crate::admission::Place;
use crate::printable::printable;

/// The log of one connection, without its number and its listener: this is part of its task, where each byte counts.
pub(crate) struct ConnectionLog {
    peer: SocketAddr,
    /// Boxed, as most connections have none.
    refusals: Option<Box<PerMinute>>,
    /// Whom it is bound as. Boxed, too.
    bound: Option<Box<Claim>>,
}

impl ConnectionLog {
    pub(crate) fn new(conn: PortId, place: &Place, peer: SocketAddr) -> Self {
        debug!(conn = conn.0, listener = %place.listener, %peer, "connection accepted");
        Self { peer, refusals: None, bound: None }
    }

    pub(crate) fn event(&mut self, conn: PortId, place: &Place, event: &ConnectionEvent) {
        match event {
            ConnectionEvent::Bound { domain, is_subdomain, replaced, changes } => {
                let claim = if *is_subdomain { Claim::Prefix } else { Claim::Domain };
                self.bound = Some(Box::new(claim(domain.clone())));
                self.connected(conn, place, replaced);
                self.changes(changes);
            }
            ConnectionEvent::Rejected(refused) => self.refused(conn, place, refused),
            ConnectionEvent::MoreRejected(number) => self.refusals().count(*number),
            ConnectionEvent::Bouncing(bounced) => self.bouncing(conn, place, *bounced),
            ConnectionEvent::Closed { domain, reason, unsent, changes } => {
                self.flush_refusals(conn, place);
                let domain = domain.as_ref().map(|domain| domain.as_str());
                self.ended(conn, place, (domain, *unsent), reason);
                self.changes(changes);
            }
            _ => {}
        }
    }

    fn bouncing(&self, conn: PortId, place: &Place, bounced: u64) {
        let (listener, peer) = (place.listener, self.peer);
        let Some(domain) = self.bound.as_deref().map(Claim::name) else { return };
        COMPONENTS.log(domain, Line::one(), || {
            warn!(conn = conn.0, %listener, %peer, %domain, bounced, "over 1,000 of its stanzas bounced within a second: it may be in a loop with their receiver");
        });
    }

    fn connected(&self, conn: PortId, place: &Place, replaced: &[PortId]) {
        let (listener, peer) = (place.listener, self.peer);
        let Some(claim) = &self.bound else { return };
        let domain = claim.name();
        let under = if matches!(**claim, Claim::Prefix(_)) { " under every host" } else { "" };
        COMPONENTS.log(domain, Line::state(conn, listener, true), || {
            info!(conn = conn.0, %listener, %peer, %domain, "component connected{under}");
        });
        if !replaced.is_empty() {
            let replaced: Vec<_> = replaced.iter().map(|id| id.0).collect();
            COMPONENTS.log(domain, Line::one(), || {
                warn!(conn = conn.0, %listener, %peer, %domain, ?replaced, "it replaced another connection (kick_old)");
            });
        }
    }

    fn ended(
        &self,
        conn: PortId,
        place: &Place,
        (domain, unsent): (Option<&str>, u64),
        reason: &CloseReason,
    ) {
        let (listener, peer) = (place.listener, self.peer);
        let Some(claim) = &self.bound else {
            match (reason, domain) {
                (CloseReason::Error(error), _) if error.condition != StreamCondition::SystemShutdown => {
                    if FAILURES.may_log() {
                        let condition = error.condition;
                        let help = help(&error.cause, domain, place);
                        warn!(conn = conn.0, %listener, %peer, domain = domain.map(tracing::field::display), %condition, "connection ended: {}{help}", error.cause);
                    }
                }
                // A port scan or a health check is no news.
                (_, None) => {
                    debug!(conn = conn.0, %listener, %peer, "connection ended before its stream began: {reason}");
                }
                (_, Some(domain)) => {
                    if FAILURES.may_log() {
                        info!(conn = conn.0, %listener, %peer, %domain, "connection ended: {reason}");
                    }
                }
            }
            return;
        };
        let domain = claim.name();
        // Decided while no other line of this component can be written: a newcomer's comes before this one, or after.
        let now = || place.switch.holder(claim).filter(|holder| *holder != conn);
        COMPONENTS.log_end(domain, conn, listener, now, |holder| {
            let what = if holder.is_some() { "earlier connection closed" } else { "connection ended" };
            let is_stopping =
                matches!(reason, CloseReason::Error(error) if error.condition == StreamCondition::SystemShutdown);
            let is_known = || place.switch.is_configured(domain);
            if holder.is_none() && !is_stopping && !is_known() && place.hints_at_domains() {
                info!(%listener, %domain, "while a component is away, stanzas for it get remote-server-not-found; if the listener's `domains` names it, senders are told to wait (remote-server-timeout)");
            }
            let holder = holder.map(|holder| holder.0);
            match reason {
                CloseReason::Error(error) if error.condition != StreamCondition::SystemShutdown => {
                    let condition = error.condition;
                    warn!(conn = conn.0, %listener, %peer, %domain, unsent, %condition, holder, "{what}: {}", error.cause);
                }
                reason => {
                    info!(conn = conn.0, %listener, %peer, %domain, unsent, holder, "{what}: {reason}");
                }
            }
        });
    }

    fn refusals(&mut self) -> &mut PerMinute {
        self.refusals.get_or_insert_with(|| Box::new(PerMinute::new(10)))
    }

    fn flush_refusals(&mut self, conn: PortId, place: &Place) {
        let suppressed = self.refusals.as_mut().map_or(0, |refusals| refusals.restart());
        let Some(domain) = self.bound.as_deref().map(Claim::name).filter(|_| suppressed > 0) else { return };
        let (listener, peer) = (place.listener, self.peer);
        COMPONENTS.log(domain, Line::of(suppressed), || {
            warn!(conn = conn.0, %listener, %peer, %domain, suppressed, "more stanzas were refused than are logged");
        });
    }

    fn refused(&mut self, conn: PortId, place: &Place, refused: &Rejected) {
        if self.refusals().is_over() {
            self.flush_refusals(conn, place);
        }
        // The first bound is this connection's, and begins again with the next one; the second is its component's.
        if !self.refusals().may_log(1) {
            return;
        }
        let (listener, peer) = (place.listener, self.peer);
        let Some(domain) = self.bound.as_deref().map(Claim::name) else { return };
        let answer = if refused.answered { "answered bad-request" } else { "dropped" };
        COMPONENTS.log(domain, Line::one(), || {
            let address = refused.address.map(|address| {
                let dots = if address.is_cut() { "..." } else { "" };
                tracing::field::display(printable(address.as_str()) + dots)
            });
            warn!(conn = conn.0, %listener, %peer, %domain, address, "stanza refused, {answer}: {}", refused.reason);
        });
    }

    /// Names that others got or lost over it.
    fn changes(&self, changes: &[BindingChange]) {
        let Some(domain) = self.bound.as_deref().map(Claim::name) else { return };
        for change in changes {
            COMPONENTS.log(domain, Line::one(), || log_change(change));
        }
    }
}

/// What to do about an end before the component was bound, in brackets.
fn help(cause: &StreamErrorCause, domain: Option<&str>, place: &Place) -> String {
    match cause {
        StreamErrorCause::TurnedAway(_) => {
            " (once its secret or its name is mended, SIGHUP lets it in at once)".into()
        }
        StreamErrorCause::WrongHandshake => {
            let is_own = domain.is_some_and(|domain| place.has_own_secret(domain));
            let key = if is_own { "the secret of its [domain]" } else { "`password` of the listener" };
            format!(" (the component has to have {key})")
        }
        _ => String::new(),
    }
}

/// A name that another got or lost.
fn log_change(change: &BindingChange) {
    match change {
        BindingChange::Bound { name, conn } => {
            info!(domain = %name, conn = conn.0, "name bound to a subdomain component");
        }
        BindingChange::Waits { name, conn, holder } => {
            let holder = holder.map(|holder| holder.0);
            warn!(domain = %name, conn = conn.0, holder, "a subdomain component waits for a name that is taken");
        }
        BindingChange::Denied { name, conn } => {
            warn!(domain = %name, conn = conn.0, "a subdomain component does not get a name outside its listener's domains");
        }
        BindingChange::Lost { name, conn } => {
            info!(domain = %name, conn = conn.0, "name lost by a subdomain component");
        }
    }
}
