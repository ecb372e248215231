//! While components come and go, nothing is lost, doubled, or out of order.

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use enjamb_core::connection::{Budget, Connection, ConnectionEvent, Next, Transmit, Written};
use enjamb_core::router::{Claim, PortId};
use enjamb_core::switch::{LocalSwitch, Metric, Switch, SwitchConfig};
use enjamb_core::{Instant, StreamId};

use crate::connection::HANDSHAKE;
use crate::outage_model::{Model, Rare};
use crate::outage_requests::Met;
use crate::outage_script::{
    CLAIMS, HOSTS, KINDS, Kind, LISTENERS, NAMES, Op, Script, Settings, address, domain, first_end, listener,
};
use crate::outage_sent::{Sent, clock};

/// A connection, from the component's side.
struct Peer {
    /// Its number in the model.
    number: usize,
    link: Connection<LocalSwitch>,
    /// What was read and is not whole.
    heard: String,
    /// Stanzas that the switch has not taken yet.
    to_say: VecDeque<usize>,
    reads_always: bool,
    slot: usize,
    names: Vec<usize>,
}

struct World {
    switch: LocalSwitch,
    model: Model,
    peers: Vec<Peer>,
    taken: u64,
    rare: Rare,
}

/// What says what became of a stanza.
const WATCHED: [Metric; 3] = [Metric::LateAnswers, Metric::UntrackedRequests, Metric::Routed];

/// Plays a script on a switch, and on a model of it.
///
/// # Panics
/// A stanza is missing, comes twice, or late, or in another order; an answer of the switch is not one that the model allows;
/// or the sums of the metrics do not agree.
pub fn outage_loses_nothing(data: &[u8]) {
    play(data);
}

