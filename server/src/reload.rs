//! SIGHUP: certificates are read again, and the configuration file is compared with what runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

use crate::admission::Admission;
use crate::config::{self, Fingerprint, Severity};
use crate::log;
use crate::tls::Tls;

/// Settings that a line names.
const NAMED: usize = 10;

/// The file that the server was started with, as it was then.
pub(crate) struct RunningFile {
    path: PathBuf,
    fingerprint: Fingerprint,
}

impl RunningFile {
    pub(crate) fn new(path: &Path, fingerprint: Fingerprint) -> Self {
        Self { path: path.to_owned(), fingerprint }
    }

    /// Says whether the file still is what runs.
    fn compare(&self) {
        let path = self.path.display();
        let loaded = match config::load_file(&self.path) {
            Ok(loaded) => loaded,
            Err(error) => {
                warn!("SIGHUP: {path} can't be read, so a restart would fail: {error}");
                return;
            }
        };
        if loaded.config.is_none() {
            let mut faults = loaded.diagnostics.iter().filter(|fault| fault.severity == Severity::Error);
            let first = faults.next().map(|fault| loaded.source.line(fault)).unwrap_or_default();
            let number = 1 + faults.count();
            warn!("SIGHUP: {path} has {number} faults, so a restart would fail; the first: {first}");
            return;
        }
        let mut differs = self.fingerprint.differences(&loaded.fingerprint);
        if differs.is_empty() {
            info!("SIGHUP: {path} is what runs");
            return;
        }
        let more = differs.len().saturating_sub(NAMED);
        differs.truncate(NAMED);
        if more > 0 {
            differs.push(format!("{more} more"));
        }
        let differs = differs.join(", ");
        warn!(%differs, "SIGHUP: {path} differs from what runs, and has no effect until the server is restarted");
    }
}

/// Reads the certificates of all listeners again, and lets in at once who waits for failures. Nothing else is read again:
/// what else differs is said.
pub(crate) fn reload(
    file: Option<&RunningFile>,
    listeners: &[(SocketAddr, Arc<Tls>)],
    admissions: &[Arc<Admission>],
) {
    admissions.iter().for_each(|admission| admission.forgive());
    match file {
        Some(file) => file.compare(),
        None => info!("SIGHUP: the server runs without a configuration file; there is nothing to read"),
    }
    for (address, tls) in listeners {
        log::reloaded(*address, &tls.reload(SystemTime::now()));
    }
}
