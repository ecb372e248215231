//! Every order in which threads may meet at an outbox, at the switch or at a component's handle, tried by loom:
//! `cargo xtask loom`.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use super::streams::{stanza, stream_of};
use crate::handshake::Secret;
use crate::host::HostInfo;
use crate::jid::Domain;
use crate::router::{Claim, ConflictBehaviour, ConnId, Terms};
use crate::rt::component::{Component, ComponentSettings, Shared};
use crate::rt::component_session::ComponentSession;
use crate::rt::deliver::{Deliverer, Delivery, Place};
use crate::rt::driver::Session;
use crate::rt::listener::Listener;
use crate::rt::outbox::Offer;
use crate::rt::outgoing::Outgoing;
use crate::rt::pool::{FREE, Pool, Share};
use crate::rt::switch::{Port, Switch};
use crate::stream::Initiator;
use crate::time::Instant;

fn domain() -> Domain {
    Domain::parse("comp.example").unwrap()
}

fn switch() -> Arc<Switch> {
    Arc::new(Switch::new([], HostInfo::new("loom", "0"), String::new, false))
}

fn bound(switch: &Switch, listener: Listener) -> Arc<Port> {
    let port = switch.connect(Arc::new(listener));
    switch.bind(&port, Claim::Domain(domain())).unwrap();
    port
}

/// A thread in which a newcomer takes the name.
fn replacing(switch: &Arc<Switch>) -> thread::JoinHandle<Arc<Port>> {
    let switch = Arc::clone(switch);
    thread::spawn(move || {
        let mut listener = Listener::new(Secret::new("s"));
        let terms = Terms { conflict: ConflictBehaviour::KickOld, ..Terms::default() };
        listener.terms = Arc::new(terms);
        bound(&switch, listener)
    })
}

/// Puts one stanza in, as a sender's task does: whoever is to be woken is woken once the lock is free.
fn offer(port: &Port, stanza: &[u8]) -> Offer {
    let offer = port.outbox().offer(Instant::ORIGIN, &port.listener, |bytes| bytes.extend_from_slice(stanza));
    if offer == (Offer::Taken { wake: true }) {
        port.wake();
    }
    offer
}

/// A receiver's turn: takes what is there and writes it all. Gives how many stanzas that was.
fn turn(port: &Port, cx: &Context<'_>, outgoing: &mut Outgoing) -> usize {
    let senders = port.outbox().collect(cx, outgoing, &port.listener);
    senders.into_iter().for_each(|(_, sender)| sender.wake());
    let stanzas = outgoing.waiting();
    outgoing.advance(outgoing.pending().len());
    let senders = {
        let mut outbox = port.outbox();
        outbox.note_in_flight(outgoing, false);
        outbox.collect(cx, outgoing, &port.listener)
    };
    senders.into_iter().for_each(|(_, sender)| sender.wake());
    let more = outgoing.waiting();
    outgoing.advance(outgoing.pending().len());
    stanzas + more
}

/// Receives so many stanzas; a wake-up that is lost is a deadlock, which loom reports.
fn receive(port: &Port, expected: usize) {
    let (mut outgoing, mut received) = (Outgoing::default(), 0);
    block_on(poll_fn(|cx| {
        received += turn(port, cx, &mut outgoing);
        if received < expected { Poll::Pending } else { Poll::Ready(()) }
    }));
    assert_eq!(received, expected);
}

