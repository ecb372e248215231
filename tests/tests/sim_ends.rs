//! How connections end: conflicts, the server's stop, and a connection that is dropped where it stands.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{Access, BindPolicy, ConflictBehaviour};
use enjamb_core::switch::{Metric, Switch};
use enjamb_tests::sim::{Link, Wire, World};

const SECOND: Duration = Duration::from_secs(1);

fn message(to: &str, id: usize) -> String {
    format!("<message to='{to}' id='{id}'><body>{}</body></message>", "x".repeat(500))
}

fn flood(link: &Link, to: &str, n: usize) {
    link.peer.send((0..n).map(|id| message(to, id)).collect::<String>());
}

/// Ids of what was delivered to a link, and how many errors came back to it.
fn got(link: &Link) -> (Vec<usize>, usize) {
    let stream = link.peer.stream();
    let (errors, stanzas): (Vec<_>, Vec<_>) = stream.stanzas().partition(|stanza| stanza.type_ == "error");
    (stanzas.iter().map(|stanza| stanza.id.parse().expect("a number")).collect(), errors.len())
}

fn kicking(world: &mut World) {
    world.listener.policy =
        Arc::new(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
}

#[test]
fn the_newcomer_is_refused_and_the_old_one_untouched() {
    let mut world = World::new(1, &["host.example"]);
    let old = world.bind("a.example");
    for domain in ["a.example", "A.Example", "host.example"] {
        let new = world.prove(domain, "");
        world.run(2 * SECOND);
        assert_eq!(new.peer.stream().error(), "conflict");
        assert!(
            new.peer.stream().is_whole && new.peer.saw_eof() && !new.peer.text().contains("<handshake/>")
        );
    }
    flood(&old, "a.example", 3);
    world.run(SECOND);
    assert_eq!(got(&old).0, [0, 1, 2]);
    assert_eq!(world.switch.connections(), 1);
}

#[test]
fn kick_old_delivers_nothing_to_the_old_one_after_the_bind_and_nothing_twice() {
    for seed in 0..60 {
        let mut world = World::new(seed, &["host.example"]);
        kicking(&mut world);
        world.wire = Wire {
            capacity: 200 + world.random.below(4000),
            latency: Duration::from_millis(seed % 3),
            cut: 1 + world.random.below(900),
            ..Wire::default()
        };
        if seed % 2 == 0 {
            world.be_restless(3);
        }
        let (sender, old) = (world.bind("a.example"), world.bind("b.example"));
        let pause = seed % 4 == 0;
        old.peer.set_reading(!pause);
        flood(&sender, "b.example", 300);
        world.run_ms(seed % 30);
        let new = world.prove("b.example", "");
        assert!(new.peer.text().contains("<handshake/>"), "seed {seed}");
        world.run_ms(if pause { 4000 } else { 0 });
        old.peer.set_reading(true);
        world.run(20 * SECOND);
        let stream = old.peer.stream();
        assert_eq!(stream.error(), "conflict", "seed {seed}");
        assert_eq!(stream.elements.last().unwrap().text, "Replaced by new connection");
        assert!(stream.is_whole && old.peer.saw_eof() && !world.is_running(old.task), "seed {seed}");
        let ((before, _), (after, _), (_, errors)) = (got(&old), got(&new), got(&sender));
        let all: Vec<_> = before.iter().chain(&after).copied().collect();
        assert!(all.is_sorted_by(|one, next| one < next), "seed {seed}: twice, or out of order: {all:?}");
        assert_eq!(all.len() + errors, 300, "seed {seed}");
        assert_eq!(world.count(Metric::UnsentReplaced), old.end().unwrap().1, "seed {seed}");
        assert_eq!(world.unsent() as usize, errors, "seed {seed}: nothing else bounced");
    }
}

#[test]
fn kick_old_waits_for_nobody_whose_tcp_is_dead() {
    let mut world = World::new(2, &["host.example"]);
    kicking(&mut world);
    world.wire.capacity = 2000;
    let (sender, old) = (world.bind("a.example"), world.bind("b.example"));
    old.peer.vanish();
    flood(&sender, "b.example", 20);
    world.run(SECOND);
    let before = world.now();
    let new = world.prove("b.example", "");
    assert!(new.peer.text().contains("<handshake/>") && world.now() - before < SECOND / 10);
    sender.peer.send(message("b.example", 77));
    world.run_ms(10);
    assert_eq!(got(&new).0, [77]);
    assert!(world.is_running(old.task));
    world.run(5 * SECOND);
    assert!(!world.is_running(old.task), "the deadline holds");
    assert_eq!(got(&sender).1 as u64, old.end().unwrap().1);
}

#[test]
fn an_old_one_that_is_dropped_before_it_knows_counts_as_replaced() {
    let mut world = World::new(3, &["host.example"]);
    kicking(&mut world);
    world.wire.capacity = 2000;
    let (sender, old) = (world.bind("a.example"), world.bind("b.example"));
    old.peer.set_reading(false);
    flood(&sender, "b.example", 20);
    world.run(SECOND);
    let new = world.link();
    new.peer.send(enjamb_tests::sim::header("b.example", ""));
    world.run_ms(1);
    new.peer.send(enjamb_tests::sim::handshake(&new.peer.stream().id));
    while world.count(Metric::Bound) < 3 {
        world.step(1);
    }
    world.cancel(old.task);
    world.run(SECOND);
    assert_eq!(
        (world.count(Metric::UnsentReplaced), world.unsent()),
        (got(&sender).1 as u64, got(&sender).1 as u64)
    );
    assert!(world.unsent() > 10);
}

#[test]
fn a_prefix_follows_the_hosts_while_others_send_to_it() {
    let mut world = World::new(4, &["one.example"]);
    let sender = world.bind("a.example");
    let prefix = world.prove("irc", "is_subdomain='true'");
    let host = |name| Domain::parse(name).unwrap();
    let (mut here, mut away) = (0, 0);
    for round in 0..20 {
        let added = round % 2 == 0;
        if added {
            world.switch.add_host(host("two.example")).unwrap();
        } else {
            world.switch.remove_host(&host("two.example"));
        }
        for name in ["irc.one.example", "irc.two.example"] {
            sender.peer.send(message(name, round));
            prefix.peer.send(format!("<message from='{name}' to='a.example' id='{round}'/>"));
        }
        world.run_ms(10);
        here += if added { 2 } else { 1 };
        away += usize::from(!added);
        assert_eq!(got(&prefix).0.len(), here, "round {round}");
        assert_eq!(got(&prefix).1, away, "a name that it lost is no 'from' of its own");
        assert_eq!((got(&sender).0.len(), got(&sender).1), (here, away), "round {round}");
    }
    assert!(!prefix.peer.is_over(), "its stream lives on");
}

#[test]
fn access_is_asked_of_the_sender_and_hidden_ones_are_reachable_and_not_listed() {
    let nobody = |_: &Jid<'_>, _: bool| false;
    let mut world = World::new(5, &["host.example"]);
    let open = world.bind("open.host.example");
    let policy = BindPolicy { hidden: true, ..BindPolicy::default() };
    world.listener.policy = Arc::new(policy.clone());
    let hidden = world.bind("hidden.host.example");
    world.listener.policy = Arc::new(BindPolicy { access: Access::Rule(Arc::new(nobody)), ..policy });
    let shut = world.bind("shut.host.example");
    open.peer.send(message("hidden.host.example", 1) + &message("shut.host.example", 2));
    shut.peer.send(message("open.host.example", 3));
    world.run_ms(10);
    assert_eq!((got(&hidden).0, got(&shut).0, got(&open)), (vec![1], vec![], (vec![3], 1)));
    assert!(open.peer.text().contains("not-allowed"));
    open.peer.send(
        "<iq type='get' to='host.example' id='i'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    );
    world.run_ms(10);
    let text = open.peer.text();
    assert!(text.contains("jid='open.host.example'") || text.contains("jid=\"open.host.example\""), "{text}");
    assert!(!text.contains("jid='hidden") && !text.contains("jid='shut"), "{text}");
}

#[test]
fn at_shutdown_what_was_taken_is_sent_whole_before_the_error() {
    for seed in 0..40 {
        let mut world = World::new(seed, &["host.example"]);
        world.wire = Wire {
            capacity: 300 + world.random.below(3000),
            latency: Duration::from_millis(seed % 4),
            cut: 1 + world.random.below(400),
            ..Wire::default()
        };
        let (a, b, opening) = (world.bind("a.example"), world.bind("b.example"), world.link());
        b.peer.set_reading(seed % 2 == 0);
        flood(&a, "b.example", 100);
        a.peer.send("<message to='b.exam");
        opening.peer.send("<?xml version='1.0'?><stre");
        world.run_ms(seed);
        world.switch.shut_down();
        b.peer.set_reading(true);
        let late = world.link();
        world.run(4 * SECOND);
        for link in [&a, &b, &opening, &late] {
            let stream = link.peer.stream();
            assert_eq!(stream.error(), "system-shutdown", "seed {seed}");
            assert!(stream.is_whole && link.peer.saw_eof() && !world.is_running(link.task), "seed {seed}");
        }
        let ids = got(&b).0;
        assert_eq!(ids, (0..ids.len()).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(ids.len() as u64, world.count(Metric::Routed), "seed {seed}");
        assert_eq!((world.switch.connections(), world.unsent()), (0, 0), "seed {seed}");
    }
}

#[test]
fn shutdown_leaves_silent_receivers_after_five_seconds() {
    let mut world = World::new(6, &["host.example"]);
    world.wire.capacity = 3000;
    let (a, b) = (world.bind("a.example"), world.bind("b.example"));
    b.peer.set_reading(false);
    flood(&a, "b.example", 10);
    world.run_ms(10);
    flood(&a, "b.example", 90);
    world.run_ms(10);
    world.switch.shut_down();
    world.run_ms(4900);
    assert!(world.is_running(b.task) && !world.is_running(a.task));
    world.run_ms(200);
    assert!(!world.is_running(b.task) && world.switch.connections() == 0);
    let (end, unsent) = b.end().unwrap();
    assert!(matches!(end, CloseReason::Error(_)));
    // Some are in the wire, one is half in it.
    assert_eq!((unsent, world.unsent()), (94, 94));
}

#[test]
fn a_connection_that_is_dropped_anywhere_leaves_nothing_behind() {
    for seed in 0..150 {
        let mut world = World::new(seed, &["host.example"]);
        world.wire = Wire { capacity: 2000, cut: 1 + world.random.below(2000), ..Wire::default() };
        world.listener.queue_mark = 3000;
        let (a, b, c) = (world.bind("a.example"), world.bind("b.example"), world.bind("c.example"));
        b.peer.set_reading(false);
        flood(&a, "b.example", 100);
        flood(&c, "b.example", 100);
        flood(&b, "a.example", 10);
        let steps = world.random.below(120);
        world.step(steps);
        if seed % 3 == 0 {
            world.run_ms(1);
        }
        let polls = world.polls(a.task);
        assert!(world.cancel(b.task));
        world.run_ms(1);
        assert!(seed % 3 != 0 || world.polls(a.task) > polls, "seed {seed}: its waiting sender is woken");
        let again = world.bind("b.example");
        world.run(10 * SECOND);
        b.peer.set_reading(true);
        world.run(SECOND);
        for sender in [&a, &c] {
            assert_eq!(sender.peer.backlog(), 0, "seed {seed}");
        }
        let ids = |link: &Link| got(link).0.len();
        let errors = got(&a).1 + got(&c).1;
        let (taken, unsent) = (world.taken(), world.unsent());
        assert!(taken >= 200, "seed {seed}: {taken}");
        assert_eq!(
            world.count(Metric::Bounced) + world.count(Metric::UnsentBounced),
            errors as u64,
            "seed {seed}"
        );
        // What was written is in the wire that nobody reads any more, and one may be half in it.
        let sent = world.count(Metric::Routed) - unsent - (ids(&again) + ids(&a)) as u64;
        assert!(sent * 550 <= 2000 + 1100, "seed {seed}: {sent} went to the one that was dropped");
        assert_eq!(world.switch.connections(), 3, "seed {seed}");
    }
}

#[test]
fn a_reset_in_the_middle_frees_the_name_and_answers_what_was_not_sent() {
    let mut world = World::new(7, &["host.example"]);
    world.wire.capacity = 2000;
    let (a, b) = (world.bind("a.example"), world.bind("b.example"));
    b.peer.set_reading(false);
    flood(&a, "b.example", 20);
    world.run_ms(10);
    b.peer.reset();
    world.run_ms(10);
    let (end, unsent) = b.end().unwrap();
    assert!(matches!(end, CloseReason::Broken(_)) && unsent > 10);
    assert_eq!(got(&a).1 as u64, unsent);
    assert!(!world.bind("b.example").peer.is_over());
}

#[test]
fn waiting_sender_goes_on_once_its_receiver_has_ended() {
    let mut world = World::new(10, &["host.example"]);
    world.wire.capacity = 2000;
    world.listener.queue_mark = 3000;
    let (a, b) = (world.bind("a.example"), world.bind("b.example"));
    b.peer.set_reading(false);
    flood(&a, "b.example", 100);
    a.peer.send(message("a.example", 1));
    world.run_ms(100);
    assert!(got(&a).0.is_empty(), "it waits");
    b.peer.send("</stream:stream>");
    world.run_ms(100);
    assert!(world.is_running(b.task), "its last words are not out");
    assert_eq!(got(&a).0, [1]);
}

#[test]
fn a_half_close_lets_what_was_sent_before_be_delivered() {
    let mut world = World::new(8, &["host.example"]);
    world.wire = Wire { capacity: 700, cut: 90, latency: Duration::from_millis(1), ..Wire::default() };
    let (a, b) = (world.bind("a.example"), world.bind("b.example"));
    flood(&a, "b.example", 30);
    a.peer.shut();
    world.run(SECOND);
    assert_eq!(got(&b).0.len(), 30);
    assert!(a.peer.stream().is_whole && a.peer.saw_eof() && !world.is_running(a.task));
}

#[test]
fn a_stream_that_fails_after_the_bind_is_no_failed_negotiation() {
    let mut world = World::new(9, &["host.example"]);
    let a = world.bind("a.example");
    a.peer.send("<message></iq>");
    world.run(2 * SECOND);
    assert_eq!(a.peer.stream().error(), "not-well-formed");
    assert_eq!(world.count(Metric::FailedNegotiations), 0);
}
