//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::log::LogFormat;
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
    /// What to log: error, warn, info, debug, or directives such as 'info,enjamb_server::listen=debug'.
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "ENJAMB_LOG")]
    pub log: String,
    /// How to log.
    #[arg(long, value_enum, default_value_t, env = "ENJAMB_LOG_FORMAT")]
    pub log_format: LogFormat,
}
