//! Stanzas for a domain that wait until its component is back.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;

use super::buffer::Buffer;
use super::fate::{Fate, Kind, Towards, fate};
use super::pool::{PartLease, PoolPart};
use crate::router::PortId;
use crate::stanza::Envelope;
use crate::time::Instant;

/// How long stanzas wait for a domain, and how many bytes of them (`hold_seconds`, `hold_bytes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldTerms {
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
    pub(crate) towards: Towards,
}

impl HoldTerms {
    /// Nothing more is held.
    pub(crate) const NONE: Self = Self { time: Duration::ZERO, bytes: 0, towards: Towards::Component };
}

/// A stanza that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) envelope: Envelope,
    /// When it was taken.
    pub(crate) taken: Instant,
    kind: Kind,
}

/// What became of a stanza that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldOutcome {
    /// It is held; this many others gave way to it.
    Held { replaced: u64 },
    /// A newer one that is held already takes its place.
    GaveWay,
    /// Its sender is told that the component is away.
    Bounced,
    /// It is of no use later.
    Dropped,
    /// There is no room for it.
    Full,
}

/// Why a stanza comes out of a hold and goes to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    /// It was not sent, and is of a kind that is not held.
    Unsent,
    /// It was held too long.
    Expired,
    /// There was no room to hold it.
    Full,
}

/// The presence of one pair of addresses that is held, by the numbers of the stanzas: at most one that enters a room, other
/// presence, and a probe.
#[derive(Debug, Default)]
struct Pair([Option<i64>; 3]);

/// Stanzas that a port did not send, from one number on.
#[derive(Debug)]
struct Unsorted {
    next: i64,
    stanzas: Buffer,
}

/// Stanzas for a domain that wait until its component is back. Each has a number: they go out in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Hold {
    terms: HoldTerms,
    held: BTreeMap<i64, Held>,
    pairs: HashMap<Box<str>, Pair>,
    /// The lowest number in use, and the next one behind all others.
    numbers: (i64, i64),
    /// What ports that have ended did not send, in order; looked at before anything goes out.
    unsorted: VecDeque<Unsorted>,
    /// Ports that have not said yet what they did not send, and the two places for that.
    expected: Vec<(PortId, i64, i64)>,
    /// Bytes of the stanzas.
    bytes: usize,
    lease: PartLease,
    /// Everything is to be returned, and nothing is held any more.
    is_over: bool,
}

/// Numbers that are set aside for what one port did not send.
const ASIDE: i64 = 1 << 32;
/// What a stanza costs beside its bytes.
const OVERHEAD: usize = 96;

impl Hold {
    pub(crate) fn new(terms: HoldTerms, part: Arc<PoolPart>) -> Self {
        Self {
            terms,
            held: BTreeMap::new(),
            pairs: HashMap::new(),
            numbers: (0, 0),
            unsorted: VecDeque::new(),
            expected: Vec::new(),
            bytes: 0,
            lease: PartLease::new(part),
            is_over: false,
        }
    }

