//! Secrets that may be in files of their own.

use std::path::Path;

use zeroize::Zeroizing;

use super::diagnostic::Faults;
use super::reader::Value;
use crate::modes;

/// The secret in the file that a key names, without its line end.
pub(super) fn in_file(
    path: &str,
    value: &Value<'_>,
    base: &Path,
    faults: &mut Faults,
) -> Option<Zeroizing<String>> {
    let path = base.join(path);
    if let Some(exposed) = modes::exposed(&path) {
        let message = format!("{} {exposed}, and it holds a secret", path.display());
        faults.warning(value.span(), message).help("chmod 0640, or 0600");
    }
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => {
            faults.error(value.span(), format!("{} can't be read: {error}", path.display()));
            None
        }
    }
}
