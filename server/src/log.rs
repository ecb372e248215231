//! Log lines: what a connection does, in words, without secrets and without what stanzas say.

use std::fmt;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use enjamb_core::StreamCondition;
use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::jid::Domain;
use enjamb_core::router::{BindingChange, ConflictBehaviour, PortId};
use enjamb_core::stream::Rejected;
use enjamb_core::switch::{Metric, Switch};
use enjamb_runtime::sources::Denied;
use tracing::{debug, error, info, warn};

use crate::config::{self, Listener};
use crate::preamble::Refusal;
use crate::tls::{Fault, Tls};

mod bounds;
mod filter;
mod format;
mod queue;

use bounds::{Components, PerMinute, Shared};
use filter::FATAL;
pub use filter::LogFilter;
pub use format::LogFormat;
pub use queue::Log;

/// Starts logging to standard error the lines that `filter` lets through. The [`Log`] has to live as long as anything is
/// logged.
pub fn start(filter: &LogFilter, format: LogFormat) -> Log {
    let (queue, log) = queue::start(format);
    // That a line can't be written would be told on standard error, too.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter.to_env_filter())
        .with_writer(queue)
        .log_internal_errors(false);
    match format {
        LogFormat::Human => {
            let colour = io::stderr().is_terminal();
            builder.with_target(false).with_ansi(colour).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    log
}

/// An error that ends the program: a line of the log whatever its level.
pub(crate) fn fatal(message: impl fmt::Display) {
    error!(target: FATAL, "{message}");
}

/// The log of one connection, without its number: this is part of its task, where each byte counts.
pub(crate) struct ConnectionLog {
    peer: SocketAddr,
    /// Boxed, as most connections have none.
    refusals: Option<Box<PerMinute>>,
    /// Whom it is bound as.
    bound: Option<Domain>,
}

static FAILURES: Shared = Shared::new("more connections ended before they were bound than are logged");
static TURNED_AWAY: Shared = Shared::new("more connections were turned away than are logged");
static COMPONENTS: Components = Components::new();

impl ConnectionLog {
    pub(crate) fn new(conn: PortId, peer: SocketAddr) -> Self {
        debug!(conn = conn.0, %peer, "connection accepted");
        Self { peer, refusals: None, bound: None }
    }

    pub(crate) fn event(&mut self, conn: PortId, event: &ConnectionEvent) {
        let peer = self.peer;
        match event {
            ConnectionEvent::Bound { domain, is_subdomain, replaced, changes } => {
                self.bound = Some(domain.clone());
                let subdomain = if *is_subdomain { " under every host" } else { "" };
                if self.may_log(1) {
                    info!(conn = conn.0, %peer, %domain, "component connected{subdomain}");
                }
                if !replaced.is_empty() && self.may_log(1) {
                    let old: Vec<_> = replaced.iter().map(|id| id.0).collect();
                    warn!(conn = conn.0, %peer, %domain, ?old, "it replaced another connection (kick_old)");
                }
                self.changes(changes);
            }
            ConnectionEvent::Rejected(refused) => self.refused(conn, refused),
            ConnectionEvent::MoreRejected(number) => self.refusals().count(*number),
            ConnectionEvent::Closed { domain, reason, unsent, changes } => {
                self.flush_refusals(conn);
                let unsent = *unsent;
                let is_known = domain.is_some();
                let domain = domain.as_ref().map_or("-", |domain| domain.as_str());
                let fault = match reason {
                    CloseReason::Error(error) if error.condition != StreamCondition::SystemShutdown => {
                        Some(error)
                    }
                    _ => None,
                };
                match fault {
                    // A port scan or a health check is no news.
                    None if !is_known => {
                        debug!(conn = conn.0, %peer, "connection ended before its stream began: {reason}");
                    }
                    _ if !self.may_log(1) => {}
                    Some(error) => {
                        warn!(conn = conn.0, %peer, domain, unsent, condition = %error.condition, "connection ended: {}", error.cause);
                    }
                    None => info!(conn = conn.0, %peer, domain, unsent, "connection ended: {reason}"),
                }
                self.changes(changes);
            }
            _ => {}
        }
    }

    /// May there be one more line, which is counted as so many if not?
    fn may_log(&self, counts: u64) -> bool {
        match &self.bound {
            Some(domain) => COMPONENTS.may_log(domain, counts),
            None => FAILURES.may_log(),
        }
    }

    fn refusals(&mut self) -> &mut PerMinute {
        self.refusals.get_or_insert_with(|| Box::new(PerMinute::new(10)))
    }

    fn flush_refusals(&mut self, conn: PortId) {
        let suppressed = self.refusals.as_mut().map_or(0, |refusals| refusals.restart());
        if suppressed > 0 && self.may_log(suppressed) {
            warn!(conn = conn.0, suppressed, "more stanzas were refused than are logged");
        }
    }

    fn refused(&mut self, conn: PortId, refused: &Rejected) {
        if self.refusals().is_over() {
            self.flush_refusals(conn);
        }
        // The first bound is this connection's, and begins anew with the next one; the second is its component's.
        if self.refusals().may_log(1) && self.may_log(1) {
            let answer = if refused.answered { "answered bad-request" } else { "dropped" };
            warn!(conn = conn.0, peer = %self.peer, "stanza refused, {answer}: {}", refused.reason);
        }
    }

    /// Names that others got or lost over it.
    fn changes(&self, changes: &[BindingChange]) {
        for change in changes.iter().filter(|_| self.may_log(1)) {
            log_change(change);
        }
    }
}

/// What happened so far, in numbers.
pub(crate) fn summary(order: &str, switch: &impl Switch) {
    let counts = Metric::ALL.iter().map(|&metric| (metric.name(), switch.metrics().get(metric)));
    let counts: Vec<_> =
        counts.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}={count}")).collect();
    let (connections, components, queued) = (switch.connections(), switch.bound(), switch.queued());
    let counts = counts.join(" ");
    info!(connections, components, queued, %counts, "{order}: summary");
}

/// A connection got no stream.
pub(crate) fn refused(peer: SocketAddr, refusal: &Refusal) {
    if !refusal.is_news() {
        debug!(%peer, "connection ended before its stream began: {refusal}");
    } else if FAILURES.may_log() {
        warn!(%peer, "connection refused before its stream began: {refusal}");
    }
}

/// The certificates of a listener were read anew.
pub(crate) fn reloaded(address: SocketAddr, faults: &[Fault]) {
    for fault in faults {
        let help = fault.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        if fault.is_fatal {
            error!(%address, "certificates stay as they were: {}{help}", fault.message);
        } else {
            warn!(%address, "{}{help}", fault.message);
        }
    }
    if !faults.iter().any(|fault| fault.is_fatal) {
        info!(%address, "certificates reloaded; existing connections keep the old ones");
    }
}

/// What a listener's TLS is, in a word or two.
fn tls_summary(tls: &Tls) -> String {
    let settings = tls.settings();
    let versions = settings.versions.iter().map(|version| format!("{:?}", version.version));
    let mut summary = versions.collect::<Vec<_>>().join(" ");
    if settings.cacertfile.is_some() {
        summary += ", certificates required";
    }
    summary
}

/// A listener accepts: all that an operator may want to know of it, in one line.
pub(crate) fn listening(address: SocketAddr, listener: &Listener) {
    let domains = listener.domains.as_ref().map_or_else(
        || "any".to_owned(),
        |domains| domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    );
    info!(
        %address,
        ipv4_too = listener.takes_ipv4.then_some(true),
        access = %listener.access_name,
        shaper = %or_none(listener.shaper, " bytes/s"),
        check_from = listener.check_from,
        hidden_components = listener.hidden_components,
        conflict_behaviour = match listener.conflict_behaviour {
            ConflictBehaviour::Disconnect => "disconnect",
            ConflictBehaviour::KickOld => "kick_old",
        },
        max_fsm_queue = %or_none(listener.max_fsm_queue, " stanzas"),
        max_stanza_size = %format_args!("{} bytes", listener.max_stanza_size),
        max_connections = listener.max_connections,
        max_unauthenticated = listener.max_unauthenticated.unwrap_or(config::UNAUTHENTICATED),
        proxy_protocol = listener.proxy_protocol,
        tls = %listener.tls.as_ref().map_or_else(|| "none".to_owned(), |tls| tls_summary(tls)),
        %domains,
        "listening for components"
    );
}

fn or_none(number: Option<impl ToString>, unit: &str) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string() + unit)
}

