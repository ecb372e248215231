//! What happens when: the rate, the limits on time, the keepalive, and nothing at all.

use std::num::NonZeroU64;
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::switch::{Metric, Switch};
use enjamb_tests::sim::{Wire, World, handshake, header};

const SECOND: Duration = Duration::from_secs(1);

/// No window holds more than its time's worth and one bucket.
fn assert_shaped(taken: &[(Duration, usize)], rate: u64) {
    let mut lowest = 0_i128;
    let (mut total, start) = (0_i128, taken[0].0);
    for (at, n) in taken {
        let earned = (*at - start).as_nanos() as i128 * i128::from(rate) / 1_000_000_000;
        lowest = lowest.min(total - earned);
        total += *n as i128;
        assert!(total - earned - lowest <= i128::from(rate) + 1, "at {at:?}: {total} bytes");
    }
}

#[test]
fn the_shaper_reads_no_faster_than_its_rate_and_drops_nothing() {
    let rate = 5000;
    for seed in 0..6 {
        let mut world = World::new(seed, &["host.example"]);
        let receiver = world.bind("b.example");
        world.listener.rate = NonZeroU64::new(rate);
        world.wire = Wire {
            capacity: 3000,
            cut: [0, 1, 700][seed as usize % 3],
            late: Duration::from_millis(70 * (seed % 2)),
            ..Wire::default()
        };
        let link = world.bind("a.example");
        world.run(SECOND);
        let before = link.peer.taken().len();
        // The third is larger than the bucket.
        for size in [10, 4000, 20_000, 100, 300] {
            link.peer.send(format!("<message to='b.example' id='{size}'>{}</message>", "x".repeat(size)));
        }
        world.run(8 * SECOND);
        assert_shaped(&link.peer.taken()[before..], rate);
        let ids: Vec<_> = receiver.peer.stream().stanzas().map(|stanza| stanza.id.clone()).collect();
        assert_eq!(ids, ["10", "4000", "20000", "100", "300"], "seed {seed}");
        assert!(world.polls(link.task) < 4000 || seed % 3 == 1, "{} polls", world.polls(link.task));
    }
}

#[test]
fn what_is_pipelined_behind_the_handshake_is_shaped_too() {
    let rate = 2000;
    let mut world = World::new(1, &["host.example"]);
    world.listener.rate = NonZeroU64::new(rate);
    let link = world.link();
    link.peer.send(header("a.example", ""));
    world.run_ms(10);
    let id = link.peer.stream().id;
    link.peer.send(handshake(&id) + &"<message to='a.example' id='x'/>".repeat(2000));
    world.run_ms(1);
    let burst: usize = link.peer.taken().iter().map(|(_, n)| n).sum();
    assert!(burst <= 16 * 1024 + rate as usize + header("a.example", "").len(), "{burst} bytes at once");
}

#[test]
fn time_in_which_the_shaper_pauses_does_not_count_against_a_stanza() {
    let mut world = World::new(2, &["host.example"]);
    let receiver = world.bind("b.example");
    world.listener.rate = NonZeroU64::new(100);
    let link = world.bind("a.example");
    // It takes 200 s at this rate.
    link.peer.send(format!("<message to='b.example' id='slow'>{}</message>", "x".repeat(20_000)));
    world.run(220 * SECOND);
    assert_eq!(receiver.peer.stream().stanzas().count(), 1, "{:?}", link.end());
}

#[test]
fn each_step_of_the_negotiation_has_five_seconds() {
    for late in [0, 300] {
        let mut world = World::new(3, &["host.example"]);
        world.wire.late = Duration::from_millis(late);
        let (silent, opened) = (world.link(), world.link());
        opened.peer.send("<?xml version='1.0'?>");
        world.run_ms(4900);
        assert!(!silent.peer.is_over() && !opened.peer.is_over());
        opened.peer.send(&header("a.example", "")[21..]);
        world.run_ms(500);
        assert_eq!(silent.peer.stream().error(), "connection-timeout");
        assert!(silent.peer.stream().is_whole && silent.peer.saw_eof());
        assert!(!opened.peer.is_over());
        world.run_ms(4300);
        assert!(!opened.peer.is_over(), "the handshake's time begins with the header");
        world.run_ms(600);
        assert_eq!(opened.peer.stream().error(), "connection-timeout");
        world.run(2 * SECOND);
        assert_eq!((world.switch.connections(), world.count(Metric::FailedNegotiations)), (0, 2));
    }
}

