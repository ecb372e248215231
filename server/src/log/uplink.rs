//! The log of uplinks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::Domain;
use enjamb_core::router::AttachError;
use enjamb_core::uplink::{Trouble, UplinkEvent};
use enjamb_core::{Instant, StreamErrorCause};
use enjamb_runtime::Timer as _;
use enjamb_tokio::TokioTimer;
use tracing::{debug, error, info, warn};

use crate::printable::printable;

/// What the configuration says of an uplink of one `[domain]`, as far as lines name it.
pub(crate) struct UplinkNames {
    /// NAME of `[uplink.NAME]`.
    pub(crate) uplink: String,
    pub(crate) address: String,
    /// NAME of `[domain."NAME"]`.
    pub(crate) section: String,
    pub(crate) has_own_secret: bool,
    pub(crate) has_tls: bool,
}

/// The log of one uplink.
pub(crate) struct UplinkLog {
    names: Arc<UplinkNames>,
    domain: Domain,
    /// How often in a row it was not reached, and when that was a line last.
    failures: u64,
    told: Option<std::time::Instant>,
}

/// Failures in a row of which each is a line; after that one is in a minute.
const EACH: u64 = 3;
const PAUSE: Duration = Duration::from_secs(60);

/// An uplink could not be made.
pub(crate) fn no_uplink(names: &UplinkNames, why: &AttachError) {
    if *why != AttachError::Ended {
        error!(uplink = %names.uplink, "no uplink: {why}");
    }
}

impl UplinkLog {
    pub(crate) fn new(names: Arc<UplinkNames>, domain: Domain) -> Self {
        Self { names, domain, failures: 0, told: None }
    }

    pub(crate) fn event(&mut self, event: &UplinkEvent) {
        let (uplink, domain) = (&self.names.uplink, &self.domain);
        match event {
            UplinkEvent::Established => {
                self.failures = 0;
                info!(%uplink, %domain, "uplink connected");
            }
            UplinkEvent::NotNeeded { after } => {
                info!(%uplink, %domain, "no component has needed the uplink for {} s: it is closed", after.as_secs());
            }
            UplinkEvent::Closed { reason, trouble: None, .. } => {
                debug!(%uplink, %domain, "uplink closed: {}", shown(reason));
            }
            UplinkEvent::Closed { reason, trouble: Some(trouble), retry_at, was_established } => {
                let (again, help) = (Again(*retry_at), self.help(reason, *trouble, *was_established));
                match trouble {
                    Trouble::NotAuthorized | Trouble::HostUnknown => {
                        error!(%uplink, %domain, "the server refused the uplink: {}{help}; {again}, and with SIGHUP at once", shown(reason));
                    }
                    _ => warn!(%uplink, %domain, "uplink closed: {}{help}; {again}", shown(reason)),
                }
            }
            UplinkEvent::Unreachable { words, retry_at } => self.unreachable(words, Again(*retry_at)),
            UplinkEvent::Misaddressed { to, more } => {
                let (to, more) = (printable(to), Some(*more).filter(|more| *more > 0));
                warn!(%uplink, %domain, to, more, "the server sent a stanza for another domain over this uplink: answered remote-server-not-found");
            }
            UplinkEvent::TooLong => {
                warn!(%uplink, %domain, "the server sent a stanza that is too long: skipped, and answered policy-violation");
            }
            UplinkEvent::Loop => {
                error!(%uplink, %domain, "a loop: what goes to the component {domain} comes back from the server behind uplink.{uplink}, so each is the other's component; the uplink is closed and tried again in 15 minutes. One of the two must not connect to the other as {domain}");
            }
            _ => {}
        }
    }

    fn unreachable(&mut self, words: &str, again: Again) {
        self.failures += 1;
        let failures = self.failures;
        if failures > EACH && self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return;
        }
        self.told = Some(std::time::Instant::now());
        let UplinkNames { uplink, address, has_tls, .. } = &*self.names;
        let domain = &self.domain;
        let help = if *has_tls && words.contains("corrupt message") {
            format!("; is it a port with TLS? Without it, take `tls` out of [uplink.{uplink}]")
        } else {
            String::new()
        };
        let rest = if failures == EACH { "; further failures have one line a minute" } else { "" };
        warn!(%uplink, %domain, %address, failures, "the uplink's server can't be reached: {}{help}; {again}{rest}", printable(words));
    }

    /// What to do about an end.
    fn help(&self, reason: &CloseReason, trouble: Trouble, was_established: bool) -> String {
        let UplinkNames { uplink, section, has_own_secret, .. } = &*self.names;
        let domain = &self.domain;
        match trouble {
            Trouble::NotAuthorized => {
                let key = if *has_own_secret {
                    format!("`uplink_secret` of [domain.\"{section}\"]")
                } else {
                    format!("`secret` of [uplink.{uplink}]")
                };
                format!(
                    "; {key} is not the one that the server has for {domain}, or the server has no such component"
                )
            }
            Trouble::HostUnknown => {
                format!("; the server behind [uplink.{uplink}] has no component {domain}: add it there")
            }
            Trouble::Conflict => {
                format!(
                    "; another connection has {domain} there: does the component still connect there itself?"
                )
            }
            _ if !was_established && is_no_component_port(reason) => {
                format!("; `address` of [uplink.{uplink}] is not a port for components")
            }
            _ => String::new(),
        }
    }
}

/// Whether the other side speaks XMPP, and not to components.
fn is_no_component_port(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::Error(error) if matches!(error.cause, StreamErrorCause::WrongNamespace))
}

/// What the server may have said.
fn shown(reason: &CloseReason) -> String {
    printable(&reason.to_string())
}

/// When it is tried again.
struct Again(Option<Instant>);

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = TokioTimer::default().now();
        let wait = self.0.map_or(Duration::ZERO, |at| at.since(now));
        if wait.is_zero() {
            f.write_str("tried again at once")
        } else {
            write!(f, "tried again within {} s", wait.as_secs() + 1)
        }
    }
}
