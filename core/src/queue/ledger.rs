//! Requests that were handed to a port and are not answered.
//!
//! Each `get` and `set` that a port takes is noted, so that its asker hears of it even if the port ends or never answers.
//! A ledger stays with its domain: when a port ends, it waits for the next port of that name.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::mem;
use core::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::pool::{PartLease, PoolPart};
use crate::config::DomainConfig;
use crate::jid::Jid;
use crate::router::PortId;
use crate::time::Instant;

/// How long an answer may take, and how many requests are noted (`iq_timeout_seconds`, `max_pending_iqs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestTerms {
    pub(crate) timeout: Duration,
    pub(crate) max: usize,
}

impl RequestTerms {
    /// Of requests that the switch makes itself.
    pub(super) const OF_OWN: Self = Self { timeout: Duration::from_secs(120), max: usize::MAX };

    pub(crate) fn of(config: &DomainConfig) -> Self {
        Self { timeout: config.iq_timeout, max: config.max_pending_iqs }
    }
}

/// A request that was not answered.
#[derive(Debug)]
pub(crate) struct Request {
    /// The port that asked.
    pub(crate) asker: PortId,
    /// The port that it was handed to.
    asked: PortId,
    /// Stanzas that were put into that port's queue before it.
    position: u64,
    /// When its time is over; a second time for one that waits no more.
    due: Instant,
    timeout: Duration,
    state: State,
    /// `from`, `to` and `id`, back to back.
    hash: u64,
    text: Box<str>,
    from_end: u16,
    to_end: u16,
    /// The asker's address as it is compared, if it is written in another way.
    folded: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The port may answer.
    Waits,
    /// Its port has ended, and the asker is to be told.
    Orphan,
    /// The asker was told; what answers it now is late.
    Late,
    /// The switch asked it itself, and its answer is for nobody.
    Own,
}

impl State {
    /// Somebody waits for the answer.
    fn is_waited_for(self) -> bool {
        matches!(self, Self::Waits | Self::Orphan)
    }
}

/// What an answer is to a ledger.
#[derive(Debug)]
pub(crate) enum Answered {
    /// It answers nothing that was noted.
    Unknown,
    /// It answers a request that waited, and is not noted any more.
    InTime(Request),
    /// The asker was told something else already.
    Late,
    /// It is for nobody: the switch asked.
    Own,
}

/// Why the asker is told that there will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// The port that was asked has ended.
    Ended,
    /// It did not answer in time.
    TimedOut,
}

/// The addresses and the id of a request that its asker hears of.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) asker: PortId,
    pub(crate) why: Overdue,
    text: Box<str>,
    from_end: u16,
    to_end: u16,
}

impl Unanswered {
    pub(crate) fn from(&self) -> &str {
        &self.text[..usize::from(self.from_end)]
    }

    pub(crate) fn to(&self) -> &str {
        &self.text[usize::from(self.from_end)..usize::from(self.to_end)]
    }

    pub(crate) fn id(&self) -> &str {
        &self.text[usize::from(self.to_end)..]
    }
}

impl Request {
    fn from(&self) -> &str {
        &self.text[..usize::from(self.from_end)]
    }

    fn to(&self) -> &str {
        &self.text[usize::from(self.from_end)..usize::from(self.to_end)]
    }

    fn id(&self) -> &str {
        &self.text[usize::from(self.to_end)..]
    }

    /// The domain that was asked.
    pub(crate) fn domain(&self) -> &str {
        domain_of(self.to())
    }

    /// Whether `asker`, an address as it is compared, has given it this id.
    fn is_of(&self, asker: &str, id: &str) -> bool {
        self.id() == id && self.folded.as_deref().unwrap_or(self.from()) == asker
    }

    fn cost(&self) -> usize {
        // With its place in a table that is half full, and what an allocation takes beside its bytes.
        2 * size_of::<Self>() + self.text.len() + 16
    }

    /// The asker is told: what it needs for that. The entry stays, so that a late answer is known.
    fn tell(&mut self, why: Overdue, now: Instant) -> Unanswered {
        self.state = State::Late;
        self.due = now + self.timeout;
        let Self { asker, from_end, to_end, .. } = *self;
        Unanswered { asker, why, text: self.text.clone(), from_end, to_end }
    }
}

/// The domain of an address whose domain is canonical.
fn domain_of(address: &str) -> &str {
    let bare = address.split('/').next().unwrap_or_default();
    bare.split_once('@').map_or(bare, |(_, domain)| domain)
}

/// The requests of one port, or of a domain that no port holds.
#[derive(Debug)]
pub(crate) struct Ledger {
    requests: HashTable<Request>,
    /// The same for all, as requests go from one ledger to another with their hash.
    hasher: DefaultHashBuilder,
    /// How many of them are not answered late.
    waiting: usize,
    /// How many are to be told that the port has ended.
    orphans: usize,
    /// Nothing is due before.
    next_due: Option<Instant>,
    /// Requests whose time was over before they were written: their ports, and their positions there. If they come back as
    /// unsent stanzas, nobody is told again.
    told_unsent: Vec<(PortId, u64)>,
    bytes: usize,
    lease: PartLease,
    /// No port can answer late: a request is forgotten as soon as its asker was told.
    forgets_late: bool,
}

