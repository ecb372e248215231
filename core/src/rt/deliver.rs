//! What becomes of one stanza: where it goes, and what its sender is told.

use core::task::Waker;
use std::sync::Arc;

use super::counters::{Count, Counters};
use super::outbox::Offer;
use super::switch::{Port, State, Switch};
use super::ways::{Goal, LastSpeaker, Speaker, Ways};
use crate::error::Cause;
use crate::host;
use crate::limits::Limits;
use crate::router::{Destination, Holder};
use crate::stanza::{Rooms, Stanza};
use crate::stanza_error::{ErrorType, StanzaCondition, StanzaError};
use crate::stream::{Refused, ServerStream};
use crate::time::Instant;
use crate::xml::scan::{Progress, Scan};
use crate::xml::scope::HeaderPrefixes;

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is dealt with: delivered, answered, or counted.
    Done,
    /// Its `from` is not the component's, as only the router knows; that is neither counted nor logged yet.
    Refused(Refused),
    /// Its receiver is full: offer it again when woken, or at that time.
    Wait(Instant),
}

/// One connection's stanzas on their way to the others.
#[derive(Default)]
pub(super) struct Deliverer {
    ways: Ways,
    batch: Due,
}

/// What a batch leaves to be done at its end.
#[derive(Default)]
struct Due {
    /// Receivers to wake.
    dirty: Vec<Arc<Port>>,
    tally: Tally,
}

/// What a batch adds to the counters.
#[derive(Default)]
struct Tally {
    delivered: u64,
    answered: u64,
    bounced: u64,
    dropped: u64,
    dropped_by_host: u64,
}

/// What a delivery needs to know of where it is made.
pub(super) struct Place<'a> {
    /// Of the sender's task.
    pub(super) waker: &'a Waker,
    pub(super) now: Instant,
    pub(super) switch: &'a Switch,
    /// The sender's own connection.
    pub(super) own: &'a Port,
}

impl Deliverer {
    /// Takes a stanza that came on `stream`; errors for it go to `out`.
    pub(super) fn deliver(
        &mut self,
        place: &Place<'_>,
        stream: &mut ServerStream,
        stanza: &Stanza<'_>,
        out: &mut Vec<u8>,
    ) -> Delivery {
        let Self { ways, batch } = self;
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            // A server's stream gives no such stanza.
            batch.tally.dropped += 1;
            return Delivery::Done;
        };
        let domain = to.domain();
        // A receiver may be replaced, or end, between look-up and offer; the next look-up does not find it.
        let mut retries = 8;
        let error = loop {
            find(ways, place, stream, from.domain(), domain);
            break match ways.last() {
                Goal::Host => {
                    if host::answer(stanza, place.switch.info(), place.switch, out) {
                        batch.tally.answered += 1;
                    } else {
                        batch.tally.dropped_by_host += 1;
                    }
                    return Delivery::Done;
                }
                Goal::ForeignFrom => return Delivery::Refused(stream.refuse_sender(stanza, out)),
                Goal::Away => StanzaError::component_away(domain),
                Goal::Unknown => StanzaError::no_such_domain(domain),
                Goal::Ruled { port, from_host } if !port.listener.terms.access.allows(from, *from_host) => {
                    StanzaError::access_denied(domain)
                }
                Goal::Open(port) | Goal::Ruled { port, .. } => match batch.offer(place, port, stanza) {
                    Ok(Some(delivery)) => return delivery,
                    Ok(None) if retries > 0 && ways.epoch() != place.switch.epoch() => {
                        retries -= 1;
                        continue;
                    }
                    // It is about to end, and has the name still.
                    Ok(None) => StanzaError::component_away(domain),
                    Err(error) => error,
                },
            };
        };
        batch.bounce(stream, stanza, &error, out);
        Delivery::Done
    }

    /// The batch is done: wakes its receivers, each once, and adds it to the counters.
    pub(super) fn end_batch(&mut self, counters: &Counters) {
        for port in self.batch.dirty.drain(..) {
            port.wake();
        }
        let tally = core::mem::take(&mut self.batch.tally);
        counters.add(Count::Delivered, tally.delivered);
        counters.add(Count::Answered, tally.answered);
        counters.add(Count::Bounced, tally.bounced);
        counters.add(Count::DroppedUndeliverable, tally.dropped);
        counters.add(Count::DroppedByHost, tally.dropped_by_host);
    }
}

/// Makes the way between two domains the last one: remembered, or looked up and remembered from now on.
fn find(ways: &mut Ways, place: &Place<'_>, stream: &ServerStream, from: &str, to: &str) {
    let Place { switch, own, .. } = place;
    if !ways.knows(switch.epoch(), from, to) {
        let state = switch.read();
        ways.learn(switch.epoch(), from, to, |last| look_up(&state, own, stream, last, from, to));
    }
}

