//! Scripts by how many components take part.

use crate::case::{Group, Level};
use crate::script::{Answer, Script};
use crate::stage::{Fault, Stage};

type Run = fn(&mut Stage) -> Result<Answer, Fault>;

/// A script of one component.
pub(super) const fn alone(
    id: &'static str,
    name: &'static str,
    group: Group,
    best: &'static str,
    run: Run,
) -> Script {
    Script { id, name, group, level: Level::Must, best, needs_receiver: false, run }
}

/// A script of two.
pub(super) const fn pair(
    id: &'static str,
    name: &'static str,
    group: Group,
    best: &'static str,
    run: Run,
) -> Script {
    Script { needs_receiver: true, ..alone(id, name, group, best, run) }
}
