//! A way that was found once is not looked up again, and no change goes unseen over it.

use core::sync::atomic::Ordering;
use core::task::Waker;
use std::sync::Arc;

use super::ends::{bound, domain, listener, switch};
use super::streams::{T, stanza, stream_of};
use crate::jid::Jid;
use crate::router::{Access, Claim, ConflictBehaviour, DomainPattern, Route, Terms};
use crate::rt::deliver::{Deliverer, Delivery, Place};
use crate::rt::switch::Port;
use crate::rt::ways::MOST;
use crate::rt::{Listener, Switch};
use crate::stream::ServerStream;

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Delivered,
    /// An error went back, with this condition.
    Bounced(&'static str),
    /// A host answered.
    Answered,
    /// Its `from` is not the sender's.
    Refused,
}
use Became::{Answered, Bounced, Delivered, Refused};

const AWAY: Became = Bounced("remote-server-timeout");
const UNKNOWN: Became = Bounced("remote-server-not-found");
const DENIED: Became = Bounced("not-allowed");

/// A component that sends, and its server's side of it.
struct Sender {
    switch: Arc<Switch>,
    own: Arc<Port>,
    stream: ServerStream,
    deliverer: Deliverer,
}

impl Sender {
    /// `a.example`, which may send from wherever it likes.
    fn anyone(switch: &Arc<Switch>) -> Self {
        let own = bound(switch, with(Terms { check_from: false, ..Terms::default() }), "a.example");
        Self::new(switch, own, stream_of("to='a.example'", false))
    }

    fn new(switch: &Arc<Switch>, own: Arc<Port>, stream: ServerStream) -> Self {
        Self { switch: Arc::clone(switch), own, stream, deliverer: Deliverer::default() }
    }

