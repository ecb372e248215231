//! A route that was found once is not looked up again, and no change goes unseen over it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::{Local, NOW, bound, domain, listener, send, switch, with, written};
use crate::connection::ConnectionEvent;
use crate::jid::Jid;
use crate::queue::Intake;
use crate::router::{Access, BindPolicy, ConflictBehaviour, Destination, DomainPattern};
use crate::switch::CAPACITY;
use crate::switch::{ListenerConfig, LocalSwitch, Switch};

/// What became of a stanza.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Delivered,
    /// An error went back, with this condition.
    Bounced(&'static str),
    /// A host answered.
    Answered,
    /// Its `from` is not the sender's.
    Rejected,
}
use Became::{Answered, Bounced, Delivered, Rejected};

const AWAY: Became = Bounced("remote-server-timeout");
const UNKNOWN: Became = Bounced("remote-server-not-found");
const DENIED: Became = Bounced("not-allowed");

/// A component that sends.
struct Sender<'a> {
    switch: &'a LocalSwitch,
    connection: Local,
}

impl<'a> Sender<'a> {
    /// `a.example`, which may send from any address.
    fn anyone(switch: &'a LocalSwitch) -> Self {
        Self::new(switch, with(BindPolicy { check_from: false, ..BindPolicy::default() }), "to='a.example'")
    }

    fn new(switch: &'a LocalSwitch, listener: ListenerConfig, attributes: &str) -> Self {
        let mut connection = bound(switch, listener, attributes);
        assert!(matches!(connection.poll_event(), Some(ConnectionEvent::Bound { .. })));
        Self { switch, connection }
    }

