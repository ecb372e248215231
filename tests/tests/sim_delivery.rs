//! Every stanza is delivered once, in order, or answered once, or counted: over any cut, wake and pause.

use std::collections::HashMap;
use std::time::Duration;

use enjamb_core::switch::{Metric, Switch};
use enjamb_tests::sim::{Link, Random, Wire, World};

const COMPONENTS: usize = 4;
const STANZAS: usize = 40;

/// What may become of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is delivered to that one, or answered with an error.
    To(usize),
    /// It is answered.
    Answer,
    /// It is counted.
    Drop,
}

fn name(component: usize) -> String {
    format!("c{component}.example")
}

fn stanza(random: &mut Random, sender: usize, number: usize) -> (String, Fate) {
    let id = format!("{sender}-{number}");
    let body = "ab<c/>é&lt;".repeat(random.below(40));
    match random.below(14) {
        0 => (format!("<message to='host.example' id='{id}'>{body}</message>"), Fate::Answer),
        1 => (
            format!("<iq to='host.example' id='{id}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"),
            Fate::Answer,
        ),
        2 => (format!("<message to='u@nowhere.example' id='{id}'>{body}</message>"), Fate::Answer),
        3 => (format!("<presence to='nowhere.example' id='{id}' type='unavailable'/>"), Fate::Drop),
        4 => (format!("<presence to='host.example' id='{id}'/>"), Fate::Drop),
        5 => (format!("<foo xmlns='urn:foo' to='host.example' id='{id}'>{body}</foo>"), Fate::Answer),
        6 => (format!("<message from='evil.example' to='c0.example' id='{id}'/>"), Fate::Answer),
        7 => (format!("<message to='a@b@c' type='error' id='{id}'/>"), Fate::Drop),
        _ => {
            let target = random.below(COMPONENTS);
            let text = format!("<message to='x@{}/r' id='{id}'><body>{body}</body></message>", name(target));
            (text, Fate::To(target))
        }
    }
}

/// One world's life; gives what each component received.
fn play(seed: u64) -> Vec<Vec<u8>> {
    let mut world = World::new(seed, &["host.example"]);
    let mut random = world.random.fork();
    world.wire = Wire {
        capacity: 1 + random.below(3000),
        latency: Duration::from_millis(random.below(3) as u64),
        cut: 1 + random.below(700),
        late: Duration::from_millis(random.below(30) as u64),
    };
    world.listener.queue_mark = 512 + random.below(8000);
    if random.one_in(3) {
        world.listener.rate = std::num::NonZeroU64::new(2000 + random.below(20_000) as u64);
    }
    if random.one_in(2) {
        world.be_restless(2 + random.below(20));
    }
    let links: Vec<Link> = (0..COMPONENTS).map(|component| world.bind(&name(component))).collect();
    let mut fates = HashMap::new();
    for number in 0..STANZAS {
        for (sender, link) in links.iter().enumerate() {
            let (text, fate) = stanza(&mut random, sender, number);
            fates.insert(format!("{sender}-{number}"), fate);
            link.peer.send(text);
            if random.one_in(5) {
                link.peer.send(" \n");
            }
        }
        let other = &links[random.below(COMPONENTS)].peer;
        match random.below(12) {
            0 => other.set_reading(false),
            1..3 => other.set_reading(true),
            3 => other.read_only(random.below(2000)),
            4 if random.one_in(4) => world.run_ms(random.below(7000) as u64),
            _ => world.run_ms(random.below(40) as u64),
        }
    }
    for link in &links {
        link.peer.set_reading(true);
    }
    world.run(Duration::from_secs(90));
    for link in &links {
        assert_eq!(link.peer.backlog(), 0, "seed {seed}: a component is not read from");
        link.peer.send("</stream:stream>");
    }
    world.run(Duration::from_secs(20));
    let streams: Vec<_> = links.iter().map(|link| link.peer.stream()).collect();
    for (link, stream) in links.iter().zip(&streams) {
        assert!(
            stream.is_whole && link.peer.saw_eof() && stream.error().is_empty(),
            "seed {seed}: {stream:?}"
        );
        assert!(!world.is_running(link.task), "seed {seed}");
    }

    // Who got what, how often, and in which order.
    let (mut delivered, mut answered) = (HashMap::new(), HashMap::new());
    for (receiver, stream) in streams.iter().enumerate() {
        let mut last = HashMap::new();
        for element in stream.stanzas() {
            if matches!(&*element.type_, "error" | "result") {
                *answered.entry((receiver, element.id.clone())).or_insert(0) += 1;
                continue;
            }
            *delivered.entry((receiver, element.id.clone())).or_insert(0) += 1;
            let (sender, number) = element.id.split_once('-').expect("ours");
            assert_eq!(element.from, name(sender.parse().expect("a number")), "seed {seed}");
            let number: usize = number.parse().expect("a number");
            let before = last.insert(sender.to_owned(), number);
            assert!(before < Some(number), "seed {seed}: {} overtook {before:?}", element.id);
        }
    }
    for (id, fate) in &fates {
        let sender: usize = id.split_once('-').expect("ours").0.parse().expect("a number");
        let got = match fate {
            Fate::To(target) => delivered.remove(&(*target, id.clone())).unwrap_or(0),
            _ => 0,
        };
        let answers = answered.remove(&(sender, id.clone())).unwrap_or(0);
        assert_eq!(
            got + answers,
            u32::from(*fate != Fate::Drop),
            "seed {seed}: {id}, {fate:?}: {got}, {answers}"
        );
    }
    assert!(delivered.is_empty() && answered.is_empty(), "seed {seed}: {delivered:?} {answered:?}");
    assert_eq!(world.taken(), (COMPONENTS * STANZAS) as u64, "seed {seed}: the counters' sum");
    assert_eq!(world.unsent(), 0, "seed {seed}");
    let drops = [Metric::DroppedRejected, Metric::DroppedUndeliverable, Metric::DroppedByHost];
    let dropped: u64 = drops.into_iter().map(|count| world.count(count)).sum();
    assert_eq!(dropped, fates.values().filter(|fate| **fate == Fate::Drop).count() as u64, "seed {seed}");
    assert_eq!(world.switch.connections(), 0, "seed {seed}");
    links.iter().map(|link| link.peer.received()).collect()
}

