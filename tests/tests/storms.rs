//! What others may cost, in memory and in lines of the log: the real server's resident memory, as Linux tells it,
//! under storms of what each is allowed to send.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use enjamb_tests::load::{assert_served, machine};
use enjamb_tests::peer::{Peer, stream_fault};
use enjamb_tests::proc::{peak_rss_kib, rss_kib};
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::wire::{Wire, connect_from, digest, header};

const HOST: &str = "host.example";
const MIB: u64 = 1024;

fn start() -> Server {
    Config::new(&[HOST]).listener("").start()
}

/// Everything that a stream may hold before it is authenticated, as full as it gets, and never ended.
fn fillings() -> Vec<(&'static str, String)> {
    let start = header("c.example");
    let open = start.strip_suffix('>').expect("a tag ends so");
    let room = 8000 - start.len();
    vec![
        ("one long attribute", format!("{open} a='{}", "x".repeat(room))),
        ("CR in an attribute", format!("{open} a='{}", "\r".repeat(room))),
        ("attributes", (0..120).fold(open.to_owned(), |tag, n| tag + &format!(" a{n:0>40}='{n:0>15}'"))),
        ("namespaces", (0..30).fold(open.to_owned(), |tag, n| tag + &format!(" xmlns:n{n}='urn:{n:0>200}'"))),
        ("a long name", format!("{open} {}", "a".repeat(256))),
        ("blanks in the tag", format!("{open}{}", " ".repeat(room))),
        ("blanks before the header", " ".repeat(8000)),
        ("blanks behind it", start.clone() + &" \n".repeat(3900)),
        ("text of the handshake", format!("{start}<handshake>{}", "0".repeat(7000))),
        ("attributes of the handshake", format!("{start}<handshake a='{}'>", "x".repeat(7000))),
    ]
}

/// Sends all of it and leaves it there.
fn hold(addr: SocketAddr, source: u8, bytes: &str) -> TcpStream {
    use std::io::Write;
    let mut stream = connect_from(Ipv4Addr::new(127, 0, 3, source).into(), addr).expect("the server accepts");
    // Where it is over a limit the server may close before all is out.
    let _ = stream.write_all(bytes.as_bytes());
    stream
}

#[test]
fn before_authentication_a_connection_costs_no_more_than_32_kib_whatever_it_holds() {
    const EACH: usize = 400;
    const MOST_KIB: u64 = 32;
    let _turn = machine();
    for (name, filling) in fillings() {
        let server = Config::new(&[HOST]).listener("state_timeout = 60_000").start();
        let mut comp = Peer::online(server.addr(0), "comp.example");
        let before = rss_kib(server.pid());
        let held: Vec<_> = (0..EACH).map(|n| hold(server.addr(0), (n % 200) as u8 + 1, &filling)).collect();
        // What was sent before is read before this is answered, on each of the server's threads.
        for _ in 0..20 {
            comp.assert_quiet();
            thread::sleep(Duration::from_millis(10));
        }
        let grown = rss_kib(server.pid()).saturating_sub(before);
        println!("{name}: {EACH} connections, {grown} KiB more");
        assert!(grown < MOST_KIB * EACH as u64, "{name}: {grown} KiB for {EACH} connections");
        drop(held);
    }
}

/// Each of these is within every limit, and never ends.
#[test]
fn after_authentication_a_stanza_that_never_ends_costs_its_limit() {
    const PEERS: usize = 8;
    let _turn = machine();
    // A little under 1 MiB, in the shapes that parsers have held many times over.
    let room = (1 << 20) - 200;
    let nested = "<a>".repeat(120) + &"<b/>".repeat((room - 400) / 4);
    let attributes = format!("<x {}/>", (0..120).map(|n| format!(" a{n}='1'")).collect::<String>());
    let namespaces =
        format!("<x {}/>", (0..120).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect::<String>());
    for (name, content) in [
        ("text", "x".repeat(room)),
        ("CR in text", "\r".repeat(room)),
        ("elements, 120 deep", nested),
        ("attributes", attributes.repeat(room / attributes.len())),
        ("namespaces", namespaces.repeat(room / namespaces.len())),
        ("references", "&amp;".repeat(room / 5)),
        ("empty CDATA sections", "<![CDATA[]]>".repeat(room / 12)),
        ("one attribute", format!("<x a='{}", "x".repeat(room - 10))),
    ] {
        let server = start();
        let mut peers: Vec<_> =
            (0..PEERS).map(|n| Peer::online(server.addr(0), &format!("c{n}.example"))).collect();
        let mut comp = Peer::online(server.addr(0), "comp.example");
        let before = rss_kib(server.pid());
        for peer in &mut peers {
            peer.send("<message to='comp.example'>");
            peer.send(&content);
        }
        for _ in 0..20 {
            comp.assert_quiet();
            thread::sleep(Duration::from_millis(10));
        }
        let grown = peak_rss_kib(server.pid()).saturating_sub(before);
        println!("{name}: {PEERS} stanzas of 1 MiB without an end, {grown} KiB more at most");
        // A vector that grows holds up to three times its content, for a moment.
        assert!(grown < PEERS as u64 * 3 * MIB, "{name}: {grown} KiB");
        // Each is held back by its sender, not refused: nothing was over a limit.
        for peer in &mut peers {
            assert!(
                !peer.wire.wait(Duration::ZERO, |_| false) && !peer.wire.closed(),
                "{name}: it was ended"
            );
        }
    }
}

