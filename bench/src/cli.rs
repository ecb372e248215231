//! The command line.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use serde_json::Value;

use crate::arguments::{rate, seconds};
use crate::latency::Flood;
use crate::load::{self, Target};
use crate::pace::Pace;
use crate::payload::Payload;
use crate::progress::progress;
use crate::shape::Topology;
use crate::{compare, connections, latency, neighbours, table};

/// Loads servers for XMPP components (XEP-0114) and says what that costs them.
///
/// 'run' measures one server that runs already, whosever it is. 'compare' starts ours, other people's and two null
/// servers by turns and writes docs/performance.md. 'instructions' counts what the core costs without any server.
#[derive(Parser)]
#[command(name = "enjamb-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measure one server that runs already.
    Run(RunOptions),
    /// Start our server, other people's and the null servers, measure them by turns, and write docs/performance.md.
    Compare(compare::Options),
    /// Attack our server with one secret while a pair of components with another secret talks, and measure the pair.
    Neighbours(neighbours::Options),
    /// The attackers of 'neighbours', a process of its own that has the lowest priority.
    #[command(hide = true)]
    NeighboursAttack(neighbours::AttackOptions),
    /// Count the instructions that the core spends, with valgrind, and hold them to the budget.
    Instructions {
        /// What each case may take.
        #[arg(long, default_value = "bench/instructions.toml")]
        budget: PathBuf,
    },
    /// What 'instructions' counts: this many rounds of a case.
    #[command(hide = true)]
    Exercise {
        /// The case's name.
        case: String,
        /// Rounds.
        rounds: u64,
    },
    /// A program that is killed when the parent of this one ends.
    #[command(hide = true)]
    EndingWithParent {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// A server that cuts stanzas, looks up 'to', copies, and checks nothing; prints its port.
    NullRoute {
        /// Cut every kind of stanza, not only messages that hold no message.
        #[arg(long)]
        any: bool,
    },
    /// A server that splices bytes unread between the two of each pair; prints its port.
    NullRelay,
}

/// What is done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// a0 sends to b0, a1 to b1 and so on.
    Pairs,
    /// All of a0, a1, … send to b0.
    FanIn,
    /// a0 sends to all of b0, b1, ….
    FanOut,
    /// Each of a0, a1, … sends to each other.
    Mesh,
    /// One pair, one stanza outstanding, on one core with the server: latency.
    Echo,
    /// Components s0, s1, … connect, authenticate and close.
    Storm,
    /// Components s0, s1, … are connected and say nothing: memory.
    Herd,
    /// Five pairs talk while s0, s1, … are connected and say nothing.
    Among,
    /// A pair sends by a timetable, alone and then beside one that sends all it can: latency.
    Fairness,
}

/// Measure one server that runs already, with components under one domain, which it has to let in: a0, a1, … and
/// b0, b1, … that send and receive, and s0, s1, … that are there.
///
/// It runs a closed loop with -W stanzas outstanding for each flow, or with --rate an open one: that sends by a
/// timetable, and counts latencies from the times of the timetable, so that a server that stands still is seen by all
/// who would have met it. A lost connection, a bounce, a stanza out of order or one that never comes fails the run.
#[derive(Args)]
#[command(group = ArgGroup::new("pace").args(["window", "rate"]), group = ArgGroup::new("payload").args(["body", "corpus"]))]
pub(crate) struct RunOptions {
    /// What to do to it.
    #[arg(value_enum, default_value = "pairs")]
    scenario: Scenario,
    /// Where the server listens.
    #[arg(long)]
    target: SocketAddr,
    /// The shared secret.
    #[arg(long, env = "ENJAMB_BENCH_SECRET", hide_env_values = true)]
    secret: String,
    /// The domain that the components' names are under.
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// The server's process, on this machine, for its CPU time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Pairs, senders, receivers or members.
    #[arg(short, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    n: u32,
    /// Stanzas outstanding for each flow.
    #[arg(short = 'W', long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    window: u32,
    /// Stanzas a second by a timetable, of all flows together, instead of a window.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Stanzas outstanding of the flooding pair of 'fairness'.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    flood: u32,
    /// Bytes of body of each message.
    #[arg(short = 'S', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    body: u32,
    /// The stanzas of a JSONL file, such as tests/data/xep-stanzas/stanzas.jsonl, instead of messages with a body.
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// Seconds to measure, after a fifth of it to warm up.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Connections of 'storm', 'herd' and 'among'.
    #[arg(short = 'N', long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Print JSON, for machines, instead of a table.
    #[arg(long)]
    json: bool,
    /// Load a server that is not on this machine's loopback: see to it that it is yours.
    #[arg(long)]
    not_loopback: bool,
}

