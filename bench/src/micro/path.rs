//! The path of a stanza from a component's bytes to another's queue, its parts, and the negotiation before it.

use std::hint::black_box;
use std::sync::Arc;

use enjamb_core::jid::Domain;
use enjamb_core::router::{BindPolicy, Claim, Destination, PortId, Router};
use enjamb_core::stream::{Acceptor, Handshake, ServerEvent, ServerStream};
use enjamb_core::{ErrorType, Instant, Limits, Secret, StanzaCondition, StanzaError, StreamId};

use super::case::Case;
use crate::wire;

/// A stream header that declares a prefix which a stanza may use.
const HEADER: &str = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' xmlns:r='urn:xmpp:receipts' to='comp.example'>";

/// The stream of `comp.example`, up to where it has to prove the secret.
fn accepted(limits: Arc<Limits>, host: Domain, out: &mut Vec<u8>) -> Option<Acceptor> {
    let acceptor = Acceptor::new(host, StreamId::from_text("1")?, limits, Instant::ORIGIN);
    match acceptor.process(Instant::ORIGIN, black_box(HEADER.as_bytes()), out) {
        (_, Handshake::Opened(opened)) => {
            Some(opened.accept(Instant::ORIGIN, [Secret::new("s")].into(), out))
        }
        _ => None,
    }
}

/// The same to the bound component.
fn stream(limits: Arc<Limits>, host: Domain, handshake: &str, out: &mut Vec<u8>) -> Option<ServerStream> {
    let acceptor = accepted(limits, host, out)?;
    let (_, Handshake::Authenticated(proved)) = acceptor.process(Instant::ORIGIN, handshake.as_bytes(), out)
    else {
        return None;
    };
    Some(proved.bind(Instant::ORIGIN, true, out))
}

fn handshake() -> String {
    format!("<handshake>{}</handshake>", wire::proof(b"1", "s"))
}

fn open() -> Option<ServerStream> {
    let host = Domain::parse("host.example").ok()?;
    stream(Arc::new(Limits::default()), host, &handshake(), &mut Vec::new())
}

fn router() -> Option<Router> {
    let mut router = Router::new([Domain::parse("host.example").ok()?]);
    for (number, name) in [(1, "comp.example"), (2, "peer.example")] {
        let claim = Claim::Domain(Domain::parse(name).ok()?);
        router.bind(PortId(number), claim, Arc::new(BindPolicy::default()), Instant::ORIGIN).ok()?;
    }
    Some(router)
}

/// Header, handshake and binding of one connection.
pub(super) fn connect() -> Case {
    let (limits, handshake) = (Arc::new(Limits::default()), handshake());
    let host = Domain::parse("host.example").ok();
    let mut out = Vec::with_capacity(4096);
    Case::new(HEADER.len() + handshake.len(), move || {
        out.clear();
        let limits = Arc::clone(&limits);
        host.clone().and_then(|host| stream(limits, host, &handshake, &mut out)).is_some()
            && out.ends_with(b"<handshake/>")
    })
}

/// Header and a handshake whose digit at `wrong`, a number, is another one of its kind; else all of them are.
pub(super) fn wrong_handshake(wrong: &str) -> Case {
    let mut proof = wire::proof(b"1", "s").into_bytes();
    let (from, to) = wrong.parse().map_or((0, proof.len()), |place: usize| (place, place + 1));
    for digit in &mut proof[from..to] {
        *digit = match *digit {
            b'9' => b'0',
            b'f' => b'a',
            other => other + 1,
        };
    }
    let handshake = format!("<handshake>{}</handshake>", String::from_utf8_lossy(&proof));
    let (limits, host) = (Arc::new(Limits::default()), Domain::parse("host.example").ok());
    Case::new(HEADER.len() + handshake.len(), move || {
        let mut out = Vec::with_capacity(4096);
        let acceptor = host.clone().and_then(|host| accepted(Arc::clone(&limits), host, &mut out));
        let said = acceptor
            .map(|acceptor| acceptor.process(Instant::ORIGIN, black_box(handshake.as_bytes()), &mut out));
        matches!(black_box(said), Some((_, Handshake::Failed(_))))
    })
}

/// Scan, look-up, copy.
pub(super) fn pass_on(input: Vec<u8>) -> Option<Case> {
    let (mut stream, router) = (open()?, router()?);
    let (mut out, mut target) = (Vec::with_capacity(4096), Vec::with_capacity(8192));
    Some(Case::new(input.len(), move || {
        target.clear();
        let Ok(step) = stream.process(Instant::ORIGIN, black_box(&input), &mut out) else { return false };
        let Some(ServerEvent::Stanza(stanza)) = step.event else { return false };
        let Some(to) = stanza.to() else { return false };
        let found = matches!(router.route_domain(to.domain(), None), Destination::Port(PortId(2), _));
        stanza.append_to(&mut target);
        found && !black_box(&target).is_empty()
    }))
}

/// What `pass_on` writes.
#[cfg(test)]
pub(super) fn written(input: &[u8]) -> Option<Vec<u8>> {
    let mut stream = open()?;
    match stream.process(Instant::ORIGIN, input, &mut Vec::new()).ok()?.event {
        Some(ServerEvent::Stanza(stanza)) => Some(stanza.to_vec()),
        _ => None,
    }
}

/// Scan, and an error back.
pub(super) fn bounce(input: Vec<u8>) -> Option<Case> {
    let mut stream = open()?;
    let error = StanzaError::new(StanzaCondition::NotAllowed, ErrorType::Cancel, "you may not");
    let (mut out, mut back) = (Vec::with_capacity(4096), Vec::with_capacity(8192));
    Some(Case::new(input.len(), move || {
        back.clear();
        let Ok(step) = stream.process(Instant::ORIGIN, black_box(&input), &mut out) else { return false };
        let Some(ServerEvent::Stanza(stanza)) = step.event else { return false };
        error.answer(&stanza, &mut back) && !black_box(&back).is_empty()
    }))
}

/// From bytes to a stanza: where it ends, whether it is well-formed, its addresses.
pub(super) fn scan(input: Vec<u8>) -> Option<Case> {
    let mut stream = open()?;
    let mut out = Vec::with_capacity(4096);
    Some(Case::new(input.len(), move || {
        let Ok(step) = stream.process(Instant::ORIGIN, black_box(&input), &mut out) else { return false };
        matches!(black_box(step.event), Some(ServerEvent::Stanza(_)))
    }))
}

/// From a stanza to the receiver's bytes.
pub(super) fn append(input: Vec<u8>) -> Option<Case> {
    let mut stream = open()?;
    let input: &'static [u8] = input.leak();
    let step = stream.process(Instant::ORIGIN, input, &mut Vec::new()).ok()?;
    let Some(ServerEvent::Stanza(stanza)) = step.event else { return None };
    let mut target = Vec::with_capacity(8192);
    Some(Case::new(input.len(), move || {
        target.clear();
        black_box(&stanza).append_to(&mut target);
        black_box(&target).len() == input.len()
    }))
}
