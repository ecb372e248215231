//! How many attempts all uplinks to one server make.

use alloc::collections::{BTreeSet, VecDeque};
use core::mem;
use core::time::Duration;

use super::retry::{Retry, Trouble};
use crate::router::PortId;
use crate::time::Instant;

/// Attempts within a second.
const MAX_ATTEMPTS: u32 = 50;
const SECOND: Duration = Duration::from_secs(1);
/// How long an attempt under way keeps others waiting, when it may be the only one.
const ATTEMPT: Duration = Duration::from_secs(60);
/// How long an uplink keeps its turn without asking.
const ASKED: Duration = Duration::from_secs(2);

/// How many attempts the uplinks to one server make: at most 50 a second, and one at a time, in turn, after the server has
/// refused the secret that they share. Many wrong log-ins at once would have us banned.
///
/// If the server has accepted that secret from one of them, a refusal is about another one's domain alone: some servers say
/// `not-authorized` of a name that they do not have. If it refuses one that it had accepted, the secret has changed.
#[derive(Debug, Default)]
pub struct Gate {
    second: Option<Instant>,
    in_second: u32,
    /// The server has refused the shared secret.
    refused: Retry,
    is_refused: bool,
    /// The one that may be under way then.
    under_way: Option<(PortId, Instant)>,
    /// Those with the shared secret that the server has accepted.
    accepted: BTreeSet<PortId>,
    /// Those that wait for their turn then, and when each asked last.
    turns: VecDeque<(PortId, Instant)>,
}

/// What became of an attempt, as far as others are to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// The server accepted the secret.
    Accepted,
    /// The server refused the secret.
    Refused,
    /// It was not reached, or had another reason.
    Failed,
}

impl Gate {
    /// An uplink asks whether it may connect now. `shares`: its secret is the one that all share.
    ///
    /// # Errors
    /// Not yet: ask again at that time.
    pub fn ask(&mut self, now: Instant, uplink: PortId, shares: bool) -> Result<(), Instant> {
        if self.is_refused && shares {
            self.wait_in_turn(now, uplink)?;
        }
        match self.second {
            Some(begun) if now < begun + SECOND => {
                if self.in_second >= MAX_ATTEMPTS {
                    return Err(begun + SECOND);
                }
            }
            _ => (self.second, self.in_second) = (Some(now), 0),
        }
        self.in_second += 1;
        if self.is_refused && shares {
            self.turns.retain(|(waiting, _)| *waiting != uplink);
            self.under_way = Some((uplink, now + ATTEMPT));
        }
        Ok(())
    }

    fn wait_in_turn(&mut self, now: Instant, uplink: PortId) -> Result<(), Instant> {
        match self.turns.iter_mut().find(|(waiting, _)| *waiting == uplink) {
            Some((_, asked)) => *asked = now,
            None => self.turns.push_back((uplink, now)),
        }
        self.turns.retain(|(_, asked)| now < *asked + ASKED);
        self.under_way.take_if(|(_, until)| *until <= now);
        let again = now + SECOND;
        if let Some(at) = self.refused.at().filter(|at| now < *at) {
            return Err(at.min(again));
        }
        let is_next = self.turns.front().is_some_and(|(first, _)| *first == uplink);
        if self.under_way.is_some() || !is_next { Err(again) } else { Ok(()) }
    }

    /// An attempt is over. `random` are uniformly random bits.
    pub fn note(&mut self, now: Instant, uplink: PortId, shares: bool, attempted: Attempted, random: u32) {
        let had_turn = self.under_way.take_if(|(under_way, _)| *under_way == uplink).is_some();
        if !shares {
            return;
        }
        match attempted {
            Attempted::Accepted => {
                self.is_refused = false;
                self.accepted.insert(uplink);
            }
            Attempted::Refused if !(self.accepted.is_empty() || self.accepted.contains(&uplink)) => {}
            // It began before the first refusal, and says nothing new.
            Attempted::Refused if self.is_refused && !had_turn => {}
            Attempted::Refused => {
                if !mem::replace(&mut self.is_refused, true) {
                    (self.refused, self.turns) = (Retry::default(), VecDeque::new());
                }
                self.accepted.clear();
                self.refused.note(now, Trouble::NotAuthorized, None, random);
            }
            Attempted::Failed => {}
        }
    }

