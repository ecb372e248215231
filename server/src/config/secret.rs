//! Secrets that may be in files of their own.

use std::ops::Range;
use std::path::Path;

use zeroize::Zeroizing;

use super::advice;
use super::diagnostic::Faults;
use super::listener::Password;
use super::reader::{Section, Value, string};
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

/// What a section gives for the secret of an uplink.
#[derive(Default)]
pub(super) struct Given {
    /// The key that gives it, and the place of the value, even if that is refused.
    pub(super) key: Option<(&'static str, Range<usize>)>,
    /// The secret itself.
    pub(super) secret: Option<Password>,
}

/// Reads the secret of an uplink: a key has the secret itself, or another one names its file.
pub(super) fn of_uplink(
    section: &mut Section<'_, '_>,
    [key, file_key]: [&'static str; 2],
    base: &Path,
    faults: &mut Faults,
) -> Given {
    let (here, file) = (section.take(key), section.take(file_key));
    if let (Some(first), Some(second)) = (here, file) {
        faults
            .error(second.span(), format!("at most one of `{key}` and `{file_key}` may be given"))
            .label(first.span(), "the first is here");
        return Given { key: Some((key, first.span())), secret: None };
    }
    let Some((key, value)) = here.map(|value| (key, value)).or(file.map(|value| (file_key, value))) else {
        return Given::default();
    };
    let text = string(value, key, faults).and_then(|text| match file {
        Some(_) => in_file(text, value, base, faults),
        None => Some(Zeroizing::new(text.to_owned())),
    });
    let secret = text.and_then(|secret| {
        if secret.is_empty() {
            faults
                .error(value.span(), format!("`{key}` is empty"))
                .help("the secret that the other server has for this component");
            return None;
        }
        advice::weakness(key, &secret, value.span(), faults);
        Some(Password::new(secret.as_str().to_owned()))
    });
    Given { key: Some((key, value.span())), secret }
}
