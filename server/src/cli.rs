//! The command line.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::DEFAULT_PORT;
use crate::init::InitOptions;
use crate::log::{LogFilter, LogFormat};
use crate::probe::ProbeOptions;

/// A server for XMPP components (XEP-0114): gateways, bots and services connect to it with a shared secret and
/// exchange stanzas.
///
/// Without a configuration file it listens on 127.0.0.1:8888 for components of 'localhost', with a secret that
/// is made at start and printed.
#[derive(Debug, Parser)]
#[command(name = "enjamb", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; 'serve' if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run the server, where no command is given.
    #[command(flatten)]
    pub serve: ServeOptions,
}

impl Cli {
    /// Reads the command line and the environment. A variable that is set and empty is one that is not set. Ends the
    /// program with code 2 if they make no sense.
    #[must_use]
    pub fn read() -> Self {
        let mut command = without_empty_variables(Self::command());
        let mut matches = command.clone().get_matches();
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if is_empty(name) => arg.env(Resettable::Reset),
        _ => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (the default).
    Serve(ServeOptions),
    /// Check a configuration file: all its faults at once, each with its line, and nothing else.
    Check {
        /// The file, in MongooseIM's TOML.
        file: PathBuf,
    },
    /// Write a configuration file, with fresh secrets, for Enjamb in front of another XMPP server, and print what that
    /// server needs.
    Init(InitOptions),
    /// Play hostile streams and conformance cases against any server for components, and say what it answers.
    Probe(Box<ProbeOptions>),
    /// Show a server and two components at work, in this terminal, each stanza as it passes.
    Demo,
}

/// How to run the server.
#[derive(Clone, Debug, Args)]
pub struct ServeOptions {
    /// The configuration file, in MongooseIM's TOML; '[[listen.service]]' sections work unchanged.
    #[arg(short, long, value_name = "FILE", env = "ENJAMB_CONFIG")]
    pub config: Option<PathBuf>,
    /// The port to listen on without a configuration file; 0 for a free one.
    #[arg(short, long, default_value_t = DEFAULT_PORT, conflicts_with = "config")]
    pub port: u16,
    /// What to log: off, error, warn, info, debug or trace, or directives such as 'enjamb_server::listen=debug', which
    /// add to 'info' unless a level is among them. Errors that keep the server from starting are always printed.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "ENJAMB_LOG")]
    pub log: LogFilter,
    /// How to log.
    #[arg(long, value_enum, default_value_t, env = "ENJAMB_LOG_FORMAT")]
    pub log_format: LogFormat,
}
