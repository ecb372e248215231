//! What the real server does with stanzas whose receiver restarts, dies or never answers: docs/delivery.md on real sockets.

use std::time::{Duration, Instant};

use enjamb_tests::peer::Peer;
use enjamb_tests::server::SECRET;
use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, digest_of, header};

const HOST: &str = "host.example";
const SOON: Duration = Duration::from_secs(5);

fn server(domain: &str) -> Server {
    Config::new(&[HOST]).listener("").more(&format!("[domain.'bot.example']\n{domain}\n")).start()
}

/// The component, and what it got behind its handshake so far.
fn bot(server: &Server) -> Wire {
    let mut wire = Wire::connect(server.addr(0));
    let id = wire.open(header("bot.example").as_bytes()).expect("the header is taken");
    wire.send(format!("<handshake>{}</handshake>", digest_of(&id, SECRET)).as_bytes(), None);
    assert!(wire.wait_for(SOON, "<handshake/>"), "{}", wire.text());
    wire
}

fn ask(peer: &mut Peer, id: &str) {
    peer.send(&format!("<iq type='get' id='{id}' to='bot.example'><q xmlns='urn:q'/></iq>"));
}

/// The condition of the error with this id, and how long it took.
fn told(peer: &mut Peer, id: &str) -> (String, Duration) {
    let begin = Instant::now();
    (peer.fault(id).condition, begin.elapsed())
}

#[test]
fn h6_component_that_is_back_gets_what_was_held() {
    let server = server("hold_seconds = 60");
    let line =
        "settings of a domain domain=bot.example secrets=0 conflict_behaviour=the listener's hold_seconds=60";
    assert!(server.log().contains(line), "{}", server.log());
    let mut peer = Peer::online(server.addr(0), "peer.example");
    drop(bot(&server));
    // Until its end is noticed, stanzas may be lost in the socket.
    loop {
        ask(&mut peer, "probe");
        if peer.fault("probe").condition == "remote-server-timeout" {
            break;
        }
    }
    for id in ["1", "2", "3"] {
        peer.message("bot.example", id, "hello");
    }
    peer.send("<presence to='bot.example'/><presence to='bot.example' type='unavailable'/>");
    peer.sync();
    let mut back = bot(&server);
    assert!(back.wait_for(SOON, "type='unavailable'"), "{}", back.text());
    let text = back.text();
    let places = ["id='1'", "id='2'", "id='3'", "<presence"].map(|what| text.find(what));
    assert!(places.is_sorted() && places[0].is_some(), "{text}");
    assert_eq!((text.matches("<delay ").count(), text.matches("<presence").count()), (3, 1), "{text}");
    peer.message("bot.example", "4", "hello");
    assert!(back.wait_for(SOON, "id='4'"), "{}", back.text());
}

/// Whether this secret proves what the header claims.
fn is_proved(server: &Server, header: &str, secret: &str) -> bool {
    let mut wire = Wire::connect(server.addr(0));
    let id = wire.open(header.as_bytes()).expect("the header is taken");
    wire.send(format!("<handshake>{}</handshake>", digest_of(&id, secret)).as_bytes(), None);
    wire.wait_for(SOON, "<handshake/>")
}

#[test]
fn domain_with_a_secret_of_its_own_is_proved_by_that_alone() {
    let own = "TheSecretOfTheBotAlone0123";
    let server = server(&format!("secrets = ['{own}', 'x{own}']"));
    let (bot, other) = (header("bot.example"), header("other.example"));
    assert!(!is_proved(&server, &bot, SECRET), "the listener's does not prove it any more");
    assert!(is_proved(&server, &bot, own) && is_proved(&server, &bot, &format!("x{own}")));
    assert!(!is_proved(&server, &other, own) && is_proved(&server, &other, SECRET));
}

#[test]
fn nothing_proves_a_prefix_whose_names_have_different_secrets() {
    let own = "TheSecretOfOneNameAlone012";
    let prefix = header("p").replace(" to=", " is_subdomain='true' to=");
    let section = format!("[domain.'p.{HOST}']\nsecret = '{own}'\n");
    let one = Config::new(&[HOST]).listener("").more(&section).start();
    assert!(is_proved(&one, &prefix, own) && !is_proved(&one, &prefix, SECRET));
    let two = Config::new(&[HOST, "other.example"]).listener("").more(&section).start();
    assert!(!is_proved(&two, &prefix, own) && !is_proved(&two, &prefix, SECRET), "each proves one of two");
}

#[test]
fn h8_held_stanzas_are_answered_before_the_server_ends() {
    let mut server = server("hold_seconds = 60");
    let mut peer = Peer::online(server.addr(0), "peer.example");
    peer.message("bot.example", "1", "hello");
    peer.message("bot.example", "2", "hello");
    peer.assert_quiet();
    assert_eq!(server.stop().code(), Some(0));
    for id in ["1", "2"] {
        assert_eq!(peer.fault(id).condition, "remote-server-timeout");
    }
    assert!(server.log().contains("held_returned=2"), "{}", server.log());
}

#[test]
fn l3_asker_hears_at_once_that_the_component_died() {
    let server = server("");
    let mut peer = Peer::online(server.addr(0), "peer.example");
    let mut bot = bot(&server);
    ask(&mut peer, "1");
    assert!(bot.wait_for(SOON, "id='1'"), "{}", bot.text());
    drop(bot);
    let (condition, after) = told(&mut peer, "1");
    assert_eq!(condition, "recipient-unavailable");
    assert!(after < Duration::from_secs(2), "{after:?}");
}

#[test]
fn l4_asker_hears_that_the_component_does_not_answer() {
    let server = server("iq_timeout_seconds = 1");
    let mut peer = Peer::online(server.addr(0), "peer.example");
    let mut bot = bot(&server);
    ask(&mut peer, "1");
    assert!(bot.wait_for(SOON, "id='1'"), "{}", bot.text());
    let (condition, after) = told(&mut peer, "1");
    assert_eq!(condition, "remote-server-timeout");
    assert!(after < Duration::from_secs(4), "{after:?}");
    bot.send(b"<iq type='result' id='1' to='peer.example'/>", None);
    assert!(peer.sync().is_empty(), "the late answer is dropped");
}

#[test]
fn f5_silent_component_is_pinged_and_ends_if_it_stops_to_answer() {
    let server = server("ping_seconds = 1");
    let mut bot = bot(&server);
    assert!(bot.wait_for(SOON, "enjamb-alive-1"), "{}", bot.text());
    assert!(bot.text().contains("from='host.example' to='bot.example'"), "{}", bot.text());
    bot.send(b"<iq type='result' id='enjamb-alive-1' to='host.example'/>", None);
    assert!(bot.wait_for(SOON, "enjamb-alive-2"), "{}", bot.text());
    assert!(bot.wait_for(Duration::from_secs(30), "<connection-timeout "), "{}", bot.text());
}
