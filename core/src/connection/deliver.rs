//! What becomes of one stanza: where it goes, and what its sender is told.

use alloc::vec::Vec;
use core::mem;

use super::routes::RouteCache;
use crate::host;
use crate::queue::Offer;
use crate::stanza::Stanza;
use crate::stanza_error::StanzaError;
use crate::stream::{Rejected, ServerStream};
use crate::switch::{HostView, Metric, Metrics, PortInfo, Route, Switch};
use crate::time::{Instant, Now};

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is dealt with: delivered, answered, or counted.
    Done,
    /// Its `from` is not the component's, as only the directory knows; that is neither counted nor logged yet.
    Rejected(Rejected),
    /// Its receiver is full: offer it again when woken, or at that time.
    Blocked { until: Instant },
}

/// One connection's stanzas on their way to other ports.
pub(super) struct Delivery<P> {
    routes: RouteCache<P>,
    batch: Batch<P>,
}

/// What is left to do at the end of a batch.
struct Batch<P> {
    /// Receivers to wake.
    dirty: Vec<P>,
    tally: Tally,
}

/// What a batch adds to the metrics.
#[derive(Default)]
struct Tally {
    delivered: u64,
    answered: u64,
    bounced: u64,
    dropped: u64,
    dropped_by_host: u64,
}

/// Where and when a stanza is delivered.
pub(super) struct DeliveryContext<'a, S> {
    pub(super) switch: &'a S,
    pub(super) now: Now,
    /// The port that sends.
    pub(super) source: &'a PortInfo,
}

impl<P> Default for Delivery<P> {
    fn default() -> Self {
        Self { routes: RouteCache::default(), batch: Batch { dirty: Vec::new(), tally: Tally::default() } }
    }
}

impl<P: Clone + AsRef<PortInfo>> Delivery<P> {
    /// Takes a stanza that came on `stream`; errors for it go to `out`.
    pub(super) fn deliver<S: Switch<Port = P>>(
        &mut self,
        context: &DeliveryContext<'_, S>,
        stream: &mut ServerStream,
        stanza: &Stanza<'_>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let Self { routes, batch } = self;
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            // A server's stream gives no such stanza.
            batch.tally.dropped += 1;
            return Outcome::Done;
        };
        let domain = to.domain();
        let &DeliveryContext { switch, now, source } = context;
        // A receiver may be replaced, or end, between look-up and offer; the next look-up does not find it.
        let mut retries = 8;
        let error = loop {
            find(routes, context, stream, from.domain(), domain);
            break match routes.last() {
                Route::Host => {
                    if host::answer(stanza, switch.shared().info(), &HostView { switch, now }, out) {
                        batch.tally.answered += 1;
                    } else {
                        batch.tally.dropped_by_host += 1;
                    }
                    return Outcome::Done;
                }
                Route::ForeignFrom => return Outcome::Rejected(stream.refuse_sender(stanza, out)),
                Route::Away => StanzaError::component_away(domain),
                Route::Unknown => StanzaError::no_such_domain(domain),
                Route::Ruled { port, from_host }
                    if !port.as_ref().listener.policy.access.allows(from, *from_host) =>
                {
                    StanzaError::access_denied(domain)
                }
                Route::Open(port) | Route::Ruled { port, .. } => {
                    let listener = &port.as_ref().listener;
                    let offer = switch.queue(port, |queue| {
                        queue.offer(now.monotonic, listener, Some(source.id), |bytes| {
                            Some(stanza.append_noting(bytes))
                        })
                    });
                    match offer {
                        Offer::Taken { wake } => {
                            batch.tally.delivered += 1;
                            if wake {
                                batch.dirty.push(port.clone());
                            }
                            return Outcome::Done;
                        }
                        Offer::Full { until } => return Outcome::Blocked { until },
                        Offer::Closed if retries > 0 && routes.epoch() != switch.shared().epoch() => {
                            retries -= 1;
                            continue;
                        }
                        // It is about to end, and has the name still.
                        Offer::Closed => StanzaError::component_away(domain),
                        Offer::Rejected { error, wake } => {
                            if wake {
                                switch.wake(port);
                            }
                            error
                        }
                    }
                }
            };
        };
        if stream.answer(stanza, &error, out) {
            batch.tally.bounced += 1;
        } else {
            batch.tally.dropped += 1;
        }
        Outcome::Done
    }

    /// Ends a batch: wakes its receivers, each once, and adds it to the metrics.
    pub(super) fn end_batch<S: Switch<Port = P>>(&mut self, switch: &S) {
        for port in self.batch.dirty.drain(..) {
            switch.wake(&port);
        }
        mem::take(&mut self.batch.tally).add_to(switch.metrics());
    }
}

impl Tally {
    fn add_to(&self, metrics: &Metrics) {
        metrics.add(Metric::Delivered, self.delivered);
        metrics.add(Metric::Answered, self.answered);
        metrics.add(Metric::Bounced, self.bounced);
        metrics.add(Metric::DroppedUndeliverable, self.dropped);
        metrics.add(Metric::DroppedByHost, self.dropped_by_host);
    }
}

/// Makes the route between two domains the last one of the cache, from the directory if it is not remembered.
fn find<S: Switch>(
    routes: &mut RouteCache<S::Port>,
    context: &DeliveryContext<'_, S>,
    stream: &ServerStream,
    from: &str,
    to: &str,
) {
    let &DeliveryContext { switch, source, .. } = context;
    let shared = switch.shared();
    if !routes.knows(shared.epoch(), from, to) {
        switch.read(|directory| {
            routes.learn(shared.epoch(), from, to, |last| {
                directory.route(source, stream.is_subdomain(), last, from, to)
            });
        });
    }
}