/// What the switch says of a stanza's way. It holds for every stanza between the two until the epoch changes: a rule
/// asks the router nothing but whether the sender's domain is a host.
fn look_up(
    state: &State,
    own: &Port,
    stream: &ServerStream,
    last: &mut LastSpeaker,
    from: &str,
    to: &str,
) -> Goal {
    let router = &state.router;
    let mut speaker = || {
        last.who(from, || match router.holder(from) {
            Some(Holder::Host) => Speaker::Host,
            Some(Holder::Component(id, _)) if *id == own.id => Speaker::Bound,
            Some(Holder::Component(..)) | None => Speaker::Other,
        })
    };
    // Of one with a name of its own the stream has checked that it is that name; what it had sent before it was replaced
    // goes on.
    let check_from = own.listener.terms.check_from;
    if check_from && stream.is_subdomain() && speaker() != Speaker::Bound {
        return Goal::ForeignFrom;
    }
    match router.route_domain(to) {
        Destination::Component(id, terms) => state.ports.get(&id).map_or(Goal::Away, |port| {
            let port = Arc::clone(port);
            if terms.access.is_everyone() {
                Goal::Open(port)
            } else {
                // Whoever is checked speaks for its own names, and a host's name is no component's.
                Goal::Ruled { port, from_host: !check_from && speaker() == Speaker::Host }
            }
        }),
        Destination::Host => Goal::Host,
        Destination::Away => Goal::Away,
        Destination::Unknown => Goal::Unknown,
    }
}

impl Due {
    /// `None`: the receiver has just closed.
    fn offer(
        &mut self,
        place: &Place<'_>,
        port: &Arc<Port>,
        stanza: &Stanza<'_>,
    ) -> Result<Option<Delivery>, StanzaError<'static>> {
        let mut outbox = port.outbox();
        let error = match outbox.offer(place.now, &port.listener, |bytes| stanza.append_to(bytes)) {
            Offer::Taken { wake } => {
                drop(outbox);
                self.tally.delivered += 1;
                if wake {
                    self.dirty.push(Arc::clone(port));
                }
                return Ok(Some(Delivery::Done));
            }
            Offer::Full { until } => {
                outbox.wait_for_room(place.own.id, place.waker);
                return Ok(Some(Delivery::Wait(until)));
            }
            Offer::Closed => return Ok(None),
            Offer::Stalled => StanzaError::new(
                StanzaCondition::ResourceConstraint,
                ErrorType::Wait,
                "the component does not read what is sent to it: its queue is full",
            ),
            Offer::PoolEmpty => StanzaError::new(
                StanzaCondition::ResourceConstraint,
                ErrorType::Wait,
                "so much waits for components that do not read that the server takes no more for this one",
            ),
            Offer::Overflow => {
                drop(outbox);
                port.wake();
                recipient_gone()
            }
            Offer::TooBig => StanzaError::too_long(port.listener.limits.stanza),
        };
        Err(error)
    }

    fn bounce(
        &mut self,
        stream: &mut ServerStream,
        stanza: &Stanza<'_>,
        error: &StanzaError<'_>,
        out: &mut Vec<u8>,
    ) {
        if stream.answer(stanza, error, out) {
            self.tally.bounced += 1;
        } else {
            self.tally.dropped += 1;
        }
    }
}

/// The stanza was for a connection that ended before it was sent.
fn recipient_gone() -> StanzaError<'static> {
    StanzaError::new(
        StanzaCondition::RecipientUnavailable,
        ErrorType::Wait,
        "the component's connection ended before this could be sent",
    )
}

/// Answers stanzas that were delivered to a connection and never sent, to whoever is bound to their `from`
/// now; what nothing may answer, and what can't be taken there, is counted. Returns how many there were.
pub(super) fn bounce_unsent<'b>(
    switch: &Switch,
    now: Instant,
    cause: Option<&Cause>,
    stanzas: impl Iterator<Item = &'b [u8]>,
) -> u64 {
    // Made once for all of them.
    let mut reader = Reader::default();
    let (mut bounced, mut dropped) = (0, 0);
    for bytes in stanzas {
        if return_to_sender(switch, now, &mut reader, bytes).is_some() {
            bounced += 1;
        } else {
            dropped += 1;
        }
    }
    if matches!(cause, Some(Cause::Replaced)) {
        switch.counters().add(Count::UnsentReplaced, bounced + dropped);
    } else {
        switch.counters().add(Count::UnsentBounced, bounced);
        switch.counters().add(Count::UnsentDropped, dropped);
    }
    bounced + dropped
}

/// Reads stanzas that we wrote.
#[derive(Default)]
struct Reader {
    scan: Scan,
    rooms: Rooms,
}

fn return_to_sender(switch: &Switch, now: Instant, reader: &mut Reader, bytes: &[u8]) -> Option<()> {
    // We wrote it, so the scan accepts it with no prefix from outside; whatever limits it was taken under do not matter any more.
    let mut limits = Limits::default();
    (limits.depth, limits.attributes, limits.namespaces) = (usize::MAX, usize::MAX, usize::MAX);
    limits.name = usize::MAX;
    let Reader { scan, rooms } = reader;
    let Ok(Progress::Whole(_)) = scan.advance(bytes, &limits, &[]) else {
        *scan = Scan::default();
        return None;
    };
    let stanza = Stanza::new(bytes, scan.head(), &HeaderPrefixes::Usual, rooms)?.ok()?;
    if !stanza.may_be_answered() {
        return None;
    }
    let sender = stanza.from()?;
    let port = {
        let state = switch.read();
        let id = state.router.owner(sender.domain())?;
        Arc::clone(state.ports.get(&id)?)
    };
    let offer =
        port.outbox().offer(now, &port.listener, |out| recipient_gone().append_answer_to(&stanza, out));
    match offer {
        Offer::Taken { wake } => {
            if wake {
                port.wake();
            }
            Some(())
        }
        Offer::Full { .. }
        | Offer::Stalled
        | Offer::PoolEmpty
        | Offer::Overflow
        | Offer::TooBig
        | Offer::Closed => None,
    }
}
