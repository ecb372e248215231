//! `enjamb probe HOST:PORT`: what any server for components answers to hostile streams and conformance cases.

mod options;
mod outcome;
mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use enjamb_probe::{Case, Fault, Judge, Report, Row, Script, Stage, scripts, streams};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

pub use options::{ProbeOptions, Writes};

use outcome::Outcome;

use crate::terminal::complain;

/// Probes the server, prints what it answered, and gives the exit code: 0 where all of it is allowed, 1 where not, 2
/// where the server can't be probed, or not to the end.
#[must_use]
pub fn run(options: &ProbeOptions) -> ExitCode {
    let tasks = tasks(options);
    if tasks.is_empty() {
        return fail("no case fits --only; 'enjamb probe --list' names them all");
    }
    if options.list {
        return code(print(&table::list(&tasks.iter().map(Task::row).collect::<Vec<_>>())));
    }
    let addr = match address(options) {
        Ok(addr) => addr,
        Err(message) => return fail(&message),
    };
    let mut outcome = Outcome::new(addr, options);
    let stopped = play(&tasks, addr, options, &mut outcome.report).err();
    outcome.summary = outcome.report.count(None);
    outcome.stopped = stopped.as_ref().map(|stop| stop.message.clone());
    let printed = if options.json {
        serde_json::to_string_pretty(&outcome)
            .map_err(io::Error::other)
            .and_then(|json| print(&(json + "\n")))
    } else if outcome.report.cases.is_empty() {
        Ok(())
    } else {
        print(&table::report(&outcome, options.brief))
    };
    match (printed, stopped) {
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error.to_string()),
        (_, Some(stop)) => fail(&stop.message),
        _ if outcome.summary.played == 0 => fail("nothing was played: see --peer and --away"),
        _ if outcome.summary.outside > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn fail(message: &str) -> ExitCode {
    complain(format_args!("error: {message}"));
    ExitCode::from(2)
}

fn code(printed: io::Result<()>) -> ExitCode {
    printed.map_or(ExitCode::from(2), |()| ExitCode::SUCCESS)
}

fn print(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// One thing to be played.
enum Task {
    Stream(Box<Case>, Writes, usize),
    Script(Script),
}

impl Task {
    /// It, without an outcome.
    fn row(&self) -> Row {
        match self {
            Self::Stream(case, ..) => Row::of_case(case, None),
            Self::Script(script) => Row::of_script(script, None),
        }
    }

    fn play(&self, stage: &mut Stage, seed: u64) -> Result<Row, Fault> {
        Ok(match self {
            Self::Stream(case, writes, number) => {
                let observed = stage.play(case, &writes.cut(seed, *number))?;
                let row = Row::of_case(case, observed.as_ref());
                Row { cut: writes.word().map(Into::into), ..row }
            }
            Self::Script(script) => Row::of_script(script, script.play(stage)?),
        })
    }
}

/// What the options ask for, a group at a time.
fn tasks(options: &ProbeOptions) -> Vec<Task> {
    let mut tasks = Vec::new();
    for &writes in &options.cuts {
        let streams = streams().into_iter().enumerate();
        tasks.extend(streams.map(|(number, case)| Task::Stream(Box::new(case), writes, number)));
    }
    tasks.extend(scripts().into_iter().map(Task::Script));
    tasks.retain(|task| {
        let row = task.row();
        options.wants(&row.id, row.group.word(), &row.name)
    });
    tasks.sort_by_key(|task| task.row().group);
    tasks
}

/// The address to probe: on this machine, unless the user says that another may be probed.
fn address(options: &ProbeOptions) -> Result<SocketAddr, String> {
    let server = options.server.as_deref().unwrap_or_default();
    let mut found = server.to_socket_addrs().map_err(|error| {
        format!("'{server}' is no HOST:PORT that can be reached: {error}. Write for example 127.0.0.1:8888")
    })?;
    let addr = found.next().ok_or_else(|| format!("'{server}' has no address"))?;
    if is_loopback(addr.ip()) || options.i_may_probe_this_host {
        return Ok(addr);
    }
    Err(format!(
        "{addr} is not on this machine. The cases are hostile streams: where you may send them, add \
         --i-may-probe-this-host"
    ))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Why it ended before the last case.
struct Stop {
    message: String,
}

fn play(tasks: &[Task], addr: SocketAddr, options: &ProbeOptions, report: &mut Report) -> Result<(), Stop> {
    let fault = |fault: &Fault| Stop { message: advice(fault) };
    let deadline = Instant::now() + Duration::from_secs(options.at_most);
    let mut stage =
        Stage::new(addr, options.names(), options.patience(), Judge::default()).map_err(|f| fault(&f))?;
    let progress = progress(tasks.len());
    let mut last = String::new();
    for (number, task) in tasks.iter().enumerate() {
        if Instant::now() > deadline {
            let left = tasks.len() - number;
            let message =
                format!("{left} cases were not played: --at-most {} seconds are over", options.at_most);
            return Err(Stop { message });
        }
        let row = task.row();
        progress.set_message(format!("{} {}", row.id, row.name));
        match task.play(&mut stage, options.seed) {
            Ok(row) => report.cases.push(row),
            Err(f) => {
                let message = format!("in {} {}, after {last}: {}", row.id, row.name, advice(&f));
                return Err(Stop { message });
            }
        }
        last = row.id;
        progress.inc(1);
    }
    Ok(())
}

/// A fault, and what to do about it.
fn advice(fault: &Fault) -> String {
    let what = match fault {
        Fault::Unreachable(..) => "Is the port that of components, and the server up?",
        Fault::Refused(..) => {
            "See --secret, --domain and --peer, and 'enjamb probe --help' for the server's side"
        }
        Fault::Taken(..) => "Stop the component that is connected as it, or take another domain",
        Fault::Silent { .. } => "See --host",
    };
    format!("{}. {what}.", table::printable(&fault.to_string()))
}

/// On a terminal, and only there.
fn progress(length: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} ({eta} left)");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style).with_finish(ProgressFinish::AndClear)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_probed_unless_the_user_says_so() {
        for (ip, ours) in
            [("127.0.0.1", true), ("127.8.9.1", true), ("::1", true), ("::ffff:127.0.0.1", true)]
                .into_iter()
                .chain([
                    ("0.0.0.0", false),
                    ("192.0.2.1", false),
                    ("::ffff:192.0.2.1", false),
                    ("fe80::1", false),
                ])
        {
            assert_eq!(is_loopback(ip.parse().unwrap()), ours, "{ip}");
        }
    }
}