/// A name that another got or lost.
fn log_change(change: &BindingChange) {
    match change {
        BindingChange::Bound { name, conn } => {
            info!(%name, conn = conn.0, "name bound to a subdomain component");
        }
        BindingChange::Waits { name, conn, holder } => {
            let holder = holder.map(|holder| holder.0);
            warn!(%name, conn = conn.0, holder, "a subdomain component waits for a name that is taken");
        }
        BindingChange::Denied { name, conn } => {
            warn!(%name, conn = conn.0, "a subdomain component does not get a name outside its listener's domains");
        }
        BindingChange::Lost { name, conn } => {
            info!(%name, conn = conn.0, "name lost by a subdomain component");
        }
    }
}

/// Says once a minute, for all accept tasks, that no connection can be accepted.
#[derive(Default)]
pub(crate) struct AcceptLog(Mutex<Option<Instant>>);

impl AcceptLog {
    pub(crate) fn failed(&self, error: &io::Error) {
        debug!("accepting failed: {error}");
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
            *last = Some(Instant::now());
            error!("no connection can be accepted for the moment, others wait (said once a minute): {error}");
        }
    }
}

/// A connection was closed at once.
pub(crate) fn turned_away(peer: SocketAddr, why: &Denied) {
    if TURNED_AWAY.may_log() {
        warn!(%peer, "connection turned away: {why}");
    }
}

/// Says, at the end, how many lines there would have been.
pub(crate) fn finish() {
    FAILURES.finish();
    TURNED_AWAY.finish();
    COMPONENTS.finish();
}