/// A server that holds at most 2 MiB for all that do not read.
fn with_a_small_pool() -> Server {
    Config::of_text(1, |ports| {
        format!(
            "[general]\nhosts = [\"{HOST}\"]\nmax_queued_bytes = 2_097_152\n\
             [[listen.service]]\nip_address = \"127.0.0.1\"\nport = {}\npassword = \"{SECRET}\"\n",
            ports[0]
        )
    })
    .start()
}

#[test]
fn components_that_do_not_read_share_one_bound() {
    const STUCK: usize = 24;
    let _turn = machine();
    let server = with_a_small_pool();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let stuck: Vec<_> = (0..STUCK)
        .map(|n| {
            let mut wire = Wire::connect_with_little_room(server.addr(0));
            wire.log_in(header(&format!("stuck{n}.example")).as_bytes()).expect("it is let in");
            wire
        })
        .collect();
    let before = rss_kib(server.pid());
    let mut sender = Peer::online(server.addr(0), "sender.example");
    let body = "x".repeat(8000);
    for n in 0..STUCK {
        // More than the system's buffers take: the rest waits in the server, up to 1 MiB for each.
        for m in 0..600 {
            sender.message(&format!("stuck{n}.example"), &format!("{n}-{m}"), &body);
        }
    }
    sender.send(&format!("<iq type='get' id='end' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>"));
    assert!(sender.wire.wait_for(Duration::from_secs(60), "id='end'"), "the sender is not heard any more");
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("115 MB for {STUCK} that do not read, with a pool of 2 MiB: {grown} KiB more");
    assert!(grown < 14 * MIB, "{grown} KiB more");
    let bounced = sender.wire.text().matches("server-wide limit on waiting stanzas is reached").count();
    assert!(bounced > 1000, "{bounced} bounced");
    assert_served(&mut one, &mut two, 20);
    drop(stuck);
}

#[test]
fn stanzas_that_are_not_whole_share_one_bound() {
    const PEERS: usize = 40;
    let _turn = machine();
    let server = with_a_small_pool();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    let mut peers: Vec<_> =
        (0..PEERS).map(|n| Peer::online(server.addr(0), &format!("c{n}.example"))).collect();
    let before = rss_kib(server.pid());
    let half = format!("<message id='large' to='comp.example'><body>{}", "x".repeat(400_000));
    for peer in &mut peers {
        peer.send(&half);
        comp.assert_quiet();
    }
    thread::sleep(Duration::from_millis(200));
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("{PEERS} stanzas of 400 kB without an end, with a pool of 2 MiB: {grown} KiB more");
    assert!(grown < 10 * MIB, "{grown} KiB more");
    let (mut whole, mut ended) = (0, 0);
    for peer in &mut peers {
        peer.wire.wait(Duration::from_millis(10), |_| false);
        if let Some(fault) = stream_fault(&peer.wire) {
            assert_eq!(fault.condition, "resource-constraint", "{fault:?}");
            assert!(fault.text.contains("server-wide limit on partial stanzas reached"), "{fault:?}");
            ended += 1;
        } else {
            peer.send("</body></message>");
            comp.stanza("large");
            whole += 1;
        }
    }
    println!("{whole} stanzas came whole, {ended} streams ended");
    assert!(whole >= 4 && ended >= 20, "{whole} whole, {ended} ended");
    // What they held is free again.
    let mut late = Peer::online(server.addr(0), "late.example");
    late.send(&format!("{half}</body></message>"));
    comp.stanza("large");
}