impl Ledger {
    pub(crate) fn new(part: Arc<PoolPart>, hasher: DefaultHashBuilder) -> Self {
        Self {
            requests: HashTable::new(),
            hasher,
            waiting: 0,
            orphans: 0,
            next_due: None,
            told_unsent: Vec::new(),
            bytes: 0,
            lease: PartLease::new(part),
            forgets_late: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.told_unsent.is_empty()
    }

    /// Notes a request that port `asked` has taken; `position` stanzas were put into its queue before. False: there is no
    /// room for it.
    pub(crate) fn note(
        &mut self,
        now: Instant,
        (asker, asked): (PortId, PortId),
        position: u64,
        (from, to, id): (&Jid<'_>, &Jid<'_>, &str),
        terms: &RequestTerms,
        is_own: bool,
    ) -> bool {
        let key = from.folded();
        let hash = self.hasher.hash_one((&*key, id));
        if self.requests.len() > self.waiting {
            // The asker does not wait for what is late any more.
            let is_replaced = |request: &Request| {
                request.state == State::Late
                    && request.asker == asker
                    && request.domain() == to.domain()
                    && request.is_of(&key, id)
            };
            if let Ok(entry) = self.requests.find_entry(hash, is_replaced) {
                let (request, _) = entry.remove();
                self.forget(&request);
            }
        }
        // As many again may be late.
        let is_full = self.waiting >= terms.max || self.requests.len() >= terms.max.saturating_mul(2);
        let alike = self.requests.iter_hash(hash).filter(|request| request.is_of(&key, id)).count();
        if is_full || alike >= MAX_ALIKE || id.len() > MAX_ID {
            return false;
        }
        let folded = (*key != *from.as_str()).then(|| key.into());
        let (from, to) = (from.as_str(), to.as_str());
        let request = Request {
            asker,
            asked,
            position,
            due: now + terms.timeout,
            timeout: terms.timeout,
            state: if is_own { State::Own } else { State::Waits },
            hash,
            text: [from, to, id].concat().into(),
            from_end: from.len() as u16,
            to_end: (from.len() + to.len()) as u16,
            folded,
        };
        let bytes = self.bytes + request.cost();
        if !self.lease.hold(bytes) {
            return false;
        }
        self.bytes = bytes;
        self.waiting += usize::from(!is_own);
        self.next_due = Some(self.next_due.map_or(request.due, |due| due.min(request.due)));
        self.insert(request);
        true
    }

    fn insert(&mut self, request: Request) {
        self.requests.insert_unique(request.hash, request, |request| request.hash);
    }

    /// An answer `from` one address to another. It settles the oldest request that it may answer, at best one to its very
    /// `from`.
    pub(crate) fn answer(&mut self, from: &Jid<'_>, to: &Jid<'_>, id: &str) -> Answered {
        if self.requests.is_empty() {
            return Answered::Unknown;
        }
        let key = to.folded();
        let hash = self.hasher.hash_one((&*key, id));
        let rank = |request: &Request| {
            (request.state == State::Late, request.to() != from.as_str(), request.position)
        };
        let candidates = self.requests.iter_hash(hash).filter(|request| request.is_of(&key, id));
        let Some(best) = candidates.map(rank).min() else { return Answered::Unknown };
        if best.0 {
            return Answered::Late;
        }
        let is_best = |request: &Request| rank(request) == best && request.is_of(&key, id);
        let Ok(entry) = self.requests.find_entry(hash, is_best) else { return Answered::Unknown };
        let (request, _) = entry.remove();
        self.forget(&request);
        if request.state == State::Own { Answered::Own } else { Answered::InTime(request) }
    }

    /// Notes a request again whose answer could not be delivered yet.
    pub(crate) fn restore(&mut self, request: Request) {
        self.bytes += request.cost();
        self.waiting += usize::from(request.state.is_waited_for());
        self.orphans += usize::from(request.state == State::Orphan);
        self.next_due = [self.next_due, Some(request.due)].into_iter().flatten().min();
        self.insert(request);
        self.lease.hold(self.bytes);
    }

    fn forget(&mut self, request: &Request) {
        self.bytes -= request.cost();
        self.waiting -= usize::from(request.state.is_waited_for());
        self.orphans -= usize::from(request.state == State::Orphan);
        self.lease.shrink(self.bytes);
    }

    /// A port that was asked has ended. Of what was put into its queue, `begun` stanzas were written at least in part:
    /// those who asked them are to be told. The others come back as unsent stanzas, and are forgotten here. Returns the
    /// positions of those of the others that nobody waits for: their askers were told already that there was no answer in time,
    /// or the switch asked.
    pub(crate) fn note_end(&mut self, asked: PortId, begun: u64) -> Vec<u64> {
        let unsent = |request: &mut Request| {
            request.state == State::Waits && request.asked == asked && request.position >= begun
        };
        let unsent: Vec<Request> = self.requests.extract_if(unsent).collect();
        let is_own = |request: &mut Request| request.state == State::Own && request.asked == asked;
        let own: Vec<Request> = self.requests.extract_if(is_own).collect();
        unsent.iter().chain(&own).for_each(|request| self.forget(request));
        for request in &mut self.requests {
            if request.state == State::Waits && request.asked == asked {
                request.state = State::Orphan;
                self.orphans += 1;
            }
        }
        self.requests.shrink_to_fit(|request| request.hash);
        let told = self.told_unsent.extract_if(.., |(port, _)| *port == asked);
        let told = told.map(|(_, position)| position).chain(own.iter().map(|request| request.position));
        told.filter(|position| *position >= begun).collect()
    }

    /// The next requests whose askers are to be told, at most `most`, in the order in which they were taken. Forgets those
    /// that were late long enough. Of what was put into the port's queue, at least `begun` stanzas were written.
    pub(crate) fn take_due(&mut self, now: Instant, most: usize, begun: u64) -> Vec<Unanswered> {
        self.told_unsent.retain(|(_, position)| *position >= begun);
        let is_time = self.next_due.is_some_and(|due| due <= now);
        if self.orphans == 0 && !is_time {
            return Vec::new();
        }
        if is_time {
            let is_over = |request: &mut Request| !request.state.is_waited_for() && request.due <= now;
            let over: Vec<Request> = self.requests.extract_if(is_over).collect();
            over.iter().for_each(|request| self.forget(request));
        }
        let is_due = |request: &Request| match request.state {
            State::Orphan => true,
            State::Waits => request.due <= now,
            State::Late | State::Own => false,
        };
        let mut due: Vec<&mut Request> = self.requests.iter_mut().filter(|request| is_due(request)).collect();
        due.sort_unstable_by_key(|request| (request.due, request.asked, request.position));
        let all_told = due.len() <= most;
        let (mut told, mut orphans) = (Vec::new(), 0);
        for request in due.into_iter().take(most) {
            let why = if request.state == State::Orphan { Overdue::Ended } else { Overdue::TimedOut };
            orphans += usize::from(why == Overdue::Ended);
            if why == Overdue::TimedOut && request.position >= begun {
                self.told_unsent.push((request.asked, request.position));
            }
            told.push(request.tell(why, now));
        }
        self.orphans -= orphans;
        self.waiting -= told.len();
        if self.forgets_late {
            self.forget_late();
        }
        if all_told {
            self.next_due = self.requests.iter().map(|request| request.due).min();
        }
        told
    }

    /// Forgets the requests whose askers were told, now and from now on.
    pub(crate) fn forget_late(&mut self) {
        self.forgets_late = true;
        let late: Vec<Request> = self.requests.extract_if(|request| request.state == State::Late).collect();
        late.iter().for_each(|request| self.forget(request));
    }

    /// Forgets what ports asked that have ended.
    pub(crate) fn forget_askers(&mut self, ended: &[PortId]) {
        let asked_by = |request: &mut Request| ended.binary_search(&request.asker).is_ok();
        let theirs: Vec<Request> = self.requests.extract_if(asked_by).collect();
        theirs.iter().for_each(|request| self.forget(request));
    }

    /// Takes over what another has noted.
    pub(crate) fn join(&mut self, mut other: Self) {
        other.forgets_late |= self.forgets_late;
        if self.is_empty() {
            *self = other;
            return;
        }
        self.forgets_late = other.forgets_late;
        for request in mem::take(&mut other.requests) {
            self.bytes += request.cost();
            self.waiting += usize::from(request.state.is_waited_for());
            self.orphans += usize::from(request.state == State::Orphan);
            self.insert(request);
        }
        self.next_due = [self.next_due, other.next_due].into_iter().flatten().min();
        self.told_unsent.append(&mut other.told_unsent);
        // It was granted to the other.
        drop(other.lease);
        self.lease.hold(self.bytes);
    }

    /// Takes out what domains were asked for which this holds. Requests that were told of before they were written stay.
    pub(crate) fn split(&mut self, is_theirs: impl Fn(&str) -> bool) -> Self {
        let mut theirs = Self::new(self.lease.part(), self.hasher.clone());
        for request in self.requests.extract_if(|request| is_theirs(request.domain())).collect::<Vec<_>>() {
            self.forget(&request);
            theirs.bytes += request.cost();
            theirs.waiting += usize::from(request.state.is_waited_for());
            theirs.orphans += usize::from(request.state == State::Orphan);
            theirs.next_due = [theirs.next_due, Some(request.due)].into_iter().flatten().min();
            theirs.insert(request);
        }
        theirs.lease.hold(theirs.bytes);
        theirs
    }
}

/// Bytes of an id; a request with a longer one is not noted.
const MAX_ID: usize = 1024;
/// Requests of one asker with one id, which an answer has to tell apart.
const MAX_ALIKE: usize = 16;
