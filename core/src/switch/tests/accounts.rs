//! What was taken, and where it is (D1 to D3): the sums agree after every step.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{at, break_off, count, feed, hear, held, log_in, sweep, switch_with};
use crate::config::{DomainConfig, ListenerConfig};
use crate::connection::tests::{Local, domain, listener, with};
use crate::connection::{Transmit, Written};
use crate::router::{BindPolicy, Claim, ConflictBehaviour, DomainPattern};
use crate::switch::domain::MAX_PLACES;
use crate::switch::{LocalSwitch, Metric, Switch};

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

const NAMES: [&str; 3] = ["a.example", "b.example", "c.example"];

/// Components that come, talk, read a part, and break off; stanzas for b are held.
struct Play {
    switch: LocalSwitch,
    chance: Chance,
    now: f64,
    components: [Option<Local>; 3],
    /// Replaced, and not through with their end.
    leaving: Vec<Local>,
    taken: u64,
    id: u64,
}

fn kick_old() -> ListenerConfig {
    with(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() })
}

impl Play {
    fn new(seed: u64) -> Self {
        let config = DomainConfig {
            hold: Duration::from_secs(20),
            hold_bytes: 4000,
            iq_timeout: Duration::from_secs(6),
            max_pending_iqs: 2,
            ping: None,
            conflict: None,
        };
        let (switch, chance) = (switch_with("b.example", config), Chance(seed));
        Self {
            switch,
            chance,
            now: 0.0,
            components: [None, None, None],
            leaving: Vec::new(),
            taken: 0,
            id: 0,
        }
    }

    fn stanza(&mut self, from: &str) -> String {
        let to = NAMES[self.chance.below(3)];
        self.id += 1;
        let id = if self.chance.below(2) == 0 { self.chance.below(3) as u64 } else { self.id };
        let kinds = [
            "message",
            "message type='groupchat'",
            "message type='error'",
            "iq type='get'",
            "iq type='result'",
            "iq type='error'",
            "presence",
            "presence type='unavailable'",
            "presence type='subscribe'",
            "iq type='set' bad=''",
            "iq type='result' other=''",
            "iq type='get'",
            "iq type='result'",
        ];
        let kind = kinds[self.chance.below(kinds.len())];
        let name = &kind[..kind.find(' ').unwrap_or(kind.len())];
        let child = if kind.contains("bad") { "" } else { "<q xmlns='q'/>" };
        let id = if kind.contains("other") { String::new() } else { format!(" id='{id}'") };
        format!("<{kind}{id} from='{from}' to='{to}'>{child}</{name}>")
    }

    fn step(&mut self) {
        let which = self.chance.below(3);
        let now = at(self.now);
        match self.chance.below(40) {
            0 | 1 => {
                let attributes = format!("to='{}'", NAMES[which]);
                let new = log_in(&self.switch, now, kick_old(), &attributes);
                self.leaving.extend(self.components[which].replace(new));
            }
            2 => {
                if let Some(mut component) = self.components[which].take() {
                    break_off(&self.switch, now, &mut component);
                }
            }
            3 => {
                if let Some(component) = &mut self.components[which] {
                    feed(&self.switch, now, component, "</stream:stream>");
                    self.leaving.extend(self.components[which].take());
                }
            }
            4..=7 => self.now += 3.0,
            8..=13 => {
                if let Some(component) = &mut self.components[which] {
                    hear(&self.switch, now, component);
                }
            }
            14..=18 => {
                let bytes = 1 + self.chance.below(150);
                if let Some(component) = &mut self.components[which]
                    && let Transmit::Bytes(pending) = component.poll_output(&self.switch, now)
                {
                    let bytes = bytes.min(pending.len());
                    component.wrote(&self.switch, now, Written::Bytes(bytes));
                }
            }
            _ => {
                let stanza = self.stanza(NAMES[which]);
                if let Some(component) = &mut self.components[which] {
                    feed(&self.switch, now, component, &stanza);
                    self.taken += 1;
                }
            }
        }
        self.settle();
    }

    /// Lets everything happen that has a cause.
    fn settle(&mut self) {
        let now = at(self.now);
        for component in self.components.iter_mut().flatten() {
            component.poll_output(&self.switch, now);
        }
        for mut old in core::mem::take(&mut self.leaving) {
            hear(&self.switch, now, &mut old);
            while old.poll_timeout().is_some_and(|at| at <= now.monotonic) {
                old.handle_timeout(&self.switch, now);
            }
            break_off(&self.switch, now, &mut old);
        }
        sweep(&self.switch, now);
        for component in self.components.iter_mut().flatten() {
            component.poll_output(&self.switch, now);
        }
    }

