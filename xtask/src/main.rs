//! `cargo xtask`: what takes more than `cargo test`, one command each.

#![forbid(unsafe_code)]

mod corpus;
mod coverage;
mod fuzz;
mod interop;
mod proof;
mod reached;
mod report;
mod workspace;

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, Subcommand};

use workspace::{Result, root};

#[derive(Parser)]
#[command(about = "What a developer of Enjamb runs", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The tests that need other people's programs, or thousands of open files
    Interop {
        /// Install nothing; fail if something is missing
        #[arg(long)]
        no_install: bool,
        /// Only these groups
        groups: Vec<interop::Group>,
    },
    /// The long forms: hours of fuzzing, chaos and mutants, attacks on neighbours, and the comparison with other servers
    Proof {
        /// Only these parts
        parts: Vec<proof::Part>,
    },
    /// The fuzz targets, and what they cover
    #[command(subcommand)]
    Fuzz(Fuzz),
    /// Try every order in which threads may meet at what connections share
    Loom {
        /// How often a thread may be interrupted where it need not; without end it takes hours
        #[arg(long, default_value_t = 3)]
        preemptions: usize,
    },
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
    /// Run targets for long, one after the other, and print figures for docs/fuzzing.md
    Long {
        /// Minutes of processor time for each target
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

/// Runs the tests that loom judges, built with its locks.
fn loom(preemptions: usize) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args([
        "test",
        "-p",
        "enjamb-core",
        "-p",
        "enjamb-runtime",
        "--lib",
        "--locked",
        "--target-dir",
        "target/loom",
    ]);
    cargo.args(["--", "interleavings"]).env("RUSTFLAGS", "--cfg loom");
    cargo.env("LOOM_MAX_PREEMPTIONS", preemptions.to_string()).env("CARGO_PROFILE_TEST_DEBUG", "0");
    if cargo.status()?.success() { Ok(()) } else { Err("an order of threads fails".into()) }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Interop { no_install, groups } => interop::run(&groups, !no_install),
        Task::Proof { parts } => proof::run(&parts),
        Task::Fuzz(Fuzz::Smoke { seconds, targets }) => fuzz::smoke(Duration::from_secs(seconds), &targets),
        Task::Fuzz(Fuzz::Long { minutes, targets }) => {
            fuzz::long(Duration::from_secs(minutes * 60), &targets)
        }
        Task::Fuzz(Fuzz::Minimise { targets }) => fuzz::minimise(&targets),
        Task::Fuzz(Fuzz::Coverage { corpora }) => coverage::print(corpora),
        Task::Loom { preemptions } => loom(preemptions),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
