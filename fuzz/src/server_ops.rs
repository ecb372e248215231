//! A whole server in memory does what a slow and obvious one does.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use enjamb_core::jid::Jid;
use enjamb_core::switch::{ListenerConfig, Metric, Switch, SwitchConfig};
use enjamb_core::{Instant, Now, StreamId};
use enjamb_runtime::{ServerConnection, SharedSwitch};

use crate::expected::{Expected, in_order, read};
use crate::gate::Gate;
use crate::model::{Bound, Model};
use crate::net::{Alarm, Cuts, Tasks, Wire, connection};
use crate::server_script::{
    Access, End, GRANTS, Grant, HOSTS, KNOWN, NAMES, Op, RATE, Script, Sent, Written, domain, is_listed, of,
    patterns,
};

/// One connection, from the component's side.
struct Peer {
    wire: Wire,
    received: Vec<u8>,
    expected: Vec<Expected>,
    /// It is bound: the model knows it by its number.
    live: bool,
    over: bool,
    /// Since when its rate counts, and what was read by then.
    shaped: Option<(Instant, usize)>,
    reads: Rc<Cell<usize>>,
    claim: Bound,
}

struct World {
    tasks: Tasks,
    switch: Arc<SharedSwitch>,
    listeners: Vec<Arc<ListenerConfig>>,
    model: Model,
    gate: Gate,
    peers: Vec<Peer>,
    /// Which connection stands in each slot.
    slots: [Option<usize>; 4],
    cuts: u64,
    list_hidden: bool,
    next_id: u64,
    /// Stanzas that were taken, by what became of them.
    counted: [u64; 7],
}

const COUNTED: [Metric; 7] = [
    Metric::Routed,
    Metric::Answered,
    Metric::Bounced,
    Metric::Rejected,
    Metric::DroppedRejected,
    Metric::DroppedUndeliverable,
    Metric::DroppedByHost,
];

/// Plays a script on a server, and on a model of it.
///
/// # Panics
/// A component gets other stanzas, answers or errors than by the model, or in another order; a shaped one is read from too
/// fast, or not at all; or the counters say something else than what happened.
pub fn server_is_as_the_model(data: &[u8]) {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut world = World::new(&script);
    for op in script.ops.iter().take(100) {
        world.play(op);
        world.settle();
    }
    if script.shut_down {
        world.switch.shut_down();
        for peer in world.peers.iter_mut().filter(|peer| !peer.over) {
            peer.expected.push(Expected::StreamError("system-shutdown".into()));
            (peer.live, peer.over) = (false, true);
        }
        world.settle();
    }
    world.check();
}

impl World {
    fn new(script: &Script) -> Self {
        let hosts = [HOSTS[0], HOSTS[1]];
        let mut config = SwitchConfig::new(hosts.map(domain));
        config.list_hidden = script.list_hidden;
        let switch = SharedSwitch::new(config);
        switch.set_known(patterns(&KNOWN));
        Self {
            tasks: Tasks::default(),
            switch: Arc::new(switch),
            listeners: GRANTS.iter().map(Grant::listener).collect(),
            model: Model::new(&hosts),
            gate: Gate::default(),
            peers: Vec::new(),
            slots: [None; 4],
            cuts: script.cuts,
            list_hidden: script.list_hidden,
            next_id: 0,
            counted: [0; 7],
        }
    }

    fn play(&mut self, op: &Op) {
        match op {
            Op::Connect { slot, name, is_prefix, grant, secret } => {
                let slot = usize::from(*slot) % self.slots.len();
                if self.slots[slot].is_none() {
                    let listener = usize::from(*grant) % GRANTS.len();
                    let claim = Bound { name: (*of(&NAMES, *name)).into(), is_prefix: *is_prefix, listener };
                    self.connect(slot, claim, *secret > 240);
                }
            }
            Op::Send { slot, stanzas } => {
                if let Some(conn) = self.slots[usize::from(*slot) % self.slots.len()] {
                    let mut bytes = Vec::new();
                    for sent in stanzas.iter().take(12) {
                        self.send(conn, sent, &mut bytes);
                    }
                    self.peers[conn].wire.push(&bytes);
                }
            }
            Op::End { slot, how } => {
                if let Some(conn) = self.slots[usize::from(*slot) % self.slots.len()] {
                    self.end(conn, how);
                }
            }
            Op::Gate(attach) => {
                let now = self.now();
                self.gate.set(&self.switch, now, *attach);
            }
            Op::FromGate(sent) => self.send_from_gate(sent),
            Op::AddHost(host) => {
                let host = of(&HOSTS, *host);
                assert_eq!(self.switch.add_host(domain(host)).is_ok(), self.model.add_host(host));
            }
            Op::RemoveHost(host) => {
                let host = of(&HOSTS, *host);
                self.switch.remove_host(&domain(host));
                self.model.remove_host(host);
            }
            Op::Wait(seconds) => {
                let end = self.tasks.clock.now() + Duration::from_secs((*seconds).into());
                self.tasks.run_until(end, || false);
            }
        }
    }

