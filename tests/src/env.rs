//! The third-party programs' surroundings: a Python venv with slixmpp and a `node_modules` with xmpp.js.
//!
//! Both are made by the first test that needs them, below `target/clients/`, in a directory named after the pinned
//! versions. Test processes that start at once wait for each other on a file lock. Nothing is skipped: where an
//! interpreter is missing, the test fails with the line that installs it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How to get Python, said by every test that misses it.
const INSTALL_PYTHON: &str = "apt-get install python3 python3-venv";
/// How to get Node, said by every test that misses it.
const INSTALL_NODE: &str = "apt-get install nodejs npm";

/// The directory of the committed client programs, `tests/clients`.
#[must_use]
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The directory of the committed test data, `tests/data`.
#[must_use]
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// Cargo's directory of the profile that this test or tool was built with, such as `target/debug`.
///
/// # Panics
/// When the binary doesn't lie where cargo puts it.
#[must_use]
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("a running test has a path");
    let dir = exe.parent().expect("cargo puts binaries into a directory");
    // Tests lie in deps/, tools beside it.
    let dir = if dir.ends_with("deps") {
        dir.parent().expect("deps/ lies in the profile's directory")
    } else {
        dir
    };
    dir.to_owned()
}

/// Where the tests keep what outlives one run, `target/clients`. Made when it isn't there.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn work_dir() -> PathBuf {
    let dir = profile_dir().parent().expect("the profile lies in the target directory").join("clients");
    fs::create_dir_all(&dir).expect("target/ is writable");
    dir
}

/// The system's Python, enough for what needs the standard library only.
///
/// # Panics
/// When there is none; the message says how to install it.
#[must_use]
pub fn python() -> &'static Path {
    version_of("python3", INSTALL_PYTHON);
    Path::new("python3")
}

/// The Python of the venv that holds the pinned slixmpp.
///
/// # Panics
/// When it can't be set up; the message says what is missing.
#[must_use]
pub fn slixmpp_python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let requirements = sources().join("python/requirements.txt");
        let key = key_of(&[version_of("python3", INSTALL_PYTHON), read(&requirements)]);
        let venv = made_once(&format!("python-{key}"), |dir| {
            run(Command::new("python3").args(["-m", "venv"]).arg(dir), INSTALL_PYTHON);
            let mut pip = Command::new(dir.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r"]);
            run(pip.arg(&requirements), "a way to PyPI");
        });
        venv.join("bin/python")
    })
}

/// The `node_modules` directory that holds the pinned xmpp.js.
///
/// # Panics
/// When it can't be set up; the message says what is missing.
#[must_use]
pub fn node_modules() -> &'static Path {
    static MODULES: OnceLock<PathBuf> = OnceLock::new();
    MODULES.get_or_init(|| {
        let node = sources().join("node");
        let files = ["package.json", "package-lock.json"];
        version_of("npm", INSTALL_NODE);
        let mut key = vec![version_of("node", INSTALL_NODE)];
        key.extend(files.map(|f| read(&node.join(f))));
        let dir = made_once(&format!("node-{}", key_of(&key)), |dir| {
            for file in files {
                fs::copy(node.join(file), dir.join(file)).expect("target/ is writable");
            }
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(dir);
            run(&mut npm, "a way to the npm registry");
        });
        dir.join("node_modules")
    })
}

/// Makes `target/clients/NAME` with `make`, unless an earlier test did to the end: the stamp is its last file.
fn made_once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let dir = work_dir().join(name);
    let stamp = dir.join("complete.stamp");
    let lock = File::create(work_dir().join(format!("{name}.lock"))).expect("target/ is writable");
    lock.lock().expect("the file system of target/ has locks");
    if !stamp.exists() {
        if dir.exists() {
            fs::remove_dir_all(&dir).expect("what an interrupted run left can be removed");
        }
        fs::create_dir_all(&dir).expect("target/ is writable");
        make(&dir);
        File::create(&stamp).expect("target/ is writable");
    }
    dir
}

fn key_of(parts: &[String]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn version_of(program: &str, install: &str) -> String {
    match Command::new(program).arg("--version").output() {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout).into_owned(),
        other => panic!("`{program} --version` does not run ({other:?}). Install it: {install}"),
    }
}

fn run(command: &mut Command, needs: &str) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}. It needs: {needs}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = [text(&out.stdout), text(&out.stderr)].concat();
    assert!(out.status.success(), "{command:?}: {}. It needs: {needs}\n{said}", out.status);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "Install it: apt-get install nodejs npm")]
    fn a_missing_interpreter_fails_the_test_with_the_line_that_installs_it() {
        version_of("no-such-interpreter", INSTALL_NODE);
    }

    #[test]
    #[should_panic(expected = "It needs: apt-get install python3 python3-venv")]
    fn a_setup_that_fails_says_what_it_needs() {
        run(Command::new(python()).args(["-m", "no_such_module"]), INSTALL_PYTHON);
    }
}
