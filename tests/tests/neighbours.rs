//! What the holder of one secret can do to components of other listeners, with other secrets: nothing.

use std::time::Duration;

use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, digest_of, header};

const HOST: &str = "h.example";
const SOON: Duration = Duration::from_secs(5);
/// Of the second listener.
const OTHER: &str = "0TheOtherListenersSecret";

fn as_prefix(prefix: &str) -> String {
    header(prefix).replace(" to=", " is_subdomain='true' to=")
}

/// A component of the second listener that is connected; what it got is in the wire.
fn owner(server: &Server, domain: &str) -> Wire {
    let mut wire = Wire::connect(server.addr(1));
    let id = wire.open(header(domain).as_bytes()).expect("the header is taken");
    let proof = digest_of(&id, OTHER);
    wire.send(format!("<handshake>{proof}</handshake>").as_bytes(), None);
    assert!(wire.wait_for(SOON, "<handshake/>"), "{}", wire.text());
    wire
}

fn two_listeners(second: &str) -> Server {
    let second = format!("password = \"{OTHER}\"\nconflict_behaviour = \"kick_old\"\n{second}");
    Config::new(&[HOST]).listener("conflict_behaviour = \"kick_old\"").listener(&second).start()
}

#[test]
fn fault_05_listed_names_of_another_listener_are_out_of_reach() {
    let server = two_listeners("domains = [\"b.x\", \"*.bots.h.example\"]");
    let mut holder = owner(&server, "b.x");
    for (header, name) in [
        (header("b.x"), "b.x"),
        (as_prefix("bots.bots"), "bots.bots.h.example"),
        (header("zz.bots.h.example"), "zz.bots.h.example"),
    ] {
        let fault = refused(server.addr(0), &header);
        assert_eq!(fault.condition, "host-unknown", "{name}");
        assert!(
            fault.text.contains(name) && fault.text.contains("domains of another listener"),
            "{name}: {}",
            fault.text
        );
    }
    // What is sent to the name comes to its holder.
    let mut peer = Peer::online(server.addr(0), "bot.x");
    peer.message("b.x", "1", "hello");
    assert!(holder.wait_for(SOON, "hello"), "{}", holder.text());
}

#[test]
fn fault_05_component_replaces_none_of_a_listener_with_another_secret() {
    let server = two_listeners("");
    let mut holder = owner(&server, "b.x");
    let fault = refused(server.addr(0), &header("b.x"));
    assert_eq!(fault.condition, "conflict");
    let mut peer = Peer::online(server.addr(0), "bot.x");
    peer.message("b.x", "1", "hello");
    assert!(holder.wait_for(SOON, "hello"), "{}", holder.text());
    // Its own listener's can.
    let mut newcomer = owner(&server, "b.x");
    assert!(holder.wait_for(SOON, "<conflict "), "{}", holder.text());
    peer.message("b.x", "2", "again");
    assert!(newcomer.wait_for(SOON, "again"), "{}", newcomer.text());
}

/// Bytes in the send queue of each connection of a local port, as the kernel tells (`/proc/net/tcp`).
fn send_queues(port: u16) -> Vec<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let of_port = |line: &str| -> Option<usize> {
        let mut fields = line.split_whitespace().skip(1);
        let is_ours = fields.next()?.ends_with(&format!(":{port:04X}"));
        let is_connection = fields.nth(1)? == "01";
        let (unsent, _) = fields.next()?.split_once(':')?;
        usize::from_str_radix(unsent, 16).ok().filter(|_| is_ours && is_connection)
    };
    table.lines().filter_map(of_port).collect()
}

/// What the kernel holds for a component that does not read is bounded as well.
#[test]
fn f4_receiver_that_does_not_read_costs_the_kernel_little() {
    let server = Config::new(&[HOST]).listener("").start();
    let _silent = Peer::online(server.addr(0), "silent.x");
    let mut sender = Peer::online(server.addr(0), "sender.x");
    let body = "x".repeat(100_000);
    // Until it has to wait: the queue is full, and so is the socket.
    loop {
        sender.message("silent.x", "m", &body);
        sender.send(&format!("<iq type='get' id='p' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        if sender.next_xml(Duration::from_millis(500)).is_none() {
            break;
        }
    }
    let most = send_queues(server.addr(0).port()).into_iter().max().expect("there are connections");
    assert!((1..256 * 1024).contains(&most), "{most} bytes in a send queue");
}
