//! What others may cost who come in thousands, and who are waited for longest. Most tests take thousands of files.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::judge;
use enjamb_tests::load::{assert_served, machine};
use enjamb_tests::peer::Peer;
use enjamb_tests::proc::{open_files, peak_rss_kib, rss_kib};
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::wire::{begin_to_connect, header};
use rustix::process::{Resource, Signal, getrlimit, setrlimit};

const HOST: &str = "host.example";

/// Half-open connections that have to be borne at once, and what the server's memory may come to with them: 24 KiB
/// each, and the server itself.
const CROWD: usize = 10_000;
const TWICE: usize = 20_000;
const CROWD_RSS_KIB: u64 = 256 * 1024;

fn start() -> Server {
    Config::new(&[HOST]).listener("").start()
}

#[test]
fn bytes_that_nobody_takes_for_a_minute_end_the_connection() {
    let server = start();
    let _stuck = Peer::online(server.addr(0), "stuck.example");
    let mut sender = Peer::online(server.addr(0), "sender.example");
    let begun = Instant::now();
    let body = "x".repeat(8000);
    for n in 0..2500 {
        sender.message("stuck.example", &n.to_string(), &body);
    }
    let is_end = |line: &&str| line.contains("connection ended") && line.contains("domain=stuck.example");
    let end = || server.log().lines().find(is_end).map(str::to_owned);
    while end().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(200), "it holds its domain for {:?}", begun.elapsed());
        thread::sleep(Duration::from_millis(500));
    }
    let (end, took) = (end().unwrap_or_default(), begun.elapsed());
    println!("ended after {took:?}");
    assert!(end.contains("timed out") && took > Duration::from_secs(55), "{took:?}: {end}");
    Peer::online(server.addr(0), "stuck.example").assert_quiet();
}

/// Connects a crowd that never authenticates, half of it with a header; gives the server's memory with all of it.
fn crowd(server: &Server, one: &mut Peer, two: &mut Peer) -> u64 {
    let opening = header("crowd.example");
    let mut crowd = Vec::with_capacity(CROWD);
    for n in 0..CROWD {
        let mut stream = TcpStream::connect(server.addr(0)).expect("a connection, or a place in the backlog");
        if n % 2 == 0 {
            stream.write_all(opening.as_bytes()).expect("the system takes it");
        }
        crowd.push(stream);
        if n % 2500 == 0 {
            assert_served(one, two, 2);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while open_files(server.pid()) < CROWD {
        assert!(Instant::now() < deadline, "only {} are open", open_files(server.pid()));
        thread::sleep(Duration::from_millis(50));
    }
    let rss = rss_kib(server.pid());
    assert_served(one, two, 50);
    for (n, mut stream) in crowd.into_iter().enumerate() {
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("it has one");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap_or_else(|error| panic!("{n} is not closed: {error}"));
        let text = String::from_utf8_lossy(&received);
        assert!(text.contains("<connection-timeout ") && text.ends_with("</stream:stream>"), "{n}: {text}");
        assert_eq!(judge::check(&received), Ok(()));
    }
    rss
}

/// As many open files as the system lets us have; gives their number.
fn raise_file_limit() -> u64 {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("up to the hard limit one may");
    let most = files.maximum.unwrap_or(u64::MAX);
    assert!(most >= 20_000, "the hard limit of open files is {most}: `ulimit -Hn` must be 20,000 or more");
    most
}

#[test]
fn ten_thousand_that_never_authenticate_are_borne_and_leave_nothing_behind() {
    let _turn = machine();
    raise_file_limit();
    let server = Config::new(&[HOST]).listener("state_timeout = 7000").start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let base = rss_kib(server.pid());
    let first = crowd(&server, &mut one, &mut two);
    let second = crowd(&server, &mut one, &mut two);
    println!("{CROWD} half-open connections: {first} KiB, once more {second} KiB; without {base} KiB");
    assert!(first < CROWD_RSS_KIB, "{first} KiB");
    assert!(second < first + first / 10 + 4096, "{first} KiB, then {second} KiB: it leaks");
    let deadline = Instant::now() + Duration::from_secs(5);
    while open_files(server.pid()) > 50 {
        assert!(Instant::now() < deadline, "{} files stay open", open_files(server.pid()));
        thread::sleep(Duration::from_millis(20));
    }
    assert_served(&mut one, &mut two, 10);
}

/// Far more than the server lets in at once: those over it wait in the system, and cost the server nothing.
#[test]
fn of_twenty_thousand_that_never_authenticate_half_are_let_in_at_once() {
    let _turn = machine();
    let files = raise_file_limit();
    let number = usize::try_from(files.saturating_sub(200)).map_or(TWICE, |most| most.min(TWICE));
    let server = start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let base = rss_kib(server.pid());
    let crowd: Vec<_> = (0..number)
        .map(|n| {
            let source = Ipv4Addr::new(127, 0, 2, u8::try_from(n / 2000).expect("below 11"));
            begin_to_connect(source.into(), server.addr(0)).expect("a socket")
        })
        .collect();
    // Meanwhile the first time out, and others take their places.
    let mut most = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        most = most.max(open_files(server.pid()));
        assert_served(&mut one, &mut two, 5);
    }
    let peak = peak_rss_kib(server.pid());
    println!("{number} half-open connections: {most} files, at most {peak} KiB; without {base} KiB");
    assert!(most > 9000 && most < CROWD + 50, "{most} files");
    assert!(peak < CROWD_RSS_KIB, "{peak} KiB");
    drop(crowd);
}

#[test]
fn a_thousand_that_drip_cost_no_more_than_a_thousand_that_wait() {
    const DRIPPING: usize = 1000;
    let _turn = machine();
    let server = start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let before = rss_kib(server.pid());
    let mut crowd: Vec<TcpStream> =
        (0..DRIPPING).map(|_| TcpStream::connect(server.addr(0)).expect("it accepts")).collect();
    // A byte of each in turn, up to within the last attribute; all in the time that a negotiation may take.
    let text = header("drip.example");
    let begun = Instant::now();
    for byte in text.bytes().take(text.len() - 2) {
        for wire in &mut crowd {
            wire.write_all(&[byte]).expect("the system takes it");
        }
    }
    assert_served(&mut one, &mut two, 5);
    let (grown, took) = (rss_kib(server.pid()).saturating_sub(before), begun.elapsed());
    println!("{DRIPPING} that drip: {grown} KiB more, in {took:?}");
    assert!(grown < 12 * 1024, "{grown} KiB more");
}

/// How many components are bound, as the server itself says.
fn bound(server: &Server) -> usize {
    let said = || server.log().matches("SIGUSR1: summary").count();
    let before = said();
    server.signal(Signal::USR1);
    let deadline = Instant::now() + Duration::from_secs(10);
    while said() == before {
        assert!(Instant::now() < deadline, "it does not answer SIGUSR1");
        thread::sleep(Duration::from_millis(10));
    }
    let log = server.log();
    let line = log.lines().rfind(|line| line.contains("SIGUSR1: summary")).unwrap_or_default();
    let number = line.split("components=").nth(1).and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).expect("the summary has the number")
}

