//! What the holder of one secret does to components of another listener, measured against the real server.

mod attack;
mod crowd;
mod quiet;
mod stanzas;

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::{available_parallelism, scope, sleep};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use serde_json::Value;

pub(crate) use attack::{AttackOptions, attack};

use crate::arguments::seconds;
use crate::load::Target;
use crate::process::{Pinned, cpu_seconds, ending_with_us, machine_seconds, output};
use crate::servers::{self, Running};
use crate::table::number;
use attack::Kind;

/// Goals, in milliseconds: of the pair's messages at p99, and of each newcomer.
const P99: f64 = 20.0;
const NEWCOMER: f64 = 1000.0;

/// Attack our server through one listener while components of another listener, with another secret, talk: a pair that
/// exchanges one small message at a time, one that exchanges 200 kB in two pieces now and then, and newcomers.
///
/// The server, the attackers and the quiet ones share two cores. The attackers are one process of the lowest priority,
/// so that the kernel gives the server and the quiet ones the time that they ask for. It fails if a message of the pair
/// takes over 20 ms at p99, if a newcomer takes over a second, or if a stanza of the quiet ones is lost or bounced.
#[derive(Args)]
pub(crate) struct Options {
    /// The attacks; all if nothing is said.
    #[arg(value_enum)]
    kinds: Vec<Kind>,
    /// Our server, built for release.
    #[arg(long, default_value = "target/release/enjamb")]
    server: PathBuf,
    /// Attackers of each kind.
    #[arg(short = 'n', long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=2000))]
    attackers: u32,
    /// Seconds of each attack.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// How much the attackers yield to the server and the quiet ones, as `nice` has it.
    #[arg(long, default_value_t = 19, value_parser = clap::value_parser!(i32).range(0..=19))]
    nice: i32,
    /// Attack a server that only reads and throws away, while the quiet ones talk through ours: what the machine takes.
    #[arg(long)]
    null: bool,
}

/// One attack's figures.
struct Row {
    kind: Kind,
    pair: io::Result<Histogram<u64>>,
    large: io::Result<Histogram<u64>>,
    newcomers: io::Result<Histogram<u64>>,
    /// CPU seconds of the server, of the attackers, and of others on this machine, and how long it was.
    server: f64,
    attacking: f64,
    others: f64,
    seconds: f64,
    attackers: Value,
}

/// Measures, prints the table, and fails if a goal is missed.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let cores = available_parallelism()?.get().min(2);
    let _pinned = Pinned::new(std::process::id(), 0..cores)?;
    let kinds = if options.kinds.is_empty() { Kind::value_variants() } else { &options.kinds };
    let commit = output("git", &["describe", "--always", "--dirty", "--exclude=*"]);
    println!("{} attackers, {cores} cores, commit {commit}; times in ms\n", options.attackers);
    println!(
        "| attack | pair p50 | p99 | max | newcomer median | max | 200 kB max | server's CPU | attackers' CPU | others' CPU | sent; received | |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut missed = Vec::new();
    for kind in kinds {
        let row = measure(options, *kind)?;
        println!("{}", row.line());
        missed.extend(row.faults().into_iter().map(|fault| format!("{}: {fault}", row.name())));
    }
    if missed.is_empty() { Ok(()) } else { Err(io::Error::other(missed.join("\n"))) }
}

/// Our server as the attack needs it, and how the quiet ones reach it.
fn start(binary: &Path, kind: Kind) -> io::Result<(Running, Target)> {
    match kind {
        Kind::Headers => {
            let hosts: Vec<_> = (0..999).map(|number| format!("host-{number}.example")).collect();
            servers::two_listeners(binary, &hosts, "", "")
        }
        Kind::Rules => {
            let acl = format!("[acl]\ndear = [{{user_regexp = '{}'}}]\n", stanzas::PATTERN);
            let access =
                "[access]\ndear = [{acl = 'dear', value = 'deny'}, {acl = 'all', value = 'allow'}]\n";
            servers::two_listeners(binary, &[], "access = 'dear'\n", &(acl + access))
        }
        _ => servers::two_listeners(binary, &[], "", ""),
    }
}