#[test]
fn a_storm_of_errors_costs_nothing_and_comes_to_an_end() {
    let _turn = machine();
    let server = start();
    let mut one = Peer::online(server.addr(0), "one.example");
    let mut two = Peer::online(server.addr(0), "two.example");
    let mut storm = Peer::online(server.addr(0), "storm.example");
    let error = |id: &str, to: &str| {
        format!(
            "<message type='error' id='{id}' to='{to}'><error type='cancel'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    let before = rss_kib(server.pid());
    // To nobody, to a host, to itself, to no address at all: not one is answered.
    for to in ["nowhere.example", HOST, "user@host.example", "not an address"] {
        storm.send(&error("e", to).repeat(20_000));
        storm.assert_quiet();
    }
    // What can be answered is: a component that reads none of it is not read from any more, and costs its mark.
    let mut deaf = Wire::connect_with_little_room(server.addr(0));
    deaf.log_in(header("deaf.example").as_bytes()).expect("it is let in");
    let bad = "<message to='nowhere.example'/><iq/><presence to='a@@b'/>".repeat(1000);
    let mut sent = 0;
    for _ in 0..1000 {
        let now = deaf.push(bad.as_bytes(), Duration::from_secs(1));
        sent += now;
        if now < bad.len() {
            break;
        }
    }
    assert!(sent < 1000 * bad.len(), "all of {sent} bytes were taken from one that reads no answer");
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("80,000 errors, and {sent} bytes of what has to be answered: {grown} KiB more");
    assert!(grown < 4 * MIB, "{grown} KiB more");
    assert_served(&mut one, &mut two, 20);
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("stanza refused")).count();
    assert!(lines <= 40, "{lines} lines, 10 for each connection and minute");
    assert!(log.len() < 50_000, "{} bytes of log", log.len());
}

/// The sum of what the log says there were no lines for, in those of its lines that hold this.
fn suppressed(log: &str, what: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains(what));
    let counted = lines.filter_map(|line| line.split("suppressed=").nth(1)?.split_whitespace().next());
    counted.map(|number| number.parse::<usize>().expect("a number")).sum()
}

/// Whatever ends before it is bound is logged 60 times a minute, all together, and counted.
#[test]
fn a_flood_of_failed_logins_fills_no_disk() {
    let _turn = machine();
    let mut server = start();
    let fail = |number: usize| {
        for n in 0..number {
            let mut wire = Wire::connect(server.addr(0));
            match n % 4 {
                0 => {
                    let id = wire.open(header("guess.example").as_bytes()).expect("a header");
                    let guess = digest(&id).replace(['0', '1', '2', '3', '4', '5', '6', '7'], "f");
                    wire.send(format!("<handshake>{guess}</handshake>").as_bytes(), None);
                }
                1 => _ = wire.send("\u{1b}[31m<x>".as_bytes(), None),
                2 => {
                    // No fault, but a peer without a secret can do it, too.
                    wire.open(header("leaves.example").as_bytes()).expect("a header");
                    continue;
                }
                _ => _ = wire.send(header(&"\u{202e}x ".repeat(500)).as_bytes(), None),
            }
            wire.wait(Duration::from_secs(5), |_| false);
            assert!(stream_fault(&wire).is_some(), "{}", wire.text());
        }
    };
    fail(300);
    let before = rss_kib(server.pid());
    fail(3000);
    let grown = rss_kib(server.pid()).saturating_sub(before);
    println!("3,000 failed logins: {grown} KiB more");
    assert!(grown < 2 * MIB, "{grown} KiB more");
    server.stop();
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("connection ended")).count();
    assert_eq!(lines + suppressed(&log, ""), 3300, "each has a line or is counted");
    // One minute's lines, and those of the next ones if this machine is slow.
    assert!((60..=300).contains(&lines), "{lines} lines for 3,300 connections");
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 1000, "a line of {longest} bytes");
}

/// Who has the secret may come and go as often as it likes: it has 120 lines a minute, and the others theirs.
#[test]
fn a_component_that_comes_and_goes_fills_no_disk_and_hides_no_other() {
    const TIMES: usize = 600;
    const OTHERS: usize = 200;
    let _turn = machine();
    let mut server = start();
    let come_and_go = |domain: &str, last: &str| {
        let mut wire = Wire::connect(server.addr(0));
        wire.log_in(header(domain).as_bytes()).expect("it is let in");
        wire.send(last.as_bytes(), None);
        wire.wait(Duration::from_secs(5), |bytes| bytes.ends_with(b"</stream:stream>"));
    };
    for n in 0..TIMES {
        // A line when it comes, two for what is refused, and one for how it ends.
        come_and_go("flood.example", "<message/><iq/><x></y>");
        if n % (TIMES / 20) == 0 {
            come_and_go("restless.example", "</stream:stream>");
        }
        if n < OTHERS {
            come_and_go(&format!("c{n}.example"), "</stream:stream>");
        }
    }
    server.stop();
    let log = server.log();
    let lines_of =
        |what: &str| log.lines().filter(|line| line.contains(what) && !line.contains("suppressed=")).count();
    for n in 0..OTHERS {
        assert_eq!(lines_of(&format!("c{n}.example")), 2, "c{n}.example");
    }
    assert_eq!(lines_of("restless.example"), 40);
    // The first end of a component has a line about `domains`, besides.
    let lines = lines_of("flood.example") - lines_of("while a component is away");
    println!("{TIMES} connections of one component: {lines} lines");
    assert_eq!(lines + suppressed(&log, "domain=flood.example "), 4 * TIMES, "each has a line or is counted");
    // One minute's lines, and those of the next ones if this machine is slow.
    assert!((120..=480).contains(&lines), "{lines} lines for {TIMES} connections");
}