impl RunOptions {
    pub(crate) fn run(&self) -> io::Result<()> {
        if !self.target.ip().is_loopback() && !self.not_loopback {
            let text = format!("{} is not on loopback: --not-loopback says that this is meant", self.target);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let bar = progress(1000)?;
        let name = self.scenario.to_possible_value().map(|value| value.get_name().to_owned());
        bar.set_message(name.unwrap_or_default());
        let value = self.measure(&|part| bar.set_position((part * 1000.0) as u64))?;
        bar.finish_and_clear();
        println!("{}", if self.json { format!("{value:#}") } else { table::write(&value) });
        Ok(())
    }

    fn measure(&self, tick: &dyn Fn(f64)) -> io::Result<Value> {
        let target = Target {
            address: self.target,
            secret: self.secret.clone(),
            domain: self.domain.clone(),
            behind: None,
            pid: self.pid,
        };
        let (seconds, count) = (self.seconds, self.count as usize);
        let topology = match self.scenario {
            Scenario::Pairs => Topology::Pairs,
            Scenario::FanIn => Topology::FanIn,
            Scenario::FanOut => Topology::FanOut,
            Scenario::Mesh => Topology::Mesh,
            Scenario::Echo => return latency::echo(&target, seconds, tick),
            Scenario::Storm => return connections::storm(&target, count, tick),
            Scenario::Herd => return connections::herd(&target, count, tick),
            Scenario::Among => return connections::among(&target, count, seconds, tick),
            Scenario::Fairness => {
                let (rate, window, body) =
                    (self.rate.unwrap_or(500.0), self.flood as usize, self.body as usize);
                return latency::fairness(&target, Flood { rate, window, body, seconds }, tick);
            }
        };
        let pace = match self.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed { window: self.window as usize },
        };
        let payload = match &self.corpus {
            Some(file) => Payload::corpus(file)?,
            None => Payload::body(self.body as usize),
        };
        let work = topology.work(self.n as usize, pace, payload, seconds);
        Ok(load::run(&target, &work, tick)?.json())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<RunOptions, String> {
        let all = ["enjamb-bench", "run", "--target", "127.0.0.1:1", "--secret", "s"];
        match Cli::try_parse_from(all.iter().chain(arguments)).map_err(|error| error.to_string())?.command {
            Command::Run(options) => Ok(options),
            _ => Err("it is another command".into()),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert_eq!(run(&["fan-in", "-n", "3"]).ok().map(|options| options.n), Some(3));
    }

    #[test]
    fn a_pace_is_closed_or_open_and_a_payload_is_one_of_two() {
        assert!(run(&["-W", "1", "--rate", "10"]).is_err());
        assert!(run(&["-S", "1", "--corpus", "x"]).is_err());
    }

    #[test]
    fn nothing_is_without_end() {
        for bad in
            [["--seconds", "1e9"], ["--seconds", "nan"], ["--rate", "0"], ["-n", "0"], ["-N", "1000000"]]
        {
            assert!(run(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_server_elsewhere_is_loaded_only_where_that_is_said() {
        let mut options = run(&[]).ok().unwrap();
        options.target = ([192, 0, 2, 1], 5347).into();
        let refused = options.run().unwrap_err().to_string();
        assert!(refused.contains("--not-loopback"), "{refused}");
    }
}
