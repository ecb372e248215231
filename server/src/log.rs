//! Log lines: what a connection does, in words, without secrets and without what stanzas say.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use enjamb_core::StreamCondition;
use enjamb_core::router::{Change, ConflictBehaviour, ConnId};
use enjamb_core::rt::{End, Notice};
use enjamb_core::sources::TurnedAway;
use enjamb_core::stream::Refused;
use tracing::{debug, error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::cli::{LogFormat, ServeOptions};
use crate::config::Listener;
use crate::entry::Refusal;
use crate::tls::{Fault, Tls};

mod unread;

pub use unread::Log;

/// Starts logging to standard error; what it gives has to live as long as anything is logged.
///
/// # Errors
/// What is wrong with the level.
pub fn start(options: &ServeOptions) -> Result<Log, String> {
    let filter = EnvFilter::try_new(&options.log).map_err(|error| {
        format!("--log '{}' is no level or directive: {error}; try 'info' or 'debug'", options.log)
    })?;
    let (queue, log) = unread::start(options.log_format);
    // That a line can't be written would be told on standard error, too.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue).log_internal_errors(false);
    match options.log_format {
        LogFormat::Human => {
            let colour = io::stderr().is_terminal();
            builder.with_target(false).with_ansi(colour).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(log)
}

/// The log of one connection.
pub(crate) struct ConnectionLog {
    conn: ConnId,
    peer: SocketAddr,
    /// Boxed, as most connections have none.
    refusals: Option<Box<PerMinute>>,
    bound: bool,
}

/// Lines that anybody can cause, whose number is bounded for all listeners together.
struct Shared {
    lines: Mutex<PerMinute>,
    /// What is said of those that got none.
    more: &'static str,
}

static FAILURES: Shared = Shared::new("more connections failed before they were bound than are logged");
static TURNED_AWAY: Shared = Shared::new("more connections were turned away than are logged");

impl ConnectionLog {
    pub(crate) fn new(conn: ConnId, peer: SocketAddr) -> Self {
        debug!(conn = conn.0, %peer, "connection accepted");
        Self { conn, peer, refusals: None, bound: false }
    }

    pub(crate) fn notice(&mut self, notice: &Notice) {
        let Self { conn, peer, .. } = *self;
        match notice {
            Notice::Bound { domain, is_subdomain, replaced, changes } => {
                self.bound = true;
                let subdomain = if *is_subdomain { " under every host" } else { "" };
                info!(conn = conn.0, %peer, %domain, "component connected{subdomain}");
                if !replaced.is_empty() {
                    let old: Vec<_> = replaced.iter().map(|id| id.0).collect();
                    warn!(conn = conn.0, %peer, %domain, ?old, "it replaced another connection (kick_old)");
                }
                log_changes(changes);
            }
            Notice::Refused(refused) => self.refused(refused),
            Notice::MoreRefused(number) => self.refusals().suppressed += number,
            Notice::Ended { domain, end, unsent, changes } => {
                self.flush_refusals();
                let is_known = domain.is_some();
                let domain = domain.as_ref().map_or("-", |domain| domain.as_str());
                let unsent = *unsent;
                match end {
                    End::Error(error) if error.condition != StreamCondition::SystemShutdown => {
                        if !self.bound && !FAILURES.may_log() {
                            return;
                        }
                        warn!(conn = conn.0, %peer, domain, unsent, condition = %error.condition, "connection ended: {}", error.cause);
                    }
                    // A port scan or a health check is no news.
                    end if !is_known => {
                        debug!(conn = conn.0, %peer, "connection ended before its stream began: {end}");
                    }
                    end => info!(conn = conn.0, %peer, domain, unsent, "connection ended: {end}"),
                }
                log_changes(changes);
            }
            _ => {}
        }
    }

    fn refusals(&mut self) -> &mut PerMinute {
        self.refusals.get_or_insert_with(|| Box::new(PerMinute::new(10)))
    }

    fn flush_refusals(&mut self) {
        let suppressed = self.refusals.as_mut().map_or(0, |refusals| refusals.restart());
        if suppressed > 0 {
            warn!(conn = self.conn.0, suppressed, "more stanzas were refused than are logged");
        }
    }

    fn refused(&mut self, refused: &Refused) {
        if self.refusals().is_over() {
            self.flush_refusals();
        }
        if self.refusals().may_log() {
            let answer = if refused.answered { "answered bad-request" } else { "dropped" };
            warn!(conn = self.conn.0, peer = %self.peer, "stanza refused, {answer}: {}", refused.reason);
        }
    }
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
        info!(%address, "certificates are read anew; connections that are there keep the old ones");
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
        max_unauthenticated = listener.max_unauthenticated,
        proxy_protocol = listener.proxy_protocol,
        tls = %listener.tls.as_ref().map_or_else(|| "none".to_owned(), |tls| tls_summary(tls)),
        %domains,
        "listening for components"
    );
    if !listener.check_from {
        warn!(%address, "check_from is off: components of this listener may send as anybody");
    }
}

fn or_none(number: Option<impl ToString>, unit: &str) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string() + unit)
}