#[test]
fn each_stanza_is_delivered_once_and_in_order_or_answered_once_or_counted() {
    for seed in 0..300 {
        play(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in [1, 77, 12_345] {
        assert_eq!(play(seed), play(seed));
    }
    assert_ne!(play(1), play(2));
}

#[test]
fn one_pair_that_floods_does_not_stop_another() {
    let mut world = World::new(5, &["host.example"]);
    world.wire = Wire { capacity: 4096, latency: Duration::from_millis(1), ..Wire::default() };
    let [a, b, c, d] = ["a.example", "b.example", "c.example", "d.example"].map(|name| world.bind(name));
    let message = |to: &str| format!("<message to='{to}' id='m'><body>{}</body></message>", "x".repeat(300));
    a.peer.send(message("b.example").repeat(20_000));
    b.peer.send(message("a.example").repeat(20_000));
    for sent in 1..=50 {
        c.peer.send("<message to='d.example' id='small'/>");
        world.run_ms(10);
        assert!(a.peer.backlog() > 0, "the flood is over");
        assert_eq!(d.peer.stream().stanzas().count(), sent, "each arrives within 10 ms");
    }
}

#[test]
fn a_batch_for_one_receiver_is_one_wake_and_one_write() {
    let mut world = World::new(9, &["host.example"]);
    let [a, b] = ["a.example", "b.example"].map(|name| world.bind(name));
    world.run_ms(10);
    for stanzas in [1, 2, 50] {
        let (polls, writes) = (world.polls(b.task), b.peer.writes());
        a.peer.send("<message to='b.example' id='m'/>".repeat(stanzas));
        world.run_ms(10);
        assert_eq!(world.polls(b.task) - polls, 1, "{stanzas} stanzas");
        assert_eq!(b.peer.writes() - writes, 1, "{stanzas} stanzas");
    }
    assert_eq!(b.peer.stream().stanzas().count(), 53);
}

#[test]
fn a_turn_is_bounded_so_that_others_get_theirs_in_the_same_instant() {
    let mut world = World::new(6, &["host.example"]);
    world.wire.capacity = 64 << 20;
    let [a, b, c, d] = ["a.example", "b.example", "c.example", "d.example"].map(|name| world.bind(name));
    world.listener.queue_mark = 64 << 20;
    a.peer.send("<message to='b.example' id='m'/>".repeat(100_000));
    world.step(1);
    c.peer.send("<message to='d.example' id='small'/>");
    let mut polls = 0;
    while d.peer.stream().stanzas().count() == 0 {
        world.step(1);
        polls += 1;
        assert!(polls < 50, "it waits behind the flood");
    }
    // A poll takes 96 at most.
    assert!(world.taken() <= 96 * polls, "it waited behind {} stanzas in {polls} polls", world.taken());
    drop(b);
}
