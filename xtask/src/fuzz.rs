//! Builds the fuzz targets and runs them.
//!
//! They are libFuzzer programs, built by plain cargo with the flags that cargo-fuzz would give, but for a sanitizer: the
//! crates under test have no unsafe code. So a stable toolchain will do, and nothing else has to be installed but a C++
//! compiler and libexpat.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::corpus;
use crate::report::{self, Figures};
use crate::workspace::{Result, root};

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// The targets, or those of them that are asked for.
fn targets(asked: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        all.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    all.sort();
    match asked.iter().find(|asked| !all.contains(asked)) {
        Some(unknown) => Err(format!("no target is called {unknown}; there are {}", all.join(", ")).into()),
        None if asked.is_empty() => Ok(all),
        None => Ok(asked.to_vec()),
    }
}

/// The toolchain's own name for this machine: with `--target`, flags do not reach build scripts.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

/// Builds the targets; gives the directory that they are in.
fn build(targets: &[String]) -> Result<PathBuf> {
    let host = host()?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--target", &host, "--manifest-path"]);
    cargo.arg(root().join("fuzz/Cargo.toml")).env("RUSTFLAGS", FLAGS);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    if !cargo.status()?.success() {
        return Err("the targets can't be built; they need a C++ compiler and libexpat1-dev".into());
    }
    Ok(root().join("fuzz/target").join(host).join("release"))
}

/// Where a run keeps what it finds.
fn working_corpus(target: &str) -> PathBuf {
    root().join("fuzz/target/corpus").join(target)
}

/// A target's program with the options that all runs have.
fn fuzzer(programs: &Path, target: &str) -> Result<Command> {
    let artifacts = root().join("fuzz/artifacts").join(target);
    fs::create_dir_all(&artifacts)?;
    let dictionary = match target {
        "config" => "fuzz/toml.dict",
        "proxy_header" => "fuzz/proxy.dict",
        _ => "fuzz/xmpp.dict",
    };
    let mut fuzzer = Command::new(programs.join(target));
    fuzzer.arg(format!("-dict={}", root().join(dictionary).display()));
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzzer.args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    fuzzer.current_dir(root()).stdin(Stdio::null());
    Ok(fuzzer)
}

/// How long a target runs.
#[derive(Clone, Copy)]
enum Span {
    /// By the clock on the wall.
    Wall(Duration),
    /// By what the processor spent on it, however busy the machine is beside it.
    Cpu(Duration),
}

/// Runs one target for so long.
fn run(programs: &Path, target: &str, span: Span) -> Result<Figures> {
    let working = working_corpus(target);
    fs::create_dir_all(&working)?;
    let before = count(&working)?;
    let mut fuzzer = fuzzer(programs, target)?;
    if let Span::Wall(time) = span {
        fuzzer.arg(format!("-max_total_time={}", time.as_secs()));
    }
    fuzzer.arg(&working);
    for more in [corpus::unpack(target)?, root().join("fuzz/seeds").join(target)] {
        if more.is_dir() {
            fuzzer.arg(more);
        }
    }
    let log = root().join("fuzz/target").join(format!("{target}.log"));
    let mut child = fuzzer.stdout(Stdio::null()).stderr(fs::File::create(&log)?).spawn()?;
    let (mut cpu, mut is_told) = (Duration::ZERO, false);
    let status = loop {
        cpu = report::cpu_time(child.id()).unwrap_or(cpu);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if matches!(span, Span::Cpu(time) if cpu >= time) && !is_told {
            // libFuzzer ends its input, then itself, with its figures.
            is_told = Command::new("kill").args(["-USR1", &child.id().to_string()]).status()?.success();
        }
        thread::sleep(Duration::from_millis(500));
    };
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let mut figures = report::figures(target, &text, cpu);
    figures.corpus_growth = count(&working)?.saturating_sub(before);
    if !status.success() {
        figures.crashes = 1;
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.iter().position(|line| line.contains("panicked at")).unwrap_or(0);
        let shown = lines[from..].iter().take(12).copied().collect::<Vec<_>>().join("\n");
        eprintln!("\n{target}: a finding; its input is in fuzz/artifacts/{target}\n{shown}\n");
    }
    Ok(figures)
}

fn count(directory: &Path) -> Result<usize> {
    Ok(fs::read_dir(directory)?.count())
}

/// Every target for a short time, two at once.
pub(crate) fn smoke(time: Duration, asked: &[String]) -> Result<()> {
    let targets = targets(asked)?;
    let programs = build(&targets)?;
    let (left, done) = (Mutex::new(targets.into_iter()), Mutex::new(Vec::new()));
    let next = || left.lock().expect("nobody panics with it").next();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let figures = run(&programs, &target, Span::Wall(time))
                        .map_err(|error| format!("{target}: {error}"));
                    done.lock().expect("nobody panics with it").push(figures);
                }
            });
        }
    });
    let mut all = done.into_inner()?.into_iter().collect::<std::result::Result<Vec<_>, String>>()?;
    all.sort_by(|a, b| a.target.cmp(&b.target));
    print!("{}", report::table(&all));
    verdict(&all)
}

/// Runs every target for this much of the processor's time, one after the other. The table names the commit.
pub(crate) fn long(time: Duration, asked: &[String]) -> Result<()> {
    let targets = targets(asked)?;
    let programs = build(&targets)?;
    let commit = report::commit()?;
    let mut all = Vec::new();
    for target in targets {
        let figures = run(&programs, &target, Span::Cpu(time))?;
        print!("{}", report::table(std::slice::from_ref(&figures)));
        all.push(figures);
    }
    print!("\nAll, at commit {commit}:\n{}", report::table(&all));
    verdict(&all)
}

fn verdict(all: &[Figures]) -> Result<()> {
    let found: Vec<_> =
        all.iter().filter(|figures| figures.crashes > 0).map(|figures| &*figures.target).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("findings: {}", found.join(", ")).into()) }
}

/// Replaces each committed corpus.
pub(crate) fn minimise(asked: &[String]) -> Result<()> {
    let targets = targets(asked)?;
    let programs = build(&targets)?;
    for target in targets {
        let (working, committed) = (working_corpus(&target), corpus::unpack(&target)?);
        let least = root().join("fuzz/target/least").join(&target);
        if least.exists() {
            fs::remove_dir_all(&least)?;
        }
        fs::create_dir_all(&working)?;
        fs::create_dir_all(&least)?;
        let mut fuzzer = fuzzer(&programs, &target)?;
        // By edges alone, without how often each is passed: enough to start from, and a few hundred inputs.
        fuzzer.args(["-merge=1", "-use_counters=0"]).args([&least, &committed, &working]);
        if !fuzzer.stderr(Stdio::null()).status()?.success() {
            return Err(format!("{target}: its inputs can't be merged; run it to see why").into());
        }
        println!("{target}: {} inputs", corpus::pack(&target, &least)?);
    }
    Ok(())
}