#[test]
fn a_stanza_that_began_has_two_minutes() {
    let mut world = World::new(4, &["host.example"]);
    let (slow, idle) = (world.bind("a.example"), world.bind("b.example"));
    slow.peer.send("<");
    for _ in 0..119 {
        world.run(SECOND);
        assert!(!slow.peer.is_over());
    }
    slow.peer.send("message to='b.example'><");
    world.run(2 * SECOND);
    assert_eq!(slow.peer.stream().error(), "connection-timeout");
    assert!(!idle.peer.is_over());
    assert_eq!(world.count(Metric::FailedNegotiations), 0, "it was bound");
}

#[test]
fn a_space_comes_after_thirty_seconds_of_silence_and_none_before_authentication() {
    let mut world = World::new(5, &["host.example"]);
    let (quiet, busy) = (world.bind("a.example"), world.bind("b.example"));
    let start = world.now();
    for _ in 0..12 {
        world.run(10 * SECOND);
        busy.peer.send("<message to='b.example'/>");
    }
    world.run(SECOND);
    let spaces: Vec<_> = quiet
        .peer
        .arrivals()
        .iter()
        .filter(|(at, _)| *at > start)
        .map(|(at, n)| ((*at - start).as_secs(), *n))
        .collect();
    assert_eq!(
        spaces,
        [(29, 1), (59, 1), (89, 1), (119, 1)].map(|(at, n)| (at + u64::from(spaces[0].0 == 30), n))
    );
    assert!(!busy.peer.text().ends_with(' ') && !busy.peer.text().contains("/> "), "it is never silent");
    let open = world.link();
    open.peer.send(header("c.example", ""));
    world.run_ms(4000);
    assert!(open.peer.text().ends_with('>'));
}

#[test]
fn an_idle_connection_is_left_alone_between_its_keepalives() {
    let mut world = World::new(6, &["host.example"]);
    let links = ["a.example", "b.example", "c.example"].map(|name| world.bind(name));
    world.run(5 * SECOND);
    let before = links.each_ref().map(|link| world.polls(link.task));
    world.run(300 * SECOND);
    for (link, before) in links.iter().zip(before) {
        let polls = world.polls(link.task) - before;
        assert!(polls <= 50, "{polls} polls for 10 keepalives");
    }
}

#[test]
fn last_words_have_five_seconds_and_then_the_connection_is_closed() {
    let mut world = World::new(7, &["host.example"]);
    world.wire.capacity = 600;
    let (reader, deaf) = (world.bind("a.example"), world.bind("b.example"));
    deaf.peer.set_reading(false);
    reader.peer.send(format!("<message to='b.example' id='1'>{}</message>", "x".repeat(2000)).repeat(3));
    world.run(SECOND);
    deaf.peer.send("<bad");
    deaf.peer.send("<");
    world.run_ms(10);
    let again = world.prove("b.example", "");
    assert!(again.peer.text().contains("<handshake/>"), "its name is free at once");
    world.run_ms(4800);
    assert!(world.is_running(deaf.task));
    world.run_ms(300);
    assert!(!world.is_running(deaf.task));
    let (end, unsent) = deaf.end().unwrap();
    assert!(matches!(end, CloseReason::Error(_)));
    // One was being written, two were not begun: they are answered.
    assert_eq!((unsent, world.count(Metric::UnsentBounced)), (2, 2));
    let stream = reader.peer.stream();
    assert!(stream.stanzas().all(|stanza| stanza.condition == "recipient-unavailable"), "{stream:?}");
    assert_eq!(stream.stanzas().count(), 2);
}

#[test]
fn after_the_end_a_second_or_64_kib_are_read_and_thrown_away() {
    let mut world = World::new(8, &["host.example"]);
    world.wire.capacity = 1 << 20;
    let (still, chatty) = (world.bind("a.example"), world.bind("b.example"));
    still.peer.send("</stream:stream>");
    world.run_ms(900);
    assert!(still.peer.saw_eof() && world.is_running(still.task));
    world.run_ms(200);
    assert!(!world.is_running(still.task));
    chatty.peer.send("</stream:stream>");
    world.run_ms(1);
    let before: usize = chatty.peer.taken().iter().map(|(_, n)| n).sum();
    // In many small reads, or in large ones.
    for _ in 0..10 {
        chatty.peer.send("x");
        world.run_ms(10);
    }
    assert!(world.is_running(chatty.task));
    chatty.peer.send("x".repeat(500_000));
    world.run_ms(1);
    let after: usize = chatty.peer.taken().iter().map(|(_, n)| n).sum();
    assert_eq!(after - before, 64 * 1024);
    assert!(!world.is_running(chatty.task));
    assert!(chatty.peer.stream().is_whole);
}
