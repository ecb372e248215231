//! What becomes of one stanza: where it goes, and what its sender is told.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use crate::host;
use crate::jid::Jid;
use crate::queue::{Answered, HoldOutcome, Intake, Offer, RequestTerms};
use crate::router::Access;
use crate::stanza::{Stanza, StanzaKind};
use crate::stanza_error::StanzaError;
use crate::time::{Instant, Now};

use super::bounces::Bounces;
use super::directory::Directory;
use super::host_view::HostView;
use super::metrics::{Metric, Metrics};
use super::patience::Patience;
use super::ports::Switch;
use super::route::Route;
use super::shared::PortInfo;

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is dealt with: delivered, answered, or counted.
    Done,
    /// Its `from` is not the sender's, as only the directory knows; it is neither answered nor counted yet.
    ForeignFrom,
    /// Its receiver is full: offer it again when woken, or at that time.
    Blocked { until: Instant },
}

/// One connection's stanzas on their way to other ports.
pub(crate) struct Delivery<P> {
    routes: RouteCache<P>,
    batch: Batch<P>,
    patience: Patience,
    bounces: Bounces,
}

/// What is left to do at the end of a batch.
struct Batch<P> {
    /// Receivers to wake.
    dirty: Vec<P>,
    tally: Tally,
    /// What access rules have cost.
    work: usize,
}

/// Whether a stanza is a request, and whether it is the answer to one.
fn iq(stanza: &Stanza<'_>) -> (bool, bool) {
    if stanza.kind() != StanzaKind::Iq {
        return (false, false);
    }
    let is_request = matches!(stanza.known_type(), Some("get" | "set"));
    (is_request, !is_request)
}

/// Offers a request to its receiver, and notes it.
#[inline(never)]
fn offer_request<S: Switch>(
    context: &DeliveryContext<'_, S>,
    port: &S::Port,
    stanza: &Stanza<'_>,
    (from, to): (&Jid<'_>, &Jid<'_>),
    terms: &RequestTerms,
) -> Offer {
    let (switch, now, source) = (context.switch, context.now.monotonic, context.source.as_ref().id);
    let PortInfo { id: asked, listener, .. } = port.as_ref();
    let (mut is_first, mut is_noted) = (false, true);
    let new_state = || {
        is_first = true;
        switch.shared().new_state()
    };
    let offer = switch.queue(port, |queue| {
        let write = |bytes: &mut _| Some(stanza.append_noting(bytes));
        let offer = queue.offer(now, listener, Some(source), write);
        if matches!(offer, Offer::Taken { .. }) {
            let id = stanza.id().unwrap_or_default();
            is_noted = queue.note_request(now, (source, *asked), (from, to, &id), terms, new_state);
        }
        offer
    });
    switch.metrics().add(Metric::UntrackedRequests, (!is_noted).into());
    if is_first {
        switch.deadline_changed();
    }
    offer
}

/// What a batch adds to the metrics.
#[derive(Default, PartialEq)]
struct Tally {
    routed: u64,
    answered: u64,
    bounced: u64,
    dropped: u64,
    dropped_by_host: u64,
}

/// Where and when a stanza is delivered.
pub(crate) struct DeliveryContext<'a, S: Switch> {
    pub(crate) switch: &'a S,
    pub(crate) now: Now,
    /// The port that sends.
    pub(crate) source: &'a S::Port,
    /// It may hold several names, so only the directory knows which are its own.
    pub(crate) has_names: bool,
    /// There is room for an answer.
    pub(crate) may_answer: bool,
}

impl<P> Default for Delivery<P> {
    fn default() -> Self {
        Self {
            routes: RouteCache::default(),
            batch: Batch { dirty: Vec::new(), tally: Tally::default(), work: 0 },
            patience: Patience::default(),
            bounces: Bounces::default(),
        }
    }
}

impl<P: Clone + AsRef<PortInfo>> Delivery<P> {
    /// Takes a stanza. What answers it at once goes to `out`, back to where it came from, whatever its `from` says: an
    /// error must not reach somebody who has asked for nothing.
    pub(crate) fn deliver<S: Switch<Port = P>>(
        &mut self,
        context: &DeliveryContext<'_, S>,
        stanza: &Stanza<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let outcome = self.try_to_deliver(context, stanza, out);
        if !matches!(outcome, Outcome::Blocked { .. }) {
            self.patience.go_on();
        }
        outcome
    }

