//! `[domain."irc.example.org"]`: what holds for one domain, or for all below one, on any listener.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use enjamb_core::router::DomainPattern;
use enjamb_core::switch::DomainConfig;

use super::advice;
use super::diagnostic::Faults;
use super::general::General;
use super::hold;
use super::listen::conflict_behaviour;
use super::listener::{Listener, Password};
use super::reader::{Section, Value, array, string};
use super::secret;
use super::uplink::Uplinks;
use crate::printable::{printable, quoted};

/// The longest time for an answer, in seconds: an hour.
const ANSWER_CEILING: u64 = 60 * 60;
/// The longest silence after which a component is pinged, in seconds: a day.
const PING_CEILING: u64 = 24 * 60 * 60;
/// Requests that may be noted for one domain.
const REQUESTS_CEILING: u64 = 1_000_000;

/// One such section.
#[derive(Clone, Debug)]
pub struct DomainSection {
    /// The domain, or those below one.
    pub pattern: DomainPattern,
    /// What the switch does for it.
    pub config: DomainConfig,
    /// What proves the domain, in place of the listener's password; empty: that one does.
    pub secrets: Vec<Password>,
    /// Its default route.
    pub uplink: Option<DomainUplink>,
    /// Whether the component is told, while the uplink is away, that the users it saw there are unavailable.
    pub end_presence: bool,
}

/// The uplink that a domain names.
#[derive(Clone, Debug)]
pub struct DomainUplink {
    /// Its index in [`Config::uplinks`](super::Config::uplinks).
    pub index: usize,
    /// The domain's own secret, in place of the uplink's.
    pub secret: Option<Password>,
}

/// All of these sections. `base`: where the files are that have no absolute path.
pub(super) fn read(
    value: Option<&Value<'_>>,
    general: &General,
    listeners: &[Listener],
    uplinks: &mut Uplinks,
    base: &Path,
    faults: &mut Faults,
) -> Vec<DomainSection> {
    let Some(section) = value.and_then(|value| Section::of("domain", value, faults)) else {
        return Vec::new();
    };
    let mut domains: Vec<DomainSection> = Vec::new();
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (key, value) in section.entries() {
        let name: &str = key.get_ref();
        let Some(table) = Section::of(format!("domain.\"{}\"", printable(name)), value, faults) else {
            continue;
        };
        let pattern = match DomainPattern::parse(name) {
            Ok(pattern) => pattern,
            Err(error) => {
                let help = "a name in quotes, as in [domain.\"irc.example.org\"], or a wildcard of whole labels as in [domain.\"*.bots.example\"]";
                faults.error(key.span(), format!("{} is no domain: {error}", quoted(name))).help(help);
                continue;
            }
        };
        if let Some(first) = domains.iter().position(|known| known.pattern == pattern) {
            faults
                .error(key.span(), format!("the domain {} is given twice", quoted(name)))
                .label(spans[first].clone(), "first here");
            continue;
        }
        if matches!(&pattern, DomainPattern::Exact(domain) if general.hosts.contains(domain)) {
            faults
                .error(
                    key.span(),
                    format!("{} is a host of this server: no component can have it", quoted(name)),
                )
                .help("[domain] is for the domains of components");
            continue;
        }
        if !listeners.is_empty() && !listeners.iter().any(|listener| may_give(listener, &pattern)) {
            faults
                .warning(key.span(), format!("no listener lets {} connect", quoted(name)))
                .help("list it in `domains` of a [[listen.service]]");
        }
        spans.push(key.span());
        let mut table = table;
        let secrets = secrets(&mut table, base, faults);
        let uplink = uplink(&mut table, &pattern, uplinks, base, faults);
        let end_presence = end_presence(&mut table, faults);
        domains.push(DomainSection { pattern, config: config(table, faults), secrets, uplink, end_presence });
    }
    domains
}

/// Whether a listener may give a name that the pattern stands for.
fn may_give(listener: &Listener, pattern: &DomainPattern) -> bool {
    listener.domains.as_ref().is_none_or(|listed| listed.iter().any(|one| one.overlaps(pattern)))
}

