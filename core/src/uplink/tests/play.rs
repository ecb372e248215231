//! Servers and components that come, talk, read a part and go, in any order: nothing is lost and nothing overtakes.

use alloc::collections::BTreeMap;
use core::mem;

use super::*;
use crate::connection::{Transmit, Written};
use crate::uplink::ConnectWhen;

/// Chance that is the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// A switch with one uplink, its component, and one that has none.
struct Play {
    near: Near,
    chance: Chance,
    now: f64,
    components: [Option<Local>; 2],
    /// What the server has heard, and what the component has, with the ids of messages.
    server_heard: String,
    component_heard: String,
    /// Of this stream or connection.
    server_part: String,
    component_part: String,
    taken: u64,
    /// Messages of numbered ids that were sent up, and down.
    sent: [u32; 2],
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let hold = [0, 5, 20][chance.below(3)];
        let config = UplinkConfig {
            hold: Duration::from_secs(hold),
            hold_bytes: 4000,
            max_stanza: 3000,
            end_presence: true,
            connect: [ConnectWhen::WithComponent, ConnectWhen::Always][chance.below(2)],
            ..config()
        };
        let domains = DomainConfig {
            iq_timeout: Duration::from_secs(6),
            hold_bytes: 4000,
            max_pending_iqs: 2,
            ..held([0, 5, 20][chance.below(3)])
        };
        Self {
            near: Near::new(config, domains),
            chance,
            now: 0.0,
            components: [None, None],
            server_heard: String::new(),
            component_heard: String::new(),
            server_part: String::new(),
            component_part: String::new(),
            taken: 0,
            sent: [0, 0],
        }
    }

    /// A stanza from one address to another: mostly a message whose id is a number, in order.
    fn stanza(&mut self, from: &str, to: &str, way: usize) -> String {
        let odd = [
            "<message type='groupchat'/>",
            "<message type='error'/>",
            "<iq type='get' id='1'><q/></iq>",
            "<iq type='get' id='2'><q/></iq>",
            "<iq type='result' id='1'/>",
            "<iq type='error' id='2'/>",
            "<iq type='get'/>",
            "<iq type='result'/>",
            "<iq type='set' id='3'><q/></iq>",
            "<presence/>",
            "<presence type='unavailable'/>",
            "<presence type='subscribe'/>",
        ];
        if self.chance.below(3) == 0 {
            let stanza = odd[self.chance.below(odd.len())];
            let at = stanza.find([' ', '/', '>']).unwrap();
            return format!("{} from='{from}' to='{to}'{}", &stanza[..at], &stanza[at..]);
        }
        self.sent[way] += 1;
        let length = if self.chance.below(20) == 0 { 3500 } else { self.chance.below(300) };
        let (id, body) = (self.sent[way], "x".repeat(length));
        format!("<message from='{from}' to='{to}' id='n{id}'><body>{body}</body></message>")
    }

    fn step(&mut self) {
        let now = at(self.now);
        let which = self.chance.below(4).saturating_sub(2);
        match self.chance.below(30) {
            0 => {
                if self.components[which].is_none() {
                    let name = ["irc.example", "sms.example"][which];
                    self.components[which] = Some(self.near.component_as(name, now));
                }
            }
            1 if self.chance.below(3) == 0 => {
                if let Some(mut component) = self.components[which].take() {
                    component.abandon(&self.near.switch, now, "gone".into());
                    self.component_part.clear();
                }
            }
            2 => self.server_goes(now),
            3..=5 => self.now += [0.3, 2.0, 4.0][self.chance.below(3)],
            6..=9 => self.server_comes(now),
            10..=13 => self.server_reads(now),
            14..=16 => self.component_reads(now, which),
            17..=22 => {
                let stanza = self.stanza("u@s.example", "a@irc.example", 1);
                if self.is_up() && self.near.uplink.read_budget(now) > 0 {
                    let rest = self.near.feed(now, &stanza).len();
                    assert_eq!(rest, 0, "nothing is full here");
                    self.taken += 1;
                }
            }
            _ => {
                let from = ["a@irc.example", "b@sms.example"][which];
                let to = ["u@s.example", "irc.example", "sms.example"][self.chance.below(3)];
                let stanza = self.stanza(from, to, 0);
                if let Some(component) = &mut self.components[which] {
                    let bytes = stanza.as_bytes();
                    let mut budget = Budget::default();
                    let progress = component.process(&self.near.switch, now, bytes, &mut budget);
                    assert_eq!(progress.consumed, bytes.len());
                    self.taken += 1;
                }
            }
        }
        self.settle();
    }

    fn is_up(&mut self) -> bool {
        self.near.uplink.stream.as_ref().is_some_and(|stream| stream.established_at.is_some())
            && self.near.uplink.stream.as_ref().is_some_and(|stream| stream.connection.is_open())
    }

    fn server_comes(&mut self, now: Now) {
        if self.near.uplink.poll(&self.near.switch, now) != UplinkState::Connect {
            return;
        }
        if self.chance.below(4) == 0 {
            return self.near.uplink.failed(now, "refused".into());
        }
        self.near.uplink.connected(now);
        self.server_part.clear();
        if self.chance.below(5) > 0 {
            self.near.feed(now, HEADER);
            self.near.feed(now, "<handshake/>");
        }
    }

    /// The stream ends, in one of several ways.
    fn server_goes(&mut self, now: Now) {
        let Near { switch, uplink } = &mut self.near;
        if uplink.stream.is_none() || self.chance.below(3) > 0 {
            return;
        }
        match self.chance.below(3) {
            0 => uplink.handle_error(switch, now, "reset".into()),
            1 => uplink.handle_eof(switch, now),
            _ => {
                let end = b"</stream:stream>";
                let _ = uplink.process(switch, now, end, &mut Budget::default());
            }
        }
    }

    /// The server takes some of what is to be written.
    fn server_reads(&mut self, now: Now) {
        let Near { switch, uplink } = &mut self.near;
        let written = match uplink.poll_output(switch, now) {
            Transmit::Bytes(pending) => {
                let bytes =
                    if self.chance.below(2) == 0 { pending.len() } else { self.chance.below(150) + 1 };
                let bytes = bytes.min(pending.len());
                self.server_part.push_str(core::str::from_utf8(&pending[..bytes]).unwrap());
                Written::Bytes(bytes)
            }
            Transmit::Shutdown => Written::Shut,
            Transmit::Nothing | Transmit::Done => return,
        };
        uplink.wrote(switch, now, written);
        let part = mem::take(&mut self.server_part);
        self.server_heard.push_str(&part);
    }

    fn component_reads(&mut self, now: Now, which: usize) {
        let Some(component) = &mut self.components[which] else { return };
        let heard = self.near.component_hears(component, now);
        if which == 0 {
            self.component_heard.push_str(&heard);
        }
    }

    /// Lets everything happen that has a cause.
    fn settle(&mut self) {
        let now = at(self.now);
        for _ in 0..3 {
            self.near.settle(now);
            for component in self.components.iter_mut().flatten() {
                while component.poll_timeout().is_some_and(|at| at <= now.monotonic) {
                    component.handle_timeout(&self.near.switch, now);
                }
                component.poll_output(&self.near.switch, now);
            }
            let Near { switch, uplink } = &mut self.near;
            uplink.poll_output(switch, now);
            while uplink.poll_timeout().is_some_and(|at| at <= now.monotonic) {
                uplink.handle_timeout(switch, now);
                uplink.poll_output(switch, now);
            }
            uplink.poll(switch, now);
        }
        self.near.settle(now);
        self.near.events();
    }

    fn sum(&self, metrics: &[Metric]) -> u64 {
        metrics.iter().map(|metric| self.near.count(*metric)).sum()
    }

    fn check(&self) {
        use Metric as M;
        let switch = &self.near.switch;
        let all: BTreeMap<_, _> =
            M::ALL.iter().map(|metric| (metric.name(), self.near.count(*metric))).collect();
        let dropped = [M::DroppedRejected, M::DroppedUndeliverable, M::DroppedByHost, M::LateAnswers];
        let dealt = [M::Routed, M::Answered, M::Bounced, M::Rejected, M::Held, M::Kept];
        let from_queues = self.near.count(M::UnsentHeld);
        assert_eq!(self.taken, self.sum(&dropped) + self.sum(&dealt) - from_queues, "taken: {all:?}");
        let waiting: usize = switch.ports().iter().map(|port| port.queue.stanzas).sum();
        let entered = self.sum(&[M::Routed, M::Notices, M::HeldSent]);
        let unsent = [M::UnsentBounced, M::UnsentDropped, M::UnsentReplaced, M::UnsentHeld];
        let left = self.sum(&[M::Delivered, M::Torn]) + self.sum(&unsent);
        assert_eq!(entered, left + waiting as u64, "queued: {all:?}");
        let held = crate::switch::tests::held(switch);
        let gone = self.sum(&[M::HeldSent, M::HeldReturned, M::HeldDropped, M::Coalesced]);
        assert_eq!(self.near.count(M::Held), gone + held as u64, "held: {all:?}");
    }
}

