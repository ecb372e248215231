//! Who gets a domain that is taken, and what becomes of those who lose their connection.

use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::proc::open_files;
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::wire::{Wire, header};

const HOST: &str = "host.example";

fn start(lines: &str) -> Server {
    Config::new(&[HOST]).listener(lines).start()
}

/// The numbers of the messages in what was received.
fn ids(text: &str) -> Vec<usize> {
    let numbers = text.split(" id='m").skip(1).filter_map(|rest| rest.split('\'').next());
    numbers.map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn kick_old_waits_for_nobody_and_loses_nothing() {
    let server = start("conflict_behaviour = \"kick_old\"");
    let mut old = Peer::online(server.addr(0), "comp.example");
    let mut sender = Peer::online(server.addr(0), "sender.example");
    // Until the old one, which does not read, is full.
    let (body, mut sent) = ("x".repeat(8000), 0);
    loop {
        for _ in 0..20 {
            sender.message("comp.example", &format!("m{sent}"), &body);
            sent += 1;
        }
        sender.send(&format!("<iq type='get' id='heard' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        if sender.next_xml(Duration::from_millis(300)).is_none() {
            break;
        }
    }
    let begun = Instant::now();
    let mut new = Peer::online(server.addr(0), "comp.example");
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited {:?} for the old one", begun.elapsed());
    sender.message("comp.example", "m1000000", "for the new one");
    let fault = old.stream_fault();
    assert_eq!((&*fault.condition, &*fault.text), ("conflict", "Replaced by new connection"));

    assert!(new.wire.wait_for(Duration::from_secs(5), "'m1000000'"), "nothing comes to the new one");
    let bounced: Vec<_> = sender.sync();
    let of_old = ids(&old.wire.text());
    let of_new = ids(&new.wire.text());
    let returned: Vec<usize> = bounced
        .iter()
        .filter_map(|e| e.attribute("id")?.strip_prefix('m')?.parse().ok().filter(|_| e.fault().is_some()))
        .collect();
    assert!(of_old.is_sorted() && of_new.is_sorted() && !of_old.is_empty() && !returned.is_empty());
    assert!(of_old.last() < of_new.first(), "the old one got something after the new one");
    let all: Vec<_> = [of_old, of_new, returned].concat();
    assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (sent + 1, sent + 1));
    let log = server.wait_for_log("it replaced another connection");
    assert!(log.contains("condition=conflict"), "{log}");
}

#[test]
fn a_conflict_shows_only_to_one_who_has_the_secret() {
    for lines in ["", "conflict_behaviour = \"kick_old\""] {
        let server = start(lines);
        let mut holder = Peer::online(server.addr(0), "comp.example");
        for domain in ["comp.example", HOST, "free.example"] {
            let mut wire = Wire::connect(server.addr(0));
            wire.open(header(domain).as_bytes()).expect("a header, even if another holds the domain");
            wire.send(format!("<handshake>{}</handshake>", "0".repeat(40)).as_bytes(), None);
            wire.wait(Duration::from_secs(5), |_| false);
            let fault = enjamb_tests::peer::stream_fault(&wire).expect("an error");
            assert_eq!(fault.condition, "not-authorized", "{domain}");
        }
        holder.assert_quiet();
    }
}

#[test]
fn kick_old_among_many_that_come_at_once_leaves_one() {
    let server = start("conflict_behaviour = \"kick_old\"");
    let addr = server.addr(0);
    let mut peers: Vec<Peer> = thread::scope(|scope| {
        let logins: Vec<_> =
            (0..12).map(|_| scope.spawn(move || Peer::online(addr, "comp.example"))).collect();
        logins.into_iter().map(|login| login.join().expect("each is let in")).collect()
    });
    let mut other = Peer::online(addr, "other.example");
    other.message("comp.example", "who", "x");
    thread::sleep(Duration::from_millis(200));
    let mut alive = 0;
    for peer in &mut peers {
        peer.wire.wait(Duration::from_millis(20), |_| false);
        let (got, ended) = (peer.wire.text().contains("id='who'"), peer.wire.closed());
        assert_ne!(got, ended, "the one that lives gets it, and no other");
        alive += usize::from(!ended);
    }
    assert_eq!(alive, 1);
}

#[test]
fn refused_connections_that_are_held_open_are_closed_all_the_same() {
    let server = start("");
    let base = open_files(server.pid());
    let held: Vec<Wire> = (0..50)
        .map(|_| {
            let mut wire = Wire::connect(server.addr(0));
            wire.send(b"<not-a-stream>", None);
            assert!(wire.wait_for(Duration::from_secs(5), "</stream:stream>"), "{}", wire.text());
            wire
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(4);
    while open_files(server.pid()) > base {
        assert!(Instant::now() < deadline, "{} are open, before {base}", open_files(server.pid()));
        thread::sleep(Duration::from_millis(50));
    }
    drop(held);
}

#[test]
fn ip_version_is_that_of_the_address() {
    let server = Config::of_text(1, |ports| {
        let listener = |ip| {
            format!(
                "[[listen.service]]\nip_address = \"{ip}\"\nport = {}\npassword = \"{SECRET}\"\n",
                ports[0]
            )
        };
        format!("[general]\nhosts = [\"{HOST}\"]\n{}{}", listener("127.0.0.1"), listener("::1"))
    });
    let server = server.start();
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, server.addr(0).port()));
    let mut one = Peer::online(server.addr(0), "four.example");
    let mut two = Peer::online(six, "six.example");
    one.message("six.example", "m", "x");
    two.stanza("m");
    assert_eq!(refused(six, &header("four.example")).condition, "conflict");
}