    #[inline(always)]
    fn try_to_deliver<S: Switch<Port = P>>(
        &mut self,
        context: &DeliveryContext<'_, S>,
        stanza: &Stanza<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let Self { routes, batch, patience, .. } = self;
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            // A server's stream gives no such stanza.
            batch.tally.dropped += 1;
            return Outcome::Done;
        };
        let domain = to.domain();
        let &DeliveryContext { switch, now, source: own, has_names, may_answer } = context;
        let source = own.as_ref();
        let (is_request, mut is_answer) = iq(stanza);
        let mut settled = None;
        // A receiver may be replaced, or end, between look-up and offer; the next look-up does not find it.
        let mut retries = 8;
        let error = loop {
            let epoch = switch.shared().epoch();
            let look_up =
                |directory: &Directory<P>| directory.route(source, has_names, from.domain(), domain);
            let route = routes.find(epoch, from.domain(), domain, || switch.read(look_up));
            if is_answer && !matches!(route, Route::ForeignFrom) {
                is_answer = false;
                let id = stanza.id().unwrap_or_default();
                match switch.queue(own, |queue| queue.answer(from, to, &id)) {
                    Answered::Late => {
                        switch.metrics().add(Metric::LateAnswers, 1);
                        return Outcome::Done;
                    }
                    Answered::Own => {
                        batch.tally.dropped_by_host += 1;
                        return Outcome::Done;
                    }
                    Answered::InTime(request) => settled = Some(request),
                    Answered::Unknown => {}
                }
            }
            break match route {
                Route::Host => {
                    if may_answer
                        && host::answer(stanza, switch.shared().info(), &HostView { switch, now }, out)
                    {
                        batch.tally.answered += 1;
                    } else {
                        batch.tally.dropped_by_host += 1;
                    }
                    return Outcome::Done;
                }
                Route::ForeignFrom => return Outcome::ForeignFrom,
                Route::Away => StanzaError::component_away(domain),
                Route::Unknown => StanzaError::no_such_domain(domain),
                Route::Hold(place) => {
                    let write = |bytes: &mut _| Some(stanza.append_noting(bytes));
                    let hold = |place| {
                        switch.queue(place, |queue| queue.hold_stanza(now.monotonic, Intake::Place, write))
                    };
                    match place.as_ref().and_then(hold) {
                        None if retries > 0 => {
                            retries -= 1;
                            switch.write(|directory| directory.open_hold(switch, domain));
                            continue;
                        }
                        None => StanzaError::component_away(domain),
                        Some(outcome) => match batch.note_held(switch.metrics(), outcome) {
                            None => return Outcome::Done,
                            Some(HoldOutcome::Full) => StanzaError::hold_full(),
                            Some(_) => StanzaError::component_away(domain),
                        },
                    }
                }
                Route::Port { port, rule: Some(from_host), .. }
                    if !batch.ask(&port.as_ref().listener.policy.access, from, *from_host) =>
                {
                    StanzaError::access_denied(domain)
                }
                Route::Port { port, terms, .. } => {
                    let listener = &port.as_ref().listener;
                    let offer = if is_request && port.as_ref().id != source.id {
                        offer_request(context, port, stanza, (from, to), terms)
                    } else {
                        switch.queue(port, |queue| {
                            queue.offer(now.monotonic, listener, Some(source.id), |bytes| {
                                Some(stanza.append_noting(bytes))
                            })
                        })
                    };
                    match offer {
                        Offer::Taken { wake } => {
                            batch.tally.routed += 1;
                            if wake {
                                batch.dirty.push(port.clone());
                            }
                            return Outcome::Done;
                        }
                        Offer::Full { until } => match patience.wait(now.monotonic, until) {
                            Some(until) => {
                                if let Some(request) = settled {
                                    let new_state = || switch.shared().new_state();
                                    switch.queue(own, |queue| queue.restore(request, new_state));
                                }
                                return Outcome::Blocked { until };
                            }
                            None => StanzaError::queue_full(),
                        },
                        Offer::Closed if retries > 0 && epoch != switch.shared().epoch() => {
                            retries -= 1;
                            continue;
                        }
                        // It is about to end, and has the name still.
                        Offer::Closed => port.as_ref().in_its_words(StanzaError::component_away(domain)),
                        Offer::Away(outcome) => {
                            match outcome.and_then(|outcome| batch.note_held(switch.metrics(), outcome)) {
                                None if outcome.is_some() => return Outcome::Done,
                                Some(HoldOutcome::Full) => StanzaError::hold_full().of_server(),
                                _ => StanzaError::server_away(from.domain()),
                            }
                        }
                        Offer::Rejected { error, wake } => {
                            patience.give_up(now.monotonic);
                            if wake {
                                switch.wake(port);
                            }
                            port.as_ref().in_its_words(error)
                        }
                    }
                }
            };
        };
        if may_answer && error.answer(stanza, out) {
            batch.tally.bounced += 1;
        } else {
            batch.tally.dropped += 1;
        }
        Outcome::Done
    }

    /// True if it can be dropped: it has no wait of the last minute, and no bounces, to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.patience.is_empty() && self.bounces.is_empty()
    }

    /// What access rules have cost since it was asked last, in units of a budget.
    pub(crate) fn take_work(&mut self) -> usize {
        mem::take(&mut self.batch.work)
    }

    /// Whether there is anything for [`end_batch`](Self::end_batch) to do.
    pub(crate) fn has_batch(&self) -> bool {
        let Batch { dirty, tally, .. } = &self.batch;
        !dirty.is_empty() || !tally.is_empty()
    }

    /// Ends a batch: wakes its receivers, each once, and adds it to the metrics. Returns how many stanzas bounced within this
    /// second, if that is to be said.
    pub(crate) fn end_batch<S: Switch<Port = P>>(&mut self, switch: &S, now: Instant) -> Option<u64> {
        for port in self.batch.dirty.drain(..) {
            switch.wake(&port);
        }
        let bounced = self.batch.tally.bounced;
        mem::take(&mut self.batch.tally).add_to(switch.metrics());
        if bounced > 0 { self.bounces.add(now, bounced) } else { None }
    }
}

