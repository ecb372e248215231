//! Uplinks of the real server, with another real server behind them: docs/uplinks.md on real sockets.

use std::time::{Duration, Instant};

use enjamb_tests::peer::Peer;
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::tls::Authority;
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(5);

/// The server behind the uplinks.
fn far() -> Server {
    Config::new(&["far.example"]).listener("").start()
}

/// A server without hosts, whose domains have an uplink to `far`.
fn near(far: &Server, domains: &str, uplink: &str) -> Server {
    let address = far.addr(0);
    let uplink = format!("[uplink.far]\naddress = '{address}'\nsecret = '{SECRET}'\n{uplink}\n");
    Config::new(&[]).listener("").more(&format!("{domains}\n{uplink}")).start()
}

const IRC: &str = "[domain.'irc.example']\nuplink = 'far'";

/// The next stanza of a component that is not the ping for loops.
fn next(peer: &mut Peer) -> String {
    loop {
        let xml = peer.element().xml;
        if !xml.contains("enjamb-loop-") {
            return xml;
        }
    }
}

#[test]
fn u1_each_name_below_a_wildcard_gets_its_own_stream() {
    let far = far();
    let near = near(&far, "[domain.'*.bots.example']\nuplink = 'far'", "");
    let mut user = Peer::online(far.addr(0), "user.example");
    let mut bots = ["a", "b"].map(|name| Peer::online(near.addr(0), &format!("{name}.bots.example")));
    for name in ["a", "b"] {
        far.wait_for_log(&format!("component connected conn={}", if name == "a" { 1 } else { 2 }));
    }
    for (bot, name) in bots.iter_mut().zip(["a", "b"]) {
        user.message(&format!("{name}.bots.example"), name, "hello");
        assert!(next(bot).contains(&format!("id='{name}'")));
        bot.message("user.example", name, "hello");
        assert!(next(&mut user).contains(&format!("from='{name}.bots.example'")));
    }
    // A second after the component has gone, so has the stream; a new component gets a new one.
    let [mut one, _other] = bots;
    one.close();
    near.wait_for_log(
        "no component has needed the uplink for 1 s: it is closed uplink=far domain=a.bots.example",
    );
    let mut again = Peer::online(near.addr(0), "a.bots.example");
    again.message("user.example", "again", "hello");
    assert!(next(&mut user).contains("id='again'"));
}

