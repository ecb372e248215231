//! Log lines: what a connection does, in words, without secrets and without what stanzas say.

use std::fmt;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use enjamb_core::router::ConflictBehaviour;
use enjamb_core::switch::{DomainConfig, Metric, Switch};
use enjamb_runtime::sources::Denied;
use tracing::{debug, error, info, warn};

use crate::config::{self, DomainSection, Listener, Uplink};
use crate::preamble::Refusal;
use crate::tls::{Fault, Tls};

mod bounds;
mod connection;
mod filter;
mod format;
mod queue;
mod uplink;

use bounds::{COMPONENTS, FAILURES, TURNED_AWAY};
pub(crate) use connection::ConnectionLog;
use filter::FATAL;
pub use filter::LogFilter;
pub use format::LogFormat;
pub use queue::Log;
pub(crate) use uplink::{UplinkLog, UplinkNames, no_uplink};

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
pub(crate) fn refused(listener: SocketAddr, peer: SocketAddr, refusal: &Refusal) {
    if !refusal.is_news() {
        debug!(%listener, %peer, "connection ended before its stream began: {refusal}");
    } else if FAILURES.may_log() {
        warn!(%listener, %peer, "connection refused before its stream began: {refusal}");
    }
}

/// The certificates of a listener were read again.
pub(crate) fn reloaded(listener: SocketAddr, faults: &[Fault]) {
    for fault in faults {
        let help = fault.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        if fault.is_fatal {
            error!(%listener, "certificates stay as they were: {}{help}", fault.message);
        } else {
            warn!(%listener, "{}{help}", fault.message);
        }
    }
    if !faults.iter().any(|fault| fault.is_fatal) {
        info!(%listener, "certificates reloaded; existing connections keep the old ones");
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
        listener = %address,
        ipv4_too = listener.takes_ipv4.then_some(true),
        access = %listener.access_name,
        shaper = %or_none(listener.shaper, " bytes/s"),
        check_from = listener.check_from,
        hidden_components = listener.hidden_components,
        conflict_behaviour = %conflict_behaviour(listener.conflict_behaviour),
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

/// What an `[uplink]` section says.
pub(crate) fn uplink(uplink: &Uplink) {
    info!(
        uplink = %uplink.name,
        address = %uplink.address,
        connect = if uplink.always { "always" } else { "with-component" },
        local_routing = uplink.local_routing,
        hold_seconds = uplink.hold.as_secs(),
        hold_bytes = uplink.hold_bytes,
        max_stanza_size = %format_args!("{} bytes", uplink.max_stanza_size),
        tls = %uplink.tls.as_ref().map_or_else(|| "none".into(), |tls| tls.server_name.to_str()),
        "settings of an uplink"
    );
}

/// What a `[domain]` section says.
pub(crate) fn domain(section: &DomainSection, uplink: Option<&Uplink>) {
    let DomainConfig { hold, hold_bytes, iq_timeout, max_pending_iqs, ping, conflict, .. } = &section.config;
    info!(
        domain = %section.pattern,
        secrets = section.secrets.len(),
        conflict_behaviour = %conflict.map_or("the listener's", conflict_behaviour),
        hold_seconds = hold.as_secs(),
        hold_bytes,
        iq_timeout_seconds = iq_timeout.as_secs(),
        max_pending_iqs,
        ping_seconds = ping.map_or(0, |ping| ping.as_secs()),
        uplink = uplink.map(|uplink| tracing::field::display(&uplink.name)),
        end_presence = section.end_presence.then_some(true),
        "settings of a domain"
    );
}

fn conflict_behaviour(behaviour: ConflictBehaviour) -> &'static str {
    match behaviour {
        ConflictBehaviour::Disconnect => "disconnect",
        ConflictBehaviour::KickOld => "kick_old",
    }
}

fn or_none(number: Option<impl ToString>, unit: &str) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string() + unit)
}

/// Says once a minute, for all accept tasks, that no connection can be accepted.
#[derive(Default)]
pub(crate) struct AcceptLog(Mutex<Option<Instant>>);

impl AcceptLog {
    pub(crate) fn failed(&self, listener: SocketAddr, error: &io::Error) {
        debug!(%listener, "accepting failed: {error}");
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= Duration::from_secs(60)) {
            *last = Some(Instant::now());
            error!(%listener, "no connection can be accepted for the moment, others wait (said once a minute): {error}");
        }
    }
}

/// A connection was closed at once.
pub(crate) fn turned_away(listener: SocketAddr, peer: SocketAddr, why: &Denied) {
    if TURNED_AWAY.may_log() {
        let help = match why {
            Denied::Name { .. } | Denied::Source { .. } => " (SIGHUP lets it in at once)",
            _ => "",
        };
        warn!(%listener, %peer, "connection turned away: {why}{help}");
    }
}

/// Says from time to time what was left out, so that the last line of a component says whether it is connected.
pub(crate) async fn keep_telling() {
    let mut ticks = tokio::time::interval(Duration::from_secs(2));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        FAILURES.tick();
        TURNED_AWAY.tick();
        COMPONENTS.tick();
    }
}

/// Says, at the end, how many lines there would have been.
pub(crate) fn finish() {
    FAILURES.finish();
    TURNED_AWAY.finish();
    COMPONENTS.finish();
}
