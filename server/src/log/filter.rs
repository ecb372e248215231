//! `--log`: a level, or directives, checked so that a typing error does not silence the log.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// The levels, and words that others use for them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const OTHER_NAMES: [(&str, &str); 12] = [
    ("warning", "warn"),
    ("notice", "info"),
    ("verbose", "debug"),
    ("all", "trace"),
    ("none", "off"),
    ("quiet", "off"),
    ("silent", "off"),
    ("fatal", "error"),
    ("critical", "error"),
    ("emergency", "error"),
    ("alert", "error"),
    ("information", "info"),
];

/// The target of errors that end the program. They are printed whatever the level.
pub(super) const FATAL: &str = "fatal";

/// Which lines are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    pub(super) fn to_env_filter(&self) -> EnvFilter {
        let fatal = format!("{FATAL}=error").parse().expect("it is a directive");
        EnvFilter::new(&self.0).add_directive(fatal)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    /// Nothing is the default. Directives without a level among them add to the default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut has_level = false;
        for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
            has_level |= check(directive)?;
        }
        let filter = match (has_level, text.trim()) {
            (true, text) => text.to_owned(),
            (false, "") => "info".to_owned(),
            (false, text) => format!("info,{text}"),
        };
        EnvFilter::try_new(&filter).map_err(|error| error.to_string())?;
        Ok(Self(filter))
    }
}

/// Whether a directive is a level for everything; refuses what is neither that nor one of a target.
fn check(directive: &str) -> Result<bool, String> {
    if is_level(directive) {
        return Ok(true);
    }
    // Behind the brackets of a span, fields may hold an equals sign of their own.
    let behind = directive.rfind(']').map_or(0, |at| at + 1);
    match directive[behind..].rsplit_once('=') {
        Some((_, level)) if is_level(level) => Ok(false),
        Some((_, level)) => Err(unknown(level)),
        None if directive.contains("::") || directive.contains('[') || directive.starts_with("enjamb") => {
            Ok(false)
        }
        None => Err(unknown(directive)),
    }
}

fn is_level(text: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text)) || matches!(text.as_bytes(), [b'0'..=b'5'])
}

fn unknown(level: &str) -> String {
    let shown = quoted(level);
    let known = OTHER_NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(level));
    let help = known
        .map(|(_, level)| format!("did you mean `{level}`?"))
        .or_else(|| did_you_mean(level, LEVELS))
        .unwrap_or_else(|| format!("the levels are {}", LEVELS.join(", ")));
    format!("unknown log level {shown}; {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        text.parse().map(|LogFilter(filter)| filter)
    }

    #[test]
    fn levels_and_directives_are_taken_and_a_target_alone_adds_to_the_default() {
        for (text, filter) in [
            ("", "info"),
            (" ", "info"),
            ("WARN", "WARN"),
            ("off", "off"),
            ("3", "3"),
            ("info,enjamb_server::listen=debug", "info,enjamb_server::listen=debug"),
            ("enjamb_server::listen=debug", "info,enjamb_server::listen=debug"),
            ("enjamb_server", "info,enjamb_server"),
            ("warn,[span{a=1}]=trace", "warn,[span{a=1}]=trace"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(filter), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_level_is_refused_with_the_nearest_one() {
        for (text, says) in [
            ("warning", "unknown log level `warning`; did you mean `warn`?"),
            ("verbose", "unknown log level `verbose`; did you mean `debug`?"),
            ("notice", "unknown log level `notice`; did you mean `info`?"),
            ("inof", "unknown log level `inof`; did you mean `info`?"),
            ("info,enjamb_server=debgu", "unknown log level `debgu`; did you mean `debug`?"),
            ("9", "unknown log level `9`; the levels are off, error, warn, info, debug, trace"),
            ("enjamb_server=", "unknown log level ``; the levels are off, error, warn, info, debug, trace"),
        ] {
            assert_eq!(parsed(text), Err(says.to_owned()), "{text:?}");
        }
        assert!(parsed("a=b=c=").is_err());
    }
}
