//! What others may cost: those who do not read, and those who dawdle. Those who come in thousands are in
//! `interop/crowds.rs`: they need more files than a shell usually allows.

use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::load::{assert_served, machine};
use enjamb_tests::peer::{Element, Peer, first_element, stream_fault};
use enjamb_tests::proc::{open_files, rss_kib};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, digest, handshake_end, has_handshake, has_header, header};

const HOST: &str = "host.example";

fn start() -> Server {
    Config::new(&[HOST]).listener("").start()
}

/// The ids of all elements on a component's stream; quick, and without the judges, which see the whole at its end.
fn ids(received: &[u8]) -> Vec<(String, bool)> {
    let mut rest = &received[handshake_end(received).expect("it is logged in")..];
    let mut ids = Vec::new();
    while let Some(end) = first_element(rest) {
        let xml = String::from_utf8_lossy(&rest[..end]);
        let id = xml.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
        ids.push((id.to_owned(), xml.contains(" type='error'")));
        rest = &rest[end..];
    }
    ids
}

#[test]
fn a_receiver_that_does_not_read_costs_one_outbox_and_bounces_after_five_seconds() {
    const SENDERS: usize = 10;
    const EACH: usize = 500;
    let _turn = machine();
    let server = start();
    let mut stuck = Peer::online(server.addr(0), "stuck.example");
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let before = rss_kib(server.pid());
    let body = "x".repeat(8000);
    let returned = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for n in 0..SENDERS {
            let (server, body, returned) = (&server, &body, &returned);
            scope.spawn(move || {
                let mut sender = Peer::online(server.addr(0), &format!("sender{n}.example"));
                for m in 0..EACH {
                    sender.message("stuck.example", &format!("{n}-{m}"), body);
                }
                let begun = Instant::now();
                sender
                    .send(&format!("<iq type='get' id='end' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>"));
                assert!(sender.wire.wait_for(Duration::from_secs(20), "id='end'"), "{:?}", begun.elapsed());
                let mut came = ids(sender.wire.received());
                came.pop();
                assert!(came.iter().all(|(_, error)| *error), "only errors come back");
                let conditions =
                    sender.wire.text().matches("<error type='wait'><resource-constraint ").count();
                assert_eq!(conditions, came.len());
                returned.lock().expect("nobody panics with it").extend(came.into_iter().map(|(id, _)| id));
            });
        }
        assert_served(&mut one, &mut two, 200);
    });
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("40 MB for a receiver that does not read: {grown} KiB more");
    assert!(grown < 8 * 1024, "{grown} KiB more");
    let mut returned = returned.into_inner().expect("nobody panicked with it");
    assert!(!returned.is_empty(), "nothing was bounced");

    // A receiver that wakes up gets all that did not come back, in each sender's order, and is written to again.
    let expected = SENDERS * EACH - returned.len();
    stuck.wire.wait(Duration::from_millis(500), |_| false);
    let got = ids(stuck.wire.received());
    assert_eq!(got.len(), expected);
    for n in 0..SENDERS {
        let prefix = format!("{n}-");
        let of_one: Vec<usize> = got
            .iter()
            .filter_map(|(id, _)| id.strip_prefix(&prefix).map(|m| m.parse().expect("a number")))
            .collect();
        assert!(of_one.is_sorted(), "{n} out of order");
    }
    returned.extend(got.into_iter().map(|(id, _)| id));
    assert_eq!(
        returned.iter().collect::<HashSet<_>>().len(),
        SENDERS * EACH,
        "each came once, here or there"
    );
    one.message("stuck.example", "awake", "x");
    assert!(stuck.wire.wait_for(Duration::from_secs(5), "'awake'"), "it is not written to again");
}

#[test]
fn two_that_flood_each_other_and_do_not_read_both_recover() {
    const EACH: usize = 2500;
    let _turn = machine();
    let server = start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let flood = |from: &str, to: &str| {
        let body = "x".repeat(8000);
        let message =
            |n| format!("<message from='{from}' to='{to}' id='{from}-{n}'><body>{body}</body></message>");
        (0..EACH).map(message).collect::<String>()
    };
    thread::scope(|scope| {
        for (peer, other) in [(&mut one, "two.example"), (&mut two, "one.example")] {
            scope.spawn(move || {
                let bytes = flood(&peer.domain, other);
                // Until nothing has gone on for longer than a full receiver is waited for.
                let sent = peer.wire.push(bytes.as_bytes(), Duration::from_millis(6500));
                assert!(sent < bytes.len(), "20 MB were taken from one who reads nothing");
                assert_eq!(peer.wire.send(&bytes.as_bytes()[sent..], None), bytes.len() - sent);
                let end = format!("<iq type='get' id='end' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>");
                peer.send(&end);
                let answered = peer.wire.wait_for(Duration::from_secs(20), "id='end'");
                assert!(answered, "{} does not recover", peer.domain);
            });
        }
    });
    for peer in [&mut one, &mut two] {
        peer.wire.wait(Duration::from_millis(300), |_| false);
    }
    let (of_one, of_two) = (ids(one.wire.received()), ids(two.wire.received()));
    for (own, other, name) in [(&of_one, &of_two, "one.example-"), (&of_two, &of_one, "two.example-")] {
        let bounced = own.iter().filter(|(id, error)| *error && id.starts_with(name));
        let delivered = other.iter().filter(|(id, error)| !*error && id.starts_with(name));
        let all: Vec<_> = bounced.chain(delivered).map(|(id, _)| id).collect();
        assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (EACH, EACH), "{name}");
    }
}

