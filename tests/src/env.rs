//! Where the tests find their data, and keep what outlives a test.

use std::fs;
use std::path::{Path, PathBuf};

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
