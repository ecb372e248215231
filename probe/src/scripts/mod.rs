//! The cases in steps: what the checklist asks and no single run of bytes shows.

mod cast;
mod host;
mod login;
mod passing;

use crate::script::Script;

/// All of them, in their order.
#[must_use]
pub fn scripts() -> Vec<Script> {
    [login::SCRIPTS, passing::SCRIPTS, host::SCRIPTS].concat()
}
