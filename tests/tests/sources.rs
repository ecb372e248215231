//! Limits by source address, against the real server: all of 127.0.0.0/8 is at hand as sources.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use enjamb_tests::peer::{Peer, stream_fault};
use enjamb_tests::proc::{open_files, rss_kib};
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::wire::{Wire, connect_from, digest, digest_of, has_handshake, header};

const HOST: &str = "host.example";
const WAIT: Duration = Duration::from_secs(5);

/// A server that counts loopback addresses as it does others.
fn counting(sources: &str) -> Server {
    let table = format!("[listen.service.sources]\nexempt_loopback = false\n{sources}");
    Config::new(&[HOST]).listener(&table).start()
}

fn source(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 7, last).into()
}

/// Tries to log in with this secret; gives whether it did, and how it was refused if it was answered at all.
fn attempt(server: &Server, from: IpAddr, domain: &str, secret: &str) -> (Wire, Result<(), Option<String>>) {
    log_in(Wire::connect_from(from, server.addr(0)), domain, secret)
}

/// The same on a connection that has begun.
fn log_in(mut wire: Wire, domain: &str, secret: &str) -> (Wire, Result<(), Option<String>>) {
    let result = match wire.open(header(domain).as_bytes()) {
        Ok(id) => {
            wire.send(format!("<handshake>{}</handshake>", digest_of(&id, secret)).as_bytes(), None);
            wire.wait(WAIT, |bytes| has_handshake(bytes) || bytes.ends_with(b"</stream:stream>"));
            if has_handshake(wire.received()) {
                Ok(())
            } else {
                wire.finish();
                Err(stream_fault(&wire).map(|fault| fault.condition))
            }
        }
        Err(_) => Err(stream_fault(&wire).map(|fault| fault.condition)),
    };
    (wire, result)
}

fn refused(server: &Server, from: IpAddr) -> Option<String> {
    attempt(server, from, "guess.example", "a wrong secret").1.expect_err("the secret is wrong")
}

/// Until the server has noticed the end of what came before.
fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a connection over a limit is refused.
fn turned_away() -> Result<(), Option<String>> {
    Err(Some("policy-violation".to_owned()))
}

#[test]
fn a_name_that_fails_too_often_is_turned_away_and_others_of_its_source_are_not() {
    let server = counting("failures = 3\nbackoff = 2");
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for n in 1..=4 {
        assert_eq!(refused(&server, source(1)).as_deref(), Some("not-authorized"));
        until("it is noted", || server.log().matches("connection ended").count() == n);
    }
    let failed = Instant::now();
    let (wire, result) = attempt(&server, source(1), "guess.example", SECRET);
    assert!(failed.elapsed() < Duration::from_secs(2), "too slow to tell");
    assert_eq!(result, turned_away(), "not even the right secret is looked at");
    assert!(wire.text().contains("this name has failed 4 times from this address: try again in"));
    assert_eq!(attempt(&server, source(1), "other.example", SECRET).1, Ok(()), "it has not failed");
    assert_eq!(attempt(&server, source(2), "guess.example", SECRET).1, Ok(()), "it is of another source");
    comp.assert_quiet();
    let log = server.wait_for_log("this name has failed 4 times");
    assert!(log.contains("SIGHUP lets it in at once"), "{log}");

    std::thread::sleep(Duration::from_millis(2100).saturating_sub(failed.elapsed()));
    assert_eq!(attempt(&server, source(1), "guess.example", SECRET).1, Ok(()), "the time is over");
    // The proof forgave the failures.
    for _ in 0..3 {
        assert_eq!(refused(&server, source(1)).as_deref(), Some("not-authorized"));
    }
}

