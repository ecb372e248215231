//! A stanza on its way from one stream to another's output allocates nothing.
//!
//! Unsafe code only for the allocator that counts: `GlobalAlloc` is an unsafe trait, and the impl does nothing but
//! count and hand on to the system's.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use enjamb_core::router::{Claim, ConnId, Route, Router, Terms};
use enjamb_core::stream::{Accepting, Acceptor, Event, ServerStream, Shaking};
use enjamb_core::{ErrorType, Instant, Limits, Secret, StanzaCondition, StanzaError, StreamId};
use enjamb_tests::corpus::proof;
use enjamb_tests::mini_server::domain;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: likewise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `work` ran.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

fn stream() -> ServerStream {
    let (limits, mut out) = (Arc::new(Limits::default()), Vec::new());
    let header = b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='comp.example'>";
    let acceptor =
        Acceptor::new(domain("host.example"), StreamId::from_text("1").unwrap(), limits, Instant::ORIGIN);
    let (_, Accepting::Opened(opened)) = acceptor.process(header, &mut out) else { panic!() };
    let shaking = opened.accept(Instant::ORIGIN, Secret::new("s"), &mut out);
    let handshake = format!("<handshake>{}</handshake>", proof("1", "s"));
    let (_, Shaking::Proved(proved)) = shaking.process(handshake.as_bytes(), &mut out) else { panic!() };
    proved.bind(Instant::ORIGIN, true, &mut out)
}

fn router() -> Router {
    let mut router = Router::new([domain("host.example")]);
    for (number, name) in [(1, "comp.example"), (2, "peer.example")] {
        let claim = Claim::Domain(domain(name));
        assert!(router.bind(ConnId(number), claim, Arc::new(Terms::default())).is_ok());
    }
    router
}

/// A message with 4 attributes, a body and two namespaced children.
fn message(length: usize) -> Vec<u8> {
    let front = "<message from='romeo@comp.example/orchard' to='juliet@peer.example/balcony' type='chat' id='a1b2c3d4'><body>";
    let back = "</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>";
    let body = "Art thou not Romeo, and a Montague? Caf\u{e9}. ".repeat(100);
    let end = (length - front.len() - back.len()..).find(|&end| body.is_char_boundary(end)).unwrap();
    let message = [front, &body[..end], back].concat();
    assert!(message.len().abs_diff(length) <= 1);
    message.into_bytes()
}

fn pass_on(
    stream: &mut ServerStream,
    router: &Router,
    input: &[u8],
    out: &mut Vec<u8>,
    target: &mut Vec<u8>,
) {
    let step = stream.process(Instant::ORIGIN, input, out).unwrap();
    let Some(Event::Stanza(stanza)) = step.event else { panic!("it is a stanza") };
    let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else { panic!("it has both addresses") };
    assert_eq!(router.route(from, to), Route::Deliver(ConnId(2)));
    stanza.append_to(target);
    assert_eq!(step.consumed, input.len());
}

#[test]
fn a_stanza_is_passed_on_without_an_allocation() {
    let (mut stream, router) = (stream(), router());
    let (mut out, mut target) = (Vec::with_capacity(4096), Vec::with_capacity(8192));
    for length in [324, 2000] {
        let input = message(length);
        pass_on(&mut stream, &router, &input, &mut out, &mut target);
        assert_eq!(target, input);
        target.clear();
        let whole = allocations(|| pass_on(&mut stream, &router, &input, &mut out, &mut target));
        assert_eq!(whole, 0, "{length} bytes");
        target.clear();
        let dripping = allocations(|| {
            for end in 1..input.len() {
                assert!(stream.process(Instant::ORIGIN, &input[..end], &mut out).unwrap().event.is_none());
            }
            pass_on(&mut stream, &router, &input, &mut out, &mut target);
        });
        assert_eq!(dripping, 0, "{length} bytes, one by one");
        target.clear();
    }
}

#[test]
fn a_stanza_without_from_costs_one_allocation_for_the_stamp() {
    let (mut stream, router) = (stream(), router());
    let (mut out, mut target) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    let input = b"<message to='peer.example'><body>x</body></message>";
    pass_on(&mut stream, &router, input, &mut out, &mut target);
    let count = allocations(|| pass_on(&mut stream, &router, input, &mut out, &mut target));
    assert!(count <= 1, "{count}");
}

#[test]
fn a_bounce_with_a_fixed_text_allocates_nothing() {
    let mut stream = stream();
    let mut out = Vec::with_capacity(4096);
    let input = message(324);
    let error = StanzaError::new(StanzaCondition::NotAllowed, ErrorType::Cancel, "you may not");
    for round in 0..2 {
        out.clear();
        let mut answers = Vec::with_capacity(4096);
        let count = allocations(|| {
            let step = stream.process(Instant::ORIGIN, &input, &mut out).unwrap();
            let Some(Event::Stanza(stanza)) = step.event else { panic!("it is a stanza") };
            assert!(stream.answer(&stanza, &error, &mut answers));
        });
        assert!(answers.starts_with(b"<message from='juliet@peer.example/balcony' to='romeo@comp.example/orchard' id='a1b2c3d4' type='error'>"));
        assert!(round == 0 || count == 0, "{count}");
    }
}
