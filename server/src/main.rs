//! `enjamb`: a server for XMPP components.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use enjamb_server::cli::{Cli, Command};
use enjamb_server::{check, demo, init, probe, serve};

fn main() -> ExitCode {
    let cli = Cli::read();
    match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(options)) => serve::run(&options),
        Some(Command::Check { file }) => check::run(&file),
        Some(Command::Init(options)) => init::run(&options),
        Some(Command::Probe(options)) => probe::run(&options),
        Some(Command::Demo) => demo::run(),
    }
}