#[test]
fn whatever_ends_a_stream_in_an_error_before_the_proof_is_a_failure_and_leaving_is_not() {
    let server = counting("source_failures = 0\nsource_recovery = 3600");
    let faults: [(u8, &[u8]); 4] = [
        (1, b"GET / HTTP/1.1\r\n\r\n"),
        (2, b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a'>"),
        (3, b"<?xml version='1.0'?><!DOCTYPE x>"),
        (4, b"\xff\xfe\x00"),
    ];
    for (from, bytes) in faults {
        let mut wire = Wire::connect_from(source(from), server.addr(0));
        wire.send(bytes, None);
        wire.wait(WAIT, |_| false);
        assert!(stream_fault(&wire).is_some(), "{}", wire.text());
        until("it is noted", || server.log().matches("connection ended").count() == usize::from(from));
        let (_, result) = attempt(&server, source(from), "a.example", SECRET);
        assert_eq!(result, turned_away(), "source {from} has failed");
    }
    // A health check connects and leaves; a conflict comes after the proof.
    Wire::connect_from(source(5), server.addr(0)).finish();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    for _ in 0..3 {
        let (_, result) = attempt(&server, source(5), "comp.example", SECRET);
        assert_eq!(result, Err(Some("conflict".to_owned())));
    }
    assert_eq!(attempt(&server, source(5), "a.example", SECRET).1, Ok(()));
    comp.assert_quiet();
}

#[test]
fn loopback_is_exempt_unless_set_otherwise() {
    let server = Config::new(&[HOST])
        .listener("[listen.service.sources]\nfailures = 0\nsource_failures = 0\nmax_connections = 1")
        .start();
    for _ in 0..30 {
        assert_eq!(refused(&server, source(1)).as_deref(), Some("not-authorized"));
    }
    let all: Vec<_> = (0..5).map(|n| Peer::online(server.addr(0), &format!("c{n}.example"))).collect();
    assert_eq!(all.len(), 5);
    assert!(!server.log().contains("turned away"));
}

#[test]
fn a_source_has_so_many_connections_and_so_many_of_them_unauthenticated() {
    let server = counting("max_connections = 4\nmax_unauthenticated = 2");
    let from = source(1);
    let mut waiting: Vec<_> = (0..2).map(|_| Wire::connect_from(from, server.addr(0))).collect();
    let ids: Vec<_> = waiting
        .iter_mut()
        .enumerate()
        .map(|(n, wire)| wire.open(header(&format!("c{n}.example")).as_bytes()).expect("a header"))
        .collect();
    assert_eq!(attempt(&server, from, "third.example", SECRET).1, turned_away());
    let (_other, result) = attempt(&server, source(2), "other.example", SECRET);
    assert_eq!(result, Ok(()), "another source has its own");
    for (wire, id) in waiting.iter_mut().zip(ids) {
        wire.send(format!("<handshake>{}</handshake>", digest(&id)).as_bytes(), None);
        assert!(wire.wait(WAIT, has_handshake));
    }
    let (_three, result) = attempt(&server, from, "third.example", SECRET);
    assert_eq!(result, Ok(()), "they are authenticated");
    let (mut four, result) = attempt(&server, from, "fourth.example", SECRET);
    assert_eq!(result, Ok(()));
    assert_eq!(attempt(&server, from, "fifth.example", SECRET).1, turned_away());
    let log = server.wait_for_log("which is the maximum");
    assert!(log.contains("this address has 2 connections that are not authenticated, which is the maximum"));
    four.finish();
    until("a place is free again", || attempt(&server, from, "fifth.example", SECRET).1 == Ok(()));
}

#[test]
fn over_the_number_that_may_be_unauthenticated_others_wait_until_there_is_room() {
    let server = Config::new(&[HOST]).listener("max_unauthenticated = 3").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut silent: Vec<_> = (0..3).map(|_| Wire::connect(server.addr(0))).collect();
    silent[0].open(header("first.example").as_bytes()).expect("a header");
    let mut late = Wire::connect(server.addr(0));
    late.send(header("late.example").as_bytes(), None);
    assert!(!late.wait(Duration::from_millis(500), |bytes| !bytes.is_empty()), "it has to wait");
    comp.assert_quiet();
    silent.pop().expect("there are three").finish();
    assert!(late.wait(WAIT, |bytes| bytes.ends_with(b">")), "its turn has come");
}

/// Those that have to wait are told so, and nothing is kept of them: a flood leaves no trace.
#[test]
fn a_flood_of_handshakes_from_one_source_costs_no_memory_and_few_lines() {
    let server = counting("failures = 5\nbackoff = 3600\nbackoff_max = 3600");
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    for n in 1..=6 {
        refused(&server, source(1));
        until("it is noted", || server.log().matches("connection ended").count() == n);
    }
    let flood = |number: usize| {
        for _ in 0..number {
            let mut stream = connect_from(source(1), server.addr(0)).expect("a place in the backlog");
            // It may be closed before this is out.
            let _ = stream
                .write_all(format!("{}<handshake>{SECRET}</handshake>", header("guess.example")).as_bytes());
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received);
            let text = String::from_utf8_lossy(&received);
            assert!(text.contains("<policy-violation") && text.ends_with("</stream:stream>"), "{text}");
        }
    };
    flood(500);
    let before = rss_kib(server.pid());
    flood(10_000);
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("10,000 handshakes of a source that has to wait: {grown} KiB more");
    assert!(grown < 1024, "{grown} KiB more");
    until("closed connections leave no file", || open_files(server.pid()) < 30);
    one.message("two.example", "m", "served");
    two.stanza("m");
    // 60 in a minute, and the end of one may be the beginning of another.
    let lines = server.log().matches("this name has failed").count();
    assert!((1..=120).contains(&lines), "{lines} lines");
    assert!(server.log().len() < 100_000, "{} bytes of log", server.log().len());
}