    /// A connection with its header and handshake.
    fn connect(&mut self, slot: usize, claim: Bound, wrong_secret: bool) {
        let conn = self.peers.len();
        let (theirs, ours) = connection(usize::MAX, Cuts(self.cuts));
        let id = StreamId::from_text("3BF96D32").expect("letters and digits");
        let listener = Arc::clone(&self.listeners[claim.listener]);
        let alarm = Alarm::new(&self.tasks.clock);
        let reads = ours.reads();
        let mut connection = ServerConnection::new(Arc::clone(&self.switch), listener, id, ours, alarm);
        self.tasks.spawn(move |cx| {
            loop {
                match connection.poll_event(cx) {
                    std::task::Poll::Ready(Some(_)) => {}
                    std::task::Poll::Ready(None) => return std::task::Poll::Ready(()),
                    std::task::Poll::Pending => return std::task::Poll::Pending,
                }
            }
        });
        let is_subdomain = if claim.is_prefix { " is_subdomain='true'" } else { "" };
        let digest =
            if wrong_secret { "0".repeat(40) } else { "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e".into() };
        let name = &claim.name;
        theirs.push(
            format!(
                "<stream:stream xmlns='jabber:component:accept' \
                 xmlns:stream='http://etherx.jabber.org/streams' to='{name}'{is_subdomain}>\
                 <handshake>{digest}</handshake>"
            )
            .as_bytes(),
        );
        let mut peer = Peer {
            wire: theirs,
            received: Vec::new(),
            expected: Vec::new(),
            live: false,
            over: false,
            shaped: None,
            reads,
            claim: claim.clone(),
        };
        let grant = &GRANTS[claim.listener];
        // What a prefix would be bound as is looked at after the proof.
        let is_listed = claim.is_prefix || grant.listed.is_none_or(|listed| is_listed(listed, &claim.name));
        let refusal = if !is_listed {
            Some("host-unknown")
        } else if wrong_secret {
            Some("not-authorized")
        } else {
            match self.model.bind(conn, claim) {
                Err(condition) => Some(condition),
                Ok(replaced) => {
                    for old in replaced {
                        self.over(old, "conflict");
                    }
                    None
                }
            }
        };
        match refusal {
            None => {
                peer.live = true;
                peer.expected.push(Expected::Handshake);
            }
            Some(condition) => {
                peer.over = true;
                peer.expected.push(Expected::StreamError(condition.into()));
            }
        }
        self.peers.push(peer);
        self.slots[slot] = Some(conn).filter(|_| refusal.is_none());
        self.settle();
        let now = self.tasks.clock.now();
        let peer = &mut self.peers[conn];
        peer.shaped = (grant.shaped && peer.live).then(|| (now, peer.reads.get()));
    }

    /// The server ends a connection with an error.
    fn over(&mut self, conn: usize, condition: &str) {
        let peer = &mut self.peers[conn];
        peer.expected.push(Expected::StreamError(condition.into()));
        (peer.live, peer.over) = (false, true);
        for slot in self.slots.iter_mut().filter(|slot| **slot == Some(conn)) {
            *slot = None;
        }
    }

    fn end(&mut self, conn: usize, how: &End) {
        let peer = &mut self.peers[conn];
        match how {
            End::ClosingTag => peer.wire.push(b"</stream:stream>"),
            End::Eof => peer.wire.shut(),
            End::Break => {
                let (broken, _) = connection(0, Cuts(0));
                peer.received.extend(peer.wire.drain());
                drop(std::mem::replace(&mut peer.wire, broken));
            }
            End::NoXml => peer.wire.push(b"<a><b></a>"),
        }
        if matches!(how, End::NoXml) {
            self.over(conn, "not-well-formed");
        } else {
            (peer.live, peer.over) = (false, true);
            if !matches!(how, End::Break) {
                peer.expected.push(Expected::ClosingTag);
            }
            for slot in self.slots.iter_mut().filter(|slot| **slot == Some(conn)) {
                *slot = None;
            }
        }
        self.model.unbind(conn);
        if matches!(how, End::Break) {
            // A shaped one is not read from before there are tokens, and what nobody reads breaks unseen.
            let end = self.tasks.clock.now() + Duration::from_secs(2);
            self.tasks.run_until(end, || false);
        }
    }