#[test]
fn no_wake_up_is_lost_between_two_senders_and_a_receiver() {
    loom::model(|| {
        let port = bound(&switch(), Listener::new(Secret::new("s")));
        let senders = [0, 1].map(|_| {
            let port = Arc::clone(&port);
            thread::spawn(move || {
                assert!(matches!(offer(&port, b"<a/>"), Offer::Taken { .. }));
            })
        });
        receive(&port, 2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn a_sender_that_waits_for_room_is_woken() {
    loom::model(|| {
        let mut listener = Listener::new(Secret::new("s"));
        // Full with one stanza.
        listener.outbox_mark = 4;
        let port = bound(&switch(), listener);
        let sender = {
            let port = Arc::clone(&port);
            thread::spawn(move || {
                for _ in 0..2 {
                    block_on(poll_fn(|cx| {
                        // In one step, as the deliverer does it: else the room could come in between.
                        let mut outbox = port.outbox();
                        let offered = outbox
                            .offer(Instant::ORIGIN, &port.listener, |bytes| bytes.extend_from_slice(b"<a/>"));
                        match offered {
                            Offer::Full { .. } => {
                                outbox.wait_for_room(ConnId(7), cx.waker());
                                Poll::Pending
                            }
                            Offer::Taken { wake } => {
                                drop(outbox);
                                if wake {
                                    port.wake();
                                }
                                Poll::Ready(())
                            }
                            other => panic!("{other:?}"),
                        }
                    }));
                }
            })
        };
        receive(&port, 2);
        sender.join().unwrap();
    });
}

#[test]
fn a_stanza_offered_while_its_receiver_is_replaced_is_refused_or_comes_out_at_the_close() {
    loom::model(|| {
        let switch = switch();
        let port = bound(&switch, Listener::new(Secret::new("s")));
        let sender = {
            let port = Arc::clone(&port);
            thread::spawn(move || (0..2).filter(|_| offer(&port, b"<a/>") != Offer::Closed).count())
        };
        let newcomer = replacing(&switch);
        // The old one's task: it goes on until it is told to end, and then closes.
        let (mut outgoing, mut written) = (Outgoing::default(), 0);
        block_on(poll_fn(|cx| {
            written += turn(&port, cx, &mut outgoing);
            if port.outbox().take_order().is_some() { Poll::Ready(()) } else { Poll::Pending }
        }));
        let left = port.outbox().close();
        let unsent = left.ends.len();
        let taken = sender.join().unwrap();
        newcomer.join().unwrap();
        assert_eq!(taken, written + unsent, "a stanza is lost, or counted twice");
    });
}

#[test]
fn a_stanza_that_is_delivered_while_its_receiver_is_replaced_comes_to_one_of_the_two() {
    loom::model(|| {
        let switch = switch();
        let old = bound(&switch, Listener::new(Secret::new("s")));
        let newcomer = replacing(&switch);
        let own = switch.connect(Arc::new(Listener::new(Secret::new("s"))));
        let (mut stream, mut out) = (stream_of("to='a.example'", true), Vec::new());
        let message = stanza(&mut stream, b"<message to='comp.example'/>");
        let place = Place { waker: Waker::noop(), now: Instant::ORIGIN, switch: &switch, own: &own };
        let mut deliverer = Deliverer::default();
        // The second goes the way that the first has found, or another, if that leads nowhere any more.
        for _ in 0..2 {
            let delivery = deliverer.deliver(&place, &mut stream, &message.as_stanza(), &mut out);
            assert_eq!(delivery, Delivery::Done);
        }
        assert!(out.is_empty(), "somebody has the name all the time");
        let new = newcomer.join().unwrap();
        let [old, new] = [old, new].map(|port| port.outbox().close().ends.len());
        assert_eq!(old + new, 2, "a stanza is lost, or there twice");
    });
}

/// A component's handle, and its connection as the loop drives it, established.
fn component() -> (Component, ComponentSession) {
    let settings = ComponentSettings::new(domain(), Secret::new("s"));
    let limits = Arc::clone(&settings.limits);
    let shared = Arc::new(Shared::new(&settings));
    let mut greeting = Vec::new();
    let initiator =
        Initiator::connect(domain(), false, Secret::new("s"), limits, Instant::ORIGIN, &mut greeting);
    // Its header is out already.
    let mut session = ComponentSession::new(Arc::clone(&shared), initiator, Vec::new());
    let input = b"<stream:stream xmlns='jabber:component:accept' \
        xmlns:stream='http://etherx.jabber.org/streams' from='comp.example' id='1'><handshake/>";
    let cx = Context::from_waker(Waker::noop());
    let _progress = session.process(&cx, Instant::ORIGIN, input, &mut Vec::new());
    (Component { shared }, session)
}

#[test]
fn what_a_component_sends_wakes_its_connection_and_room_wakes_who_waits_for_it() {
    loom::model(|| {
        let (handle, mut session) = component();
        let sender = thread::spawn(move || {
            handle.put(b"<message to='a'/>").unwrap();
            // Flushed once all of it is out.
            assert!(block_on(poll_fn(|cx| handle.poll_flushed(cx))).is_ok());
            handle
        });
        let (mut outgoing, mut written) = (Outgoing::default(), 0);
        block_on(poll_fn(|cx| {
            session.collect(cx, Instant::ORIGIN, &mut outgoing);
            written += outgoing.pending().len();
            outgoing.advance(outgoing.pending().len());
            session.collect(cx, Instant::ORIGIN, &mut outgoing);
            if written >= b"<message to='a'/>".len() { Poll::Ready(()) } else { Poll::Pending }
        }));
        drop(sender.join().unwrap());
    });
}

#[test]
fn what_comes_for_a_component_wakes_who_waits_for_it() {
    loom::model(|| {
        let (handle, mut session) = component();
        let reader = thread::spawn(move || block_on(handle.next()).is_some());
        let cx = Context::from_waker(Waker::noop());
        let stanza = b"<message from='a' to='comp.example'/>";
        let _progress = session.process(&cx, Instant::ORIGIN, stanza, &mut Vec::new());
        assert!(reader.join().unwrap());
    });
}

#[test]
fn two_that_take_from_the_pool_at_once_never_have_more_than_it_holds() {
    loom::model(|| {
        let most = 2 * FREE;
        let pool = Arc::new(Pool::new(most));
        let connections = [1, 2].map(|steps| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let mut share = Share::new(Arc::clone(&pool));
                let granted = share.grow(FREE + steps * FREE);
                assert!(pool.taken() <= most);
                share.shrink(FREE + FREE);
                assert!(pool.taken() <= most);
                granted
            })
        });
        let granted = connections.map(|connection| connection.join().unwrap());
        assert!(granted.contains(&true), "neither had anything");
        assert_eq!(pool.taken(), 0, "what a connection had is given back with it");
    });
}