    fn sum(&self, metrics: &[Metric]) -> u64 {
        metrics.iter().map(|metric| count(&self.switch, *metric)).sum()
    }

    fn check(&self) {
        use Metric as M;
        let all = Metric::ALL.iter().map(|metric| (metric.name(), count(&self.switch, *metric)));
        let all: Vec<_> = all.filter(|(_, count)| *count > 0).collect();
        let dropped = [M::DroppedRejected, M::DroppedUndeliverable, M::DroppedByHost, M::LateAnswers];
        let dealt = [M::Routed, M::Answered, M::Bounced, M::Rejected, M::Held];
        let from_queues = count(&self.switch, M::UnsentHeld);
        assert_eq!(self.taken, self.sum(&dropped) + self.sum(&dealt) - from_queues, "taken: {all:?}");
        let ports = self.switch.ports();
        let waiting: usize = ports.iter().map(|port| port.queue.stanzas).sum();
        let entered = self.sum(&[M::Routed, M::Notices, M::HeldSent]);
        let unsent = [M::UnsentBounced, M::UnsentDropped, M::UnsentReplaced, M::UnsentHeld];
        let left = self.sum(&[M::Delivered, M::Torn]) + self.sum(&unsent);
        assert_eq!(entered, left + waiting as u64, "queued: {all:?}");
        let held = held(&self.switch);
        let gone = self.sum(&[M::HeldSent, M::HeldReturned, M::HeldDropped, M::Coalesced]);
        assert_eq!(count(&self.switch, M::Held), gone + held as u64, "held: {all:?}");
    }
}

#[test]
fn d2_every_stanza_taken_is_in_one_state_after_each_step() {
    let mut reached = [0; Metric::ALL.len()];
    for seed in 0..600 {
        let mut play = Play::new(seed);
        for _ in 0..150 {
            play.step();
            play.check();
        }
        play.switch.end_holding();
        for component in play.components.iter_mut().filter_map(Option::take) {
            play.leaving.push(component);
        }
        play.settle();
        play.check();
        for (reached, metric) in reached.iter_mut().zip(Metric::ALL) {
            *reached += count(&play.switch, *metric);
        }
    }
    let never = Metric::ALL.iter().zip(reached).filter(|(_, count)| *count == 0);
    let never: Vec<_> = never.map(|(metric, _)| metric.name()).collect();
    // They need a host, an uplink, and a connection without a proof.
    assert_eq!(never, ["answered", "dropped_by_host", "kept", "failed_negotiations"]);
}

#[test]
fn d1_state_of_a_domain_is_kept_until_it_is_empty() {
    let switch =
        switch_with("b.example", DomainConfig { hold: Duration::from_secs(5), ..DomainConfig::default() });
    let places = || switch.read(|directory| directory.domains.all_places().count());
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    let mut b = log_in(&switch, at(0.0), listener(), "to='b.example'");
    assert_eq!((places(), switch.poll_timeout()), (0, None));
    feed(&switch, at(0.0), &mut a, "<message from='a.example' to='b.example'/>");
    break_off(&switch, at(0.0), &mut b);
    assert_eq!(places(), 1);
    sweep(&switch, at(4.0));
    assert_eq!(places(), 1);
    sweep(&switch, at(6.0));
    sweep(&switch, at(8.0));
    assert_eq!(places(), 0, "nothing is left of it");
    let day = at(0.0).monotonic + Duration::from_secs(86_400);
    assert_eq!(switch.poll_timeout(), Some(day), "but the name");
    hear(&switch, at(8.0), &mut a);
    feed(&switch, at(8.0), &mut a, "<message id='2' from='a.example' to='b.example'/>");
    assert_eq!(places(), 1, "it is made again when it is needed");
    assert_eq!(switch.ports().len(), 1, "it is no port");
    assert_eq!(switch.holder(&Claim::Domain(domain("b.example"))), None);
}

