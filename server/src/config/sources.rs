//! Limits by source address, and of all that are not authenticated: keys of our own in a listener.

use std::time::Duration;

use super::diagnostic::Faults;
use super::listener::{CONNECTIONS_CEILING, Listener, TIME_CEILING};
use super::reader::Section;

/// Reads `max_unauthenticated` and the table `sources`.
pub(super) fn read(section: &mut Section<'_, '_>, listener: &mut Listener, faults: &mut Faults) {
    let range = 1..=CONNECTIONS_CEILING as u64;
    if let Some(number) =
        section.integer_or_infinity("max_unauthenticated", range.clone(), "connections", faults)
    {
        listener.max_unauthenticated = Some(usize::try_from(number).unwrap_or(CONNECTIONS_CEILING));
    }
    let Some(value) = section.take("sources") else { return };
    let Some(mut table) = Section::of("listen.service.sources", value, faults) else { return };
    let limits = &mut listener.sources;
    for (key, limit) in
        [("max_connections", &mut limits.connections), ("max_unauthenticated", &mut limits.unauthenticated)]
    {
        if let Some(number) = table.integer_or_infinity(key, range.clone(), "connections", faults) {
            *limit = u32::try_from(number).unwrap_or(u32::MAX);
        }
    }
    if let Some(number) = table.integer("failures", 0..=1000, "failures", faults) {
        limits.failures = u32::try_from(number).unwrap_or(u32::MAX);
    }
    if let Some(number) = table.integer("source_failures", 0..=100_000, "failures", faults) {
        limits.source_failures = u32::try_from(number).unwrap_or(u32::MAX);
    }
    let hour = TIME_CEILING.as_secs();
    if let Some(seconds) = table.integer("source_recovery", 1..=hour, "seconds", faults) {
        limits.source_recovery = Duration::from_secs(seconds);
    }
    let backoff = table.integer("backoff", 1..=hour, "seconds", faults);
    let backoff_max = table.integer("backoff_max", 1..=hour, "seconds", faults);
    limits.backoff = backoff.map_or(limits.backoff, Duration::from_secs);
    limits.backoff_max = backoff_max.map_or(limits.backoff_max, Duration::from_secs);
    if limits.backoff > limits.backoff_max {
        let place = table.take(if backoff.is_some() { "backoff" } else { "backoff_max" });
        let (first, most) = (limits.backoff.as_secs(), limits.backoff_max.as_secs());
        faults
            .error(
                place.map_or(value.span(), |place| place.span()),
                format!("`backoff` is {first} s, and `backoff_max` only {most} s"),
            )
            .help("a name is turned away for `backoff` first, then twice as long each time, up to `backoff_max`");
    }
    limits.exempt_loopback = table.boolean("exempt_loopback", limits.exempt_loopback, faults);
    table.finish(&[], faults);
}
