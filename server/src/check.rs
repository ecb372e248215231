//! `enjamb check FILE`: what a start with this file would say.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use crate::config::{Loaded, Severity, load_file};
use crate::terminal::{complain, say};

/// Prints all faults and remarks to standard error and, where the server would start, a summary to standard
/// output. The exit code is 0 where it would start, 1 where it would not, 2 where the file can't be read.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    let loaded = match load_file(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(format_args!("error: can't read {}: {error}", path.display()));
            return ExitCode::from(2);
        }
    };
    show_faults(&loaded);
    for note in &loaded.notes {
        complain(format_args!("note: {note}"));
    }
    match loaded.config {
        Some(_) => {
            say(summary(&loaded));
            ExitCode::SUCCESS
        }
        None => {
            complain(summary(&loaded));
            ExitCode::FAILURE
        }
    }
}

/// Prints all faults with their excerpts to standard error.
pub(crate) fn show_faults(loaded: &Loaded) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for fault in &loaded.diagnostics {
        complain(loaded.source.render(fault, colour) + "\n");
    }
}

/// The outcome in one line: `enjamb.toml: 2 hosts, 3 listeners, 1 warning`.
#[must_use]
pub fn summary(loaded: &Loaded) -> String {
    let mut parts = Vec::new();
    if let Some(config) = &loaded.config {
        parts.push(count(config.hosts.len(), "host"));
        parts.push(count(config.listeners.len(), "listener"));
        if !config.uplinks.is_empty() {
            parts.push(count(config.uplinks.len(), "uplink"));
        }
    } else {
        parts.push(count(loaded.count(Severity::Error), "error"));
    }
    parts.push(count(loaded.count(Severity::Warning), "warning"));
    format!("{}: {}", loaded.source.name(), parts.join(", "))
}

fn count(number: usize, what: &(impl Display + ?Sized)) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
