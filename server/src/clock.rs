//! The wall clock, as text.

use std::time::SystemTime;

/// Returns the time in UTC, to the second, as RFC 3339 and XEP-0082 write it.
pub(crate) fn utc() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