impl<P> Batch<P> {
    /// Counts a stanza that was to be held. Returns why it was not, if its sender is to be told.
    #[cold]
    fn note_held(&mut self, metrics: &Metrics, outcome: HoldOutcome) -> Option<HoldOutcome> {
        match outcome {
            HoldOutcome::Held { replaced } => {
                metrics.add(Metric::Held, 1);
                metrics.add(Metric::Coalesced, replaced);
                None
            }
            HoldOutcome::GaveWay | HoldOutcome::Dropped => {
                self.tally.dropped += 1;
                None
            }
            HoldOutcome::Full | HoldOutcome::Bounced => Some(outcome),
        }
    }

    /// Whether an access rule lets `sender` send.
    fn ask(&mut self, access: &Access, sender: &Jid<'_>, sender_is_host: bool) -> bool {
        self.work += access.cost(sender);
        access.allows(sender, sender_is_host)
    }
}

impl Tally {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add_to(&self, metrics: &Metrics) {
        metrics.add(Metric::Routed, self.routed);
        metrics.add(Metric::Answered, self.answered);
        metrics.add(Metric::Bounced, self.bounced);
        metrics.add(Metric::DroppedUndeliverable, self.dropped);
        metrics.add(Metric::DroppedByHost, self.dropped_by_host);
    }
}

/// How many routes a connection remembers. They are compared one by one, and a name may take 1,023 bytes, so few.
pub(crate) const CAPACITY: usize = 8;

/// The routes of the last few stanzas, so that one like them takes no look-up. All were found in one epoch of the switch
/// and are forgotten with it, so that from the next stanza on none keeps a port that has ended.
struct RouteCache<P> {
    epoch: u64,
    routes: [CachedRoute<P>; CAPACITY],
    /// The one that the last stanza took.
    last: usize,
    /// The next one to be replaced: each in turn.
    next: usize,
}

/// A forgotten route has empty names, which no stanza's are, and keeps their memory.
struct CachedRoute<P> {
    from: String,
    to: String,
    route: Route<P>,
}

impl<P> Default for RouteCache<P> {
    fn default() -> Self {
        let empty = || CachedRoute { from: String::new(), to: String::new(), route: Route::Unknown };
        Self { epoch: 0, routes: core::array::from_fn(|_| empty()), last: 0, next: 0 }
    }
}

impl<P> RouteCache<P> {
    /// The route from one domain to the other. One that is not remembered is looked up, in place of the oldest.
    fn find(&mut self, epoch: u64, from: &str, to: &str, look_up: impl FnOnce() -> Route<P>) -> &Route<P> {
        if epoch != self.epoch {
            self.routes.iter_mut().for_each(|known| known.set("", "", Route::Unknown));
            (self.epoch, self.next) = (epoch, 0);
        }
        // From the last one on: a stanza follows its like, or the next receiver of a round. Most senders have one `from`
        // for all: what differs comes first.
        let is_it = |known: &CachedRoute<P>| known.to == to && known.from == from;
        let known = (0..CAPACITY).map(|i| (self.last + i) % CAPACITY).find(|at| is_it(&self.routes[*at]));
        self.last = known.unwrap_or_else(|| {
            let oldest = self.next;
            self.next = (oldest + 1) % CAPACITY;
            self.routes[oldest].set(from, to, look_up());
            oldest
        });
        &self.routes[self.last].route
    }
}

impl<P> CachedRoute<P> {
    fn set(&mut self, from: &str, to: &str, route: Route<P>) {
        for (text, name) in [(&mut self.from, from), (&mut self.to, to)] {
            text.clear();
            text.push_str(name);
        }
        self.route = route;
    }
}
