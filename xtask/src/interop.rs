//! What needs more than cargo and a C compiler: brings it, then runs the tests that need it, group by group.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::workspace::{Result, root};

/// The groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// slixmpp and xmpp.js against our server, also killed and started again, and slixmpp against an embedded one
    Clients,
    /// Our component, and the probe, against Prosody and ejabberd
    Servers,
    /// Enjamb between slixmpp or biboumi and Prosody or ejabberd, with restarts of each
    Uplinks,
    /// A server whose name moves to another address
    Names,
    /// Thousands of connections, which take 20,000 open files
    Crowds,
    /// New projects outside of the workspace, on each runtime
    NewUser,
    /// All that our other judges of XML see, before libexpat as well
    Expat,
}

/// A package of Debian, and a command that shows that it is there, if it can come from elsewhere.
struct Package(&'static str, Option<&'static [&'static str]>);

const PYTHON: Package = Package("python3-venv", Some(&["python3", "-c", "import ensurepip, venv"]));
const NODE: Package = Package("nodejs", Some(&["node", "--version"]));
const NPM: Package = Package("npm", Some(&["npm", "--version"]));
const EXPAT: Package = Package("libexpat1-dev", None);

/// The tests whose judges see the most; with the feature `interop` expat judges with them.
const JUDGED: [&str; 29] = [
    "bad_streams",
    "bad_streams_core",
    "chunking",
    "client_streams",
    "command_line",
    "faults",
    "faults_core",
    "identity",
    "logs",
    "mongooseim_floor",
    "neighbours",
    "rows_conflict",
    "rows_habits",
    "rows_limits",
    "rows_options",
    "rules",
    "scan_vs_rxml",
    "sim_backpressure",
    "sim_chaos",
    "sim_client",
    "sim_delivery",
    "sim_ends",
    "sim_leaving",
    "sim_ports",
    "sim_time",
    "sources",
    "storms",
    "tls",
    "xep_stanzas",
];

impl Group {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it needs beside libexpat, which all are linked with.
    fn packages(self) -> &'static [Package] {
        match self {
            Self::Clients => &[PYTHON, NODE, NPM, Package("stunnel4", None)],
            Self::Servers => &[Package("prosody", None), Package("ejabberd", None)],
            Self::Uplinks => &[
                PYTHON,
                Package("prosody", None),
                Package("prosody-modules", None),
                Package("ejabberd", None),
                Package("biboumi", None),
                Package("ngircd", None),
            ],
            Self::Names => &[Package("libnss-wrapper", None)],
            Self::Crowds | Self::NewUser | Self::Expat => &[],
        }
    }

    fn has_slixmpp(self) -> bool {
        matches!(self, Self::Clients | Self::Uplinks)
    }

    /// The tests, as cargo's arguments.
    fn tests(self) -> Vec<&'static str> {
        let modules: &[&str] = match self {
            Self::Clients => &["clients::", "client_tls::", "outage::", "pasted::", "p10_embedded_"],
            Self::Servers => &["foreign_servers::", "foreign_probe::"],
            Self::Uplinks => &["uplinks::", "uplink_restarts::", "gateway::"],
            Self::Names => &["names::"],
            Self::Crowds => &["crowds::"],
            Self::NewUser => return vec!["--test", "new_user"],
            Self::Expat => {
                let tests = JUDGED.iter().flat_map(|test| ["--test", *test]);
                return ["--lib"].into_iter().chain(tests).collect();
            }
        };
        ["--test", "interop", "--test", "embedded", "--"].iter().chain(modules).copied().collect()
    }
}

