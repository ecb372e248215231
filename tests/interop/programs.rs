//! Other people's programs, as `cargo xtask interop` has set them up.

use std::path::{Path, PathBuf};

use enjamb_tests::env;

/// The directory of the committed client programs, `tests/clients`.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The Python that has the pinned slixmpp.
pub(crate) fn python() -> PathBuf {
    set_up("python/bin/python")
}

/// The `node_modules` directory that holds the pinned xmpp.js.
pub(crate) fn node_modules() -> PathBuf {
    set_up("node/node_modules")
}

fn set_up(path: &str) -> PathBuf {
    let path = env::work_dir().join(path);
    assert!(path.exists(), "{} is missing. `cargo xtask interop` makes it", path.display());
    path
}
