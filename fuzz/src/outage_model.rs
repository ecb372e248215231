//! What may become of each stanza while components come and go: slow and obvious.

use std::collections::HashMap;
use std::time::Duration;

use enjamb_core::switch::{Metric, Metrics};

use crate::outage_requests::Requests;
use crate::outage_script::{Class, FIRST_SMALL, IMPATIENT, NAMES, SMALL_HOLD, Settings};
use crate::outage_sent::{Sent, Taken};

/// A connection, as the model knows it.
pub(crate) struct Party {
    pub(crate) bound_at: Duration,
    pub(crate) ended: Option<Duration>,
    /// What the switch has to say to it may be lost: its queue may be full.
    pub(crate) is_small: bool,
}

/// What is known of one of [`NAMES`].
#[derive(Clone, Default)]
struct Name {
    was_bound: bool,
    last_end: Option<Duration>,
    /// A connection with a small queue has held it.
    was_small: bool,
    was_impatient: bool,
    /// Bytes that were taken for it and did not come out, now and at most.
    waiting: usize,
    most: usize,
}

pub(crate) struct Model {
    pub(crate) settings: Settings,
    pub(crate) now: Duration,
    pub(crate) sent: Vec<Sent>,
    pub(crate) parties: Vec<Party>,
    pub(crate) requests: Requests,
    names: [Name; NAMES.len()],
    /// The last stanza of each pair of bare addresses that was delivered.
    last: HashMap<(String, String), usize>,
    /// Nothing is held any more.
    pub(crate) is_over: bool,
    /// The switch ends, and with it all connections.
    pub(crate) is_down: bool,
    /// Answers that told of a full queue.
    pub(crate) full: u64,
}

