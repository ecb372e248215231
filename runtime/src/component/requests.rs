//! Requests that wait for their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;
use std::time::Duration;

use enjamb_core::{Instant, OwnedStanza, Stanza, StanzaKind};

/// Requests that wait for their answers. Each has a waker of its own, so that an answer wakes one of them and not all.
#[derive(Default)]
pub(super) struct Requests {
    last: u64,
    by_number: BTreeMap<u64, Pending>,
    /// Those whose time has not begun: the connection knows the time.
    new: Vec<u64>,
    /// Those that wait, by when they are late.
    deadlines: BTreeSet<(Instant, u64)>,
}

struct Pending {
    /// Whom only the answer may come from.
    peer: String,
    timeout: Duration,
    deadline: Option<Instant>,
    answer: Option<OwnedStanza>,
    is_late: bool,
    waker: Option<Waker>,
}

impl Requests {
    /// The number of the next request.
    pub(super) fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn insert(&mut self, number: u64, peer: String, timeout: Duration) {
        let pending = Pending { peer, timeout, deadline: None, answer: None, is_late: false, waker: None };
        self.by_number.insert(number, pending);
        self.new.push(number);
    }

    pub(super) fn remove(&mut self, number: u64) {
        if let Some(Pending { deadline: Some(deadline), .. }) = self.by_number.remove(&number) {
            self.deadlines.remove(&(deadline, number));
        }
    }

    /// The wakers of all, since the stream has ended.
    pub(super) fn wakers(&mut self) -> impl Iterator<Item = Waker> {
        self.by_number.values_mut().filter_map(|pending| pending.waker.take())
    }

    /// Gives a stanza to the request that it answers, if it is the answer to one. `wake` gets the task that waits.
    pub(super) fn answer(&mut self, stanza: &Stanza<'_>, id_prefix: &str, wake: &mut Vec<Waker>) -> bool {
        if self.by_number.is_empty() || stanza.kind() != StanzaKind::Iq {
            return false;
        }
        let (Some(id), Some(from)) = (stanza.id(), stanza.from()) else { return false };
        let Some(number) = id.strip_prefix(id_prefix).and_then(|number| number.parse().ok()) else {
            return false;
        };
        let Some(pending) = self.by_number.get_mut(&number) else { return false };
        let is_answer = matches!(stanza.stanza_type().as_deref(), Some("result" | "error"));
        let is_waiting = pending.answer.is_none() && !pending.is_late;
        if !is_answer || !is_waiting || pending.peer != from.as_str() {
            return false;
        }
        pending.answer = Some(OwnedStanza::new(stanza));
        let (deadline, waker) = (pending.deadline, pending.waker.take());
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, number));
        }
        wake.extend(waker);
        true
    }

    /// Starts the time of requests that are new.
    pub(super) fn start(&mut self, now: Instant) {
        let Self { by_number, new, deadlines, .. } = self;
        for number in new.drain(..) {
            if let Some(pending) = by_number.get_mut(&number) {
                let deadline = now + pending.timeout;
                pending.deadline = Some(deadline);
                deadlines.insert((deadline, number));
            }
        }
    }

    /// When the next request is late.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Gives up on requests that are late. `wake` gets the tasks that wait for them.
    pub(super) fn expire(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        let Self { by_number, deadlines, .. } = self;
        while let Some(&(deadline, number)) = deadlines.first()
            && deadline <= now
        {
            deadlines.pop_first();
            if let Some(pending) = by_number.get_mut(&number) {
                pending.is_late = true;
                wake.extend(pending.waker.take());
            }
        }
    }

    /// What became of a request: its answer, that it is late, or nothing yet. Nothing yet: `waker` is woken for it.
    pub(super) fn poll(&mut self, number: u64, waker: &Waker) -> Answer {
        let Some(pending) = self.by_number.get_mut(&number) else { return Answer::Forgotten };
        match pending.answer.take() {
            Some(answer) => Answer::Came(answer),
            None if pending.is_late => Answer::Late,
            None => {
                pending.waker = Some(waker.clone());
                Answer::Awaited
            }
        }
    }
}

/// What became of a request.
pub(super) enum Answer {
    Came(OwnedStanza),
    Late,
    Awaited,
    Forgotten,
}