    /// The number of the next stanza.
    fn number(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn now(&self) -> Now {
        Now { monotonic: self.tasks.clock.now(), unix: Duration::from_secs(1_800_000_000) }
    }

    /// Writes one stanza, and what the model makes of it.
    fn send(&mut self, conn: usize, sent: &Sent, bytes: &mut Vec<u8>) {
        let own = self.peers[conn].claim.clone();
        let written = sent.write(self.number(), (&own.name, own.is_prefix), bytes);
        let (what, count) = self.outcome(conn, &own, &written);
        self.expect(Source::Peer(conn), written, what, count);
    }

    /// Notes who gets what over a stanza.
    fn expect(&mut self, source: Source, written: Written, what: Outcome, count: Metric) {
        let Written { id, kind: (name, type_, _), .. } = written;
        let answerable =
            !matches!((name, type_), (_, "error") | ("iq", "result") | ("presence", "unavailable"));
        let count = match what {
            Outcome::Delivered(receiver, from, to) => {
                self.expected(receiver).push(Expected::Stanza { id, from, to });
                count
            }
            Outcome::Result(items) => {
                self.expected(source).push(Expected::Result { id, items });
                count
            }
            Outcome::Error(condition) if answerable => {
                self.expected(source).push(Expected::Error { id, condition: condition.into() });
                count
            }
            Outcome::Error(_) | Outcome::Nothing => match count {
                // Where no answer may be given it is dropped.
                Metric::Rejected => Metric::DroppedRejected,
                Metric::Answered => Metric::DroppedByHost,
                _ => Metric::DroppedUndeliverable,
            },
        };
        let place = COUNTED.iter().position(|counted| *counted == count).expect("it is among them");
        self.counted[place] += 1;
    }

    fn expected(&mut self, source: Source) -> &mut Vec<Expected> {
        match source {
            Source::Peer(conn) => &mut self.peers[conn].expected,
            Source::Gate => &mut self.gate.expected,
        }
    }

    /// What becomes of a stanza, and where it is counted if it is answered.
    fn outcome(&self, conn: usize, own: &Bound, written: &Written) -> (Outcome, Metric) {
        let (to, from) = (written.to.as_deref(), written.from.as_deref());
        let (name, type_, payload) = written.kind;
        let refused = (Outcome::Error("bad-request"), Metric::Rejected);
        let grant = &GRANTS[own.listener];
        let Some(to) = to else { return refused };
        let is_prefix_of =
            |domain: &str| domain.strip_prefix(&*own.name).is_some_and(|rest| rest.starts_with('.'));
        let from = match from {
            None if own.is_prefix => return refused,
            None => own.name.clone(),
            Some(from) => {
                let domain = domain_of(from);
                let ours = if own.is_prefix { is_prefix_of(&domain) } else { domain == own.name };
                if grant.check_from && !ours {
                    return refused;
                }
                from.to_owned()
            }
        };
        if name == "iq" && type_ == "get" && payload.is_empty() {
            return refused;
        }
        let from_domain = domain_of(&from);
        if own.is_prefix && grant.check_from && self.model.holder(&from_domain) != Some(Some(conn)) {
            return refused;
        }
        self.routed(Source::Peer(conn), to, from, written.kind)
    }

    /// What becomes of a stanza whose sender may send it.
    fn routed(
        &self,
        source: Source,
        to: &str,
        from: String,
        (name, type_, payload): (&str, &str, &str),
    ) -> (Outcome, Metric) {
        let [to_domain, from_domain] = [to, &from].map(domain_of);
        let receiver = match self.model.holder(&to_domain) {
            Some(Some(receiver)) => receiver,
            Some(None) => return (self.host(to, name, type_, payload), Metric::Answered),
            None => return self.elsewhere(source, to, from),
        };
        let allowed = match GRANTS[self.model.bound[&receiver].listener].access {
            Access::All => true,
            Access::OnlyA => from_domain == "a",
            Access::Hosted => self.model.is_host(&from_domain),
        };
        if !allowed {
            return (Outcome::Error("not-allowed"), Metric::Bounced);
        }
        (Outcome::Delivered(Source::Peer(receiver), from, to.into()), Metric::Routed)
    }

    /// The gate passes a stanza on, if it is one that may be sent at all.
    fn send_from_gate(&mut self, sent: &Sent) {
        let mut bytes = Vec::new();
        let written = sent.write(self.number(), ("far.example", false), &mut bytes);
        let now = self.now();
        let Some(port) = &mut self.gate.port else { return };
        let taken = port.send(&*self.switch, now, &bytes);
        let (name, type_, payload) = written.kind;
        let is_improper = name == "iq" && type_ == "get" && payload.is_empty();
        match (&written.to, &written.from) {
            (Some(to), Some(from)) if !is_improper => {
                assert_eq!(taken, Ok(()));
                let (what, count) = self.routed(Source::Gate, to, from.clone(), written.kind);
                self.expect(Source::Gate, written, what, count);
            }
            _ => assert!(taken.is_err(), "{}", String::from_utf8_lossy(&bytes)),
        }
    }

    /// What becomes of a stanza for a name that nobody holds.
    fn elsewhere(&self, source: Source, to: &str, from: String) -> (Outcome, Metric) {
        let domain = to.trim_start_matches("u@").trim_end_matches("/r");
        let is_gated = self.gate.port.is_some();
        let stays = KNOWN.contains(&domain) || (is_gated && self.model.is_recent(domain));
        let condition = match source {
            Source::Peer(_) if is_gated && !stays => {
                return (Outcome::Delivered(Source::Gate, from, to.into()), Metric::Routed);
            }
            _ if stays || (!is_gated && is_listed(&KNOWN, domain)) => "remote-server-timeout",
            _ => "remote-server-not-found",
        };
        (Outcome::Error(condition), Metric::Bounced)
    }

    /// What a host of the server answers.
    fn host(&self, to: &str, name: &str, type_: &str, payload: &str) -> Outcome {
        match (name, type_) {
            ("presence", _) => Outcome::Nothing,
            ("iq", "get") if to.contains('@') || payload.contains("urn:q") => {
                Outcome::Error("service-unavailable")
            }
            ("iq", "get") if payload.contains("node=") => Outcome::Error("item-not-found"),
            ("iq", "get") => {
                let is_hidden = |listener: usize| GRANTS[listener].hidden && !self.list_hidden;
                let asks = payload.contains("#items");
                Outcome::Result(if asks { self.model.items(to, is_hidden) } else { Vec::new() })
            }
            _ => Outcome::Error("service-unavailable"),
        }
    }

    /// Lets everything happen that has a cause, and shaped components catch up.
    fn settle(&mut self) {
        self.tasks.run();
        let waits = |peers: &[Peer]| {
            peers.iter().any(|peer| !peer.wire.is_taken() || (peer.over && !peer.wire.is_shut()))
        };
        for _ in 0..4000 {
            if !waits(&self.peers) {
                break;
            }
            let end = self.tasks.clock.now() + Duration::from_millis(250);
            self.tasks.run_until(end, || false);
            let now = self.tasks.clock.now();
            for peer in &self.peers {
                let Some((since, before)) = peer.shaped else { continue };
                let most = u128::from(RATE) * (now.since(since).as_nanos() + 1_000_000_000) / 1_000_000_000;
                let read = (peer.reads.get() - before) as u128;
                assert!(read <= most, "{read} bytes within {:?} at {RATE} B/s", now.since(since));
            }
        }
        assert!(!waits(&self.peers), "a connection is not read from any more");
        for peer in &mut self.peers {
            peer.received.extend(peer.wire.drain());
        }
        let now = self.now();
        self.gate.take(&self.switch, now);
    }

    /// Compares all that came with what the model wanted.
    fn check(&mut self) {
        // A connection that is over gets its last bytes, and its end.
        let end = self.tasks.clock.now() + Duration::from_secs(10);
        for peer in self.peers.iter().filter(|peer| peer.over) {
            peer.wire.shut();
        }
        self.tasks.run_until(end, || false);
        for (number, peer) in self.peers.iter_mut().enumerate() {
            peer.received.extend(peer.wire.drain());
            let shown = String::from_utf8_lossy(&peer.received);
            let got = in_order(read(&peer.received));
            let expected = in_order(std::mem::take(&mut peer.expected));
            assert_eq!(got, expected, "connection {number} ({:?}): {shown}", peer.claim);
            assert!(!peer.over || peer.wire.is_shut(), "connection {number} is not closed");
        }
        self.gate.check();
        let counted = COUNTED.map(|count| self.switch.metrics().get(count));
        assert_eq!(counted, self.counted, "of {COUNTED:?}");
        assert_eq!(self.switch.bound(), self.peers.iter().filter(|peer| peer.live).count());
    }
}

fn domain_of(address: &str) -> String {
    Jid::parse(address).expect("it is one").domain().to_owned()
}

/// Who sends or gets something.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Peer(usize),
    Gate,
}

enum Outcome {
    Delivered(Source, String, String),
    Result(Vec<String>),
    Error(&'static str),
    Nothing,
}
