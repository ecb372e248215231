//! `enjamb-bench`: loads servers for XEP-0114, is the null servers that they are compared with, and counts what the
//! core costs by itself. A program of its own, so that the server stays without what only measuring needs.

mod arguments;
mod cli;
mod compare;
mod connections;
mod cut;
mod figures;
mod fit;
mod goals;
mod instructions;
mod latency;
mod load;
pub mod micro;
mod neighbours;
mod null;
mod outcome;
mod pace;
mod payload;
mod plan;
mod plots;
mod process;
mod profile;
mod progress;
mod report;
mod servers;
mod shape;
mod svg;
mod table;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// The program.
#[must_use]
pub fn run() -> ExitCode {
    process::raise_file_limit();
    let result = match Cli::parse().command {
        Command::Run(options) => options.run(),
        Command::Compare(options) => compare::run(&options),
        Command::Instructions { budget } => instructions::check(&budget),
        Command::Exercise { case, rounds } => instructions::exercise(&case, rounds),
        Command::Neighbours(options) => neighbours::run(&options),
        Command::NeighboursAttack(options) => neighbours::attack(&options),
        Command::EndingWithParent { words } => process::end_with_parent(&words),
        Command::NullRoute { any } => {
            null::run(null::Null::Route(if any { cut::element_end } else { cut::message_end }))
        }
        Command::NullRelay => null::run(null::Null::Relay),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("enjamb-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