/// Waits until so many are bound. Returns the time, and the most that were bound within a second.
fn all_bound(server: &Server, count: usize) -> (Duration, usize) {
    let begun = Instant::now();
    let (mut last, mut fastest) = (bound(server), 0);
    while last < count {
        assert!(begun.elapsed() < Duration::from_secs(90), "{last} of {count} are bound");
        thread::sleep(Duration::from_secs(1));
        let now = bound(server);
        fastest = fastest.max(now - last.min(now));
        last = now;
    }
    (begun.elapsed(), fastest)
}

#[test]
fn u6_thousand_uplinked_domains_are_back_within_90_s_of_a_restart() {
    const DOMAINS: usize = 1000;
    let _turn = machine();
    raise_file_limit();
    let mut far = start();
    let domains: String =
        (0..DOMAINS).map(|number| format!("[domain.'d{number}.example']\nuplink = 'far'\n")).collect();
    let near = Config::new(&[])
        .listener("")
        .more(&domains)
        .more(&format!(
            "[uplink.far]\naddress = '{}'\nsecret = '{SECRET}'\nconnect = 'always'\n",
            far.addr(0)
        ))
        .start();
    let base = rss_kib(near.pid());
    let (took, _) = all_bound(&far, DOMAINS);
    thread::sleep(Duration::from_secs(3));
    let each = (rss_kib(near.pid()).saturating_sub(base)) as f64 / DOMAINS as f64;
    far.restart();
    let (back, fastest) = all_bound(&far, DOMAINS);
    println!(
        "{DOMAINS} uplinks: first in {took:?}, back in {back:?}, at most {fastest} a second; {each:.1} KiB each"
    );
    // The second in which they are counted is not exactly one.
    assert!(fastest <= 65, "{fastest} in a second");
    assert!(back < Duration::from_secs(90), "{back:?}");
}