/// What proves the domain: one of `secret`, `secret_file` and `secrets`, or nothing.
fn secrets(section: &mut Section<'_, '_>, base: &Path, faults: &mut Faults) -> Vec<Password> {
    let mut secrets = Vec::new();
    let one = section.string("secret", faults);
    let file = section.string("secret_file", faults);
    let several = section.take("secrets");
    let spans = [one.map(|(_, value)| value), file.map(|(_, value)| value), several];
    let mut given = spans.into_iter().flatten();
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        faults
            .error(second.span(), "at most one of `secret`, `secret_file` and `secrets` may be given")
            .label(first.span(), "the first is here");
        return secrets;
    }
    if let Some((secret, value)) = one {
        add("secret", secret, value, &mut secrets, faults);
    }
    if let Some((path, value)) = file
        && let Some(text) = secret::in_file(path, value, base, faults)
    {
        add("secret_file", &text, value, &mut secrets, faults);
    }
    if let Some(value) = several {
        let items = array(value, "secrets", faults).unwrap_or_default();
        if items.is_empty() {
            faults.error(value.span(), "`secrets` is empty: nobody could connect");
        }
        for item in items {
            if let Some(secret) = string(item, "secrets", faults) {
                add("secrets", secret, item, &mut secrets, faults);
            }
        }
    }
    secrets
}

fn add(key: &str, secret: &str, value: &Value<'_>, secrets: &mut Vec<Password>, faults: &mut Faults) {
    if secret.is_empty() {
        faults
            .error(value.span(), format!("`{key}` is empty: anyone could connect"))
            .help("use 16 or more ASCII letters and digits");
        return;
    }
    advice::secret(key, secret, value.span(), faults);
    secrets.push(Password::new(secret.to_owned()));
}

/// The uplink that the domain names.
fn uplink(
    section: &mut Section<'_, '_>,
    pattern: &DomainPattern,
    uplinks: &mut Uplinks,
    base: &Path,
    faults: &mut Faults,
) -> Option<DomainUplink> {
    let own = secret::of_uplink(section, ["uplink_secret", "uplink_secret_file"], base, faults);
    if section.take("uplink").is_none()
        && let Some((key, place)) = own.key
    {
        faults
            .error(place, format!("`{key}` without `uplink`: there is no server to prove it to"))
            .of_absence()
            .help("add uplink = \"NAME\", the name of an [uplink.NAME]; or take it out");
        return None;
    }
    let (name, value) = section.string("uplink", faults)?;
    let index = uplinks.named(name, value.span(), pattern, own.key.is_some(), faults)?;
    Some(DomainUplink { index, secret: own.secret })
}

fn end_presence(section: &mut Section<'_, '_>, faults: &mut Faults) -> bool {
    let is_on = section.boolean("end_presence", false, faults);
    if let Some(value) = section.take("end_presence").filter(|_| is_on)
        && section.take("uplink").is_none()
    {
        faults
            .warning(value.span(), "`end_presence` has no effect without `uplink`")
            .of_absence()
            .help("it is about users of the server that the uplink connects to");
    }
    is_on
}

fn config(mut section: Section<'_, '_>, faults: &mut Faults) -> DomainConfig {
    let mut config = DomainConfig::default();
    hold::read(&mut section, &mut config.hold, &mut config.hold_bytes, faults);
    if let Some(seconds) = section.integer("iq_timeout_seconds", 1..=ANSWER_CEILING, "seconds", faults) {
        config.iq_timeout = Duration::from_secs(seconds);
    }
    if let Some(number) = section.integer("max_pending_iqs", 0..=REQUESTS_CEILING, "requests", faults) {
        config.max_pending_iqs = usize::try_from(number).unwrap_or(usize::MAX);
    }
    if let Some(seconds) = section.integer("ping_seconds", 0..=PING_CEILING, "seconds", faults) {
        config.ping = (seconds > 0).then(|| Duration::from_secs(seconds));
    }
    if let Some((text, value)) = section.string("conflict_behaviour", faults) {
        config.conflict = conflict_behaviour(text, value, faults);
    }
    section.finish(&[], faults);
    config
}