    fn send(&mut self, from: &str, to: &str) -> Became {
        let bytes =
            format!("<iq from='{from}' to='{to}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
        let stanza = stanza(&mut self.stream, bytes.as_bytes());
        let place = Place { waker: Waker::noop(), now: T, switch: &self.switch, own: &self.own };
        let mut out = Vec::new();
        let delivery = self.deliverer.deliver(&place, &mut self.stream, &stanza.as_stanza(), &mut out);
        self.deliverer.end_batch(self.switch.counters());
        let out = String::from_utf8(out).unwrap();
        match delivery {
            Delivery::Refused(_) => Refused,
            Delivery::Wait(_) => panic!("nobody is full"),
            Delivery::Done if out.is_empty() => Delivered,
            Delivery::Done if out.contains("type='result'") => Answered,
            Delivery::Done => {
                let said =
                    |error: &Became| matches!(error, Bounced(name) if out.contains(&format!("<{name} ")));
                let found = [AWAY, UNKNOWN, DENIED].into_iter().find(said);
                found.unwrap_or_else(|| panic!("{out}"))
            }
        }
    }

    /// Sends, and tells how often names were looked up for it.
    fn look_ups(&mut self, from: &str, to: &str) -> usize {
        let look_ups = |sender: &Self| sender.switch.read().router.look_ups.load(Ordering::Relaxed);
        let before = look_ups(self);
        self.send(from, to);
        look_ups(self) - before
    }

    /// Sends, and tells how often that looked at the switch's state. It goes where the router says.
    fn watch(&mut self, from: &str, to: &str) -> (Became, usize) {
        let (sender, receiver) = (Jid::parse(from).unwrap(), Jid::parse(to).unwrap());
        let route = self.switch.read().router.route(&sender, &receiver);
        let before = self.switch.reads.load(Ordering::Relaxed);
        let became = self.send(from, to);
        let reads = self.switch.reads.load(Ordering::Relaxed) - before;
        if became != Refused {
            let by_route = match route {
                Route::Deliver(_) => Delivered,
                Route::Host => Answered,
                Route::Refused => DENIED,
                Route::Away => AWAY,
                Route::Unknown => UNKNOWN,
            };
            assert_eq!(became, by_route, "{from} to {to}");
        }
        (became, reads)
    }
}

fn with(terms: Terms) -> Listener {
    let mut listener = listener();
    listener.terms = Arc::new(terms);
    listener
}

/// A listener whose components take stanzas from `friend`, wherever, and from whoever is of a host of ours.
fn ruled() -> Listener {
    let rule = |sender: &Jid<'_>, is_host: bool| is_host || sender.local() == Some("friend");
    let access = Access::Rule(Arc::new(rule));
    with(Terms { access, ..Terms::default() })
}

/// Is there a stanza in its outbox? Takes it out.
fn got(port: &Port) -> bool {
    let got = !port.outbox().close().is_empty();
    port.outbox().set_open(true);
    got
}

/// So many receivers; every second one has a rule.
fn receivers(switch: &Switch, n: usize) -> Vec<String> {
    let names: Vec<_> = (0..n).map(|i| format!("b{i}.example")).collect();
    for (i, name) in names.iter().enumerate() {
        bound(switch, if i % 2 == 0 { listener() } else { ruled() }, name);
    }
    names
}

#[test]
fn as_many_ways_as_are_remembered_are_looked_up_once_with_rules_or_without() {
    let switch = Arc::new(switch());
    let (names, mut sender) = (receivers(&switch, MOST), Sender::anyone(&switch));
    for round in 0..3 {
        for name in &names {
            assert_eq!(sender.watch("friend@a.example", name), (Delivered, usize::from(round == 0)));
        }
        // In another order too, and each more than once.
        for name in names.iter().rev().flat_map(|name| [name, name]) {
            assert_eq!(sender.watch("friend@a.example", name), (Delivered, 0));
        }
        // The rule is asked about each stanza's sender, not about the way.
        for (i, name) in names.iter().enumerate() {
            let became = if i % 2 == 0 { Delivered } else { DENIED };
            assert_eq!(sender.watch("foe@a.example", name), (became, 0));
        }
    }
}

#[test]
fn one_way_more_than_are_remembered_takes_the_place_of_the_oldest() {
    let switch = Arc::new(switch());
    let (names, mut sender) = (receivers(&switch, MOST + 1), Sender::anyone(&switch));
    // In turn each has just been replaced.
    for name in names.iter().chain(&names) {
        assert_eq!(sender.watch("friend@a.example", name), (Delivered, 1));
    }
    assert_eq!(sender.watch("friend@a.example", &names[1]), (Delivered, 0));
    assert_eq!(sender.watch("friend@a.example", &names[0]), (Delivered, 1));
    assert_eq!(sender.watch("friend@a.example", &names[1]), (Delivered, 1));
    // The same receiver from elsewhere is another way.
    assert_eq!(sender.watch("friend@c.example", &names[1]), (Delivered, 1));
    assert_eq!(sender.watch("friend@a.example", &names[1]), (Delivered, 0));
}

#[test]
fn a_way_that_is_not_remembered_costs_one_look_up_and_another_sender_one_more_where_it_matters() {
    let switch = Arc::new(switch());
    let names = receivers(&switch, MOST + 1);
    // Whose `from` the stream has checked is not looked up, whatever the receiver's rule says of it.
    let own = bound(&switch, listener(), "a.example");
    let checked = Sender::new(&switch, own, stream_of("to='a.example'", true));
    let own = switch.connect(Arc::new(listener()));
    switch.bind(&own, Claim::Prefix(domain("a"))).unwrap();
    let prefix = Sender::new(&switch, own, stream_of("to='a' is_subdomain='true'", true));
    let free = bound(&switch, with(Terms { check_from: false, ..Terms::default() }), "free.example");
    let free = Sender::new(&switch, free, stream_of("to='free.example'", false));
    for (mut sender, from, other, first) in [
        (checked, "a.example", None, 0),
        (prefix, "a.host.example", Some("a.late.example"), 1),
        (free, "b1.example", Some("host.example"), 1),
    ] {
        // The first with a rule asks about the sender, where anything does.
        let asked: Vec<_> = names.iter().chain(&names).map(|to| sender.look_ups(from, to)).collect();
        assert_eq!(asked.iter().sum::<usize>(), asked.len() + first, "{from}: {asked:?}");
        assert!(asked.iter().all(|asked| (1..=1 + first).contains(asked)), "{asked:?}");
        assert_eq!(sender.look_ups(from, &names[MOST]), 0);
        if let Some(other) = other {
            let to = &names[MOST - 1];
            assert!(sender.look_ups(other, to) <= 2);
            assert_eq!(sender.look_ups(other, to), 0);
        }
    }
}

#[test]
fn ways_that_lead_to_no_component_are_remembered_too() {
    let switch = Arc::new(switch());
    switch.set_known(vec![DomainPattern::parse("down.example").unwrap()]);
    let mut sender = Sender::anyone(&switch);
    for reads in [1, 0, 0] {
        assert_eq!(sender.watch("a.example", "host.example"), (Answered, reads));
        assert_eq!(sender.watch("a.example", "down.example"), (AWAY, reads));
        assert_eq!(sender.watch("a.example", "nobody.example"), (UNKNOWN, reads));
    }
    switch.set_known(vec![DomainPattern::parse("nobody.example").unwrap()]);
    assert_eq!(sender.watch("a.example", "down.example"), (UNKNOWN, 1));
    assert_eq!(sender.watch("a.example", "nobody.example"), (AWAY, 1));
}

#[test]
fn who_comes_goes_or_is_replaced_is_seen_at_once() {
    let switch = Arc::new(switch());
    let mut sender = Sender::anyone(&switch);
    let mut send = || sender.watch("a.example", "b.example").0;
    assert_eq!((send(), send()), (UNKNOWN, UNKNOWN));
    let first = bound(&switch, listener(), "b.example");
    assert_eq!(send(), Delivered);
    assert!(got(&first));
    switch.disconnect(&first);
    assert_eq!(send(), UNKNOWN);
    let second = bound(&switch, listener(), "b.example");
    assert_eq!(send(), Delivered);
    assert!(got(&second) && !got(&first));
    // The old one ends, and its name goes on, in one step.
    let kick = Terms { conflict: ConflictBehaviour::KickOld, ..Terms::default() };
    let third = bound(&switch, with(kick.clone()), "b.example");
    assert_eq!(send(), Delivered);
    assert!(got(&third) && !got(&second));
    // Its rule goes with it.
    let nobody = Terms { access: Access::Rule(Arc::new(|_: &Jid<'_>, _: bool| false)), ..kick };
    let fourth = bound(&switch, with(nobody), "b.example");
    assert_eq!(send(), DENIED);
    assert!(!got(&fourth) && !got(&third));
}

#[test]
fn no_way_keeps_a_connection_that_has_ended() {
    let switch = Arc::new(switch());
    let mut sender = Sender::anyone(&switch);
    let ended = bound(&switch, listener(), "b.example");
    // The way to the host is the first again, so that the other one is not merely replaced.
    assert_eq!(sender.send("a.example", "host.example"), Answered);
    assert_eq!(sender.send("a.example", "b.example"), Delivered);
    assert_eq!(Arc::strong_count(&ended), 3, "the test, the switch, and the way");
    switch.disconnect(&ended);
    assert_eq!(sender.send("a.example", "host.example"), Answered);
    assert_eq!(Arc::strong_count(&ended), 1);
}

#[test]
fn what_is_for_a_receiver_that_ends_comes_back_and_is_not_looked_up_again_and_again() {
    let switch = Arc::new(switch());
    let mut sender = Sender::anyone(&switch);
    let (names, closed) = (receivers(&switch, MOST - 1), bound(&switch, listener(), "closed.example"));
    for name in &names {
        sender.send("friend@a.example", name);
    }
    sender.send("friend@a.example", "closed.example");
    // As one does whose queue is too long, until its task ends it.
    closed.outbox().set_open(false);
    for _ in 0..3 {
        let reads = sender.switch.reads.load(Ordering::Relaxed);
        assert_eq!(sender.send("friend@a.example", "closed.example"), AWAY);
        assert_eq!(sender.switch.reads.load(Ordering::Relaxed), reads);
    }
    closed.outbox().set_open(true);
    for name in names.iter().map(String::as_str).chain(["closed.example"]) {
        assert_eq!(sender.watch("friend@a.example", name), (Delivered, 0));
    }
}

#[test]
fn a_rule_sees_at_once_that_a_host_is_added_or_removed() {
    let switch = Arc::new(switch());
    let (_ruled, mut sender) = (bound(&switch, ruled(), "b.example"), Sender::anyone(&switch));
    for _ in 0..2 {
        for reads in [1, 0] {
            assert_eq!(sender.watch("user@late.example", "b.example"), (DENIED, reads));
            assert_eq!(sender.watch("user@host.example", "b.example"), (Delivered, reads));
        }
        switch.add_host(domain("late.example")).unwrap();
        for reads in [1, 0] {
            assert_eq!(sender.watch("user@late.example", "b.example"), (Delivered, reads));
        }
        assert_eq!(sender.watch("user@a.example", "late.example"), (Answered, 1));
        switch.remove_host(&domain("late.example"));
        assert_eq!(sender.watch("user@a.example", "late.example"), (UNKNOWN, 1));
    }
}

#[test]
fn a_prefix_speaks_for_the_names_that_it_holds_at_the_moment() {
    let switch = Arc::new(switch());
    let _receiver = bound(&switch, listener(), "b.example");
    let own = switch.connect(Arc::new(listener()));
    switch.bind(&own, Claim::Prefix(domain("a"))).unwrap();
    let mut sender = Sender::new(&switch, own, stream_of("to='a' is_subdomain='true'", true));
    for reads in [1, 0, 0] {
        assert_eq!(sender.watch("a.host.example", "b.example"), (Delivered, reads));
        assert_eq!(sender.watch("a.late.example", "b.example"), (Refused, reads));
    }
    // It waits for the name as long as another holds it.
    let holder = bound(&switch, listener(), "a.late.example");
    switch.add_host(domain("late.example")).unwrap();
    assert_eq!(sender.watch("a.late.example", "b.example"), (Refused, 1));
    switch.disconnect(&holder);
    for reads in [1, 0] {
        assert_eq!(sender.watch("a.late.example", "b.example"), (Delivered, reads));
        assert_eq!(sender.watch("a.host.example", "b.example"), (Delivered, reads));
    }
    switch.remove_host(&domain("host.example"));
    assert_eq!(sender.watch("a.host.example", "b.example"), (Refused, 1));
    assert_eq!(sender.watch("a.late.example", "b.example"), (Delivered, 1));
}
