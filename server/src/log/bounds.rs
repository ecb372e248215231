//! How many lines others may cause: N a minute, and the rest is counted. The count is said with the next line of
//! another minute, or at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use enjamb_core::jid::Domain;
use enjamb_core::router::PortId;
use tracing::warn;

/// Of one component: one that comes and goes each second still shows all of it.
const OF_ONE: u32 = 120;
/// Of all components: three thousand that are cut off and come back show that. It bounds the table
/// of their names, too.
const OF_ALL: u32 = 10_000;

pub(super) static FAILURES: Shared =
    Shared::new("more connections ended before they were bound than are logged");
pub(super) static TURNED_AWAY: Shared = Shared::new("more connections were turned away than are logged");
pub(super) static COMPONENTS: Components = Components::new();

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
    each: BTreeMap<Domain, OfOne>,
}

/// One component's lines.
struct OfOne {
    lines: PerMinute,
    /// What no line has said: whether it is connected.
    unsaid: Option<Unsaid>,
    /// When that was said last without an event.
    told_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Unsaid {
    state: State,
    since: Instant,
}

/// Whether a component is connected, and by what.
#[derive(Clone, Copy)]
struct State {
    is_connected: bool,
    conn: PortId,
    listener: SocketAddr,
}

/// A line that is to be written.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// Events that it stands for.
    counts: u64,
    /// What it says of the component.
    state: Option<State>,
}

impl Line {
    pub(super) fn one() -> Self {
        Self::of(1)
    }

    pub(super) fn of(counts: u64) -> Self {
        Self { counts, state: None }
    }

    pub(super) fn state(conn: PortId, listener: SocketAddr, is_connected: bool) -> Self {
        Self { counts: 1, state: Some(State { is_connected, conn, listener }) }
    }
}

/// How long a component whose lines are left out has to do nothing until its state is said.
const QUIET: Duration = Duration::from_secs(2);
/// How often that is said of one.
const AGAIN: Duration = Duration::from_secs(10);
/// Of how many it is said at once.
const AT_ONCE: usize = 100;

/// At most N lines a minute; the rest are counted.
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

    /// The same, once the minute is over.
    pub(super) fn tick(&self) {
        let mut lines = self.lines();
        let suppressed = if lines.suppressed > 0 && lines.is_over() { lines.restart() } else { 0 };
        drop(lines);
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

    /// Writes a line of a component, or counts it. No other line of any component is written meanwhile.
    pub(super) fn log(&self, domain: &Domain, line: Line, write: impl FnOnce()) {
        let mut names = self.names();
        names.begin_minute();
        if names.may_log(domain, line) {
            write();
        }
    }

    /// The same of the end of a connection. `holder` says who has its name now; then the component is not away.
    pub(super) fn log_end(
        &self,
        domain: &Domain,
        conn: PortId,
        listener: SocketAddr,
        holder: impl FnOnce() -> Option<PortId>,
        write: impl FnOnce(Option<PortId>),
    ) {
        let mut names = self.names();
        names.begin_minute();
        let holder = holder();
        let line = if holder.is_some() { Line::one() } else { Line::state(conn, listener, false) };
        if names.may_log(domain, line) {
            write(holder);
        }
    }

    /// Says how many there were not, once the minute is over, and of those that have become quiet whether they are
    /// connected.
    pub(super) fn tick(&self) {
        let mut names = self.names();
        if names.all.since.is_some() {
            names.begin_minute();
        }
        names.tell_quiet();
    }

    /// Says how many there were not.
    pub(super) fn finish(&self) {
        self.names().restart();
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    const fn new() -> Self {
        Self { all: PerMinute::new(OF_ALL), each: BTreeMap::new() }
    }

    /// A name for which there is no line left gets no place in the table.
    fn may_log(&mut self, domain: &Domain, line: Line) -> bool {
        let may = match self.each.get_mut(domain) {
            Some(of_one) => of_one.lines.may_log(line.counts) && self.all.may_log(line.counts),
            None if !self.all.may_log(line.counts) => return false,
            None => {
                let of_one = OfOne { lines: PerMinute::new(OF_ONE), unsaid: None, told_at: None };
                self.each.entry(domain.clone()).or_insert(of_one).lines.may_log(line.counts)
            }
        };
        if let (Some(of_one), Some(state)) = (self.each.get_mut(domain), line.state) {
            of_one.unsaid = (!may).then(|| Unsaid { state, since: Instant::now() });
        }
        may
    }

    fn begin_minute(&mut self) {
        if self.all.is_over() {
            self.restart();
        }
    }

    /// Begins another minute; says how many got no line in the one before, of whom. They are few: each of them had its
    /// share of lines, which together are not more than all may have.
    fn restart(&mut self) {
        for (domain, of_one) in std::mem::take(&mut self.each) {
            let suppressed = of_one.lines.suppressed;
            match of_one.unsaid {
                Some(Unsaid { state, .. }) => state.tell(&domain, suppressed),
                None if suppressed > 0 => {
                    warn!(%domain, suppressed, "more happened with this component than is logged");
                }
                None => {}
            }
        }
        let suppressed = self.all.restart();
        if suppressed > 0 {
            warn!(suppressed, "more happened with all components together than is logged");
        }
    }

    fn tell_quiet(&mut self) {
        let is_due = |of_one: &OfOne| {
            of_one.unsaid.is_some_and(|unsaid| unsaid.since.elapsed() >= QUIET)
                && of_one.told_at.is_none_or(|at| at.elapsed() >= AGAIN)
        };
        for (domain, of_one) in self.each.iter_mut().filter(|(_, of_one)| is_due(of_one)).take(AT_ONCE) {
            if let Some(unsaid) = of_one.unsaid.take() {
                of_one.told_at = Some(Instant::now());
                unsaid.state.tell(domain, std::mem::take(&mut of_one.lines.suppressed));
            }
        }
    }
}

impl State {
    fn tell(self, domain: &Domain, suppressed: u64) {
        let Self { is_connected, conn, listener } = self;
        let state = if is_connected { "component is connected" } else { "component is away" };
        warn!(conn = conn.0, %listener, %domain, suppressed, "{state}; more happened with it than is logged");
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

    /// Whether there may be one more. If not, it is counted as this many.
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
        assert_eq!((0..100_000).filter(|_| names.may_log(&name(0), Line::one())).count(), OF_ONE as usize);
        // A thousand that come, go and come again, and twenty that do it all the time.
        assert!((1..=1000).all(|number| (0..3).all(|_| names.may_log(&name(number), Line::one()))));
        assert!((1..=20).all(|number| (0..40).all(|_| names.may_log(&name(number), Line::one()))));
        let suppressed = |names: &Names| names.each[&name(0)].lines.suppressed;
        assert_eq!(suppressed(&names), u64::from(100_000 - OF_ONE));
        names.restart();
        assert!(names.each.is_empty() && names.may_log(&name(0), Line::one()));
    }

    #[test]
    fn names_without_end_share_one_bound_and_a_table_that_has_one() {
        let mut names = Names::new();
        let most = OF_ALL as usize;
        assert_eq!((0..3 * OF_ALL).filter(|number| names.may_log(&name(*number), Line::one())).count(), most);
        assert!(!names.may_log(&name(0), Line::of(5)));
        assert_eq!(names.each.len(), most);
        assert_eq!(names.all.suppressed, 2 * u64::from(OF_ALL) + 5);
        names.restart();
        assert!(names.may_log(&name(0), Line::one()));
    }
}