    /// An uplink is given up.
    pub fn forget(&mut self, uplink: PortId) {
        self.accepted.remove(&uplink);
        self.turns.retain(|(waiting, _)| *waiting != uplink);
        self.under_way.take_if(|(under_way, _)| *under_way == uplink);
    }

    /// The secret has changed, or an operator wants it: all may try.
    pub fn reset(&mut self) {
        let Self { second, in_second, .. } = *self;
        *self = Self { second, in_second, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::from_origin(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn u6_at_most_fifty_attempts_a_second() {
        let mut gate = Gate::default();
        let mut granted = [0; 4];
        for tick in 0..400_u32 {
            let now = at(f64::from(tick) / 100.0);
            for uplink in 0..3 {
                let is_granted = gate.ask(now, PortId(u64::from(tick * 3 + uplink)), false).is_ok();
                granted[tick as usize / 100] += u32::from(is_granted);
            }
        }
        assert_eq!(granted, [50; 4]);
        assert_eq!(gate.ask(at(3.99), PortId(1), false), Err(at(4.0)));
    }

    #[test]
    fn u6_after_a_refusal_one_at_a_time_in_turn() {
        let mut gate = Gate::default();
        let ids = [PortId(0), PortId(1), PortId(2)];
        assert!(ids.iter().all(|id| gate.ask(at(0.0), *id, true).is_ok()));
        gate.note(at(0.1), ids[0], true, Attempted::Refused, 0);
        let mut granted = alloc::vec::Vec::new();
        let mut under_way = None;
        for second in 0..400 {
            let now = at(f64::from(second) + 0.5);
            if let Some(id) = under_way.take() {
                gate.note(now, id, true, Attempted::Refused, 0);
            }
            for id in ids {
                if gate.ask(now, id, true).is_ok() {
                    assert!(under_way.is_none(), "one at a time");
                    under_way = Some(id);
                    granted.push((second, id.0));
                }
            }
            assert!(gate.ask(now, PortId(9), false).is_ok(), "one with its own secret does not wait");
        }
        // 60 s after the first refusal, then 120 s, then 240 s.
        assert_eq!(granted, [(60, 0), (181, 1)]);
        gate.note(at(500.0), ids[1], true, Attempted::Accepted, 0);
        assert!(ids.iter().all(|id| gate.ask(at(500.0), *id, true).is_ok()), "the secret is right again");
    }

    #[test]
    fn u6_domain_that_the_server_does_not_have_delays_no_other() {
        let mut gate = Gate::default();
        let [known, unknown] = [PortId(0), PortId(1)];
        assert!(gate.ask(at(0.0), known, true).is_ok());
        gate.note(at(0.1), known, true, Attempted::Accepted, 0);
        gate.note(at(0.2), unknown, true, Attempted::Refused, 0);
        assert!(gate.ask(at(1.0), known, true).is_ok(), "its secret is right");
        // The secret that was right is refused: it has changed.
        gate.note(at(1.1), known, true, Attempted::Refused, 0);
        assert!(gate.ask(at(2.0), unknown, true).is_err() && gate.ask(at(2.0), known, true).is_err());
    }

    #[test]
    fn u6_refusals_of_attempts_that_ran_together_count_once() {
        let mut gate = Gate::default();
        let ids = [PortId(0), PortId(1), PortId(2), PortId(3), PortId(4)];
        assert!(ids.iter().all(|id| gate.ask(at(0.0), *id, true).is_ok()));
        ids.iter().for_each(|id| gate.note(at(0.1), *id, true, Attempted::Refused, 0));
        assert!(gate.ask(at(60.0), ids[0], true).is_err());
        assert!(gate.ask(at(60.2), ids[0], true).is_ok());
    }

    #[test]
    fn u6_uplink_that_does_not_ask_any_more_loses_its_turn() {
        let mut gate = Gate::default();
        gate.note(at(0.0), PortId(0), true, Attempted::Refused, 0);
        for (now, id) in [(59.0, 1), (59.1, 2), (60.5, 2)] {
            assert!(gate.ask(at(now), PortId(id), true).is_err(), "{id} at {now}");
        }
        assert!(gate.ask(at(61.6), PortId(2), true).is_ok(), "the first in turn is gone");
    }
}
