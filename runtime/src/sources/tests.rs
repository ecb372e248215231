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

const NAME: &str = "comp.example";

/// Connects and fails under a name.
fn fail_as(sources: &mut SourceLimiter, now: Instant, address: &str, name: &str) {
    let mut permit = sources.enter(now, ip(address)).unwrap();
    sources.claim(now, &mut permit, name).unwrap();
    sources.failed(now, &permit, Some(name));
    sources.leave(now, permit);
}

fn fail(sources: &mut SourceLimiter, now: Instant, address: &str) {
    fail_as(sources, now, address, NAME);
}

/// How long this address has to wait with this name.
fn wait_as(sources: &mut SourceLimiter, now: Instant, address: &str, name: &str) -> Duration {
    let denied = match sources.enter(now, ip(address)) {
        Ok(mut permit) => {
            let denied = sources.claim(now, &mut permit, name);
            sources.leave(now, permit);
            denied.err()
        }
        Err(denied) => Some(denied),
    };
    match denied {
        None => Duration::ZERO,
        Some(Denied::Name { wait, .. } | Denied::Source { wait }) => wait,
        Some(other) => panic!("{other}"),
    }
}

fn wait(sources: &mut SourceLimiter, now: Instant, address: &str) -> Duration {
    wait_as(sources, now, address, NAME)
}

/// Connects with the right secret, and leaves.
fn prove(sources: &mut SourceLimiter, now: Instant, address: &str, name: &str) -> Result<(), Denied> {
    let mut permit = sources.enter(now, ip(address))?;
    if let Err(denied) = sources.claim(now, &mut permit, name) {
        sources.leave(now, permit);
        return Err(denied);
    }
    sources.authenticated(now, &mut permit);
    sources.leave(now, permit);
    Ok(())
}