impl Model {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: Duration::ZERO,
            sent: Vec::new(),
            parties: Vec::new(),
            requests: Requests::default(),
            names: std::array::from_fn(|_| Name::default()),
            last: HashMap::new(),
            is_over: false,
            is_down: false,
            full: 0,
        }
    }

    /// A component is bound to these names.
    pub(crate) fn bound(&mut self, names: &[usize], listener: usize) {
        let is_small_hold = |name: &usize| {
            !self.settings.0[*name].hold.is_zero() && self.settings.0[*name].hold_bytes == SMALL_HOLD
        };
        let is_small = listener >= FIRST_SMALL || names.iter().any(is_small_hold);
        self.parties.push(Party { bound_at: self.now, ended: None, is_small });
        for name in names {
            let name = &mut self.names[*name];
            name.was_bound = true;
            name.was_small |= listener >= FIRST_SMALL;
            name.was_impatient |= listener == IMPATIENT;
        }
    }

    /// A connection has ended, which held these names.
    pub(crate) fn ended(&mut self, conn: usize, names: &[usize]) {
        self.parties[conn].ended = Some(self.now);
        for name in names {
            self.names[*name].last_end = Some(self.now);
        }
        self.requests.port_ended(conn, self.now, &self.sent);
    }

    /// A stanza was taken; `holder` has its receiver's name.
    pub(crate) fn taken(&mut self, n: usize, holder: Option<usize>) {
        let (sent, is_over) = (&mut self.sent[n], self.is_over);
        assert!(sent.taken.is_none(), "it is taken once: {}", sent.text);
        let name = &mut self.names[sent.name];
        // Of the last two, one is known by a wildcard.
        let is_known = sent.name < 3 || name.was_bound;
        let is_held_for = !self.settings.0[sent.name].hold.is_zero() && !is_over && is_known;
        sent.taken = Some(Taken { at: self.now, holder, is_held_for });
        name.waiting += sent.text.len();
        name.most = name.most.max(name.waiting);
    }

    /// So many bytes are queued for the component that has these names, answers of the switch among them.
    pub(crate) fn queued(&mut self, names: &[usize], bytes: usize) {
        for name in names {
            let name = &mut self.names[*name];
            name.most = name.most.max(name.waiting + bytes);
        }
    }

    /// A component reads something, or the first part of it.
    pub(crate) fn heard(&mut self, conn: usize, text: &str) {
        match attribute(text, "n") {
            Some(n) => self.delivered(conn, n.parse().expect("we number them"), text),
            None => self.answered(conn, text),
        }
    }

    fn delivered(&mut self, conn: usize, n: usize, text: &str) {
        let (now, sent) = (self.now, &mut self.sent[n]);
        let taken = sent.taken.expect("it was taken");
        assert!(!sent.is_delivered, "delivered twice: {text}");
        assert!(!sent.is_late, "this answer came too late: {text}");
        assert!(sent.errors == 0 || sent.kind.is_request(), "answered, and delivered: {text}");
        let was_held = taken.holder != Some(conn);
        let wanted = if was_held { sent.stamped(taken.at) } else { sent.text.clone() };
        assert_eq!(text, wanted, "held: {was_held}");
        if was_held {
            assert!(
                sent.kind.class == Class::Held && taken.is_held(&self.settings, sent.name),
                "held: {text}"
            );
            let bound_at = self.parties[conn].bound_at;
            assert!(bound_at < taken.at + self.settings.0[sent.name].hold, "held too long: {text}");
        }
        sent.is_delivered = true;
        let waiting = &mut self.names[sent.name].waiting;
        *waiting = waiting.saturating_sub(sent.text.len());
        let bare = |address: &str| address.split('/').next().unwrap_or_default().to_owned();
        let last = self.last.insert((bare(&sent.from), bare(&sent.to)), n);
        assert!(last.is_none_or(|last| last < n), "{last:?} came before at {now:?}: {text}");
    }

    /// The switch answers something.
    fn answered(&mut self, conn: usize, text: &str) {
        let [from, to, id] = ["from", "to", "id"].map(|name| attribute(text, name).unwrap_or_default());
        let condition = text
            .split_once("<error type='")
            .and_then(|(_, rest)| rest.split_once("'><"))
            .map_or("", |(_, rest)| rest.split(' ').next().unwrap_or_default());
        let is_it = |sent: &Sent| {
            sent.from == to
                && sent.to == from
                && sent.id == id
                && text.starts_with(&format!("<{} ", sent.kind.name()))
        };
        let candidates: Vec<usize> = (0..self.sent.len()).filter(|n| is_it(&self.sent[*n])).collect();
        if let Some(n) = self.requests.told(conn, (&to, &from, &id), text, self.now) {
            // Of several with one id, an answer before this one may have been about another.
            let is_free = |n: &&usize| self.sent[**n].taken.is_some() && self.sent[**n].errors == 0;
            let n = [n].iter().chain(&candidates).find(is_free).copied();
            let n = n.unwrap_or_else(|| panic!("a second answer: {text}"));
            self.sent[n].errors += 1;
            return;
        }
        let may = |n: &&usize| {
            let sent = &self.sent[**n];
            sent.taken.is_some() && sent.errors == 0 && !sent.is_delivered && self.may_answer(sent, condition)
        };
        // One of an older connection may have the same id, and its answer may be lost. If the component is not connected, it is
        // about one that came while it was away, before any that it had.
        let is_away = text.contains("' is not connected");
        let rank = |n: &&usize| {
            let sent = &self.sent[**n];
            let had_holder = sent.taken.is_some_and(|taken| taken.holder.is_some());
            (sent.sender != conn, is_away && had_holder, **n)
        };
        let found = candidates.iter().filter(may).min_by_key(rank);
        let Some(&n) = found else {
            let shown: Vec<_> = candidates.iter().map(|n| self.show(*n)).collect();
            panic!("at {:?}, nothing may be answered so: {text}\n{shown:#?}", self.now);
        };
        let sent = &mut self.sent[n];
        sent.errors += 1;
        let waiting = &mut self.names[sent.name].waiting;
        *waiting = waiting.saturating_sub(sent.text.len());
        self.full += u64::from(condition == "resource-constraint");
        assert!(self.parties[conn].ended.is_none_or(|ended| ended == self.now));
    }

    fn ended_since(&self, sent: &Sent, taken: Taken) -> bool {
        self.is_down || self.names[sent.name].last_end.is_some_and(|end| end >= taken.at)
    }

    /// The time that it may be held is over. A queue knows only the second in which it was taken.
    fn is_expired(&self, sent: &Sent, taken: Taken) -> bool {
        let second = Duration::from_secs(taken.at.as_secs());
        self.is_over || self.now >= second + self.settings.0[sent.name].hold
    }

    /// There may have been no room for it.
    fn may_be_full(&self, sent: &Sent) -> bool {
        let (name, settings) = (&self.names[sent.name], &self.settings.0[sent.name]);
        let is_held = !settings.hold.is_zero() && name.most >= settings.hold_bytes;
        name.was_small || is_held
    }

    /// Whether the switch may answer a stanza with this error, without having delivered it.
    fn may_answer(&self, sent: &Sent, condition: &str) -> bool {
        let Some(taken) = sent.taken.filter(|_| sent.kind.is_answerable) else { return false };
        let (name, class) = (&self.names[sent.name], sent.kind.class);
        match condition {
            "remote-server-not-found" => taken.holder.is_none() && sent.name >= 3 && !taken.is_held_for,
            "remote-server-timeout" if !taken.is_held(&self.settings, sent.name) => {
                taken.holder.is_none() && sent.name < 3
            }
            "remote-server-timeout" => match class {
                Class::Held => self.is_expired(sent, taken),
                Class::Answered => taken.holder.is_none() || self.ended_since(sent, taken),
                Class::Dropped => false,
            },
            "recipient-unavailable" => {
                let is_lost = !taken.is_held(&self.settings, sent.name) || self.is_over;
                (is_lost && self.ended_since(sent, taken)) || name.was_impatient
            }
            "resource-constraint" => self.may_be_full(sent),
            _ => false,
        }
    }

    /// Nothing waits any more: each stanza came, or was answered, or may be missing.
    pub(crate) fn check_all(&self) {
        for n in 0..self.sent.len() {
            let sent = &self.sent[n];
            let Some(taken) = sent.taken else { continue };
            assert!(!(sent.is_delivered && sent.is_late), "too late: {}", self.show(n));
            if !(sent.is_delivered || sent.is_late || sent.errors > 0) {
                assert!(self.may_be_missing(n, taken), "missing: {}", self.show(n));
            }
        }
    }

    fn may_be_missing(&self, n: usize, taken: Taken) -> bool {
        let sent = &self.sent[n];
        let sender = &self.parties[sent.sender];
        // The answer was for a connection that did not get it.
        let is_untold = !sent.kind.is_answerable || sender.ended.is_some() || sender.is_small;
        let is_full = self.may_be_full(sent);
        let is_gone = taken.holder.is_none() || self.ended_since(sent, taken) || is_full;
        let is_held = taken.is_held(&self.settings, sent.name);
        is_gone
            && match sent.kind.class {
                Class::Held if is_held => {
                    let is_replaced = self.sent[n + 1..].iter().any(|other| {
                        other.taken.is_some()
                            && (&other.from, &other.to) == (&sent.from, &sent.to)
                            && other.kind.presence.replaces(sent.kind.presence)
                    });
                    is_replaced || (is_untold && (is_full || self.is_expired(sent, taken)))
                }
                Class::Held | Class::Answered => is_untold,
                Class::Dropped => is_untold || is_held,
            }
    }

    /// A line for a person.
    pub(crate) fn show(&self, n: usize) -> String {
        let Sent { sender, text, taken, is_delivered, errors, .. } = &self.sent[n];
        let taken = taken.map(|taken| (taken.at, taken.holder, taken.is_held_for));
        format!(
            "{text} of {sender} (ended {:?}), taken {taken:?}, delivered {is_delivered}, {errors} errors",
            self.parties[*sender].ended
        )
    }

    /// A connection has read everything: it has heard of each request that nobody answers, unless that may be lost.
    pub(crate) fn check_told(&self, conn: usize) {
        if !self.parties[conn].is_small {
            self.requests.check_told(conn, self.now, &self.sent);
        }
    }

    /// The sums of the metrics agree: each stanza that was taken is in one of them, and `waiting` are in queues.
    pub(crate) fn check_sums(&self, metrics: &Metrics, taken: u64, waiting: u64) {
        use Metric as M;
        let sum = |of: &[Metric]| of.iter().map(|metric| metrics.get(*metric)).sum::<u64>();
        let dropped = [M::DroppedRejected, M::DroppedUndeliverable, M::DroppedByHost, M::LateAnswers];
        let dealt = [M::Routed, M::Answered, M::Bounced, M::Rejected, M::Held];
        assert_eq!(taken + metrics.get(M::UnsentHeld), sum(&dropped) + sum(&dealt), "taken");
        let unsent = [M::UnsentBounced, M::UnsentDropped, M::UnsentReplaced, M::UnsentHeld];
        let left = sum(&[M::Delivered, M::Torn]) + sum(&unsent);
        assert_eq!(sum(&[M::Routed, M::Notices, M::HeldSent]), left + waiting, "queued");
        let gone = sum(&[M::HeldSent, M::HeldReturned, M::HeldDropped, M::Coalesced]);
        let held = metrics.get(M::Held).checked_sub(gone).expect("no more comes out than went in");
        assert!(held as usize <= self.unseen(), "{held} are held");
    }

    /// Stanzas of which nothing was seen yet.
    fn unseen(&self) -> usize {
        self.sent.iter().filter(|sent| sent.taken.is_some() && !sent.is_delivered && sent.errors == 0).count()
    }
}

impl Taken {
    /// Whether it waits when its receiver is away, or ends.
    fn is_held(self, settings: &Settings, name: usize) -> bool {
        match self.holder {
            None => self.is_held_for,
            Some(_) => !settings.0[name].hold.is_zero(),
        }
    }
}

/// How often something happened that a script seldom reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    pub(crate) refused: u64,
    pub(crate) replaced: u64,
    pub(crate) blocked: u64,
    pub(crate) full: u64,
    pub(crate) metrics: [u64; Metric::ALL.len()],
}

/// The value of an attribute of the first tag.
pub(crate) fn attribute(text: &str, name: &str) -> Option<String> {
    let tag = &text[..text.find('>')?];
    let (_, rest) = tag.split_once(&format!(" {name}='"))?;
    Some(rest.split('\'').next().unwrap_or_default().to_owned())
}
