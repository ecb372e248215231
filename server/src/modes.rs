//! Whether others than its owner and group may use a file with a secret.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Who else may read or write a file, in words, if anybody. Of what is no regular file nothing is said.
pub(crate) fn exposed(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o777;
    let may = match mode {
        mode if mode & 0o006 == 0o006 => "every user may read and change",
        mode if mode & 0o004 != 0 && mode & 0o020 != 0 => "every user may read, and its group may change",
        mode if mode & 0o004 != 0 => "every user may read",
        mode if mode & 0o002 != 0 => "every user may change",
        mode if mode & 0o020 != 0 => "its whole group may change",
        _ => return None,
    };
    Some(format!("has mode {mode:04o}: {may} it"))
}
