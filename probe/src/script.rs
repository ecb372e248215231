//! A case that takes several steps.

use std::fmt;

use crate::case::{Group, Level};
use crate::observed::Verdict;
use crate::stage::{Fault, Stage};

/// What a server did with a script.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How good it is.
    pub verdict: Verdict,
    /// In a few words, what it was.
    pub said: String,
}

impl Answer {
    pub(crate) fn best(said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Best, said: said.into() }
    }

    pub(crate) fn accepted(said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Accepted, said: said.into() }
    }

    pub(crate) fn outside(said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Outside, said: said.into() }
    }
}

/// One case in steps.
#[derive(Clone, Copy)]
pub struct Script {
    /// The rule that it is about, `C-052`, as in the conformance table.
    pub id: &'static str,
    /// In a few words what it is.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// How hard its rule is.
    pub level: Level,
    /// What should happen.
    pub best: &'static str,
    /// A second component takes part.
    pub needs_receiver: bool,
    pub(crate) run: fn(&mut Stage) -> Result<Answer, Fault>,
}

impl Script {
    /// Plays it; `None` if it needs a receiver that was not given.
    ///
    /// # Errors
    /// The server no longer accepts, or one of the components no longer gets in.
    pub fn play(&self, stage: &mut Stage) -> Result<Option<Answer>, Fault> {
        if self.needs_receiver && stage.names.receiver.is_none() {
            return Ok(None);
        }
        stage.drain_receiver()?;
        (self.run)(stage).map(Some)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.name)
    }
}
