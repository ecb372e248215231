use std::net::Ipv4Addr;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::from_origin(SECOND * seconds as u32)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn sources(change: impl FnOnce(&mut SourceLimits)) -> SourceLimiter {
    let mut limits = SourceLimits::default();
    change(&mut limits);
    SourceLimiter::new(limits)
}

/// Connects and fails.
fn fail(sources: &mut SourceLimiter, now: Instant, address: &str) {
    let permit = sources.enter(now, ip(address)).unwrap();
    sources.failed(now, &permit);
    sources.leave(permit);
}

/// How long this address has to wait.
fn wait(sources: &mut SourceLimiter, now: Instant, address: &str) -> Duration {
    match sources.enter(now, ip(address)) {
        Ok(permit) => {
            sources.leave(permit);
            Duration::ZERO
        }
        Err(Denied::BackOff { wait, .. }) => wait,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_source_has_so_many_connections_and_so_many_of_them_unauthenticated() {
    let mut sources = sources(|limits| (limits.connections, limits.unauthenticated) = (3, 2));
    let now = Instant::ORIGIN;
    let mut one = sources.enter(now, ip("192.0.2.1")).unwrap();
    let mut two = sources.enter(now, ip("192.0.2.1")).unwrap();
    assert_eq!(sources.enter(now, ip("192.0.2.1")).unwrap_err(), Denied::Unauthenticated { limit: 2 });
    sources.authenticated(&mut one);
    sources.authenticated(&mut one);
    sources.authenticated(&mut two);
    let three = sources.enter(now, ip("192.0.2.1")).unwrap();
    assert_eq!(sources.enter(now, ip("192.0.2.1")).unwrap_err(), Denied::Connections { limit: 3 });
    let other = sources.enter(now, ip("192.0.2.2")).expect("another source has its own");
    assert_eq!(sources.len(), 2);
    for permit in [one, two, three, other] {
        sources.leave(permit);
    }
    assert!(sources.is_empty(), "nothing is kept of those that did nothing wrong");
}

#[test]
fn failures_are_forgiven_then_cost_ever_more_time_up_to_a_most() {
    let mut sources = sources(|limits| limits.failures = 3);
    let mut now = Instant::ORIGIN;
    let mut waits = Vec::new();
    for _ in 0..14 {
        fail(&mut sources, now, "192.0.2.1");
        let waited = wait(&mut sources, now, "192.0.2.1");
        waits.push(waited.as_secs());
        assert_eq!(wait(&mut sources, now, "192.0.2.9"), Duration::ZERO, "others are let in");
        now += waited;
    }
    assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
}

#[test]
fn who_is_turned_away_does_not_wait_longer_for_it() {
    let mut sources = sources(|limits| limits.failures = 0);
    fail(&mut sources, at(0), "192.0.2.1");
    for _ in 0..1000 {
        assert_eq!(wait(&mut sources, at(0), "192.0.2.1"), SECOND);
    }
    assert_eq!(wait(&mut sources, at(1), "192.0.2.1"), Duration::ZERO);
}

#[test]
fn failures_at_once_count_each_and_no_number_of_them_overflows() {
    let mut sources = sources(|limits| (limits.failures, limits.unauthenticated) = (0, 200));
    let visits: Vec<_> = (0..200).map(|_| sources.enter(at(0), ip("192.0.2.1")).unwrap()).collect();
    for permit in visits {
        sources.failed(at(0), &permit);
        sources.leave(permit);
    }
    let error = sources.enter(at(0), ip("192.0.2.1")).unwrap_err();
    assert_eq!(error, Denied::BackOff { failures: 200, wait: SECOND * 300 });
}

#[test]
fn a_proof_forgives_what_its_source_failed_before() {
    let mut sources = sources(|limits| limits.failures = 1);
    fail(&mut sources, at(0), "192.0.2.1");
    let mut permit = sources.enter(at(0), ip("192.0.2.1")).unwrap();
    sources.authenticated(&mut permit);
    fail(&mut sources, at(0), "192.0.2.1");
    assert_eq!(wait(&mut sources, at(0), "192.0.2.1"), Duration::ZERO, "it is the first failure again");
    // What happens on an authenticated stream is no failed handshake.
    sources.failed(at(0), &permit);
    sources.leave(permit);
    assert_eq!(wait(&mut sources, at(0), "192.0.2.1"), Duration::ZERO);
}

#[test]
fn failures_are_forgotten_after_a_while_of_connections_too() {
    let mut sources = sources(|limits| limits.failures = 1);
    fail(&mut sources, at(0), "192.0.2.1");
    assert_eq!(sources.len(), 1);
    assert_eq!(wait(&mut sources, at(600), "192.0.2.2"), Duration::ZERO);
    assert!(sources.is_empty(), "it is due");

    fail(&mut sources, at(1000), "192.0.2.1");
    let long = sources.enter(at(1001), ip("192.0.2.1")).unwrap();
    fail(&mut sources, at(1700), "192.0.2.1");
    assert_eq!(
        wait(&mut sources, at(1700), "192.0.2.1"),
        Duration::ZERO,
        "the first does not count any more"
    );
    sources.leave(long);
}

#[test]
fn an_ipv6_source_is_its_first_64_bits_and_a_mapped_address_is_an_ipv4_address() {
    let mut sources = sources(|limits| limits.failures = 0);
    fail(&mut sources, at(0), "2001:db8:1:2:aaaa::1");
    assert_eq!(wait(&mut sources, at(0), "2001:db8:1:2:bbbb:cccc:dddd:eeee"), SECOND);
    assert_eq!(wait(&mut sources, at(0), "2001:db8:1:3:aaaa::1"), Duration::ZERO);
    fail(&mut sources, at(0), "::ffff:192.0.2.1");
    assert_eq!(wait(&mut sources, at(0), "192.0.2.1"), SECOND);
    assert_eq!(wait(&mut sources, at(0), "192.0.2.2"), Duration::ZERO);
}

#[test]
fn loopback_is_exempt_unless_set_otherwise() {
    let loopback = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
    let strict = |limits: &mut SourceLimits| (limits.failures, limits.connections) = (0, 1);
    let mut exempting = sources(strict);
    let mut counting = sources(|limits| {
        strict(limits);
        limits.exempt_loopback = false;
    });
    for address in loopback {
        for _ in 0..3 {
            fail(&mut exempting, at(0), address);
        }
    }
    assert!(exempting.is_empty());
    for address in &loopback[..3] {
        fail(&mut counting, at(0), address);
        assert_eq!(wait(&mut counting, at(0), address), SECOND);
    }
    assert_eq!(counting.len(), 3);
}

#[test]
fn the_table_is_bounded_and_the_one_to_be_forgotten_next_goes_first() {
    let mut sources = sources(|limits| (limits.failures, limits.remembered) = (0, 100));
    let address = |n: u32| Ipv4Addr::from_bits(0x0A00_0000 + n);
    for n in 0..100_000_u32 {
        let now = Instant::from_origin(Duration::from_millis(u64::from(n)));
        let permit = sources.enter(now, address(n).into()).unwrap();
        sources.failed(now, &permit);
        sources.leave(permit);
        assert!(sources.len() <= 101, "{}", sources.len());
    }
    assert_eq!((sources.table.len(), sources.idle.len()), (100, 100));
    let now = Instant::from_origin(Duration::from_secs(100));
    assert!(sources.enter(now, address(99_999).into()).is_err());
    assert!(sources.enter(now, address(0).into()).is_ok());
}

/// Any order of comings and goings keeps the books: what is counted is what is there.
#[test]
fn random_comings_and_goings_keep_the_books() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let mut sources = sources(|limits| {
        (limits.connections, limits.unauthenticated, limits.failures, limits.remembered) = (5, 3, 2, 4);
    });
    let mut visits: Vec<(u64, Permit)> = Vec::new();
    let mut now = Instant::ORIGIN;
    let mut turned_away = 0;
    for _ in 0..100_000 {
        now += Duration::from_millis(random(20_000));
        match random(3) {
            0 => {
                let name = random(12);
                let there = visits.iter().filter(|(other, _)| *other == name).count();
                let address = Ipv4Addr::new(192, 0, 2, name as u8);
                match sources.enter(now, address.into()) {
                    Ok(permit) => {
                        assert!(there < 5);
                        visits.push((name, permit));
                    }
                    Err(_) => turned_away += 1,
                }
            }
            1 if !visits.is_empty() => {
                let which = random(visits.len() as u64) as usize;
                sources.authenticated(&mut visits[which].1);
            }
            2 if !visits.is_empty() => {
                let which = random(visits.len() as u64) as usize;
                let permit = visits.swap_remove(which).1;
                if random(2) == 0 {
                    sources.failed(now, &permit);
                }
                sources.leave(permit);
            }
            _ => {}
        }
        for (address, entry) in &sources.table {
            let of_it: Vec<_> = visits.iter().filter(|(_, permit)| permit.source == Some(*address)).collect();
            assert_eq!(entry.connections as usize, of_it.len());
            let unauthenticated = of_it.iter().filter(|(_, permit)| !permit.authenticated).count();
            assert_eq!(entry.unauthenticated as usize, unauthenticated);
            let is_idle = sources.idle.contains(&(entry.forget_at, *address));
            assert_eq!(is_idle, entry.connections == 0);
            assert!(entry.connections > 0 || entry.failures > 0);
        }
        assert!(sources.idle.len() <= 4);
    }
    assert!(turned_away > 100, "{turned_away}");
}

#[test]
fn who_is_turned_away_is_told_why() {
    for (turned_away, words) in [
        (Denied::Connections { limit: 3 }, "its address has 3 connections, which is the most"),
        (
            Denied::Unauthenticated { limit: 2 },
            "its address has 2 connections that are not authenticated, which is the most",
        ),
        (
            Denied::BackOff { failures: 11, wait: SECOND / 2 },
            "its address has failed 11 times and has to wait 1 s",
        ),
    ] {
        assert_eq!(std::format!("{turned_away}"), words);
    }
}
