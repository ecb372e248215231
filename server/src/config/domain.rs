//! `[domain."irc.example.org"]`: what holds for one domain, or for all below one, on any listener.

use std::ops::Range;
use std::time::Duration;

use enjamb_core::router::DomainPattern;
use enjamb_core::switch::DomainConfig;

use super::diagnostic::Faults;
use super::general::General;
use super::listener::Listener;
use super::reader::{Section, Value};
use crate::printable::{printable, quoted};

/// The longest time for which stanzas are held, in seconds: a day.
const HOLD_CEILING: u64 = 24 * 60 * 60;
/// Bytes that may be held: 1 KiB to 1 GiB.
const BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 30;
/// The longest time for an answer, in seconds: an hour.
const ANSWER_CEILING: u64 = 60 * 60;
/// The longest silence after which a component is pinged, in seconds: a day.
const PING_CEILING: u64 = 24 * 60 * 60;
/// Requests that may be noted for one domain.
const REQUESTS_CEILING: u64 = 1_000_000;

/// All of these sections, with what is configured in each.
pub(super) fn read(
    value: Option<&Value<'_>>,
    general: &General,
    listeners: &[Listener],
    faults: &mut Faults,
) -> Vec<(DomainPattern, DomainConfig)> {
    let Some(section) = value.and_then(|value| Section::of("domain", value, faults)) else {
        return Vec::new();
    };
    let mut domains: Vec<(DomainPattern, DomainConfig)> = Vec::new();
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
        if let Some(first) = domains.iter().position(|(known, _)| *known == pattern) {
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
        domains.push((pattern, config(table, faults)));
    }
    domains
}

/// Whether a listener may give a name that the pattern stands for.
fn may_give(listener: &Listener, pattern: &DomainPattern) -> bool {
    let is_below = |name: &str, of: &str| name.strip_suffix(of).is_some_and(|front| front.ends_with('.'));
    let covers = |listed: &DomainPattern| match (listed, pattern) {
        (DomainPattern::Exact(one), DomainPattern::Exact(other)) => one == other,
        (DomainPattern::Below(above), DomainPattern::Exact(name))
        | (DomainPattern::Exact(name), DomainPattern::Below(above)) => {
            is_below(name.as_str(), above.as_str())
        }
        (DomainPattern::Below(one), DomainPattern::Below(other)) => {
            one == other || is_below(one.as_str(), other.as_str()) || is_below(other.as_str(), one.as_str())
        }
    };
    listener.domains.as_ref().is_none_or(|listed| listed.iter().any(covers))
}

fn config(mut section: Section<'_, '_>, faults: &mut Faults) -> DomainConfig {
    let mut config = DomainConfig::default();
    if let Some(seconds) = section.integer("hold_seconds", 0..=HOLD_CEILING, "seconds", faults) {
        config.hold = Duration::from_secs(seconds);
    }
    if let Some(bytes) = section.integer("hold_bytes", BYTES, "bytes", faults) {
        config.hold_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(seconds) = section.integer("iq_timeout_seconds", 1..=ANSWER_CEILING, "seconds", faults) {
        config.iq_timeout = Duration::from_secs(seconds);
    }
    if let Some(number) = section.integer("max_pending_iqs", 0..=REQUESTS_CEILING, "requests", faults) {
        config.max_pending_iqs = usize::try_from(number).unwrap_or(usize::MAX);
    }
    if let Some(seconds) = section.integer("ping_seconds", 0..=PING_CEILING, "seconds", faults) {
        config.ping = (seconds > 0).then(|| Duration::from_secs(seconds));
    }
    section.finish(&[], faults);
    config
}
