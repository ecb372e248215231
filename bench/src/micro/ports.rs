//! A stanza from a component's connection to a port of the same switch, on one thread: another component's connection,
//! or a local port.

use std::hint::black_box;

use enjamb_core::Secret;
use enjamb_core::connection::{Budget, Connection, Next, Written};
use enjamb_core::jid::Domain;
use enjamb_core::port::{LocalPort, PortConfig, PortState};
use enjamb_core::router::Claim;
use enjamb_core::switch::{LocalSwitch, SwitchConfig};
use enjamb_core::uplink::{Uplink, UplinkConfig, UplinkEvent};

use super::case::Case;
use super::polls::{NOW, connected};

/// What a sender's turn costs is the same in both cases.
struct Sender {
    switch: LocalSwitch,
    connection: Connection<LocalSwitch>,
}

impl Sender {
    fn new() -> Option<Self> {
        let switch = LocalSwitch::new(SwitchConfig::new([Domain::parse("host.example").ok()?]));
        let connection = connected(&switch, "comp.example")?;
        Some(Self { switch, connection })
    }

    /// Sends one stanza. True if all of it is taken.
    fn send(&mut self, input: &[u8]) -> bool {
        let Self { switch, connection } = self;
        let progress = connection.process(switch, NOW, black_box(input), &mut Budget::default());
        progress.consumed == input.len() && progress.next == Next::Input
    }
}

/// How many stanzas wait for the receiver of `send`, at most. They take less than its mark.
const WAITING: usize = 1000;

/// The receiver is a component, which takes [`WAITING`] stanzas at once, so that this is what sending costs.
pub(super) fn send(input: Vec<u8>) -> Option<Case> {
    let mut sender = Sender::new()?;
    let mut receiver = connected(&sender.switch, "peer.example")?;
    let (mut waiting, length) = (0, input.len());
    let mut round = move || {
        waiting = (waiting + 1) % WAITING;
        let is_sent = sender.send(&input);
        if waiting > 0 {
            return is_sent;
        }
        let written = receiver.poll_output(&sender.switch, NOW).bytes().len();
        receiver.wrote(&sender.switch, NOW, Written::Bytes(written));
        receiver.poll_output(&sender.switch, NOW);
        is_sent && sender.switch.poll_wake() == Some(receiver.id()) && written == WAITING * input.len()
    };
    // Both halves of the queue are as large as they get from now on.
    (0..3 * WAITING).all(|_| round()).then(|| Case::new(length, round))
}

/// The receiver is a component, which writes it to a socket.
pub(super) fn pair(input: Vec<u8>) -> Option<Case> {
    let mut sender = Sender::new()?;
    let mut receiver = connected(&sender.switch, "peer.example")?;
    let mut socket = Vec::with_capacity(4096);
    Some(Case::new(input.len(), move || {
        socket.clear();
        let is_sent = sender.send(&input);
        let is_woken = sender.switch.poll_wake() == Some(receiver.id());
        receiver.write_to(&sender.switch, NOW, &mut socket);
        is_sent && is_woken && black_box(&socket).len() == input.len()
    }))
}

/// The receiver is a local port, which visits it.
pub(super) fn local(input: Vec<u8>) -> Option<Case> {
    let mut sender = Sender::new()?;
    let config = PortConfig::new([Claim::Domain(Domain::parse("peer.example").ok()?)]);
    let (mut port, _) = LocalPort::attach(&sender.switch, config, NOW).ok()?;
    Some(Case::new(input.len(), move || {
        let is_sent = sender.send(&input);
        let is_woken = sender.switch.poll_wake() == Some(port.id());
        let mut length = 0;
        let state = port.poll(&sender.switch, NOW, |stanza, _| length = black_box(stanza.as_bytes()).len());
        is_sent && is_woken && state == Ok(PortState::Idle) && length == input.len()
    }))
}

/// An uplink of `domain`, whose server has accepted it.
fn uplink(switch: &LocalSwitch, domain: &str) -> Option<Uplink<LocalSwitch>> {
    let config = UplinkConfig::new(Domain::parse(domain).ok()?, Secret::new("secret"));
    let mut uplink = Uplink::attach(switch, config, 1, NOW).ok()?;
    uplink.connected(NOW);
    let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>";
    for said in [header, "<handshake/>"] {
        let progress = uplink.process(switch, NOW, said.as_bytes(), &mut Budget::default());
        uplink.write_to(switch, NOW, &mut Vec::new());
        if progress.consumed != said.len() {
            return None;
        }
    }
    (uplink.poll_event() == Some(UplinkEvent::Established)).then_some(uplink)
}

/// The receiver is behind the sender's uplink.
pub(super) fn up(input: Vec<u8>) -> Option<Case> {
    let mut sender = Sender::new()?;
    let mut uplink = uplink(&sender.switch, "comp.example")?;
    sender.connection.write_to(&sender.switch, NOW, &mut Vec::new());
    while sender.switch.poll_wake().is_some() {}
    let mut socket = Vec::with_capacity(4096);
    Some(Case::new(input.len(), move || {
        socket.clear();
        let is_sent = sender.send(&input);
        let is_woken = sender.switch.poll_wake() == Some(uplink.id());
        uplink.write_to(&sender.switch, NOW, &mut socket);
        is_sent && is_woken && black_box(&socket).len() == input.len()
    }))
}

/// The sender is behind the receiver's uplink.
pub(super) fn down(input: Vec<u8>) -> Option<Case> {
    let switch = LocalSwitch::new(SwitchConfig::new([Domain::parse("host.example").ok()?]));
    let mut receiver = connected(&switch, "peer.example")?;
    let mut uplink = uplink(&switch, "peer.example")?;
    receiver.write_to(&switch, NOW, &mut Vec::new());
    while switch.poll_wake().is_some() {}
    let mut socket = Vec::with_capacity(4096);
    Some(Case::new(input.len(), move || {
        socket.clear();
        let progress = uplink.process(&switch, NOW, black_box(&input), &mut Budget::default());
        let is_sent = progress.consumed == input.len() && progress.next == Next::Input;
        let is_woken = switch.poll_wake() == Some(receiver.id());
        receiver.write_to(&switch, NOW, &mut socket);
        is_sent && is_woken && black_box(&socket).len() == input.len()
    }))
}
