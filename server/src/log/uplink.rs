//! The log of uplinks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::Instant;
use enjamb_core::connection::CloseReason;
use enjamb_core::jid::Domain;
use enjamb_core::router::AttachError;
use enjamb_core::uplink::{Trouble, UplinkEvent};
use enjamb_runtime::Timer as _;
use enjamb_tokio::TokioTimer;
use tracing::{error, info, warn};

use crate::printable::printable;

/// The log of one uplink.
pub(crate) struct UplinkLog {
    uplink: Arc<str>,
    domain: Domain,
    /// How often in a row it was not reached.
    failures: u64,
}

/// An uplink could not be made.
pub(crate) fn no_uplink(uplink: &str, why: &AttachError) {
    if *why != AttachError::Ended {
        error!(uplink, "no uplink: {why}");
    }
}

impl UplinkLog {
    pub(crate) fn new(uplink: Arc<str>, domain: Domain) -> Self {
        Self { uplink, domain, failures: 0 }
    }

    pub(crate) fn event(&mut self, event: &UplinkEvent) {
        let (uplink, domain) = (&*self.uplink, &self.domain);
        match event {
            UplinkEvent::Established => {
                self.failures = 0;
                info!(uplink, %domain, "uplink connected");
            }
            UplinkEvent::Closed { reason, trouble: None, .. } => {
                info!(uplink, %domain, "uplink closed: {}", shown(reason));
            }
            UplinkEvent::Closed { reason, trouble: Some(trouble), retry_at, .. } => {
                let (again, help) = (Again(*retry_at), self.help(*trouble));
                match trouble {
                    Trouble::NotAuthorized | Trouble::HostUnknown => {
                        error!(uplink, %domain, "the server refused the uplink: {}; {help}; {again}", shown(reason));
                    }
                    _ => warn!(uplink, %domain, "uplink closed: {}; {again}", shown(reason)),
                }
            }
            UplinkEvent::Unreachable { words, retry_at } => {
                self.failures += 1;
                // With 60 s between two attempts, one line in ten minutes is enough.
                if self.failures <= 3 || self.failures.is_multiple_of(10) {
                    let (failures, again) = (self.failures, Again(*retry_at));
                    warn!(uplink, %domain, failures, "the uplink's server can't be reached: {}; {again}", printable(words));
                }
            }
            UplinkEvent::Misaddressed { to, more } => {
                let (to, more) = (printable(to), Some(*more).filter(|more| *more > 0));
                warn!(uplink, %domain, to, more, "the server sent a stanza for another domain over this uplink: answered remote-server-not-found");
            }
            UplinkEvent::TooLong => {
                warn!(uplink, %domain, "the server sent a stanza that is too long: skipped, and answered policy-violation");
            }
            UplinkEvent::Loop => {
                error!(uplink, %domain, "a loop: what goes to the component {domain} comes back from the server behind uplink.{uplink}, so each is the other's component; the uplink is closed and tried again in 15 minutes. One of the two must not connect to the other as {domain}");
            }
            _ => {}
        }
    }

    /// What to do about a refusal.
    fn help(&self, trouble: Trouble) -> String {
        let (uplink, domain) = (&self.uplink, &self.domain);
        match trouble {
            Trouble::NotAuthorized => format!(
                "`secret` of [uplink.{uplink}], or `uplink_secret` of [domain.\"{domain}\"], is not the one that the server has for {domain}"
            ),
            Trouble::HostUnknown => {
                format!("the server behind [uplink.{uplink}] has no component {domain}: add it there")
            }
            _ => String::new(),
        }
    }
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
            write!(f, "tried again in {} s", wait.as_secs().max(1))
        }
    }
}