/// A byte a second until it is over; gives the error that ended it and how long that took.
fn drip(wire: &mut Wire, text: &str) -> (String, Duration) {
    let begun = Instant::now();
    for byte in text.bytes() {
        wire.send(&[byte], None);
        if wire.wait(Duration::from_secs(1), |_| false) || wire.closed() {
            break;
        }
    }
    (stream_fault(wire).map(|fault| fault.condition).unwrap_or_default(), begun.elapsed())
}

#[test]
fn a_sender_that_drips_is_timed_out_before_authentication_and_disturbs_nobody_after() {
    let server = start();
    let addr = server.addr(0);
    thread::scope(|scope| {
        let headers = scope.spawn(|| drip(&mut Wire::connect(addr), &header("drip.example")));
        let handshakes = scope.spawn(|| {
            let mut wire = Wire::connect(addr);
            let id = wire.open(header("drip.example").as_bytes()).expect("a header");
            drip(&mut wire, &format!("<handshake>{}</handshake>", digest(&id)))
        });
        scope.spawn(|| {
            let mut slow = Peer::online(addr, "slow.example");
            slow.send("<message to='one.example' id='slow'><bo");
            for byte in b"dy>x<" {
                slow.wire.wait(Duration::from_secs(1), |_| false);
                slow.wire.send(&[*byte], None);
            }
            slow.send("/body></message>");
            slow.assert_quiet();
        });
        let mut one = Peer::online(addr, "one.example");
        let mut two = Peer::online(addr, "two.example");
        while !headers.is_finished() || !handshakes.is_finished() {
            one.message("two.example", "m", "x");
            two.stanza("m");
            thread::sleep(Duration::from_millis(20));
        }
        one.stanza("slow");
        for end in [headers, handshakes] {
            let (condition, took) = end.join().expect("it did not panic");
            assert_eq!(condition, "connection-timeout");
            assert!(took > Duration::from_millis(4500) && took < Duration::from_secs(8), "{took:?}");
        }
    });
}

#[test]
fn idle_connections_hold_no_buffers_whatever_went_through_them() {
    const CONNECTIONS: usize = 200;
    let _turn = machine();
    let server = start();
    let log_in = |n: usize| {
        let mut wire = Wire::connect(server.addr(0));
        wire.log_in(header(&format!("c{n}.example")).as_bytes()).expect("it logs in");
        wire.take();
        wire
    };
    let mut wires: Vec<Wire> = (0..CONNECTIONS).map(log_in).collect();
    let before = rss_kib(server.pid());
    let body = "x".repeat(500_000);
    for (n, wire) in wires.iter_mut().enumerate() {
        // To itself: through its input and its outbox.
        let message = format!("<message from='c{n}.example' to='c{n}.example'><body>{body}</body></message>");
        wire.send(message.as_bytes(), None);
        let came = wire.wait(Duration::from_secs(10), |bytes| bytes.ends_with(b"</message>"));
        assert!(came && wire.take() == message.as_bytes(), "{n}");
    }
    // They give back what they hold after a second: 100 MB as input, as much on its way out. What the allocator keeps of it
    // for the next time depends on what lies behind: 1 to 27 MiB were seen.
    thread::sleep(Duration::from_millis(2500));
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("100 MB through {CONNECTIONS} connections: {grown} KiB more");
    assert!(grown < 48 * 1024, "{grown} KiB more");
}

#[test]
fn without_file_descriptors_the_server_serves_on_and_accepts_again() {
    let server = Config::new(&[HOST]).listener("").files(256).args(&["--log", "debug"]).start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    // Those that are not authenticated never take the last file: it takes components to do that.
    let mut crowd = Vec::new();
    while !server.log().contains("no connection can be accepted") {
        assert!(crowd.len() < 256, "each of them has a file");
        let mut wire = Wire::connect(server.addr(0));
        wire.send(header(&format!("c{}.example", crowd.len())).as_bytes(), None);
        if wire.wait(Duration::from_secs(1), has_header) {
            let id = wire.open(b"").expect("a header");
            wire.send(format!("<handshake>{}</handshake>", digest(&id)).as_bytes(), None);
            assert!(wire.wait(Duration::from_secs(5), has_handshake));
        }
        crowd.push(wire);
    }
    assert!(open_files(server.pid()) > 250);
    let waiting: Vec<_> = (0..50).map(|_| Wire::connect(server.addr(0))).collect();
    let attempts = || server.log().matches("accepting failed").count();
    let (before, begun) = (attempts(), Instant::now());
    while begun.elapsed() < Duration::from_secs(3) {
        assert_served(&mut one, &mut two, 1);
        thread::sleep(Duration::from_millis(50));
    }
    let (tried, tasks) = (attempts() - before, thread::available_parallelism().map_or(1, |n| n.get()));
    // Each accept task pauses for a quarter of a second.
    let may = (begun.elapsed().as_millis() as usize / 250 + 2) * tasks;
    println!("{tried} attempts to accept in 3 s without a file descriptor");
    assert!((1..=may).contains(&tried), "{tried} attempts where {may} are enough: it spins");
    let said = server.log().matches("no connection can be accepted").count();
    assert!(said <= 2, "it is said {said} times within 3 s");
    drop((crowd, waiting));
    let mut late = Peer::online(server.addr(0), "late.example");
    late.message("one.example", "late", "x");
    let element: Element = one.stanza("late");
    assert_eq!(element.name(), "message");
}
