//! A stanza from one connection's socket to another's, through the whole drive loop, among N connections: all but
//! the kernel and the runtime.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, Switch, SwitchConfig};
use enjamb_core::{Instant, Secret, StreamId};
use enjamb_runtime::{ServerConnection, SharedSwitch, Timer, Transport};

use super::case::Case;
use crate::wire;

/// The socket of a connection, from outside.
#[derive(Default)]
struct Outside {
    /// What comes next, and how much of it was read.
    input: RefCell<Vec<u8>>,
    read: Cell<usize>,
    /// How many bytes were written to it.
    written: Cell<usize>,
}

struct Socket(Rc<Outside>);

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let (input, read) = (self.0.input.borrow(), self.0.read.get());
        let n = (input.len() - read).min(buffer.len());
        if n == 0 {
            return Poll::Pending;
        }
        buffer[..n].copy_from_slice(&input[read..read + n]);
        self.0.read.set(read + n);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.written.set(self.0.written.get() + bytes.len());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still.
struct Still;

impl Timer for Still {
    fn now(&self) -> Instant {
        Instant::ORIGIN
    }

    fn unix(&self) -> Duration {
        Duration::ZERO
    }

    fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// A component, as the server has it and from outside.
struct Peer {
    connection: ServerConnection<Socket, Still>,
    outside: Rc<Outside>,
}

impl Peer {
    fn connect(switch: &Arc<SharedSwitch>, listener: &Arc<ListenerConfig>, domain: &str) -> Option<Self> {
        let outside = Rc::<Outside>::default();
        let socket = Socket(Rc::clone(&outside));
        let id = StreamId::from_text("1")?;
        let connection = ServerConnection::new(Arc::clone(switch), Arc::clone(listener), id, socket, Still);
        let mut peer = Self { connection, outside };
        let proof = wire::proof(b"1", "s");
        let before = switch.bound();
        peer.send(
            format!(
                "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'><handshake>{proof}</handshake>"
            )
            .as_bytes(),
        );
        peer.poll();
        (switch.bound() == before + 1).then_some(peer)
    }

    fn send(&self, bytes: &[u8]) {
        let mut input = self.outside.input.borrow_mut();
        input.clear();
        input.extend_from_slice(bytes);
        self.outside.read.set(0);
    }

    fn poll(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(_)) = self.connection.poll_event(&mut cx) {}
    }
}

/// One component writes to another, which writes back: two messages, or a request and its answer of the same length.
pub(super) fn ask(name: &str) -> Option<Case> {
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("host.example").ok()?])));
    let listener = Arc::new(ListenerConfig::new(Secret::new("s")));
    let mut asker = Peer::connect(&switch, &listener, "comp.example")?;
    let mut asked = Peer::connect(&switch, &listener, "peer.example")?;
    let payload =
        "<query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/commands'/>";
    let stanza = |kind: &str, from: &str, to: &str| {
        format!(
            "<{kind} id='000000000001' from='{from}' to='{to}'>{payload}</{}>",
            &kind[..kind.find(' ').unwrap_or(kind.len())]
        )
        .into_bytes()
    };
    let (there, back) = match name {
        "ask-iq" => ("iq type='get'", "iq type='result'"),
        _ => ("message type='a'", "message type='b'"),
    };
    let there = stanza(there, "comp.example", "peer.example");
    let back = stanza(back, "peer.example", "comp.example");
    let mut round = move || {
        let before = (asker.outside.written.get(), asked.outside.written.get());
        asker.send(&there);
        asker.poll();
        asked.poll();
        asked.send(&back);
        asked.poll();
        asker.poll();
        let after = (asker.outside.written.get(), asked.outside.written.get());
        (after.0 - before.0, after.1 - before.1) == (back.len(), there.len())
    };
    (0..4).all(|_| round()).then(|| Case::new(2 * payload.len(), round))
}

/// One component writes to each of the others in turn, or always to the same, and the receiver writes it out.
pub(super) fn turns(others: usize, in_turn: bool) -> Option<Case> {
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("host.example").ok()?])));
    let listener = Arc::new(ListenerConfig::new(Secret::new("s")));
    let mut sender = Peer::connect(&switch, &listener, "comp.example")?;
    let mut peers = Vec::with_capacity(others);
    for number in 0..others {
        // Each name has as many letters, whatever their number.
        peers.push(Peer::connect(&switch, &listener, &format!("peer{number:06}.example"))?);
    }
    let body = "a".repeat(100);
    let stanza = |number: usize| {
        format!("<message from='comp.example' to='peer{number:06}.example' id='000000000001' type='chat'><body>{body}</body></message>").into_bytes()
    };
    let stanzas: Vec<_> = (0..if in_turn { others } else { 1 }).map(stanza).collect();
    let mut next = 0;
    let mut round = move || {
        let (stanza, peer) = (&stanzas[next], &mut peers[next]);
        next = (next + 1) % stanzas.len();
        let before = peer.outside.written.get();
        sender.send(stanza);
        sender.poll();
        peer.poll();
        peer.outside.written.get() - before == stanza.len()
    };
    // Buffers that the first stanzas of each take, one to be filled and one to be written, are there from now on.
    (0..2 * others).all(|_| round()).then(|| Case::new(stanza(0).len(), round))
}