/// Each of many sources fails once: their number must not be what the memory grows with.
#[test]
fn a_failure_of_each_of_many_sources_costs_a_bounded_table() {
    let server = counting("");
    let fail = |range: std::ops::Range<u32>| {
        for n in range {
            let from = Ipv4Addr::from_bits(0x7F01_0000 + n);
            let mut stream = connect_from(from.into(), server.addr(0)).expect("the server accepts");
            let _ = stream.write_all(b"<x>");
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received);
            assert!(received.ends_with(b"</stream:stream>"), "{n}: {}", String::from_utf8_lossy(&received));
        }
    };
    fail(0..1000);
    let (empty, full) = (rss_kib(server.pid()), 11_000);
    fail(1000..full);
    let first = rss_kib(server.pid());
    fail(full..2 * full);
    let second = rss_kib(server.pid());
    println!("failures of 1,000, 11,000 and 22,000 sources: {empty}, {first}, {second} KiB");
    assert!(first < empty + 4096, "{empty} KiB, then {first} KiB");
    assert!(second < first + 1024, "{first} KiB, then {second} KiB");
}

/// A server behind a proxy; the proxy itself is on loopback, and so exempt.
fn behind_a_proxy(sources: &str) -> Server {
    let lines = format!("proxy_protocol = true\nstate_timeout = 1000\n[listen.service.sources]\n{sources}");
    Config::new(&[HOST]).listener(&lines).start()
}

/// A connection that the proxy hands on for this address.
fn proxied(server: &Server, source: &str) -> Wire {
    let family = if source.contains(':') { "TCP6 {} ::1" } else { "TCP4 {} 203.0.113.1" };
    let mut wire = Wire::connect(server.addr(0));
    wire.send(format!("PROXY {} 45678 8888\r\n", family.replace("{}", source)).as_bytes(), None);
    wire
}

