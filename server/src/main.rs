//! `enjamb`: a server for XMPP components.

use std::process::ExitCode;

use clap::Parser;
use enjamb_server::cli::{Cli, Command};
use enjamb_server::{check, demo, serve};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or_default() {
        Command::Serve(options) => serve::run(&options),
        Command::Check { file } => check::run(&file),
        Command::Demo => demo::run(),
    }
}
