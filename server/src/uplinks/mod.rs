//! Uplinks: for each domain that names one, a stream of our own to another XMPP server.

mod connector;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::router::{Claim, DomainMap, DomainPattern};
use enjamb_core::switch::{Switch, SwitchEvent};
use enjamb_core::uplink::{ConnectWhen, UplinkConfig};
use enjamb_runtime::{SharedSwitch, Subscription, UplinkServer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, DomainSection, Uplink};
use crate::log::{self, UplinkLog, UplinkNames as Names};
use connector::UplinkConnector;

/// Where uplinks run.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) switch: Arc<SharedSwitch>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// What an uplink of one section needs, whatever its name is.
#[derive(Clone)]
struct Plan {
    names: Arc<Names>,
    server: Arc<UplinkServer<UplinkConnector>>,
    /// Its domain is a placeholder under a wildcard.
    config: UplinkConfig,
}

/// The servers behind all uplinks.
pub(crate) struct Uplinks(Vec<Arc<UplinkServer<UplinkConnector>>>);

impl Uplinks {
    /// Has all that are not connected try again at once: something was mended.
    pub(crate) fn retry(&self) {
        self.0.iter().for_each(|server| server.retry());
    }
}

/// Starts the uplinks of all domains, now or when a component of a wildcard comes.
///
/// # Errors
/// What is wrong with the files of one of them, for the log.
pub(crate) fn start(config: &Config, place: &Place) -> Result<Uplinks, String> {
    let mut servers = Vec::new();
    for uplink in &config.uplinks {
        let connector = UplinkConnector::new(uplink.tls.as_ref())
            .map_err(|words| format!("uplink.{}.tls: {words}", uplink.name))?;
        servers.push(Arc::new(UplinkServer::new(connector, uplink.address.clone())));
    }
    let mut wildcards = Vec::new();
    for section in &config.domains {
        let plan = plan(config, section, &servers);
        match (&section.pattern, plan) {
            (DomainPattern::Exact(_), Some(plan)) => {
                let place = place.clone();
                place.tasks.clone().spawn(async move { plan.run(&place).await });
            }
            // One without an uplink hides the names below it from a shorter one.
            (_, plan) => wildcards.push((section.pattern.clone(), plan)),
        }
    }
    if wildcards.iter().any(|(_, plan)| plan.is_some()) {
        let wildcards = Arc::new(Wildcards {
            plans: wildcards.into_iter().collect(),
            running: Mutex::default(),
            place: place.clone(),
        });
        place.tasks.spawn(wildcards.watch());
    }
    Ok(Uplinks(servers))
}

/// The uplink of one section, if it has any.
fn plan(
    config: &Config,
    section: &DomainSection,
    servers: &[Arc<UplinkServer<UplinkConnector>>],
) -> Option<Plan> {
    let (uplink, secret) = config.uplink_of(section)?;
    let named = section.uplink.as_ref()?;
    let (DomainPattern::Exact(domain) | DomainPattern::Below(domain)) = &section.pattern;
    let secret = Secret::new(secret.expose());
    let mut settings = UplinkConfig::new(domain.clone(), secret);
    let &Uplink { always, local_routing, hold, hold_bytes, max_stanza_size, .. } = uplink;
    settings.shares_secret = named.secret.is_none();
    settings.connect = if always { ConnectWhen::Always } else { ConnectWhen::WithComponent };
    settings.group = u32::try_from(named.index).unwrap_or(u32::MAX);
    settings.local_routing = local_routing;
    settings.hold = hold;
    settings.hold_bytes = hold_bytes;
    settings.max_stanza = max_stanza_size;
    settings.end_presence = section.end_presence;
    let server = Arc::clone(servers.get(named.index)?);
    let names = Names {
        uplink: uplink.name.clone(),
        address: uplink.address.clone(),
        section: section.pattern.to_string(),
        has_own_secret: named.secret.is_some(),
        has_tls: uplink.tls.is_some(),
    };
    Some(Plan { names: Arc::new(names), server, config: settings })
}

impl Plan {
    /// Runs the uplink until the server stops.
    async fn run(self, place: &Place) {
        let mut log = UplinkLog::new(Arc::clone(&self.names), self.config.domain.clone());
        let switch = Arc::clone(&place.switch);
        let running = self.server.run(switch, self.config, move |event| log.event(&event));
        if let Err(error) = running.await {
            log::no_uplink(&self.names, &error);
        }
    }

    /// Runs the uplink of a name under a wildcard until nothing needs it.
    async fn run_until_idle(mut self, domain: Domain, place: &Place) {
        self.config.domain = domain;
        let mut log = UplinkLog::new(Arc::clone(&self.names), self.config.domain.clone());
        let switch = Arc::clone(&place.switch);
        let running = self.server.run_until_idle(switch, self.config, move |event| log.event(&event));
        if let Err(error) = running.await {
            log::no_uplink(&self.names, &error);
        }
    }
}

/// The uplinks of names under wildcards: each begins with the first component of its name.
struct Wildcards {
    plans: DomainMap<Option<Plan>>,
    running: Mutex<BTreeSet<Domain>>,
    place: Place,
}

impl Wildcards {
    async fn watch(self: Arc<Self>) {
        let mut changes = Subscription::new(Arc::clone(&self.place.switch));
        self.begin_all();
        while let Some(change) = self.place.stop.run_until_cancelled(changes.next()).await {
            match change {
                SwitchEvent::Bound { name: DomainPattern::Exact(name), .. } => self.begin(name),
                SwitchEvent::Missed(_) => self.begin_all(),
                _ => {}
            }
        }
    }

    /// Begins with all names that are bound.
    fn begin_all(self: &Arc<Self>) {
        for port in self.place.switch.ports() {
            port.names.into_iter().for_each(|name| self.begin(name));
        }
    }

    /// Begins the uplink of a name, if it is to have one that does not run yet.
    fn begin(self: &Arc<Self>, name: Domain) {
        if self.plans.lists(name.as_str()) {
            return;
        }
        let Some(plan) = self.plans.get(name.as_str()).cloned().flatten() else { return };
        if !self.running().insert(name.clone()) {
            return;
        }
        let all = Arc::clone(self);
        self.place.tasks.spawn(async move {
            plan.run_until_idle(name.clone(), &all.place).await;
            all.running().remove(&name);
            // A component that came meanwhile did not begin another.
            let is_held = all.place.switch.holder(&Claim::Domain(name.clone())).is_some();
            if is_held && !all.place.stop.is_cancelled() {
                all.begin(name);
            }
        });
    }

    /// No call leaves the names half changed.
    fn running(&self) -> MutexGuard<'_, BTreeSet<Domain>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