/// Brings what is missing, unless it is not to, and runs these groups, or all.
pub(crate) fn run(asked: &[Group], install: bool) -> Result<()> {
    let groups = if asked.is_empty() { Group::value_variants() } else { asked };
    let needed = groups.iter().flat_map(|group| group.packages()).chain([&EXPAT]);
    let mut missing: Vec<_> = needed.filter(|package| !is_there(package)).map(|package| package.0).collect();
    // Several groups need some of them.
    missing.sort_unstable();
    missing.dedup();
    let clients = Clients::new()?;
    let venv = groups.iter().any(|group| group.has_slixmpp()) && !clients.has_venv();
    let modules = groups.contains(&Group::Clients) && !clients.has_modules();

    println!("This installs:");
    for package in &missing {
        println!("  {package}, from Debian");
    }
    if venv {
        println!("  tests/clients/python/requirements.txt, from PyPI, into {}", clients.venv().display());
    }
    if modules {
        println!("  tests/clients/node/package-lock.json, from npm, into {}", clients.node().display());
    }
    if missing.is_empty() && !venv && !modules {
        println!("  nothing: all is there");
    }
    println!("Then it runs: {}", groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(", "));

    if !install && (!missing.is_empty() || venv || modules) {
        return Err("not all is there, and --no-install was given".into());
    }
    if !missing.is_empty() {
        apt_get(&missing)?;
    }
    if venv {
        clients.make_venv()?;
    }
    if modules {
        clients.make_modules()?;
    }
    let failed: Vec<_> = groups.iter().filter(|group| !passes(**group)).map(|group| group.name()).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("groups that fail: {}", failed.join(", ")).into()) }
}

fn passes(group: Group) -> bool {
    println!("\n=== {}", group.name());
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(["test", "--locked", "--workspace", "--features"]);
    cargo.arg("enjamb-tests/interop,enjamb-examples/interop");
    if group == Group::Expat {
        // All of them, though one fails.
        cargo.arg("--no-fail-fast");
    }
    run_one(cargo.args(group.tests()), "cargo").is_ok()
}

fn is_there(package: &Package) -> bool {
    let mut command = match package.1 {
        Some(probe) => {
            let mut command = Command::new(probe[0]);
            command.args(&probe[1..]);
            command
        }
        None => {
            let mut command = Command::new("dpkg");
            command.args(["--status", package.0]);
            command
        }
    };
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The release of Debian pins the versions.
fn apt_get(packages: &[&str]) -> Result<()> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let apt_get = |args: &[&str]| {
        let mut command = if is_root { Command::new("apt-get") } else { Command::new("sudo") };
        if !is_root {
            command.arg("apt-get");
        }
        let hint = format!("install these yourself: {}", packages.join(" "));
        run_one(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"), &hint)
    };
    apt_get(&["update", "-qq"])?;
    apt_get(&[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}

/// Other people's libraries, below `target/clients`, where the tests look for them.
struct Clients {
    made: PathBuf,
    sources: PathBuf,
}

impl Clients {
    fn new() -> Result<Self> {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("this program is not in cargo's target directory")?;
        Ok(Self { made: target.join("clients"), sources: root().join("tests/clients") })
    }

    fn venv(&self) -> PathBuf {
        self.made.join("python")
    }

    fn node(&self) -> PathBuf {
        self.made.join("node")
    }

    fn has_venv(&self) -> bool {
        is_of(&self.sources.join("python/requirements.txt"), &self.venv())
    }

    fn has_modules(&self) -> bool {
        is_of(&self.sources.join("node/package-lock.json"), &self.node())
    }

    fn make_venv(&self) -> Result<()> {
        let (venv, requirements) = (self.venv(), self.sources.join("python/requirements.txt"));
        empty(&venv)?;
        run_one(Command::new("python3").args(["-m", "venv"]).arg(&venv), "python3-venv is needed")?;
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r"]);
        run_one(pip.arg(&requirements), "PyPI must be within reach")?;
        mark(&requirements, &venv)
    }

    fn make_modules(&self) -> Result<()> {
        let (node, sources) = (self.node(), self.sources.join("node"));
        empty(&node)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(sources.join(file), node.join(file))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run_one(npm.current_dir(&node), "the npm registry must be within reach")?;
        mark(&sources.join("package-lock.json"), &node)
    }
}

/// The last file of a directory that was made whole: the list of versions that it was made from.
const MARK: &str = "made-from";

fn mark(list: &Path, made: &Path) -> Result<()> {
    fs::copy(list, made.join(MARK))?;
    Ok(())
}

/// Whether a directory was made from this list.
fn is_of(list: &Path, made: &Path) -> bool {
    matches!((fs::read(list), fs::read(made.join(MARK))), (Ok(now), Ok(then)) if now == then)
}

fn empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

/// Shows a command and runs it; its failure says what may help.
pub(crate) fn run_one(command: &mut Command, hint: &str) -> Result<()> {
    println!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}; {hint}", shown(command)).into()),
        Err(error) => Err(format!("{}: {error}; {hint}", shown(command)).into()),
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
