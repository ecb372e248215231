//! Instructions that the core spends: the same on every machine with the same compiler, however busy it is, so that
//! a change that costs something shows at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::{self, available_parallelism};
use std::{env, fs, io};

use crate::micro;

/// What a count may be over its budget.
const TOLERANCE: f64 = 1.05;
const ROUNDS: u64 = 1000;
/// What a local port may spend on a stanza, of what the connection of a component spends without its socket.
const LOCAL_SHARE: f64 = 0.8;

/// What a stanza through an uplink may cost, of one between two components.
const UPLINK_SHARE: f64 = 1.15;

/// The count of each case: ours, then the others.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// Compares each case with the budget.
pub(crate) fn check(budget: &Path) -> io::Result<()> {
    let budget: BTreeMap<String, u64> =
        toml::from_str(&fs::read_to_string(budget)?).map_err(io::Error::other)?;
    let counts = count_all()?;
    println!("{:16} {:>12} {:>8}", "case", "instructions", "budget");
    let mut faults: Vec<_> = micro::ours()
        .filter_map(|case| {
            let (count, allowed) = (counts.get(case).copied()?, budget.get(case).copied().unwrap_or(0));
            let fits = count as f64 <= allowed as f64 * TOLERANCE;
            println!("{case:16} {count:>12} {allowed:>8}{}", if fits { "" } else { "  over" });
            (!fits).then(|| format!("{case} is over its budget"))
        })
        .collect();
    for case in micro::OTHERS {
        println!("{case:16} {:>12}        -", counts.get(case).copied().unwrap_or(0));
    }
    let unknown = budget.keys().filter(|case| !micro::ours().any(|ours| ours == *case));
    faults.extend(unknown.map(|case| format!("there is no case {case}")));
    faults.extend(handshakes()?);
    faults.extend(receivers(&counts));
    faults.extend(uplinks(&counts));
    if faults.is_empty() { Ok(()) } else { Err(io::Error::other(faults.join(", "))) }
}

/// Wrong handshakes that are right to different extents: checking one has to cost the same to the instruction. (Less
/// than one of each may differ: a few that the allocator takes depend on where the process was put.)
fn handshakes() -> io::Result<Option<String>> {
    let mut counts = Vec::new();
    for case in micro::WRONG_HANDSHAKES {
        let count = of_rounds(case)?;
        println!("{case:16} {count:>12} for {ROUNDS} handshakes");
        counts.push(count);
    }
    let differ = counts.iter().any(|count| count.abs_diff(counts[0]) >= ROUNDS);
    Ok(differ.then(|| "wrong handshakes cost more or less by what is wrong in them".into()))
}

/// Compares the two kinds of receivers. The sender of both is the same.
fn receivers(counts: &Counts) -> Option<String> {
    let [send, pair, local] =
        micro::RECEIVERS.map(|case| counts.get(case).map_or(0.0, |count| *count as f64));
    let share = (local - send) / (pair - send);
    println!(
        "local port: {share:.2} of what a component's connection spends on a stanza; with the sender {:.2}",
        local / pair
    );
    let fits = pair > send && share <= LOCAL_SHARE;
    (!fits).then(|| format!("a local port spends more than {LOCAL_SHARE} of a connection's instructions"))
}

/// What a stanza through an uplink costs, beside one between two components.
fn uplinks(counts: &Counts) -> Option<String> {
    let [_, pair, _] = micro::RECEIVERS.map(|case| counts.get(case).map_or(0.0, |count| *count as f64));
    let [up, down] =
        micro::UPLINKS.map(|case| counts.get(case).map_or(f64::MAX, |count| *count as f64 / pair));
    println!("uplink: {up:.2} of what a stanza between two components costs, and {down:.2} on the way down");
    let fits = up.max(down) <= UPLINK_SHARE;
    (!fits).then(|| {
        format!("a stanza through an uplink costs more than {UPLINK_SHARE} of one between components")
    })
}

/// Is valgrind there?
pub(crate) fn possible() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts all cases, one on each core.
pub(crate) fn count_all() -> io::Result<Counts> {
    // From the end, so that the longest comes first.
    let left: Vec<_> = micro::OTHERS.into_iter().chain(micro::ours()).collect();
    let (left, counts) = (Mutex::new(left), Mutex::new(Counts::new()));
    let worker = || -> io::Result<()> {
        loop {
            let Some(case) = left.lock().map_err(panicked)?.pop() else { return Ok(()) };
            let count = per_round(case)?;
            counts.lock().map_err(panicked)?.insert(case, count);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..available_parallelism()?.get()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(panicked)?)
    })?;
    counts.into_inner().map_err(panicked)
}

fn panicked<E>(_: E) -> io::Error {
    io::Error::other("a worker panicked")
}

fn per_round(case: &str) -> io::Result<u64> {
    Ok(of_rounds(case)? / ROUNDS)
}

/// The difference between one number of rounds and twice as many leaves out what setting up costs.
fn of_rounds(case: &str) -> io::Result<u64> {
    Ok(count(case, 2 * ROUNDS)?.saturating_sub(count(case, ROUNDS)?))
}

fn count(case: &str, rounds: u64) -> io::Result<u64> {
    let file = env::temp_dir().join(format!("enjamb-instructions-{}-{case}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "-q", &format!("--callgrind-out-file={}", file.display())])
        .arg(env::current_exe()?)
        .args(["exercise", case, &rounds.to_string()])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| {
            io::Error::new(error.kind(), format!("valgrind ({error}): apt-get install valgrind"))
        })?;
    let counted = fs::read_to_string(&file)?;
    fs::remove_file(&file)?;
    let total = counted.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    let failed = || io::Error::other(format!("valgrind gave no count of {case}"));
    total.filter(|_| status.success()).ok_or_else(failed)
}

/// What is counted.
pub(crate) fn exercise(name: &str, rounds: u64) -> io::Result<()> {
    let broken = || io::Error::other(format!("{name} does not do what it is to do"));
    let mut case = micro::case(name).ok_or_else(broken)?;
    for _ in 0..rounds {
        if !case.exercise() {
            return Err(broken());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_port_may_spend_less_than_a_connection() {
        let judged = |counts: [u64; 3]| receivers(&micro::RECEIVERS.into_iter().zip(counts).collect());
        assert_eq!(judged([5000, 5700, 5560]), None);
        assert!(judged([5000, 5700, 5570]).is_some());
        assert!(judged([5000, 5000, 5000]).is_some());
        assert!(receivers(&Counts::new()).is_some());
    }
}
