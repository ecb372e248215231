//! The program as it is started by hand, with a file and an environment of the test's own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use enjamb_tests::env;
use enjamb_tests::server::binary;
use enjamb_tests::tls::{Authority, NAME};

/// `enjamb` with nothing of this process' environment that it would take.
pub(crate) fn enjamb() -> Command {
    let mut command = Command::new(binary());
    for name in ["ENJAMB_CONFIG", "ENJAMB_LOG", "ENJAMB_LOG_FORMAT", "ENJAMB_PROBE_SECRET"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn output(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = String::from_utf8([stdout, stderr].concat()).expect("it writes UTF-8");
    (status.code(), text)
}

/// A directory of the test's own, removed at its end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = env::work_dir().join(format!("faults-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("target/ is writable");
        Self(dir)
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.join(name);
        fs::write(&path, text).expect("target/ is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A leftover does no harm; the next test has another name.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What `enjamb check` says of a file of this text, and its exit code.
pub(crate) fn check(text: &str) -> (Option<i32>, String) {
    let dir = Dir::new();
    output(enjamb().arg("check").arg(dir.file("enjamb.toml", text)))
}

/// A certificate and its key, as PEM.
pub(crate) fn certificate() -> [String; 2] {
    let authority = Authority::new();
    let (certificate, key) = authority.files("server", &authority.issue(&[NAME]));
    [certificate, key].map(|path| fs::read_to_string(path).expect("it was written just now"))
}
