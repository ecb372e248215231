//! Receivers that do not read: what they cost, whom they stop and for how long, and how it goes on.

use std::num::NonZeroUsize;
use std::time::Duration;

use enjamb_core::StreamCondition;
use enjamb_core::connection::CloseReason;
use enjamb_core::switch::{Metric, Switch};
use enjamb_tests::sim::{Link, Wire, World};

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;

fn message(to: &str, id: usize, size: usize) -> String {
    format!("<message to='{to}.example' id='{id}'><body>{}</body></message>", "x".repeat(size))
}

fn flood(link: &Link, to: &str, ids: std::ops::Range<usize>) {
    for id in ids {
        link.peer.send(message(to, id, 1000));
    }
}

/// The ids of what came for a link, errors left out, and how many errors there were.
fn got(link: &Link) -> (Vec<usize>, usize) {
    let stream = link.peer.stream();
    let (errors, stanzas): (Vec<_>, Vec<_>) = stream.stanzas().partition(|stanza| stanza.type_ == "error");
    (stanzas.iter().map(|stanza| stanza.id.parse().expect("a number")).collect(), errors.len())
}

fn assert_in_order(ids: &[usize]) {
    assert!(ids.is_sorted_by(|before, after| before < after), "out of order: {ids:?}");
}

#[test]
fn a_receiver_that_never_reads_stops_its_senders_for_five_seconds_and_costs_its_mark() {
    let mut world = World::new(1, &["host.example"]);
    world.wire.capacity = 8 * KIB;
    world.listener.queue_mark = 64 * KIB;
    let [a, other, deaf, lively] =
        ["a", "other", "deaf", "lively"].map(|name| world.bind(&format!("{name}.example")));
    deaf.peer.set_reading(false);
    flood(&a, "deaf", 0..1000);
    a.peer.send(message("lively", 5000, 10));
    for second in 0..4 {
        other.peer.send(message("lively", second, 10));
        world.run(SECOND);
        assert_eq!(got(&lively).0.len(), second + 1, "who does not send to it is served meanwhile");
    }
    // The wire, the mark, and the stanza over it.
    let held = world.count(Metric::Routed) as usize - 4;
    assert!(held * 1060 <= 8 * KIB + 64 * KIB + 2 * 1100, "{held} stanzas are held for it");
    assert_eq!(world.count(Metric::Bounced), 0);
    let polls = world.polls(a.task);
    world.run_ms(900);
    assert!(world.polls(a.task) - polls < 10, "it waits");
    world.run_ms(200);
    // The rest bounces, and what came behind it is delivered.
    assert_eq!(got(&lively).0.last(), Some(&5000));
    assert_eq!(got(&a).1, 1000 - held);
    let stream = a.peer.stream();
    let error = stream.stanzas().next().unwrap();
    assert_eq!((&*error.condition, &*error.error_type), ("resource-constraint", "wait"));
    // Stanzas bounce at once until it has drained.
    flood(&a, "deaf", 2000..2010);
    world.run_ms(10);
    assert_eq!(got(&a).1, 1010 - held);
    deaf.peer.read_only(10 * KIB);
    world.run_ms(10);
    flood(&a, "deaf", 2010..2020);
    world.run_ms(10);
    assert_eq!(got(&a).1, 1020 - held, "it has not drained yet: a stanza taken now would overtake");
    deaf.peer.set_reading(true);
    world.run_ms(10);
    flood(&a, "deaf", 3000..3010);
    world.run_ms(10);
    let (ids, _) = got(&deaf);
    assert_in_order(&ids);
    assert_eq!(ids.len(), held + 10);
    assert_eq!(ids[held..], (3000..3010).collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_reads_in_time_loses_nothing() {
    let mut world = World::new(2, &["host.example"]);
    world.wire.capacity = 8 * KIB;
    world.listener.queue_mark = 16 * KIB;
    let [a, b] = ["a.example", "b.example"].map(|name| world.bind(name));
    flood(&a, "b", 0..400);
    for _ in 0..5 {
        b.peer.set_reading(false);
        world.run_ms(4500);
        b.peer.read_only(60 * KIB);
        world.run_ms(10);
    }
    b.peer.set_reading(true);
    world.run(SECOND);
    assert_eq!(got(&b).0, (0..400).collect::<Vec<_>>());
    assert_eq!(world.count(Metric::Bounced), 0);
}

#[test]
fn what_waits_in_all_outboxes_is_bounded_and_given_back_with_each() {
    let mut world = World::new(9, &["host.example"]);
    world.wire.capacity = 8 * KIB;
    world.listener.queue_mark = 512 * KIB;
    world.switch.set_max_queued(1024 * KIB);
    let a = world.bind("a.example");
    let deaf: Vec<_> = (0..6).map(|n| world.bind(&format!("deaf{n}.example"))).collect();
    for (n, link) in deaf.iter().enumerate() {
        link.peer.set_reading(false);
        flood(&a, &format!("deaf{n}"), 1000 * n..1000 * n + 300);
        world.run_ms(10);
        assert!(world.switch.queued() <= 1024 * KIB, "{}", world.switch.queued());
    }
    // Four hold 300 stanzas each; the pool is used up then, and the others get what is free in each.
    assert_eq!(world.switch.queued(), 1024 * KIB);
    assert_eq!(world.count(Metric::Routed) as usize + got(&a).1, 6 * 300);
    let error_of = |link: &Link| link.peer.stream().stanzas().map(|stanza| stanza.condition.clone()).next();
    assert_eq!(error_of(&a).as_deref(), Some("resource-constraint"));
    // Who reads, is served: nothing waits for it.
    let lively = world.bind("lively.example");
    flood(&a, "lively", 9000..9050);
    world.run_ms(10);
    assert_eq!(got(&lively).0, (9000..9050).collect::<Vec<_>>());
    // Those that read, and those that go, give back what they had.
    let bounced = got(&a).1;
    deaf[0].peer.set_reading(true);
    deaf[1].peer.reset();
    world.run(SECOND);
    assert!(world.switch.queued() <= 512 * KIB, "{}", world.switch.queued());
    let unsent = deaf[1].end().map(|(_, unsent)| unsent as usize);
    let Some(unsent) = unsent.filter(|&unsent| unsent > 250) else { panic!("{unsent:?}") };
    flood(&a, "deaf5", 9100..9200);
    world.run_ms(10);
    assert_eq!(got(&a).1, bounced + unsent, "there is room again");
    for link in &deaf[2..] {
        link.peer.set_reading(true);
    }
    world.run(SECOND);
    assert_eq!(world.switch.queued(), 0);
    // Of the one that went all had been taken; what was on the wire is lost with it.
    let stayed = deaf.iter().enumerate().filter(|(n, _)| *n != 1).map(|(_, link)| got(link).0);
    let delivered: usize = stayed.inspect(|ids| assert_in_order(ids)).map(|ids| ids.len()).sum();
    assert_eq!(delivered + 300 + got(&a).1 - unsent, 6 * 300 + 100, "each was delivered or came back");
}

/// Each of `n` floods the next one, and none reads; then all do.
fn ring(n: usize, pause: Duration) {
    let mut world = World::new(n as u64, &["host.example"]);
    world.wire = Wire { capacity: 4 * KIB, latency: Duration::from_millis(1), ..Wire::default() };
    world.listener.queue_mark = 16 * KIB;
    let links: Vec<_> = (0..n).map(|i| world.bind(&format!("c{i}.example"))).collect();
    for (i, link) in links.iter().enumerate() {
        link.peer.set_reading(false);
        flood(link, &format!("c{}", (i + 1) % n), 0..500);
    }
    world.run(pause);
    let polls: u64 = links.iter().map(|link| world.polls(link.task)).sum();
    world.run(100 * SECOND);
    let idle = links.iter().map(|link| world.polls(link.task)).sum::<u64>() - polls;
    assert!(idle < 200 * n as u64, "{idle} polls in 100 s in which nothing can happen");
    for link in &links {
        link.peer.set_reading(true);
    }
    world.run(30 * SECOND);
    for (i, link) in links.iter().enumerate() {
        assert_eq!(link.peer.backlog(), 0, "it goes on");
        let (ids, _) = got(link);
        assert_in_order(&ids);
        let (_, errors) = got(&links[(i + n - 1) % n]);
        assert_eq!(ids.len() + errors, 500);
        link.peer.send(message(&format!("c{}", (i + 1) % n), 900, 10));
    }
    world.run(SECOND);
    assert!(links.iter().all(|link| got(link).0.last() == Some(&900)), "all is well again");
}

#[test]
fn who_floods_itself_without_reading_goes_on_once_it_reads() {
    ring(1, SECOND);
    ring(1, 7 * SECOND);
}

#[test]
fn two_that_flood_each_other_without_reading_go_on_once_they_read() {
    ring(2, SECOND);
    ring(2, 7 * SECOND);
}

#[test]
fn a_ring_of_five_that_does_not_read_goes_on_once_it_reads() {
    ring(5, SECOND);
    ring(5, 7 * SECOND);
}

#[test]
fn waiting_shaped_and_full_of_own_words_at_once_costs_no_turns() {
    let mut world = World::new(3, &["host.example"]);
    world.wire.capacity = 2 * KIB;
    world.listener.queue_mark = 4 * KIB;
    world.listener.rate = std::num::NonZeroU64::new(200_000);
    let [a, b] = ["a.example", "b.example"].map(|name| world.bind(name));
    a.peer.set_reading(false);
    b.peer.set_reading(false);
    // Refused, so that errors pile up; then some for a receiver that is full.
    a.peer.send("<message from='evil.example' to='b.example' id='e'/>".repeat(400));
    flood(&a, "b", 0..50);
    a.peer.send("<message from='evil.example' to='b.example' id='e'/>".repeat(4000));
    flood(&a, "b", 50..100);
    world.run(10 * SECOND);
    let before = world.polls(a.task);
    world.run(100 * SECOND);
    let polls = world.polls(a.task) - before;
    assert!(polls < 100, "{polls} polls in 100 s in which nothing can happen");
    assert!(a.peer.backlog() > 100_000, "its own errors stop it from being read");
    a.peer.set_reading(true);
    world.run(60 * SECOND);
    b.peer.set_reading(true);
    world.run(SECOND);
    assert_eq!(a.peer.backlog(), 0);
    assert_eq!(got(&a).1 + got(&b).0.len(), 4500);
    assert_in_order(&got(&b).0);
}

#[test]
fn a_queue_of_too_many_stanzas_ends_the_connection_with_resource_constraint() {
    let mut world = World::new(4, &["host.example"]);
    world.wire.capacity = 40_000;
    let a = world.bind("a.example");
    world.listener.max_queue = NonZeroUsize::new(10);
    let b = world.bind("b.example");
    // What the socket takes is no queue.
    a.peer.send((0..200).map(|id| message("b", id, 100)).collect::<String>());
    world.run_ms(100);
    assert_eq!(got(&b).0.len(), 200);
    b.peer.set_reading(false);
    world.run_ms(10);
    for id in 300..330 {
        a.peer.send(message("b", id, 4000));
        world.run_ms(10);
    }
    assert!(b.end().is_none(), "it is given time for its last words");
    let held = world.count(Metric::Routed) as usize - 200;
    assert!((18..=22).contains(&held), "about nine in the wire, ten and one behind it: {held}");
    let successor = world.prove("b.example", "");
    assert!(!successor.peer.is_over(), "the name is free");
    b.peer.set_reading(true);
    world.run(3 * SECOND);
    let stream = b.peer.stream();
    assert_eq!(stream.error(), "resource-constraint");
    assert!(stream.is_whole && b.peer.saw_eof());
    let Some((CloseReason::Error(error), unsent)) = b.end() else { panic!("{:?}", b.end()) };
    assert_eq!(error.condition, StreamCondition::ResourceConstraint);
    let ids = got(&b).0;
    assert_in_order(&ids);
    let delivered = ids.len() - 200;
    assert_eq!(unsent as usize + delivered, held, "{ids:?}");
    let errors = a.peer.stream();
    let conditions: Vec<_> = errors.stanzas().map(|stanza| (&*stanza.id, &*stanza.condition)).collect();
    let bounced = conditions.iter().filter(|(_, condition)| *condition == "recipient-unavailable").count();
    assert_eq!(bounced, unsent as usize + 1, "all unsent, and the one too many: {conditions:?}");
    assert_eq!(delivered + conditions.len(), 30);
}
