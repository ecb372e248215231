//! How many lines others may cause: so many a minute, and the rest is counted. The count is said with the next line of
//! another minute, or at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use enjamb_core::jid::Domain;
use tracing::warn;

/// Of one component: one that comes and goes each second still shows all of it.
const OF_ONE: u32 = 120;
/// Of all components: three thousand that are cut off and come back show that. It bounds the table
/// of their names, too.
const OF_ALL: u32 = 10_000;

/// Lines that anybody can cause, whose number is bounded for all listeners together.
pub(super) struct Shared {
    lines: Mutex<PerMinute>,
    /// What is said of those that got none.
    more: &'static str,
}

/// Lines of those who have the secret, for all listeners together. Each name has its own share, so that a component that
/// comes and goes all the time hides no other; and there is one for all, since names cost nothing.
pub(super) struct Components(Mutex<Names>);

struct Names {
    all: PerMinute,
    /// Those of this minute.
    each: BTreeMap<Domain, PerMinute>,
}

/// At most so many lines a minute; the rest are counted.
pub(super) struct PerMinute {
    most: u32,
    since: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

impl Shared {
    pub(super) const fn new(more: &'static str) -> Self {
        Self { lines: Mutex::new(PerMinute::new(60)), more }
    }

    /// May there be one more? Says once a minute how many there were not.
    pub(super) fn may_log(&self) -> bool {
        let mut lines = self.lines();
        let suppressed = if lines.is_over() { lines.restart() } else { 0 };
        let may = lines.may_log(1);
        drop(lines);
        self.tell(suppressed);
        may
    }

    /// Says how many there were not.
    pub(super) fn finish(&self) {
        let suppressed = self.lines().restart();
        self.tell(suppressed);
    }

    fn tell(&self, suppressed: u64) {
        if suppressed > 0 {
            warn!(suppressed, "{}", self.more);
        }
    }

    fn lines(&self) -> MutexGuard<'_, PerMinute> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Components {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Names::new()))
    }

    /// May this component have one more, which is counted as so many if not? Says once a minute how many there were not.
    pub(super) fn may_log(&self, domain: &Domain, counts: u64) -> bool {
        let mut names = self.names();
        let suppressed = if names.all.is_over() { names.restart() } else { Vec::new() };
        let may = names.may_log(domain, counts);
        drop(names);
        tell(suppressed);
        may
    }

    /// Says how many there were not.
    pub(super) fn finish(&self) {
        let suppressed = self.names().restart();
        tell(suppressed);
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Few names: each of them had its share of lines, which together are not more than all may have.
fn tell(suppressed: Vec<(Option<Domain>, u64)>) {
    for (domain, suppressed) in suppressed {
        match domain {
            Some(domain) => warn!(%domain, suppressed, "more happened with this component than is logged"),
            None => warn!(suppressed, "more happened with all components together than is logged"),
        }
    }
}

impl Names {
    const fn new() -> Self {
        Self { all: PerMinute::new(OF_ALL), each: BTreeMap::new() }
    }

    /// A name for which there is no line left gets no place in the table.
    fn may_log(&mut self, domain: &Domain, counts: u64) -> bool {
        if let Some(of_one) = self.each.get_mut(domain) {
            return of_one.may_log(counts) && self.all.may_log(counts);
        }
        if !self.all.may_log(counts) {
            return false;
        }
        self.each.entry(domain.clone()).or_insert(PerMinute::new(OF_ONE)).may_log(counts)
    }

    /// Begins another minute; gives how many got no line in the one before, of whom.
    fn restart(&mut self) -> Vec<(Option<Domain>, u64)> {
        let all = (None, self.all.restart());
        let each = std::mem::take(&mut self.each).into_iter();
        let each = each.map(|(domain, lines)| (Some(domain), lines.suppressed));
        each.chain([all]).filter(|(_, suppressed)| *suppressed > 0).collect()
    }
}

impl PerMinute {
    pub(super) const fn new(most: u32) -> Self {
        Self { most, since: None, logged: 0, suppressed: 0 }
    }

    /// Has the minute passed?
    pub(super) fn is_over(&self) -> bool {
        self.since.is_none_or(|since| since.elapsed() > Duration::from_secs(60))
    }

    /// Begins another minute; gives how many got no line in the one before.
    pub(super) fn restart(&mut self) -> u64 {
        self.since = Some(Instant::now());
        self.logged = 0;
        std::mem::take(&mut self.suppressed)
    }

    /// May there be one more? If not, it is counted as so many.
    pub(super) fn may_log(&mut self, counts: u64) -> bool {
        let may = self.logged < self.most;
        if may {
            self.logged += 1;
        } else {
            self.suppressed = self.suppressed.saturating_add(counts);
        }
        may
    }

    /// So many have no line, for another reason.
    pub(super) fn count(&mut self, number: u64) {
        self.suppressed = self.suppressed.saturating_add(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> Domain {
        Domain::parse(&format!("c{number}.example")).unwrap()
    }

    #[test]
    fn over_the_most_a_minute_lines_are_counted_instead() {
        let mut lines = PerMinute::new(3);
        assert!(lines.is_over());
        assert_eq!(lines.restart(), 0);
        assert_eq!((0..10).filter(|_| lines.may_log(1)).count(), 3);
        assert!(!lines.is_over());
        assert_eq!(lines.restart(), 7);
        assert!(lines.may_log(1));
    }

    #[test]
    fn a_component_that_floods_hides_no_other() {
        let mut names = Names::new();
        assert_eq!((0..100_000).filter(|_| names.may_log(&name(0), 1)).count(), OF_ONE as usize);
        // A thousand that come, go and come again, and twenty that do it all the time.
        assert!((1..=1000).all(|number| (0..3).all(|_| names.may_log(&name(number), 1))));
        assert!((1..=20).all(|number| (0..40).all(|_| names.may_log(&name(number), 1))));
        assert_eq!(names.restart(), [(Some(name(0)), u64::from(100_000 - OF_ONE))]);
        assert!(names.each.is_empty() && names.may_log(&name(0), 1));
    }

    #[test]
    fn names_without_end_share_one_bound_and_a_table_that_has_one() {
        let mut names = Names::new();
        let most = OF_ALL as usize;
        assert_eq!((0..3 * OF_ALL).filter(|number| names.may_log(&name(*number), 1)).count(), most);
        assert!(!names.may_log(&name(0), 5));
        assert_eq!(names.each.len(), most);
        assert_eq!(names.restart(), [(None, 2 * u64::from(OF_ALL) + 5)]);
        assert!(names.may_log(&name(0), 1));
    }
}