    /// True if nothing is held, and nothing is expected that goes before newer stanzas.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.unsorted.is_empty() && self.expected.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn terms(&self) -> HoldTerms {
        self.terms
    }

    pub(crate) fn set_terms(&mut self, terms: HoldTerms) {
        self.terms = terms;
    }

    /// Takes a stanza that came while nobody is connected.
    pub(crate) fn take(&mut self, now: Instant, envelope: Envelope, stanza: &[u8]) -> HoldOutcome {
        if self.is_over {
            return HoldOutcome::Bounced;
        }
        // What ports did not send came before it, and is still to be looked at.
        let before: usize = self.unsorted.iter().map(|one| one.stanzas.load().bytes).sum();
        if self.bytes + before + stanza.len() > self.terms.bytes && before > 0 {
            return HoldOutcome::Full;
        }
        let number = self.numbers.1;
        let outcome = self.insert(number, now, envelope, stanza);
        self.numbers.1 += i64::from(matches!(outcome, HoldOutcome::Held { .. }));
        outcome
    }

    fn insert(&mut self, number: i64, taken: Instant, envelope: Envelope, stanza: &[u8]) -> HoldOutcome {
        let kind = match fate(&envelope, stanza, self.terms.towards) {
            Fate::Held(kind) => kind,
            Fate::Bounced => return HoldOutcome::Bounced,
            Fate::Dropped => return HoldOutcome::Dropped,
        };
        let pair = pair_of(kind, &envelope, stanza);
        let known = pair.as_ref().and_then(|pair| self.pairs.get(&**pair)).map(|pair| pair.0);
        let mut replaced = known.unwrap_or_default();
        let mut freed = 0;
        for other in &mut replaced {
            let Some((at, held)) = other.and_then(|at| Some((at, self.held.get(&at)?))) else { continue };
            // What was not sent comes before what came meanwhile.
            if at > number && held.kind.replaces(kind) {
                return HoldOutcome::GaveWay;
            }
            if at < number && kind.replaces(held.kind) {
                freed += held.bytes.len();
            } else {
                *other = None;
            }
        }
        let bytes = self.bytes - freed + stanza.len();
        if bytes > self.terms.bytes || !self.lease.hold(bytes + (self.held.len() + 1) * OVERHEAD) {
            return HoldOutcome::Full;
        }
        let mut count = 0;
        for number in replaced.into_iter().flatten() {
            count += u64::from(self.held.remove(&number).is_some());
        }
        self.bytes = bytes;
        self.held.insert(number, Held { bytes: stanza.into(), envelope, taken, kind });
        if let Some(pair) = pair {
            let pair = self.pairs.entry(pair.into()).or_default();
            pair.forget(|number| !self.held.contains_key(&number));
            pair.note(number);
        }
        HoldOutcome::Held { replaced: count }
    }

    /// Sets places aside for what a port that has just ended did not send: what it had taken goes before all that is held,
    /// what it had not taken behind it.
    pub(crate) fn expect(&mut self, port: PortId) {
        if self.is_empty() {
            self.numbers = (0, 0);
        }
        self.numbers.0 -= ASIDE;
        self.expected.push((port, self.numbers.0, self.numbers.1));
        self.numbers.1 += ASIDE;
    }

    /// Whether the port has not said yet what it did not send.
    pub(crate) fn expects(&self, port: PortId) -> bool {
        self.expected.iter().any(|(expected, ..)| *expected == port)
    }

    /// Takes what the port says it did not send.
    pub(crate) fn take_unsent(&mut self, port: PortId, unsent: [Buffer; 2]) {
        let Some(at) = self.expected.iter().position(|(expected, ..)| *expected == port) else { return };
        let (_, before, behind) = self.expected.remove(at);
        for (next, stanzas) in [before, behind].into_iter().zip(unsent) {
            if stanzas.first().is_some() {
                let at = self.unsorted.partition_point(|other| other.next < next);
                self.unsorted.insert(at, Unsorted { next, stanzas });
            }
        }
    }

    /// Looks at the next stanzas that ports did not send, at most `most`, and at those that were held too long. Gives those
    /// that go to nobody to `each`.
    pub(crate) fn sort(&mut self, now: Instant, most: usize, mut each: impl FnMut(Sorted<'_>)) {
        let mut left = most;
        while left > 0
            && let Some(mut unsorted) = self.unsorted.pop_front()
        {
            while left > 0
                && let Some((stanza, envelope, taken)) = unsorted.stanzas.first_taken()
            {
                left -= 1;
                let Some(&envelope) = envelope else {
                    unsorted.stanzas.drop_first();
                    continue;
                };
                let outcome = if self.is_over {
                    HoldOutcome::Bounced
                } else {
                    self.insert(unsorted.next, taken, envelope, stanza)
                };
                unsorted.next += 1;
                each(match outcome {
                    HoldOutcome::Held { replaced } => Sorted::Held { replaced },
                    HoldOutcome::GaveWay => Sorted::Held { replaced: 1 },
                    HoldOutcome::Bounced => Sorted::Returned(Returned::Unsent, &envelope, stanza),
                    HoldOutcome::Full => Sorted::Returned(Returned::Full, &envelope, stanza),
                    HoldOutcome::Dropped => Sorted::Dropped,
                });
                unsorted.stanzas.drop_first();
            }
            if unsorted.stanzas.first().is_some() {
                self.unsorted.push_front(unsorted);
            }
        }
        while left > 0
            && let Some(first) = self.held.first_entry()
            && (self.is_over || first.get().taken + self.terms.time <= now)
        {
            left -= 1;
            let held = first.remove();
            self.forget(&held);
            each(Sorted::Returned(Returned::Expired, &held.envelope, &held.bytes));
        }
    }

    /// Takes out the next stanzas for the component that is back, at most `most` bytes of them, unless something is to come
    /// that goes before them.
    pub(crate) fn give(&mut self, now: Instant, most: usize) -> Vec<Held> {
        let mut given = Vec::new();
        let mut bytes = 0;
        let is_ready = self.unsorted.is_empty() && self.expected.is_empty();
        while is_ready
            && bytes < most
            && let Some(first) = self.held.first_entry()
            && !(self.is_over || first.get().taken + self.terms.time <= now)
        {
            let held = first.remove();
            self.forget(&held);
            bytes += held.bytes.len();
            given.push(held);
        }
        given
    }

    /// Updates the sums and the pairs after a stanza was taken out.
    fn forget(&mut self, held: &Held) {
        self.bytes -= held.bytes.len();
        self.lease.shrink(self.bytes + self.held.len() * OVERHEAD);
        if let Some(name) = pair_of(held.kind, &held.envelope, &held.bytes)
            && let Some(pair) = self.pairs.get_mut(&*name)
        {
            pair.forget(|number| !self.held.contains_key(&number));
            if pair.0 == [None; 3] {
                self.pairs.remove(&*name);
            }
        }
    }

    /// Whether [`sort`](Self::sort) has something to do at once.
    pub(crate) fn has_unsorted(&self) -> bool {
        !self.unsorted.is_empty() || self.is_over && !self.held.is_empty()
    }

    /// Everything is to be returned from now on, or nothing more.
    pub(crate) fn set_over(&mut self, is_over: bool) {
        self.is_over = is_over;
    }

    /// Takes over what another holds, which is for other domains.
    pub(crate) fn join(&mut self, other: Self) {
        let shift = self.numbers.1 - other.numbers.0;
        self.numbers.1 += other.numbers.1 - other.numbers.0;
        for (number, held) in other.held {
            if let Some(name) = pair_of(held.kind, &held.envelope, &held.bytes) {
                self.pairs.entry(name.into()).or_default().note(number + shift);
            }
            self.held.insert(number + shift, held);
        }
        let unsorted = other.unsorted.into_iter();
        self.unsorted.extend(unsorted.map(|one| Unsorted { next: one.next + shift, ..one }));
        let expected = other.expected.into_iter();
        self.expected.extend(expected.map(|(port, before, behind)| (port, before + shift, behind + shift)));
        self.terms.bytes = self.terms.bytes.saturating_add(other.terms.bytes);
        self.terms.time = self.terms.time.max(other.terms.time);
        self.bytes += other.bytes;
        self.is_over |= other.is_over;
        drop(other.lease);
        self.lease.hold(self.bytes + self.held.len() * OVERHEAD);
    }

    /// Takes out what is held for domains that this holds of, on their terms. The rest of what ports have not said yet, or
    /// what nobody has looked at, stays.
    pub(crate) fn split(&mut self, terms: HoldTerms, is_theirs: impl Fn(&str) -> bool) -> Self {
        let mut theirs = Self::new(terms, self.lease.part());
        theirs.numbers = self.numbers;
        let is_of =
            |held: &Held| held.envelope.receiver(&held.bytes).is_some_and(|domain| is_theirs(&domain));
        let numbers: Vec<i64> =
            self.held.iter().filter(|(_, held)| is_of(held)).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(held) = self.held.remove(&number) else { continue };
            self.forget(&held);
            theirs.bytes += held.bytes.len();
            if let Some(name) = pair_of(held.kind, &held.envelope, &held.bytes) {
                theirs.pairs.entry(name.into()).or_default().note(number);
            }
            theirs.held.insert(number, held);
        }
        theirs.lease.hold(theirs.bytes + theirs.held.len() * OVERHEAD);
        theirs
    }
}

/// What became of a stanza that was looked at.
#[derive(Debug)]
pub(crate) enum Sorted<'a> {
    /// It is held; this many others gave way to it.
    Held { replaced: u64 },
    /// It goes back to its sender, if an error may answer it.
    Returned(Returned, &'a Envelope, &'a [u8]),
    /// It is of no use later.
    Dropped,
}

impl Pair {
    fn note(&mut self, number: i64) {
        if let Some(free) = self.0.iter_mut().find(|known| known.is_none()) {
            *free = Some(number);
        }
    }

    fn forget(&mut self, is_gone: impl Fn(i64) -> bool) {
        for number in &mut self.0 {
            number.take_if(|number| is_gone(*number));
        }
    }
}

/// Both addresses of a stanza that may give way to a newer one.
fn pair_of(kind: Kind, envelope: &Envelope, stanza: &[u8]) -> Option<String> {
    if kind == Kind::Alone {
        return None;
    }
    let (from, to) = (envelope.from(stanza)?, envelope.to(stanza)?);
    // No address holds a line end.
    Some([&from, "\n", &to].concat())
}