#[test]
fn u2_stream_begins_within_100_ms_of_the_first_component() {
    let far = far();
    let near = near(&far, IRC, "");
    let mut user = Peer::online(far.addr(0), "user.example");
    let mut fastest = Duration::MAX;
    for round in 0..3 {
        let begun = Instant::now();
        let mut component = Peer::online(near.addr(0), "irc.example");
        component.message("user.example", "1", "hello");
        assert!(next(&mut user).contains("from='irc.example'"));
        fastest = fastest.min(begun.elapsed());
        component.close();
        let closed = "it is closed uplink";
        let deadline = Instant::now() + SOON;
        while near.log().matches(closed).count() <= round && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[test]
fn u5_server_that_restarts_gets_what_was_held() {
    let mut far = far();
    let near = near(&far, IRC, "hold_seconds = 60");
    let mut component = Peer::online(near.addr(0), "irc.example");
    near.wait_for_log("uplink connected");
    far.restart();
    near.wait_for_log("uplink closed");
    for id in ["1", "2", "3"] {
        component.message("user.example", id, "hello");
    }
    let mut user = Peer::online(far.addr(0), "user.example");
    for id in ["1", "2", "3"] {
        let received = next(&mut user);
        assert!(received.contains(&format!("id='{id}'")), "{received}");
    }
}

#[test]
fn u9_refusal_is_logged_with_what_the_server_said_and_the_key_to_mend() {
    let far = far();
    let wrong = "[domain.'irc.example']\nuplink = 'far'\nuplink_secret = 'not the right one 0123'";
    let near = near(&far, wrong, "");
    let _component = Peer::online(near.addr(0), "irc.example");
    let line = near.wait_for_log("the server refused the uplink");
    for part in [
        "ERROR",
        "not-authorized",
        "`uplink_secret` of [domain.\"irc.example\"] is not the one that the server has for irc.example, or",
        "tried again within 6",
        "with SIGHUP at once",
        "uplink=far",
        "domain=irc.example",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn u6_signal_has_a_refused_uplink_try_at_once() {
    let mut far = far();
    let right = "TheOneThatIsRightLater012345";
    let near = near(&far, &format!("{IRC}\nuplink_secret = '{right}'"), "");
    let _component = Peer::online(near.addr(0), "irc.example");
    near.wait_for_log("the server refused the uplink");
    let text = std::fs::read_to_string(far.config_path()).expect("the server has it");
    std::fs::write(far.config_path(), text.replace(SECRET, right)).expect("it is ours");
    far.restart();
    near.signal(Signal::HUP);
    near.wait_for_log("uplink connected");
}

#[test]
fn u10_server_without_hosts_refuses_in_the_name_that_was_asked_for() {
    let far = far();
    let near = Config::new(&[])
        .listener("domains = ['irc.example']")
        .more(&format!("{IRC}\n[uplink.far]\naddress = '{}'\nsecret = '{SECRET}'\n", far.addr(0)))
        .start();
    assert!(near.log().contains("has no host of its own"), "{}", near.log());
    let header = enjamb_tests::wire::header("other.example");
    let mut wire = enjamb_tests::wire::Wire::connect(near.addr(0));
    wire.send(header.as_bytes(), None);
    assert!(wire.wait_for(SOON, "</stream:stream>"), "{}", wire.text());
    let text = wire.text();
    assert!(text.contains("from='other.example'") && text.contains("<host-unknown "), "{text}");
}

#[test]
fn u14_loop_is_logged_with_both_names() {
    // The uplink leads to the server itself.
    let near = Config::of_text(1, |ports| {
        let port = ports[0];
        format!(
            "[general]\nhosts = []\n[[listen.service]]\nport = {port}\npassword = \"{SECRET}\"\n\
             [domain.'irc.example']\nuplink = 'far'\n\
             [uplink.far]\naddress = '127.0.0.1:{port}'\nsecret = '{SECRET}'\nconnect = 'always'\n"
        )
    })
    .start();
    let line = near.wait_for_log("a loop");
    assert!(line.contains("irc.example") && line.contains("uplink.far"), "{line}");
}

#[test]
fn uplink_speaks_tls_and_trusts_the_authority_of_the_file_alone() {
    let authority = Authority::new();
    let table = authority.table("far", &authority.issue(&["far.example"])) + "tls.verify_mode = 'none'\n";
    let far = Config::new(&["far.example"]).listener(&table).start();
    let other = Authority::new();
    let tls = |authority: &Authority| {
        format!("[uplink.far.tls]\ncacertfile = '{}'\nserver_name = 'far.example'", authority.ca().display())
    };
    let right = near(&far, IRC, &tls(&authority));
    let _one = Peer::online(right.addr(0), "irc.example");
    right.wait_for_log("uplink connected");
    let wrong = near(&far, IRC, &tls(&other));
    let _two = Peer::online(wrong.addr(0), "irc.example");
    let line = wrong.wait_for_log("can't be reached");
    assert!(line.contains("certificate"), "{line}");
}

#[test]
fn h8_what_is_held_for_a_component_is_answered_before_the_uplink_closes() {
    let far = far();
    let held = "[domain.'irc.example']\nuplink = 'far'\nhold_seconds = 60";
    let mut near = near(&far, held, "");
    let mut component = Peer::online(near.addr(0), "irc.example");
    near.wait_for_log("uplink connected");
    component.close();
    let mut user = Peer::online(far.addr(0), "user.example");
    user.message("irc.example", "1", "hello");
    user.message("irc.example", "2", "hello");
    user.assert_quiet();
    assert_eq!(near.stop().code(), Some(0));
    for id in ["1", "2"] {
        assert_eq!(user.fault(id).condition, "remote-server-timeout");
    }
    assert!(near.log().contains("held_returned=2"), "{}", near.log());
}
