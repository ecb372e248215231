//! The requests that components did not answer yet, as the model of `outage` knows them.
//!
//! Their time is looked at once a second, so for a second each is told, or not: then both are allowed.

use std::time::Duration;

use crate::outage_sent::Sent;

/// A round of the switch.
const ROUND: Duration = Duration::from_secs(1);

struct Request {
    /// The number of the stanza.
    n: usize,
    asker: usize,
    asked: usize,
    /// The name that was asked, and the asker's address as it is compared.
    name: usize,
    key: String,
    from: String,
    to: String,
    id: String,
    due: Duration,
    timeout: Duration,
    told: Option<Told>,
    /// The asker has read that.
    is_seen: bool,
    /// An answer may meet it.
    is_known: bool,
    /// It may be forgotten already, or replaced.
    may_be_gone: bool,
    /// The asker may have been told, or not.
    is_unsure: bool,
    asker_ended: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq)]
enum Why {
    Ended,
    TimedOut,
    Either,
}

#[derive(Clone, Copy)]
struct Told {
    why: Why,
    /// Not before, and not after.
    from: Duration,
    by: Duration,
}

/// What an answer meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    Late,
    NotLate,
}

#[derive(Default)]
pub(crate) struct Requests {
    all: Vec<Request>,
}

impl Request {
    fn is_alike(&self, key: &str, id: &str) -> bool {
        self.is_known && self.key == key && self.id == id
    }

    /// It waits for sure, or is late for sure; neither: nobody knows.
    fn is_waiting(&self, now: Duration) -> bool {
        self.told.is_none() && now < self.due && !self.may_be_gone
    }

    fn is_late(&self, now: Duration) -> bool {
        self.told.is_some_and(|told| now < told.from + self.timeout) && !self.may_be_gone
    }
}

/// An address as it is compared: these have nothing but ASCII.
pub(crate) fn folded(address: &str) -> String {
    address.to_lowercase()
}

impl Requests {
    /// A port has taken a request. `is_noted`: the switch says that it has noted it; `names`: all that the port holds.
    pub(crate) fn taken(
        &mut self,
        (n, sent): (usize, &Sent),
        asked: usize,
        (now, timeout, max): (Duration, Duration, usize),
        names: &[usize],
        is_noted: bool,
    ) {
        let key = folded(&sent.from);
        let replaced = self.all.iter_mut().find(|request| {
            request.is_alike(&key, &sent.id)
                && request.asker == sent.sender
                && request.name == sent.name
                && !request.is_waiting(now)
        });
        if let Some(replaced) = replaced {
            if replaced.is_late(now) {
                replaced.is_known = false;
            } else {
                replaced.may_be_gone = true;
            }
        }
        let known = || self.all.iter().filter(|request| request.is_known && names.contains(&request.name));
        let maybe_waiting = known().filter(|request| !request.is_late(now)).count();
        let waiting =
            known().filter(|request| request.is_waiting(now) && request.asker_ended.is_none()).count();
        let alike = known().filter(|request| request.is_alike(&key, &sent.id)).count();
        if !is_noted {
            let is_full = maybe_waiting >= max || known().count() >= 2 * max || alike >= 16;
            assert!(is_full, "{} is not noted, with {maybe_waiting} of {max}", sent.text);
            return;
        }
        assert!(waiting < max, "{} is noted, with {waiting} of {max}", sent.text);
        self.all.push(Request {
            n,
            asker: sent.sender,
            asked,
            name: sent.name,
            key,
            from: sent.from.clone(),
            to: sent.to.clone(),
            id: sent.id.clone(),
            due: now + timeout,
            timeout,
            told: None,
            is_seen: false,
            is_known: true,
            may_be_gone: false,
            is_unsure: false,
            asker_ended: None,
        });
    }