    fn send(&mut self, from: &str, to: &str) -> Became {
        let bytes =
            format!("<iq from='{from}' to='{to}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
        let (_, said) = send(self.switch, &mut self.connection, &bytes);
        match self.connection.poll_event() {
            Some(ConnectionEvent::Rejected(_)) => return Rejected,
            None => {}
            other => panic!("{other:?}"),
        }
        if said.is_empty() {
            return Delivered;
        }
        if said.contains("type='result'") {
            return Answered;
        }
        let is_said = |error: &Became| matches!(error, Bounced(name) if said.contains(&format!("<{name} ")));
        let found = [AWAY, UNKNOWN, DENIED].into_iter().find(is_said);
        found.unwrap_or_else(|| panic!("{said}"))
    }

    /// Sends, and tells how often names were looked up for it.
    fn look_ups(&mut self, from: &str, to: &str) -> usize {
        let look_ups = || self.switch.read(|directory| directory.router.look_ups.load(Ordering::Relaxed));
        let before = look_ups();
        self.send(from, to);
        self.switch.read(|directory| directory.router.look_ups.load(Ordering::Relaxed)) - before
    }

    /// Sends, and tells how often that looked at the directory. It goes where the router says.
    fn watch(&mut self, from: &str, to: &str) -> (Became, usize) {
        let (sender, receiver) = (Jid::parse(from).unwrap(), Jid::parse(to).unwrap());
        let by_router =
            self.switch.read(|directory| match directory.router.route_domain(receiver.domain(), None) {
                Destination::Port(_, policy) => {
                    let is_host = directory.router.is_host(sender.domain());
                    if policy.access.allows(&sender, is_host) { Delivered } else { DENIED }
                }
                Destination::Host => Answered,
                Destination::DefaultRoute(_) => unreachable!("the test has none"),
                Destination::Away => AWAY,
                Destination::Unknown => UNKNOWN,
            });
        let before = self.switch.reads.get();
        let became = self.send(from, to);
        let reads = self.switch.reads.get() - before;
        if became != Rejected {
            assert_eq!(became, by_router, "{from} to {to}");
        }
        (became, reads)
    }
}

/// A listener whose components take stanzas from `friend` of any domain, and from senders of our hosts.
fn ruled() -> ListenerConfig {
    let rule = |sender: &Jid<'_>, is_host: bool| is_host || sender.local() == Some("friend");
    let access = Access::Rule(Arc::new(rule));
    with(BindPolicy { access, ..BindPolicy::default() })
}

/// Takes what waits for a component; says whether that is anything.
fn got(switch: &LocalSwitch, connection: &mut Local) -> bool {
    !written(switch, connection).is_empty()
}

/// That many receivers, with their names; every second one has a rule.
fn receivers(switch: &LocalSwitch, n: usize) -> (Vec<String>, Vec<Local>) {
    let names: Vec<_> = (0..n).map(|i| format!("b{i}.example")).collect();
    let connect = |(i, name): (usize, &String)| {
        bound(switch, if i % 2 == 0 { listener() } else { ruled() }, &format!("to='{name}'"))
    };
    let connections = names.iter().enumerate().map(connect).collect();
    (names, connections)
}

#[test]
fn remembered_routes_are_looked_up_once() {
    let switch = switch();
    let (names, _receivers) = receivers(&switch, CAPACITY);
    let mut sender = Sender::anyone(&switch);
    for round in 0..3 {
        for name in &names {
            assert_eq!(sender.watch("friend@a.example", name), (Delivered, usize::from(round == 0)));
        }
        // In another order too, and each more than once.
        for name in names.iter().rev().flat_map(|name| [name, name]) {
            assert_eq!(sender.watch("friend@a.example", name), (Delivered, 0));
        }
        // The rule is asked about each stanza's sender, not about the route.
        for (i, name) in names.iter().enumerate() {
            let became = if i % 2 == 0 { Delivered } else { DENIED };
            assert_eq!(sender.watch("foe@a.example", name), (became, 0));
        }
    }
}

#[test]
fn one_route_more_replaces_the_oldest() {
    let switch = switch();
    let (names, _receivers) = receivers(&switch, CAPACITY + 1);
    let mut sender = Sender::anyone(&switch);
    // In turn each has just been replaced.
    for name in names.iter().chain(&names) {
        assert_eq!(sender.watch("friend@a.example", name), (Delivered, 1));
    }
    assert_eq!(sender.watch("friend@a.example", &names[1]), (Delivered, 0));
    assert_eq!(sender.watch("friend@a.example", &names[0]), (Delivered, 1));
    assert_eq!(sender.watch("friend@a.example", &names[1]), (Delivered, 1));
    // The same receiver from elsewhere is another route.
    assert_eq!(sender.watch("friend@c.example", &names[1]), (Delivered, 1));
    assert_eq!(sender.watch("friend@a.example", &names[1]), (Delivered, 0));
}

#[test]
fn new_route_costs_one_look_up_and_an_unchecked_sender_one_more() {
    let switch = switch();
    let (names, _receivers) = receivers(&switch, CAPACITY + 1);
    // A `from` that the stream has checked is not looked up, whatever the receiver's rule says of it.
    let checked = Sender::new(&switch, listener(), "to='a.example'");
    let prefix = Sender::new(&switch, listener(), "to='a' is_subdomain='true'");
    let anyone = with(BindPolicy { check_from: false, ..BindPolicy::default() });
    let free = Sender::new(&switch, anyone, "to='free.example'");
    // More for a receiver without a rule, and for one with.
    for (mut sender, from, other, more) in [
        (checked, "a.example", None, [0, 0]),
        (prefix, "a.host.example", Some("a.late.example"), [1, 1]),
        (free, "b1.example", Some("host.example"), [0, 1]),
    ] {
        for (i, to) in names.iter().enumerate().chain(names.iter().enumerate()) {
            assert_eq!(sender.look_ups(from, to), 1 + more[i % 2], "{from} to {to}");
        }
        assert_eq!(sender.look_ups(from, &names[CAPACITY]), 0);
        if let Some(other) = other {
            let to = &names[CAPACITY - 1];
            assert!(sender.look_ups(other, to) <= 2);
            assert_eq!(sender.look_ups(other, to), 0);
        }
    }
}

#[test]
fn routes_to_no_component_are_remembered_too() {
    let switch = switch();
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
fn newcomers_ends_and_replacements_are_seen_at_once() {
    let switch = switch();
    let mut sender = Sender::anyone(&switch);
    let mut send = || sender.watch("a.example", "b.example").0;
    assert_eq!((send(), send()), (UNKNOWN, UNKNOWN));
    let mut first = bound(&switch, listener(), "to='b.example'");
    assert_eq!(send(), Delivered);
    assert!(got(&switch, &mut first));
    first.handle_eof(&switch, NOW);
    assert_eq!(send(), UNKNOWN);
    let mut second = bound(&switch, listener(), "to='b.example'");
    assert_eq!(send(), Delivered);
    assert!(got(&switch, &mut second));
    // The old one ends, and its name goes on, in one step.
    let kick = BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() };
    let mut third = bound(&switch, with(kick.clone()), "to='b.example'");
    assert_eq!(send(), Delivered);
    assert_eq!(written(&switch, &mut third).matches("<iq ").count(), 1);
    assert!(!written(&switch, &mut second).contains("<iq "));
    // Its rule goes with it.
    let nobody = BindPolicy { access: Access::Rule(Arc::new(|_: &Jid<'_>, _: bool| false)), ..kick };
    let mut fourth = bound(&switch, with(nobody), "to='b.example'");
    assert_eq!(send(), DENIED);
    assert!(!got(&switch, &mut fourth));
    assert!(!written(&switch, &mut third).contains("<iq "));
}

#[test]
fn no_route_keeps_a_port_that_has_ended() {
    let switch = switch();
    let mut sender = Sender::anyone(&switch);
    let mut receiver = bound(&switch, listener(), "to='b.example'");
    let ended = receiver.port().clone();
    // The route to the host is the first again, so that the other one is not merely replaced.
    assert_eq!(sender.send("a.example", "host.example"), Answered);
    assert_eq!(sender.send("a.example", "b.example"), Delivered);
    assert_eq!(Arc::strong_count(&ended), 4, "the test, the connection, the switch, and the route");
    while switch.poll_wake().is_some() {}
    receiver.handle_error(&switch, NOW, "reset".into());
    drop(receiver);
    // What it had not sent came back.
    assert!(got(&switch, &mut sender.connection));
    assert_eq!(sender.send("a.example", "host.example"), Answered);
    assert_eq!(Arc::strong_count(&ended), 1);
}

#[test]
fn closed_receiver_bounces_after_one_lookup() {
    let switch = switch();
    let mut sender = Sender::anyone(&switch);
    let (names, _receivers) = receivers(&switch, CAPACITY - 1);
    let closed = bound(&switch, listener(), "to='closed.example'");
    for name in &names {
        sender.send("friend@a.example", name);
    }
    sender.send("friend@a.example", "closed.example");
    // As one does whose queue is too long, until its task ends it.
    switch.queue(closed.port(), |queue| queue.set_intake(Intake::Closed));
    for _ in 0..3 {
        let reads = switch.reads.get();
        assert_eq!(sender.send("friend@a.example", "closed.example"), AWAY);
        assert_eq!(switch.reads.get(), reads);
    }
    switch.queue(closed.port(), |queue| queue.set_intake(Intake::Open));
    for name in names.iter().map(String::as_str).chain(["closed.example"]) {
        assert_eq!(sender.watch("friend@a.example", name), (Delivered, 0));
    }
}

#[test]
fn access_rule_sees_at_once_that_a_host_is_added_or_removed() {
    let switch = switch();
    let _ruled = bound(&switch, ruled(), "to='b.example'");
    let mut sender = Sender::anyone(&switch);
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
fn prefix_speaks_for_the_names_that_it_holds_now() {
    let switch = switch();
    let _receiver = bound(&switch, listener(), "to='b.example'");
    let mut sender = Sender::new(&switch, listener(), "to='a' is_subdomain='true'");
    for reads in [1, 0, 0] {
        assert_eq!(sender.watch("a.host.example", "b.example"), (Delivered, reads));
        assert_eq!(sender.watch("a.late.example", "b.example"), (Rejected, reads));
    }
    // It waits for the name as long as another holds it.
    let mut holder = bound(&switch, listener(), "to='a.late.example'");
    switch.add_host(domain("late.example")).unwrap();
    assert_eq!(sender.watch("a.late.example", "b.example"), (Rejected, 1));
    holder.handle_eof(&switch, NOW);
    for reads in [1, 0] {
        assert_eq!(sender.watch("a.late.example", "b.example"), (Delivered, reads));
        assert_eq!(sender.watch("a.host.example", "b.example"), (Delivered, reads));
    }
    switch.remove_host(&domain("host.example"));
    assert_eq!(sender.watch("a.host.example", "b.example"), (Rejected, 1));
    assert_eq!(sender.watch("a.late.example", "b.example"), (Delivered, 1));
}