/// The numbers of the messages between these two that came, in order.
fn numbers(heard: &str, from: &str, to: &str) -> Vec<u32> {
    let beginning = format!("<message from='{from}' to='{to}' id='n");
    let messages = heard.split(&*beginning).skip(1);
    messages.filter_map(|rest| rest.split("'><body>").next()?.parse().ok()).collect()
}

#[test]
fn d2_with_uplinks_every_stanza_is_in_one_state_and_in_order() {
    let mut reached = [0; Metric::ALL.len()];
    let mut established = 0;
    for seed in 0..400 {
        let mut play = Play::new(seed);
        for _ in 0..300 {
            play.step();
            play.check();
            established += u32::from(play.is_up());
        }
        let (component, user) = ("a@irc.example", "u@s.example");
        for (heard, from, to) in
            [(&play.server_heard, component, user), (&play.component_heard, user, component)]
        {
            let numbers = numbers(heard, from, to);
            assert!(numbers.is_sorted_by(|one, two| one < two), "{from}, seed {seed}: {numbers:?}");
        }
        for (reached, metric) in reached.iter_mut().zip(Metric::ALL) {
            *reached += play.near.count(*metric);
        }
    }
    // They need a host, `kick_old`, an announcement, a component that answers pings, and one without a proof.
    let never = Metric::ALL.iter().zip(reached).filter(|(_, count)| *count == 0);
    let never: Vec<_> = never.map(|(metric, _)| metric.name()).collect();
    assert_eq!(never, ["answered", "dropped_by_host", "unsent_replaced", "kept", "failed_negotiations"]);
    assert!(established > 10_000, "{established}");
}