/// The same; returns what happened.
pub(crate) fn play(data: &[u8]) -> Rare {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else { return Rare::default() };
    let mut world = World::new(script.settings);
    for slot in 0..CLAIMS.len() {
        if script.connected >> slot & 1 == 0 {
            world.connect(slot, usize::from(script.connected >> 6), slot == 0);
        }
    }
    for op in &script.ops {
        world.op(op);
        world.settle();
        world.check_sums();
    }
    world.end(script.comes_back)
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut config = SwitchConfig::new(HOSTS.map(domain));
        config.domains = settings.patterns();
        Self {
            switch: LocalSwitch::new(config),
            model: Model::new(settings),
            peers: Vec::new(),
            taken: 0,
            rare: Rare::default(),
        }
    }

    fn op(&mut self, op: &Op) {
        match op {
            Op::Connect { slot, listener, reads_always } => {
                let slot = usize::from(*slot) % CLAIMS.len();
                self.connect(slot, usize::from(*listener) % LISTENERS, *reads_always);
            }
            Op::Send { slot, stanzas } => {
                for stanza in stanzas {
                    if let Some(at) = self.peer(*slot) {
                        self.send(at, *stanza);
                    }
                }
            }
            Op::Answer { slot, which, how } => {
                if let Some(at) = self.peer(*slot) {
                    self.answer(at, *which, *how);
                }
            }
            Op::Read(slot) => {
                if let Some(at) = self.peer(*slot) {
                    self.read(at);
                }
            }
            Op::ReadSome { slot, bytes, is_full } => {
                if let Some(at) = self.peer(*slot) {
                    self.read_some(at, 1 + usize::from(*bytes), *is_full);
                }
            }
            Op::Close { slot, reads } => {
                if let Some(at) = self.peer(*slot) {
                    let now = clock(self.model.now);
                    let peer = &mut self.peers[at];
                    // Behind what waits for room it would not be seen.
                    if peer.to_say.is_empty() {
                        let tag = b"</stream:stream>";
                        let _ = peer.link.process(&self.switch, now, tag, &mut Budget::default());
                    }
                    let reads = *reads && peer.link.is_closed();
                    self.finish(at, reads);
                }
            }
            Op::Break(slot) => {
                if let Some(at) = self.peer(*slot) {
                    self.finish(at, false);
                }
            }
            Op::Wait(quarters) => self.wait(Duration::from_millis(250) * u32::from(quarters % 32)),
            Op::EndHolding => {
                self.switch.end_holding();
                self.model.is_over = true;
            }
        }
    }

    /// The connection of a slot.
    fn peer(&self, slot: u8) -> Option<usize> {
        let slot = usize::from(slot) % CLAIMS.len();
        self.peers.iter().position(|peer| peer.slot == slot)
    }

    fn holder(&self, name: usize) -> Option<PortId> {
        self.switch.holder(&Claim::Domain(domain(NAMES[name])))
    }

    /// A connection with its header and handshake, which nobody has answered yet.
    fn connect(&mut self, slot: usize, number: usize, reads_always: bool) {
        let (now, (name, is_prefix)) = (clock(self.model.now), CLAIMS[slot]);
        let id = StreamId::from_text("3BF96D32").expect("letters and digits");
        let mut link = Connection::new(&self.switch, listener(number), id, now);
        let is_subdomain = if is_prefix { " is_subdomain='true'" } else { "" };
        let header = format!(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
             to='{name}'{is_subdomain}>"
        );
        let progress = link.process(&self.switch, now, header.as_bytes(), &mut Budget::default());
        assert_eq!(progress.consumed, header.len());
        link.write_to(&self.switch, now, &mut Vec::new());
        let mut rest = HANDSHAKE;
        while !rest.is_empty() {
            rest = &rest[link.process(&self.switch, now, rest, &mut Budget::default()).consumed..];
        }
        let Some(ConnectionEvent::Bound { replaced, .. }) = link.poll_event() else {
            self.rare.refused += 1;
            link.abandon(&self.switch, now, "refused".into());
            return;
        };
        self.rare.replaced += replaced.len() as u64;
        let names: Vec<usize> =
            (0..NAMES.len()).filter(|name| self.holder(*name) == Some(link.id())).collect();
        self.model.bound(&names, number);
        let (heard, to_say) = (String::new(), VecDeque::new());
        let number = self.model.parties.len() - 1;
        self.peers.push(Peer { number, link, heard, to_say, reads_always, slot, names });
        for old in replaced {
            if let Some(at) = self.peers.iter().position(|peer| peer.link.id() == old) {
                self.peers[at].link.poll_output(&self.switch, now);
                assert!(self.peers[at].link.is_closed(), "it obeys");
                self.finish(at, reads_always);
            }
        }
    }

    /// One of the names of a connection.
    fn own_name(&self, at: usize, byte: u8) -> Option<&'static str> {
        let names = &self.peers[at].names;
        (!names.is_empty()).then(|| NAMES[names[usize::from(byte) % names.len()]])
    }

    fn send(&mut self, at: usize, [kind, from, to, id]: [u8; 4]) {
        let Some(name) = self.own_name(at, from >> 4) else { return };
        let kind = &KINDS[usize::from(kind) % KINDS.len()];
        // Most for the second one, so that they meet.
        let receiver = [0, 1, 2, 3, 4, 1, 1, 2][usize::from(to >> 5)];
        let (from, to) = (address(name, from), address(NAMES[receiver], to & 31));
        let id = (kind.name() == "iq" && id < 128).then(|| format!("i{}", id % 3));
        self.say(at, kind, from, (to, receiver), id);
    }

    /// A request that is not answered, by what its receiver knows.
    fn answer(&mut self, at: usize, which: u8, how: u8) {
        let peer = &self.peers[at];
        let open: Vec<usize> = peer.names.iter().flat_map(|name| self.model.requests.open(*name)).collect();
        if open.is_empty() {
            return;
        }
        let request = &self.model.sent[open[usize::from(which) % open.len()]];
        let asker = NAMES.iter().position(|name| request.from.contains(name)).unwrap_or(0);
        let bare = request.to.split('/').next().unwrap_or_default();
        let from = match how % 4 {
            0 | 1 => request.to.clone(),
            2 => bare.into(),
            _ => NAMES[request.name].into(),
        };
        let to = if how & 16 == 0 { request.from.clone() } else { request.from.replace("u@", "U@") };
        let kind =
            KINDS.iter().filter(|kind| kind.is_answer()).nth(usize::from(how >> 7)).expect("there are two");
        let id = request.id.clone();
        self.say(at, kind, from, (to, asker), Some(id));
    }

    fn say(
        &mut self,
        at: usize,
        kind: &'static Kind,
        from: String,
        (to, name): (String, usize),
        id: Option<String>,
    ) {
        let n = self.model.sent.len();
        let id = id.unwrap_or_else(|| format!("n{n}"));
        let (tag, content) = (kind.name(), kind.content);
        let end = if content.is_empty() { "/>".into() } else { format!(">{content}</{tag}>") };
        let text = format!("<{} n='{n}' id='{id}' from='{from}' to='{to}'{end}", kind.head);
        let sender = self.peers[at].number;
        self.model.sent.push(Sent {
            sender,
            kind,
            from,
            to,
            id,
            text,
            name,
            taken: None,
            is_delivered: false,
            errors: 0,
            is_late: false,
        });
        self.peers[at].to_say.push_back(n);
        self.speak(at);
    }

    /// Gives the switch what it takes of what a component says.
    fn speak(&mut self, at: usize) {
        let now = clock(self.model.now);
        while let Some(&n) = self.peers[at].to_say.front() {
            let name = self.model.sent[n].name;
            let holder = self.holder(name);
            let holder = holder.and_then(|id| self.peers.iter().position(|peer| peer.link.id() == id));
            let bytes = self.model.sent[n].text.clone();
            let before = WATCHED.map(|metric| self.count(metric));
            let peer = &mut self.peers[at];
            let mut rest = bytes.as_bytes();
            loop {
                let progress = peer.link.process(&self.switch, now, rest, &mut Budget::default());
                rest = &rest[progress.consumed..];
                if progress.next != Next::More {
                    break;
                }
            }
            if !rest.is_empty() {
                assert_eq!(rest.len(), bytes.len(), "it is taken whole, or not");
                self.rare.blocked += 1;
                return;
            }
            peer.to_say.pop_front();
            self.taken += 1;
            let after = WATCHED.map(|metric| self.count(metric));
            let [late, untracked, routed] = [0, 1, 2].map(|i| after[i] > before[i]);
            self.taken(at, n, (holder, routed), late, untracked);
        }
    }

    /// A stanza was taken; `holder` holds its name.
    fn taken(
        &mut self,
        at: usize,
        n: usize,
        (holder, is_routed): (Option<usize>, bool),
        is_late: bool,
        is_untracked: bool,
    ) {
        let now = self.model.now;
        self.model.taken(n, holder.map(|holder| self.peers[holder].number));
        let (sent, requests) = (&self.model.sent[n], &mut self.model.requests);
        if sent.kind.is_answer() {
            let met = if is_late { Met::Late } else { Met::NotLate };
            requests.answered(sent, &self.peers[at].names, now, met);
        } else {
            assert!(!is_late, "it is no answer: {}", sent.text);
        }
        if let Some(holder) = holder
            && sent.kind.is_request()
            && holder != at
            && is_routed
        {
            let config = &self.model.settings.0[sent.name];
            let terms = (now, config.iq_timeout, config.max_pending_iqs);
            let names = &self.peers[holder].names;
            requests.taken((n, sent), self.peers[holder].number, terms, names, !is_untracked);
        }
        self.model.sent[n].is_late = is_late;
    }

    /// A component reads all that there is for it.
    fn read(&mut self, at: usize) {
        let now = clock(self.model.now);
        loop {
            let peer = &mut self.peers[at];
            let written = match peer.link.poll_output(&self.switch, now) {
                Transmit::Bytes(bytes) => {
                    peer.heard.push_str(std::str::from_utf8(bytes).expect("whole stanzas"));
                    Written::Bytes(bytes.len())
                }
                Transmit::Shutdown => Written::Shut,
                Transmit::Nothing | Transmit::Done => break,
            };
            peer.link.wrote(&self.switch, now, written);
        }
        self.understand(at);
        assert_eq!(self.peers[at].heard, "", "what is read is whole");
    }

    fn read_some(&mut self, at: usize, bytes: usize, is_full: bool) {
        let now = clock(self.model.now);
        let peer = &mut self.peers[at];
        if let Transmit::Bytes(pending) = peer.link.poll_output(&self.switch, now) {
            let bytes = bytes.min(pending.len());
            peer.heard.push_str(std::str::from_utf8(&pending[..bytes]).expect("these are ASCII"));
            peer.link.wrote(&self.switch, now, Written::Bytes(bytes));
            if is_full {
                peer.link.wrote(&self.switch, now, Written::Full);
            }
        }
        self.understand(at);
    }

    /// Takes whole stanzas from what a component has read.
    fn understand(&mut self, at: usize) {
        let heard = std::mem::take(&mut self.peers[at].heard);
        let mut rest = heard.as_str();
        loop {
            // A keepalive, perhaps.
            rest = rest.trim_start();
            let Some(end) = first_end(rest) else { break };
            self.note(at, &rest[..end]);
            rest = &rest[end..];
        }
        self.peers[at].heard = rest.into();
    }

    fn note(&mut self, at: usize, element: &str) {
        let is_stanza = ["<message ", "<presence ", "<iq "].iter().any(|tag| element.starts_with(tag));
        if is_stanza {
            self.model.heard(self.peers[at].number, element);
        }
    }

    /// A connection ends: its component reads the rest, or does not.
    fn finish(&mut self, at: usize, reads: bool) {
        let now = clock(self.model.now);
        if reads {
            self.read(at);
        } else if !self.peers[at].heard.is_empty() {
            // What was begun is torn; the rest of it says what it was.
            let peer = &mut self.peers[at];
            let pending = peer.link.poll_output(&self.switch, now).bytes().to_vec();
            let whole =
                std::mem::take(&mut peer.heard) + std::str::from_utf8(&pending).expect("whole stanzas");
            let end = first_end(&whole).expect("the rest of it is pending");
            self.note(at, &whole[..end]);
        }
        self.peers[at].link.abandon(&self.switch, now, "reset".into());
        let peer = self.peers.remove(at);
        self.model.ended(peer.number, &peer.names);
    }

    fn count(&self, metric: Metric) -> u64 {
        self.switch.metrics().get(metric)
    }

    /// Does all that is due on the switch.
    fn sweep(&mut self) {
        let now = clock(self.model.now);
        let mut turns = 0;
        while self.switch.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.switch.handle_timeout(now);
            turns += 1;
            assert!(turns < 10_000, "there is no end to what is due");
        }
        self.model.requests.tick(self.model.now);
    }

    /// Lets everything happen that has a cause.
    fn settle(&mut self) {
        let now = clock(self.model.now);
        loop {
            self.sweep();
            while self.switch.poll_wake().is_some() {}
            let before = self.taken;
            let mut at = 0;
            while at < self.peers.len() {
                let link = &mut self.peers[at].link;
                if link.poll_timeout().is_some_and(|due| due <= now.monotonic) {
                    link.handle_timeout(&self.switch, now);
                }
                link.poll_output(&self.switch, now);
                if link.is_closed() {
                    // It was too slow.
                    self.finish(at, false);
                    continue;
                }
                self.speak(at);
                if self.peers[at].reads_always {
                    self.read(at);
                    self.model.check_told(self.peers[at].number);
                }
                at += 1;
            }
            let is_due = self.switch.poll_timeout().is_some_and(|due| due <= now.monotonic);
            if before == self.taken && !is_due && self.switch.poll_wake().is_none() {
                return;
            }
        }
    }

    fn wait(&mut self, span: Duration) {
        let end = self.model.now + span;
        while self.model.now < end {
            let links = self.peers.iter().filter_map(|peer| peer.link.poll_timeout());
            let next = links.chain(self.switch.poll_timeout()).min().map_or(end, Instant::since_origin);
            self.model.now = next.max(self.model.now + Duration::from_millis(1)).min(end);
            self.settle();
        }
    }

    fn check_sums(&mut self) {
        let ports = self.switch.ports();
        for port in &ports {
            if let Some(peer) = self.peers.iter().find(|peer| peer.link.id() == port.id) {
                self.model.queued(&peer.names, port.queue.bytes);
            }
        }
        let waiting: usize = ports.iter().map(|port| port.queue.stanzas).sum();
        self.model.check_sums(self.switch.metrics(), self.taken, waiting as u64);
    }

    /// Everybody comes back, if so, and reads; then the switch stops, and everybody reads again.
    fn end(mut self, comes_back: bool) -> Rare {
        if comes_back {
            for slot in 0..CLAIMS.len() - 1 {
                if self.peers.iter().all(|peer| peer.slot != slot) {
                    self.connect(slot, 1, true);
                    self.settle();
                }
            }
            for _ in 0..3 {
                for at in 0..self.peers.len() {
                    self.peers[at].reads_always = true;
                }
                // What is held too long is looked at once a second.
                self.wait(Duration::from_secs(1));
            }
            assert!(self.peers.iter().all(|peer| peer.to_say.is_empty()), "nobody waits for room");
            self.check_sums();
            self.model.check_all();
        }
        self.switch.end_holding();
        self.model.is_over = true;
        self.settle();
        self.switch.shut_down();
        self.model.is_down = true;
        while !self.peers.is_empty() {
            self.finish(0, true);
            self.sweep();
        }
        self.check_sums();
        self.model.check_all();
        let held = [Metric::HeldSent, Metric::HeldReturned, Metric::HeldDropped, Metric::Coalesced];
        let gone: u64 = held.iter().map(|metric| self.count(*metric)).sum();
        assert_eq!(self.count(Metric::Held), gone, "nothing is held any more");
        self.rare.full = self.model.full;
        for (place, metric) in Metric::ALL.iter().enumerate() {
            self.rare.metrics[place] = self.count(*metric);
        }
        self.rare
    }
}
