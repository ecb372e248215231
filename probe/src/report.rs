//! What was seen of one server, counted.

use std::ops::AddAssign;

use serde::Serialize;

use crate::case::{Case, Group, Level};
use crate::observed::{Observed, Verdict};
use crate::script::{Answer, Script};

/// One case and its outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `BS-001`, `C-052`.
    pub id: String,
    /// In a few words what it is.
    pub name: String,
    /// What it is about.
    pub group: Group,
    /// How hard its rule is.
    pub level: Level,
    /// The cut, where it was not played as the case says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// What the server did; `None` if the case needs a name that was not given.
    pub answer: Option<String>,
    /// How good that is.
    pub verdict: Option<Verdict>,
    /// The outcome to aim at.
    pub best: String,
    /// All that are allowed.
    pub expect: Vec<String>,
    /// Why; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Row {
    /// The outcome of a case that is bytes.
    #[must_use]
    pub fn of_case(case: &Case, observed: Option<&Observed>) -> Self {
        Self {
            id: case.id.clone(),
            name: case.name.clone(),
            group: case.group,
            level: case.level,
            cut: None,
            answer: observed.map(ToString::to_string),
            verdict: observed.map(|observed| case.verdict(observed)),
            best: case.best.clone(),
            expect: case.expect.clone(),
            note: case.note.clone(),
        }
    }

    /// The outcome of a case in steps.
    #[must_use]
    pub fn of_script(script: &Script, answer: Option<Answer>) -> Self {
        Self {
            id: script.id.into(),
            name: script.name.into(),
            group: script.group,
            level: script.level,
            cut: None,
            verdict: answer.as_ref().map(|answer| answer.verdict),
            answer: answer.map(|answer| answer.said),
            best: script.best.into(),
            expect: vec![script.best.into()],
            note: String::new(),
        }
    }
}

/// How many cases had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All that were played.
    pub played: usize,
    /// Those with the outcome to aim at.
    pub best: usize,
    /// Those with another one that is allowed.
    pub accepted: usize,
    /// The others.
    pub outside: usize,
    /// Those of the others whose rule is a MUST.
    pub outside_must: usize,
    /// Those that were not played.
    pub left_out: usize,
}

impl AddAssign<&Row> for Count {
    fn add_assign(&mut self, row: &Row) {
        let Some(verdict) = row.verdict else {
            self.left_out += 1;
            return;
        };
        self.played += 1;
        match verdict {
            Verdict::Best => self.best += 1,
            Verdict::Accepted => self.accepted += 1,
            Verdict::Outside => {
                self.outside += 1;
                self.outside_must += usize::from(row.level == Level::Must);
            }
        }
    }
}

/// All outcomes of one server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// In the order in which they were played.
    pub cases: Vec<Row>,
}

impl Report {
    /// The count of one group, or of all.
    #[must_use]
    pub fn count(&self, group: Option<Group>) -> Count {
        let mut count = Count::default();
        for row in self.cases.iter().filter(|row| group.is_none_or(|group| row.group == group)) {
            count += row;
        }
        count
    }
}