fn measure(options: &Options, kind: Kind) -> io::Result<Row> {
    let (server, quiet) = start(&options.server, kind)?;
    let reader =
        options.null.then(|| servers::start(servers::Contestant::Relay, &options.server, &[], false));
    let reader = reader.transpose()?;
    let attacked = reader.as_ref().unwrap_or(&server).target();
    let (mut attackers, mut lines) = attackers(options, kind, &attacked)?;
    // Until the attack is under way, and the first burst of many alike is over.
    sleep(Duration::from_secs(1));
    let pids = [quiet.pid.unwrap_or_default(), attackers.id(), std::process::id()];
    let read = || io::Result::Ok((pids.map(|pid| cpu_seconds(pid).unwrap_or_default()), machine_seconds()?));
    let (begun, (before, machine)) = (Instant::now(), read()?);
    let until = begun + Duration::from_secs_f64(options.seconds);
    let (pair, large, newcomers) = scope(|threads| {
        let large = threads.spawn(|| quiet::large(&quiet, until));
        let newcomers = threads.spawn(|| quiet::newcomers(&quiet, until));
        let pair = quiet::pair(&quiet, until);
        let panicked = || Err(io::Error::other("a thread panicked"));
        (pair, large.join().unwrap_or_else(|_| panicked()), newcomers.join().unwrap_or_else(|_| panicked()))
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (after, machine_after) = read()?;
    let used: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let others = (machine_after - machine - used.iter().sum::<f64>()).max(0.0);
    let line = finished(&mut attackers, &mut lines)?;
    let attackers = serde_json::from_str(&line).unwrap_or(Value::Null);
    Ok(Row { kind, pair, large, newcomers, server: used[0], attacking: used[1], others, seconds, attackers })
}

type Lines = io::Lines<BufReader<std::process::ChildStdout>>;

/// Starts the attackers and waits until they begin.
fn attackers(options: &Options, kind: Kind, target: &Target) -> io::Result<(Child, Lines)> {
    let mut command = ending_with_us(&std::env::current_exe()?)?;
    let kind = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    command.args(["neighbours-attack", &kind, "--target", &target.address.to_string()]);
    command.args(["--secret", &target.secret, "--domain", &target.domain]);
    command.args(["--nice", &options.nice.to_string()]);
    // A little longer than what is measured.
    command.args(["--count", &options.attackers.to_string()]);
    command.args(["--seconds", &(options.seconds + 2.0).to_string()]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    match lines.next().transpose()? {
        Some(_) => Ok((child, lines)),
        None => Err(io::Error::other("the attackers do not begin")),
    }
}

/// What the attackers say at the end.
fn finished(child: &mut Child, lines: &mut Lines) -> io::Result<String> {
    let line = lines.next().transpose()?.unwrap_or_default();
    child.wait()?;
    Ok(line)
}

fn millis(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e6
}

impl Row {
    fn name(&self) -> String {
        self.kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for figures in [&self.pair, &self.large, &self.newcomers] {
            faults.extend(figures.as_ref().err().map(ToString::to_string));
        }
        let mut bound = |what: &str, figures: &io::Result<Histogram<u64>>, quantile, bound| {
            if let Some(is) = figures.as_ref().ok().map(|figures| millis(figures, quantile))
                && is > bound
            {
                faults.push(format!("{what} {} ms, over {bound} ms", number(is)));
            }
        };
        bound("the pair's p99 is", &self.pair, 0.99, P99);
        bound("a newcomer took", &self.newcomers, 1.0, NEWCOMER);
        faults
    }

    fn line(&self) -> String {
        let at = |figures: &io::Result<Histogram<u64>>, quantile| {
            figures.as_ref().map_or("-".into(), |figures| number(millis(figures, quantile)))
        };
        let share = |cpu: f64| format!("{:.0} %", cpu / self.seconds * 100.0);
        let rate = |key: &str| number(self.attackers[key].as_f64().unwrap_or_default() / self.seconds / 1e6);
        let faults = self.faults();
        let verdict = if faults.is_empty() { "met".into() } else { format!("**{}**", faults.join("; ")) };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {}; {} MB/s, {} ended | {verdict} |",
            self.name(),
            at(&self.pair, 0.5),
            at(&self.pair, 0.99),
            at(&self.pair, 1.0),
            at(&self.newcomers, 0.5),
            at(&self.newcomers, 1.0),
            at(&self.large, 1.0),
            share(self.server),
            share(self.attacking),
            share(self.others),
            rate("sent"),
            rate("received"),
            self.attackers["ended"],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pair: io::Result<u64>, newcomer: u64) -> Row {
        let of = |millis: u64| {
            let mut histogram = Histogram::new(3).unwrap();
            histogram.record(millis * 1_000_000).unwrap();
            histogram
        };
        Row {
            kind: Kind::SmallEnds,
            pair: pair.map(of),
            large: Ok(of(1)),
            newcomers: Ok(of(newcomer)),
            server: 1.0,
            attacking: 0.5,
            others: 0.0,
            seconds: 2.0,
            attackers: Value::Null,
        }
    }

    #[test]
    fn a_goal_is_met_or_missed_and_a_lost_stanza_is_told() {
        assert_eq!(row(Ok(19), 900).faults(), [""; 0]);
        assert!(row(Ok(19), 900).line().starts_with("| small-ends | 19.0 | 19.0 | 19.0 | 900 "));
        assert!(row(Ok(22), 900).faults()[0].starts_with("the pair's p99 is 22."));
        assert!(row(Ok(19), 1100).faults()[0].starts_with("a newcomer took 1"));
        let lost = row(Err(io::Error::other("one is lost")), 1);
        assert_eq!(lost.faults(), ["one is lost"]);
        assert!(lost.line().ends_with("| **one is lost** |"), "{}", lost.line());
    }
}
