//! The cases in steps: what the checklist asks and no single run of bytes shows.

mod host;
mod login;
mod passing;

use crate::{Group, Level, Script};

/// All of them, in their order.
#[must_use]
pub fn scripts() -> Vec<Script> {
    [login::SCRIPTS, passing::SCRIPTS, host::SCRIPTS].concat()
}

/// A script of one component.
const fn alone(id: &'static str, name: &'static str, group: Group, best: &'static str, run: Run) -> Script {
    Script { id, name, group, level: Level::Must, best, needs_receiver: false, run }
}

/// A script of two.
const fn pair(id: &'static str, name: &'static str, group: Group, best: &'static str, run: Run) -> Script {
    Script { needs_receiver: true, ..alone(id, name, group, best, run) }
}

type Run = fn(&mut crate::Stage) -> Result<crate::Answer, crate::Fault>;