/// Names that others got or lost.
pub(crate) fn log_changes(changes: &[Change]) {
    for change in changes {
        match change {
            Change::Bound { name, conn } => {
                info!(%name, conn = conn.0, "name bound to a subdomain component");
            }
            Change::Waits { name, conn, holder } => {
                let holder = holder.map(|holder| holder.0);
                warn!(%name, conn = conn.0, holder, "a subdomain component waits for a name that is taken");
            }
            Change::Lost { name, conn } => {
                info!(%name, conn = conn.0, "name lost by a subdomain component");
            }
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
pub(crate) fn turned_away(peer: SocketAddr, why: &TurnedAway) {
    if TURNED_AWAY.may_log() {
        warn!(%peer, "connection turned away: {why}");
    }
}

/// Says, at the end, how many lines there would have been.
pub(crate) fn finish() {
    for shared in [&FAILURES, &TURNED_AWAY] {
        let suppressed = shared.lines().restart();
        shared.tell(suppressed);
    }
}

impl Shared {
    const fn new(more: &'static str) -> Self {
        Self { lines: Mutex::new(PerMinute::new(60)), more }
    }

    /// May there be one more? Says once a minute how many there were not.
    fn may_log(&self) -> bool {
        let mut lines = self.lines();
        let suppressed = if lines.is_over() { lines.restart() } else { 0 };
        let may = lines.may_log();
        drop(lines);
        self.tell(suppressed);
        may
    }

    fn tell(&self, suppressed: u64) {
        if suppressed > 0 {
            warn!(suppressed, "{}", self.more);
        }
    }

    fn lines(&self) -> MutexGuard<'_, PerMinute> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most so many lines a minute; the rest are counted.
struct PerMinute {
    most: u32,
    since: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

impl PerMinute {
    const fn new(most: u32) -> Self {
        Self { most, since: None, logged: 0, suppressed: 0 }
    }

    /// Has the minute passed?
    fn is_over(&self) -> bool {
        self.since.is_none_or(|since| since.elapsed() > Duration::from_secs(60))
    }

    /// Begins another minute; gives how many got no line in the one before.
    fn restart(&mut self) -> u64 {
        self.since = Some(Instant::now());
        self.logged = 0;
        std::mem::take(&mut self.suppressed)
    }

    fn may_log(&mut self) -> bool {
        self.logged = self.logged.saturating_add(1);
        let may = self.logged <= self.most;
        self.suppressed += u64::from(!may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_most_a_minute_lines_are_counted_instead() {
        let mut lines = PerMinute::new(3);
        assert!(lines.is_over());
        assert_eq!(lines.restart(), 0);
        assert_eq!((0..10).filter(|_| lines.may_log()).count(), 3);
        assert!(!lines.is_over());
        assert_eq!(lines.restart(), 7);
        assert!(lines.may_log());
    }
}