#[test]
fn behind_a_proxy_the_address_in_the_header_is_the_source() {
    let server = behind_a_proxy("failures = 2\nbackoff = 3600\nbackoff_max = 3600\nmax_connections = 2");
    let fail = |source: &str| log_in(proxied(&server, source), "guess.example", "a wrong secret").1;
    let enter = |source: &str, domain: &str| log_in(proxied(&server, source), domain, SECRET);
    let noted = |n: usize| until("it is noted", || server.log().matches("connection ended").count() == n);
    for (n, source) in
        (1..).zip(["192.0.2.7", "192.0.2.7", "192.0.2.7", "2001:db8::1", "2001:db8::2", "2001:db8::3"])
    {
        assert_eq!(fail(source), Err(Some("not-authorized".to_owned())), "{source}");
        noted(n);
    }
    // All of an IPv6 subscriber's /64 are one source; the proxy that all of them come through is not a source.
    for source in ["192.0.2.7", "2001:db8::4"] {
        assert_eq!(enter(source, "guess.example").1, turned_away(), "{source}");
    }
    let log = server.wait_for_log("this name has failed 3 times");
    assert!(log.contains("peer=192.0.2.7:45678") && log.contains("has failed 3 times"), "{log}");
    let others: Vec<_> = ["192.0.2.8", "192.0.2.8", "2001:db8:0:1::1"]
        .into_iter()
        .enumerate()
        .map(|(n, source)| enter(source, &format!("c{n}.example")))
        .collect();
    assert!(others.iter().all(|(_, result)| *result == Ok(())), "others are let in");
    assert_eq!(
        enter("192.0.2.8", "third.example").1,
        turned_away(),
        "two connections are the most of one source"
    );
    assert!(server.wait_for_log("which is the maximum").contains("peer=192.0.2.8:45678"));
}

/// A peer that reaches a port that only the proxy should reach.
#[test]
fn a_flood_of_headers_that_lie_or_are_missing_is_bounded() {
    let server = behind_a_proxy("failures = 5\nbackoff = 3600\nbackoff_max = 3600");
    let (mut comp, result) = log_in(proxied(&server, "192.0.2.1"), "comp.example", SECRET);
    assert_eq!(result, Ok(()));
    let flood = |number: u32| {
        for n in 0..number {
            let header = match n % 4 {
                0 => "PROXY TCP4 no address\r\n".to_owned(),
                1 => header("a.example"),
                2 => "\r\n\r\n\0\r\nQUIT\n\x7f\x11\0\0".to_owned(),
                // Each lie names another source.
                _ => format!("PROXY TCP4 {} 203.0.113.1 1 2\r\n<x>", Ipv4Addr::from_bits(0x0a00_0000 + n)),
            };
            let mut stream = connect_from(source(1), server.addr(0)).expect("the server accepts");
            let _ = stream.write_all(header.as_bytes());
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received);
            assert_eq!(n % 4 == 3, received.ends_with(b"</stream:stream>"), "{header:?}");
        }
    };
    flood(1000);
    let before = rss_kib(server.pid());
    flood(8000);
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("8,000 headers that lie or are missing: {grown} KiB more");
    assert!(grown < 2048, "{grown} KiB more");
    until("closed connections leave no file", || open_files(server.pid()) < 30);
    let lines = server.log().lines().filter(|line| line.contains("connection")).count();
    assert!((60..=150).contains(&lines), "{lines} lines: 60 a minute of each kind");
    comp.send(
        format!("<iq type='get' id='p' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>").as_bytes(),
        None,
    );
    assert!(comp.wait_for(WAIT, "id='p'"), "the others are served");
}

#[test]
fn who_sends_no_proxy_header_has_a_place_for_a_while_only() {
    let lines = "proxy_protocol = true\nstate_timeout = 1000\nmax_unauthenticated = 3";
    let server = Config::new(&[HOST]).listener(lines).start();
    let silent: Vec<_> = (0..9).map(|_| Wire::connect(server.addr(0))).collect();
    let begin = Instant::now();
    // Three at a time have a place, and no other; each for a second.
    let (_late, result) = log_in(proxied(&server, "192.0.2.1"), "late.example", SECRET);
    assert_eq!(result, Ok(()));
    let waited = begin.elapsed();
    assert!(waited > Duration::from_millis(2500), "nobody had to make room: {waited:?}");
    drop(silent);
}
