//! `enjamb-bench`: loads servers for XEP-0114, and is the null servers that they are compared with.

mod compare;
mod connections;
mod instructions;
mod load;
mod null;
mod process;
mod report;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::Value;

#[derive(Parser)]
#[command(
    name = "enjamb-bench",
    about = "A closed-loop load generator for XEP-0114 servers, and null servers"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure one server that runs already; prints JSON.
    Run(RunOptions),
    /// Start our server and the null servers, measure them in turn, and write docs/performance.md.
    Compare(compare::Options),
    /// Count the instructions that the core spends on a stanza, with valgrind, and hold them to the budget.
    Instructions {
        /// What each case may take.
        #[arg(long, default_value = "bench/instructions.toml")]
        budget: PathBuf,
    },
    /// What 'instructions' counts: so many stanzas of a case.
    #[command(hide = true)]
    Exercise {
        /// The case's name.
        case: String,
        /// Stanzas.
        count: usize,
    },
    /// A server that cuts stanzas, looks up 'to' and copies; prints its port.
    NullRoute,
    /// A server that splices bytes unread between the two of each pair; prints its port.
    NullRelay,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// Pairs of components, a1 to b1 and so on, or with --fan-in all to one.
    Load,
    /// One stanza outstanding, on one core with the server: p50_us and p99_us.
    Echo,
    /// Connect, handshake, close.
    Storm,
    /// Authenticated connections that say nothing: memory.
    Idle,
}

#[derive(Args)]
struct RunOptions {
    /// Where the server listens.
    #[arg(long)]
    target: SocketAddr,
    /// The shared secret.
    #[arg(long)]
    secret: String,
    /// The server's process.
    #[arg(long)]
    pid: u32,
    /// What to do to it.
    #[arg(long, value_enum, default_value = "load")]
    scenario: Scenario,
    /// Senders.
    #[arg(short = 'n', long, default_value_t = 8)]
    pairs: usize,
    /// Stanzas outstanding for each sender.
    #[arg(short = 'W', long, default_value_t = 64)]
    window: usize,
    /// Bytes of body.
    #[arg(short = 'S', long, default_value_t = 100)]
    body: usize,
    /// All senders send to one receiver.
    #[arg(long)]
    fan_in: bool,
    /// Seconds to measure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections of a storm or an idle herd.
    #[arg(short = 'N', long, default_value_t = 5000)]
    count: usize,
}

impl RunOptions {
    fn run(&self) -> io::Result<Value> {
        let &Self { target, pid, pairs, window, body, fan_in, seconds, count, .. } = self;
        match self.scenario {
            Scenario::Load => {
                load::run(target, &self.secret, pid, load::Shape { pairs, window, body, fan_in, seconds })
            }
            Scenario::Echo => compare::echo(target, &self.secret, pid, seconds),
            Scenario::Storm => connections::storm(target, &self.secret, pid, count),
            Scenario::Idle => connections::idle(target, &self.secret, pid, count),
        }
    }
}

fn main() -> ExitCode {
    process::raise_file_limit();
    let result = match Cli::parse().command {
        Command::Run(options) => options.run().map(|value| println!("{value:#}")),
        Command::Compare(options) => compare::run(&options),
        Command::Instructions { budget } => instructions::check(&budget),
        Command::Exercise { case, count } => instructions::exercise(&case, count),
        Command::NullRoute => null::run(null::Null::Route),
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