    /// A port that holds `names` answers; the switch says whether it was late.
    pub(crate) fn answered(&mut self, sent: &Sent, names: &[usize], now: Duration, met: Met) {
        let key = folded(&sent.to);
        let is_it = |request: &Request| names.contains(&request.name) && request.is_alike(&key, &sent.id);
        let mut all: Vec<&mut Request> = self.all.iter_mut().filter(|request| is_it(request)).collect();
        if met == Met::Late {
            assert!(!all.is_empty(), "nothing was asked: {}", sent.text);
            for request in all {
                let is_waiting = request.is_waiting(now) && request.asker_ended.is_none();
                assert!(!is_waiting, "{} is not late", sent.text);
                // All that wait would have been met before.
                if request.told.is_none() && request.asker_ended.is_none() && now >= request.due {
                    request.told = Some(Told { why: Why::TimedOut, from: request.due, by: now });
                }
            }
            return;
        }
        let may_be_met = |request: &Request| !request.is_late(now) || request.asker_ended.is_some();
        let is_late = !all.is_empty() && !all.iter().any(|request| may_be_met(request));
        assert!(!is_late, "{} is late", sent.text);
        all.retain(|request| request.told.is_none());
        let is_sure = all.iter().all(|request| request.is_waiting(now) && request.asker_ended.is_none());
        if is_sure {
            let best = all.iter_mut().min_by_key(|request| (request.to != sent.from, request.n));
            if let Some(best) = best {
                best.is_known = false;
                best.is_unsure = false;
            }
        } else {
            for request in all {
                request.is_unsure = true;
                request.may_be_gone = true;
            }
        }
    }

    /// A connection has ended: those that it has read, or begun to, are told; the others come back as unsent stanzas.
    pub(crate) fn port_ended(&mut self, conn: usize, now: Duration, sent: &[Sent]) {
        for request in &mut self.all {
            if request.asker == conn {
                request.asker_ended = Some(now);
            }
            if request.asked != conn || !request.is_known || request.told.is_some() {
                continue;
            }
            let may_have_timed_out = now >= request.due;
            if sent[request.n].is_delivered {
                let why = if may_have_timed_out { Why::Either } else { Why::Ended };
                let from = if may_have_timed_out { request.due } else { now };
                request.told = Some(Told { why, from, by: now });
            } else if may_have_timed_out {
                (request.may_be_gone, request.is_unsure) = (true, true);
            } else {
                request.is_known = false;
            }
        }
    }

    /// A connection reads that nobody answers. Which stanza it is about; `None`: it does not say that.
    pub(crate) fn told(
        &mut self,
        conn: usize,
        (from, to, id): (&str, &str, &str),
        text: &str,
        now: Duration,
    ) -> Option<usize> {
        let why = if text.contains(">the component has not answered in time<") {
            Why::TimedOut
        } else if text.contains(">the component's connection ended before it answered<") {
            Why::Ended
        } else {
            return None;
        };
        let may = |request: &&mut Request| {
            let is_it = (&*request.from, &*request.to, &*request.id) == (from, to, id);
            let is_due = match request.told {
                Some(told) => told.why == why || told.why == Why::Either,
                None => why == Why::TimedOut && request.due <= now && (request.is_known || request.is_unsure),
            };
            is_it && request.asker == conn && !request.is_seen && is_due
        };
        let request = self.all.iter_mut().find(may);
        let Some(request) = request else { panic!("at {now:?}, nobody is to be told: {text}") };
        request.is_seen = true;
        if request.told.is_none() {
            request.told = Some(Told { why, from: request.due, by: now });
        }
        Some(request.n)
    }

    /// The switch has done all that is due.
    pub(crate) fn tick(&mut self, now: Duration) {
        for request in &mut self.all {
            let is_asker_there = request.asker_ended.is_none();
            if request.told.is_none() && request.is_known && is_asker_there && request.due + ROUND <= now {
                let by = request.due + ROUND;
                request.told = Some(Told { why: Why::TimedOut, from: request.due, by });
            }
            let is_over = request.told.is_some_and(|told| told.by + request.timeout + ROUND <= now);
            let is_forgotten = request.asker_ended.is_some_and(|ended| ended + ROUND <= now);
            request.is_known &= !(is_over || is_forgotten);
        }
    }

    /// A connection has read everything: it has heard of each request that was told.
    pub(crate) fn check_told(&self, conn: usize, now: Duration, sent: &[Sent]) {
        for request in self.all.iter().filter(|request| request.asker == conn && !request.is_unsure) {
            if request.told.is_some_and(|told| told.by <= now) {
                assert!(request.is_seen, "at {now:?}, nobody has told it: {}", sent[request.n].text);
            }
        }
    }

    /// Requests that were delivered and are settled.
    pub(crate) fn open(&self, asked: usize) -> Vec<usize> {
        let open = self.all.iter().filter(|request| request.name == asked && request.is_known);
        open.map(|request| request.n).collect()
    }
}
