//! `hold_seconds` and `hold_bytes`: how long, and how much of, what can't be delivered waits.

use std::time::Duration;

use super::diagnostic::Faults;
use super::reader::Section;

/// The longest time for which stanzas are held, in seconds: a day.
const CEILING: u64 = 24 * 60 * 60;
/// Bytes that may be held: 1 KiB to 1 GiB.
const BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 30;

/// Reads both keys into their settings; what is not set stays as it is.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    hold: &mut Duration,
    bytes: &mut usize,
    faults: &mut Faults,
) {
    if let Some(seconds) = section.integer("hold_seconds", 0..=CEILING, "seconds", faults) {
        *hold = Duration::from_secs(seconds);
    }
    if let Some(number) = section.integer("hold_bytes", BYTES, "bytes", faults) {
        *bytes = usize::try_from(number).unwrap_or(usize::MAX);
    }
}
