//! The configuration file: every option of the reference, and what is said about faults.
#![allow(clippy::unwrap_used)]

mod domains;
mod files;
mod options;
mod rules;
mod sections;
mod shown;
mod sources;
mod tls;
mod uplinks;
mod uplinks_tls;

use enjamb_server::config::{Config, Listener, Loaded, Severity, load};

/// A secret that nothing is to be said about.
const SECRET: &str = "0123456789abcdefABCDEF";

/// A file with one listener, in which `lines` stand from line 6, column 1 on.
fn file_with(lines: &str) -> String {
    format!(
        "[general]\nhosts = [\"localhost\", \"example.org\"]\n[[listen.service]]\nport = 8888\n\
         password = \"{SECRET}\"\n{lines}\n"
    )
}

fn load_text(text: &str) -> Loaded {
    load("enjamb.toml", text)
}

/// The settings in a file of which there is nothing to say.
fn clean(text: &str) -> Config {
    let loaded = load_text(text);
    assert_eq!(loaded.render(false), "", "{text}");
    loaded.config.unwrap()
}

/// The one listener of [`file_with`].
fn listener(lines: &str) -> Listener {
    clean(&file_with(lines)).listeners.remove(0)
}

/// The one listener of [`file_with`], which is warned of.
fn doubtful(lines: &str) -> Listener {
    load_text(&file_with(lines)).config.unwrap().listeners.remove(0)
}

/// All faults, each in one line.
fn faults(text: &str) -> Vec<String> {
    let loaded = load_text(text);
    assert_eq!(loaded.config.is_none(), loaded.count(Severity::Error) > 0);
    loaded.diagnostics.iter().map(|fault| loaded.source.line(fault)).collect()
}

/// Asserts that a file has exactly one fault, and which.
#[track_caller]
fn one_fault(text: &str, expected: &str) {
    assert_eq!(faults(text), [expected], "{text}");
}

/// Asserts what is said of lines in [`file_with`].
#[track_caller]
fn refused(lines: &str, expected: &str) {
    one_fault(&file_with(lines), &format!("enjamb.toml:{expected}"));
}
