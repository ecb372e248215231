//! Several servers, each by itself on loopback, measured in turn.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use indicatif::ProgressBar;

use crate::arguments::seconds;
use crate::figures::Figures;
use crate::instructions;
use crate::plan::{JOBS, Job, PROFILED, Size, order};
use crate::process::{Pinned, output};
use crate::profile::{self, Shares};
use crate::progress::progress;
use crate::servers::{self, Contestant, Running};
use crate::{plots, report};

/// Measure our server, other people's (Debian's packages jabberd2, ejabberd and prosody), and two null servers as the
/// ceilings: each measurement on every server in turn, then the next, and all of it again.
///
/// Every server is started fresh for each measurement, on loopback, in a directory of its own, and ended by its process
/// id. One that is not installed is named in the report. Nothing else should run on the machine.
#[derive(Args)]
pub(crate) struct Options {
    /// Our server, built for release.
    #[arg(long, default_value = "target/release/enjamb")]
    server: PathBuf,
    /// Who is measured.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "enjamb,route,relay,jabberd2,ejabberd,prosody,prosody-tuned"
    )]
    servers: Vec<Contestant>,
    /// What is measured, by its key in the JSON; all if nothing is said.
    #[arg(long, value_delimiter = ',', value_parser = known_key)]
    only: Vec<String>,
    /// Times that each measurement is made.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    repetitions: u8,
    /// Seconds of each measurement under load.
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    seconds: f64,
    /// Connections of the storm and of the idle herd.
    #[arg(short = 'N', long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    count: u32,
    /// The stanzas of the XEPs.
    #[arg(long, default_value = "tests/data/xep-stanzas/stanzas.jsonl")]
    corpus: PathBuf,
    /// Where the report goes; the plots go into img/ beside it, the figures into target/performance.json.
    #[arg(long, default_value = "docs/performance.md")]
    report: PathBuf,
}

/// The keys of what valgrind counts, and of what perf sees.
const INSTRUCTIONS: &str = "instructions";
const PROFILE: &str = "profile";

fn known_key(key: &str) -> Result<String, String> {
    if [INSTRUCTIONS, PROFILE].contains(&key) || JOBS.iter().any(|job| job.key == key) {
        return Ok(key.into());
    }
    Err(format!("there are {}, {INSTRUCTIONS}, {PROFILE}", JOBS.map(|job| job.key).join(", ")))
}

/// Measures everything and writes the report.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let wanted = |key: &str| options.only.is_empty() || options.only.iter().any(|only| only == key);
    let jobs: Vec<Job> = JOBS.into_iter().filter(|job| wanted(job.key)).collect();
    let repetitions = usize::from(options.repetitions);
    let mut figures = Figures {
        servers: Contestant::ALL.into_iter().filter(|server| options.servers.contains(server)).collect(),
        repetitions,
        count: options.count as usize,
        seconds: options.seconds,
        commit: output("git", &["describe", "--always", "--dirty", "--exclude=*"]),
        load: (load_average(), String::new()),
        ..Figures::default()
    };
    for server in &figures.servers {
        if let Some(why) = server.missing() {
            figures.gaps.insert((None, *server), why);
        }
    }
    let bar = progress((repetitions * jobs.len() * figures.servers.len()) as u64)?;
    for repetition in 0..repetitions {
        for (number, job) in jobs.iter().enumerate() {
            for server in order(&figures.servers, repetition, number) {
                bar.set_message(format!("{} on {}", job.key, server.name()));
                one(&mut figures, *job, server, options)?;
                bar.inc(1);
            }
        }
    }
    figures.load.1 = load_average();
    if wanted(PROFILE) && profile::possible() {
        for (key, _) in PROFILED {
            bar.set_message(format!("profile of {key}"));
            // Without it the page says so; what was measured for twenty minutes is not lost over it.
            match profiled(key, options) {
                Ok(shares) => drop(figures.profiles.insert(key, shares)),
                Err(error) => bar.println(format!("no profile of {key}: {error}")),
            }
        }
    }
    if wanted(INSTRUCTIONS) && instructions::possible() {
        bar.set_message("instructions");
        figures.counts = Some(instructions::count_all()?);
    }
    bar.finish_and_clear();
    write(&figures, &options.report, &bar)
}

/// Watches our server during one measurement.
fn profiled(key: &str, options: &Options) -> io::Result<Shares> {
    let known = || io::Error::other(format!("there is no measurement {key}"));
    let job = JOBS.into_iter().find(|job| job.key == key).ok_or_else(known)?;
    let size = Size { seconds: options.seconds, count: options.count as usize, corpus: &options.corpus };
    let running = start(job, Contestant::Enjamb, options, size)?;
    let target = running.target();
    let pid = target.pid.ok_or_else(|| io::Error::other("a server of ours has a process"))?;
    profile::watch(pid, || {
        let measured = job.measure(&target, size);
        drop(running);
        measured.map(drop)
    })
}

fn one(figures: &mut Figures, job: Job, server: Contestant, options: &Options) -> io::Result<()> {
    let key = (Some(job.key), server);
    if figures.gaps.contains_key(&(None, server)) || figures.gaps.contains_key(&key) {
        return Ok(());
    }
    if let Some(why) = job.leaves_out(server) {
        figures.gaps.insert(key, why.into());
        return Ok(());
    }
    let size = Size { seconds: options.seconds, count: options.count as usize, corpus: &options.corpus };
    let measured = start(job, server, options, size).and_then(|running| job.measure(&running.target(), size));
    match (measured, server) {
        (Ok(value), _) => figures.add(job.key, server, value),
        // What other people's servers can't do is a gap in the table; what ours can't is a fault.
        (Err(error), Contestant::Foreign(_)) => {
            let text: String = error.to_string().replace(['\n', '|'], " ").chars().take(200).collect();
            figures.gaps.insert(key, format!("failed: {text}"));
        }
        (Err(error), _) => {
            return Err(io::Error::other(format!("{} on {}: {error}", job.key, server.name())));
        }
    }
    Ok(())
}

/// Starts a server on the cores that the job leaves to it: from its first instant on, since servers have as many
/// threads as they find cores.
fn start(job: Job, server: Contestant, options: &Options, size: Size<'_>) -> io::Result<Running> {
    // A process begins where the one that starts it may run.
    let _pinned = job.server_cores()?.map(|cores| Pinned::new(std::process::id(), cores)).transpose()?;
    if job.is_uplinked() {
        return servers::uplinked(&options.server, &job.names(size));
    }
    servers::start(server, &options.server, &job.names(size), job.is_of_any_kind())
}

fn write(figures: &Figures, page: &Path, bar: &ProgressBar) -> io::Result<()> {
    let images = page.with_file_name("img");
    fs::create_dir_all(&images)?;
    let mut drawn = Vec::new();
    for (name, title, svg) in plots::all(figures) {
        fs::write(images.join(format!("{name}.svg")), svg)?;
        drawn.push((format!("img/{name}.svg"), title));
    }
    let target = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
    fs::create_dir_all(target)?;
    fs::write(target.join("performance.json"), format!("{:#}\n", figures.json()))?;
    let text = report::write(figures, &drawn);
    fs::write(page, &text)?;
    bar.println(format!("written: {}", page.display()));
    Ok(())
}

fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().into()
}