#[test]
fn d1_names_that_come_and_go_leave_a_bounded_number_of_places() {
    let switch = switch_with("*.none", DomainConfig::default());
    let places = || switch.read(|directory| directory.domains.all_places().count());
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    hear(&switch, at(0.0), &mut a);
    let all = MAX_PLACES + 50;
    let mut told = 0;
    for name in 0..all {
        let mut gone = log_in(&switch, at(0.0), listener(), &format!("to='n{name}.example'"));
        let request =
            format!("<iq type='get' id='1' from='a.example' to='n{name}.example'><q xmlns='q'/></iq>");
        feed(&switch, at(0.0), &mut a, &request);
        hear(&switch, at(0.0), &mut gone);
        break_off(&switch, at(0.0), &mut gone);
        if name % 500 == 0 {
            sweep(&switch, at(0.0));
            told += hear(&switch, at(0.0), &mut a).matches("ended before it answered").count();
        }
    }
    sweep(&switch, at(0.0));
    told += hear(&switch, at(0.0), &mut a).matches("ended before it answered").count();
    assert_eq!((told, places()), (all, MAX_PLACES), "all are told, and the last ones leave nothing behind");
    sweep(&switch, at(125.0));
    sweep(&switch, at(127.0));
    assert_eq!(places(), 0);
}

#[test]
fn d1_domain_that_is_configured_later_is_held_for() {
    let switch = switch_with("*.none", DomainConfig::default());
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    let mut b = log_in(&switch, at(0.0), listener(), "to='b.example'");
    feed(
        &switch,
        at(0.0),
        &mut a,
        "<iq type='get' id='1' from='a.example' to='b.example'><q xmlns='q'/></iq>",
    );
    hear(&switch, at(0.0), &mut b);
    break_off(&switch, at(0.0), &mut b);
    sweep(&switch, at(0.0));
    hear(&switch, at(0.0), &mut a);
    let config = DomainConfig { hold: Duration::from_secs(60), ..DomainConfig::default() };
    switch.set_domains([(DomainPattern::parse("b.example").unwrap(), config)]);
    feed(&switch, at(1.0), &mut a, "<message id='2' from='a.example' to='b.example'/>");
    assert_eq!((hear(&switch, at(1.0), &mut a), count(&switch, Metric::Held)), (String::new(), 1));
}

#[test]
fn d1_names_below_a_wildcard_are_held_for_a_day() {
    let config = DomainConfig { hold: Duration::from_secs(86_400), ..DomainConfig::default() };
    let switch = switch_with("*.example", config);
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    hear(&switch, at(0.0), &mut a);
    let mut tell = |now: f64| {
        feed(&switch, at(now), &mut a, "<message from='a.example' to='b.example'/>");
        hear(&switch, at(now), &mut a)
    };
    assert!(tell(0.0).contains("<remote-server-not-found "), "it never was there");
    let mut b = log_in(&switch, at(1.0), listener(), "to='b.example'");
    break_off(&switch, at(1.0), &mut b);
    assert_eq!(tell(2.0), "");
    assert_eq!(tell(86_000.0), "");
    sweep(&switch, at(86_403.0));
    assert!(tell(86_403.0).contains("<remote-server-not-found "), "a day is over");
}

#[test]
fn d3_outage_of_many_domains_bounces_nothing_of_a_live_receiver() {
    let config =
        DomainConfig { hold: Duration::from_secs(60), hold_bytes: 1 << 20, ..DomainConfig::default() };
    let switch = switch_with("*.away.example", config);
    switch.set_max_queued(1 << 20);
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    let mut b = log_in(&switch, at(0.0), listener(), "to='b.example'");
    for name in 0..20 {
        let mut gone = log_in(&switch, at(0.0), listener(), &format!("to='n{name}.away.example'"));
        break_off(&switch, at(0.0), &mut gone);
        let body = "x".repeat(50_000);
        let stanza =
            format!("<message from='a.example' to='n{name}.away.example'><body>{body}</body></message>");
        feed(&switch, at(0.0), &mut a, &stanza);
    }
    hear(&switch, at(0.0), &mut a);
    assert!(count(&switch, Metric::Bounced) > 5, "the holds are full");
    let body = "y".repeat(200_000);
    let stanza = format!("<message from='a.example' to='b.example'><body>{body}</body></message>");
    feed(&switch, at(0.0), &mut a, &stanza);
    feed(&switch, at(0.0), &mut a, &stanza);
    assert_eq!(hear(&switch, at(0.0), &mut a), "", "half of what may wait is left for it");
    assert!(hear(&switch, at(0.0), &mut b).len() > 400_000);
}