#[test]
fn a_source_has_so_many_connections_and_so_many_of_them_unauthenticated() {
    let mut sources = sources(|limits| (limits.connections, limits.unauthenticated) = (3, 2));
    let now = Instant::ORIGIN;
    let mut one = sources.enter(now, ip("192.0.2.1")).unwrap();
    let mut two = sources.enter(now, ip("192.0.2.1")).unwrap();
    assert_eq!(sources.enter(now, ip("192.0.2.1")).unwrap_err(), Denied::Unauthenticated { limit: 2 });
    sources.authenticated(now, &mut one);
    sources.authenticated(now, &mut one);
    sources.authenticated(now, &mut two);
    let three = sources.enter(now, ip("192.0.2.1")).unwrap();
    assert_eq!(sources.enter(now, ip("192.0.2.1")).unwrap_err(), Denied::Connections { limit: 3 });
    let other = sources.enter(now, ip("192.0.2.2")).expect("another source has its own");
    assert_eq!(sources.len(), 2);
    for permit in [one, two, three, other] {
        sources.leave(now, permit);
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
    let mut sources = sources(|limits| {
        (limits.failures, limits.unauthenticated, limits.source_failures) = (0, 200, 1000);
    });
    let visits: Vec<_> = (0..200)
        .map(|_| {
            let mut permit = sources.enter(at(0), ip("192.0.2.1")).unwrap();
            sources.claim(at(0), &mut permit, NAME).unwrap();
            permit
        })
        .collect();
    for permit in visits {
        sources.failed(at(0), &permit, Some(NAME));
        sources.leave(at(0), permit);
    }
    let mut permit = sources.enter(at(0), ip("192.0.2.1")).unwrap();
    let error = sources.claim(at(0), &mut permit, NAME).unwrap_err();
    assert_eq!(error, Denied::Name { failures: 200, wait: SECOND * 300 });
}

#[test]
fn a_proof_forgives_what_its_name_failed_before() {
    let mut sources = sources(|limits| limits.failures = 1);
    fail(&mut sources, at(0), "192.0.2.1");
    prove(&mut sources, at(0), "192.0.2.1", NAME).unwrap();
    fail(&mut sources, at(0), "192.0.2.1");
    assert_eq!(wait(&mut sources, at(0), "192.0.2.1"), Duration::ZERO, "it is the first failure again");
    // What happens on an authenticated stream is no failed handshake.
    let mut permit = sources.enter(at(0), ip("192.0.2.1")).unwrap();
    sources.claim(at(0), &mut permit, NAME).unwrap();
    sources.authenticated(at(0), &mut permit);
    sources.failed(at(0), &permit, Some(NAME));
    sources.leave(at(0), permit);
    assert_eq!(wait(&mut sources, at(0), "192.0.2.1"), Duration::ZERO);
}

#[test]
fn failures_are_forgotten_after_a_while_of_connections_too() {
    let mut sources = sources(|limits| limits.failures = 1);
    fail(&mut sources, at(0), "192.0.2.1");
    assert_eq!((sources.len(), sources.failed.len()), (1, 1));
    assert_eq!(wait(&mut sources, at(600), "192.0.2.2"), Duration::ZERO);
    assert!(sources.is_empty() && sources.failed.len() == 0, "it is due");

    fail(&mut sources, at(1000), "192.0.2.1");
    let long = sources.enter(at(1001), ip("192.0.2.1")).unwrap();
    fail(&mut sources, at(1700), "192.0.2.1");
    assert_eq!(
        wait(&mut sources, at(1700), "192.0.2.1"),
        Duration::ZERO,
        "the first does not count any more"
    );
    sources.leave(at(1700), long);
}

/// A day of one that connects each second with a wrong secret, another with a name that is not listed, and a health check
/// that speaks HTTP.
#[test]
fn bad_components_never_lock_out_a_good_one_of_their_address() {
    let mut sources = sources(|_| {});
    let (mut tried, mut kept) = (0, None);
    for second in 0..86_400 {
        let now = at(second);
        let mut wrong = sources.enter(now, ip("192.0.2.1")).unwrap();
        if sources.claim(now, &mut wrong, "wrong.example").is_ok() {
            tried += 1;
            sources.failed(now, &wrong, Some("wrong.example"));
        }
        let unlisted = sources.enter(now, ip("192.0.2.1")).unwrap();
        sources.failed(now, &unlisted, Some("unlisted.example"));
        let junk = sources.enter(now, ip("192.0.2.1")).unwrap();
        sources.failed(now, &junk, None);
        for permit in [wrong, unlisted, junk] {
            sources.leave(now, permit);
        }
        // Ever new gateways, too.
        let fresh = std::format!("gateway{second}.example");
        prove(&mut sources, now, "192.0.2.1", &fresh).unwrap();
        if second % 100 == 0 {
            let mut good = sources.enter(now, ip("192.0.2.1")).unwrap();
            sources.claim(now, &mut good, "good.example").unwrap();
            sources.authenticated(now, &mut good);
            if let Some(old) = kept.replace(good) {
                sources.leave(now, old);
            }
        }
    }
    assert!((280..310).contains(&tried), "one in 5 minutes, but for the first ones: {tried}");
    assert!(sources.failed.len() < 10, "{}", sources.failed.len());
    assert!(sources.proved.len() < 700, "{}", sources.proved.len());
}

#[test]
fn guesses_under_ever_new_names_use_up_the_budget_of_their_source_alone() {
    let mut sources = sources(|_| {});
    prove(&mut sources, at(0), "192.0.2.1", "good.example").unwrap();
    let mut guesses = 0;
    for second in 1..3600 {
        for n in 0..10 {
            let now = at(second);
            let name = std::format!("guess{second}-{n}.example");
            let Ok(mut permit) = sources.enter(now, ip("192.0.2.1")) else { continue };
            if sources.claim(now, &mut permit, &name).is_ok() {
                guesses += 1;
                sources.failed(now, &permit, Some(&name));
            }
            sources.leave(now, permit);
        }
        if second % 300 == 0 {
            prove(&mut sources, at(second), "192.0.2.1", "good.example")
                .expect("it has proved its secret before");
            prove(&mut sources, at(second), "192.0.2.2", "new.example").expect("it is of another address");
        }
    }
    assert!((440..480).contains(&guesses), "100 at first, then one in 10 s: {guesses}");
    let denied = prove(&mut sources, at(3600), "192.0.2.1", "new.example").unwrap_err();
    assert!(matches!(denied, Denied::Source { wait } if wait <= SECOND * 10), "{denied}");
    assert_eq!(wait_as(&mut sources, at(3620), "192.0.2.1", "new.example"), Duration::ZERO);
}

#[test]
fn an_operator_may_forgive_all_failures() {
    let mut sources = sources(|limits| (limits.failures, limits.source_failures) = (0, 0));
    let there = sources.enter(at(0), ip("192.0.2.2")).unwrap();
    for address in ["192.0.2.1", "192.0.2.2"] {
        fail(&mut sources, at(0), address);
        assert!(wait(&mut sources, at(0), address) > Duration::ZERO);
    }
    sources.forgive();
    for address in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(wait(&mut sources, at(0), address), Duration::ZERO);
    }
    sources.leave(at(0), there);
    assert!(sources.is_empty());
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
    let address = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0A00_0000 + n));
    let millis = |n: u32| Instant::from_origin(Duration::from_millis(u64::from(n)));
    for n in 0..100_000_u32 {
        let now = millis(n);
        let mut permit = sources.enter(now, address(n)).unwrap();
        sources.claim(now, &mut permit, NAME).unwrap();
        if n % 2 == 0 {
            sources.failed(now, &permit, Some(NAME));
        } else {
            sources.authenticated(now, &mut permit);
        }
        sources.leave(now, permit);
        assert!(sources.len() <= 101, "{}", sources.len());
        assert!(sources.failed.len() <= 100 && sources.proved.len() <= 100);
    }
    assert_eq!((sources.table.len(), sources.idle.len()), (100, 100));
    let now = millis(100_000);
    let mut last = sources.enter(now, address(99_998)).unwrap();
    assert!(sources.claim(now, &mut last, NAME).is_err());
    let mut first = sources.enter(now, address(0)).unwrap();
    assert!(sources.claim(now, &mut first, NAME).is_ok());
    sources.leave(now, last);
    sources.leave(now, first);
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
        limits.source_failures = 2;
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
                let permit = &mut visits[which].1;
                if sources.claim(now, permit, NAME).is_ok() {
                    sources.authenticated(now, permit);
                }
            }
            2 if !visits.is_empty() => {
                let which = random(visits.len() as u64) as usize;
                let permit = visits.swap_remove(which).1;
                if random(2) == 0 {
                    sources.failed(now, &permit, None);
                }
                sources.leave(now, permit);
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
        }
        assert!(sources.idle.len() <= 4 && sources.failed.len() <= 4 && sources.proved.len() <= 4);
    }
    assert!(turned_away > 100, "{turned_away}");
}

#[test]
fn who_is_turned_away_is_told_why() {
    for (turned_away, words) in [
        (Denied::Connections { limit: 3 }, "this address has 3 connections, which is the maximum"),
        (
            Denied::Unauthenticated { limit: 2 },
            "this address has 2 connections that are not authenticated, which is the maximum",
        ),
        (
            Denied::Name { failures: 11, wait: SECOND / 2 },
            "this name has failed 11 times from this address: try again in 1 s",
        ),
        (
            Denied::Source { wait: SECOND * 3 / 2 },
            "this address has failed too often, under several names: try again in 2 s",
        ),
    ] {
        assert_eq!(std::format!("{turned_away}"), words);
    }
}
