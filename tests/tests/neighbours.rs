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
fn listed_names_of_another_listener_are_out_of_reach() {
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
fn component_replaces_none_of_a_listener_with_another_secret() {
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
