//! `cargo xtask`: the fuzz targets, one command each.

#![forbid(unsafe_code)]

mod coverage;
mod fuzz;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// What goes wrong is told and ends the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "What a developer of Enjamb runs", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The fuzz targets, and what they cover
    #[command(subcommand)]
    Fuzz(Fuzz),
}

#[derive(Subcommand)]
enum Fuzz {
    /// Run each target for a short time, two at once; fails on the first finding
    Smoke {
        /// Seconds for each target
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Only these targets
        targets: Vec<String>,
    },
    /// Run targets for long, one after the other, and add the figures to docs/fuzzing.md
    Long {
        /// Minutes for each target
        #[arg(long)]
        minutes: u64,
        /// Only these targets
        targets: Vec<String>,
    },
    /// Replace the committed corpora by the least that covers as much, of them and of what was found
    Minimise {
        /// Only these targets
        targets: Vec<String>,
    },
    /// Print how much of the core the tests and the corpora cover, and which lines they do not
    Coverage {
        /// Only the corpora, and not the core's tests
        #[arg(long)]
        corpora: bool,
    },
}

fn main() -> ExitCode {
    let Task::Fuzz(fuzz) = Arguments::parse().task;
    let outcome = match fuzz {
        Fuzz::Smoke { seconds, targets } => fuzz::smoke(Duration::from_secs(seconds), &targets),
        Fuzz::Long { minutes, targets } => fuzz::long(Duration::from_secs(minutes * 60), &targets),
        Fuzz::Minimise { targets } => fuzz::minimise(&targets),
        Fuzz::Coverage { corpora } => coverage::print(corpora),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
