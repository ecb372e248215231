//! Restarts around an uplink: of the component, of the server behind, and of Enjamb itself.

use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use enjamb_tests::foreign::Kind;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::component::{Component, has};
use crate::uplinks::{Chain, DOMAIN, FRIEND, JULIET, assert_echo, message, wait_for_presence, wait_until};

const MESSAGES: usize = 200;
const DELAY: &str = "urn:xmpp:delay";

fn messages(sender: &mut Component, from: Option<&str>, to: &str, numbers: Range<usize>) {
    numbers.for_each(|n| message(sender, from, to, &format!("m{n}")));
}

/// The ids of the messages that came, without errors.
fn ids(component: &Component) -> Vec<String> {
    let is_message = |event: &&Value| event["event"] == "stanza" && event["name"] == "message";
    let events = component.events();
    let messages = events.iter().filter(is_message).filter(|event| event["type"] != "error");
    messages.filter_map(|event| event["id"].as_str().map(str::to_owned)).collect()
}

fn names(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("m{n}")).collect()
}

fn component_restarts(kind: Kind) {
    let chain = Chain::start(kind, DOMAIN, false);
    let (mut bot, mut juliet) = (chain.bound_bot(), chain.juliet());
    bot.send(&json!({"do": "raw", "xml": format!("<presence from='{FRIEND}/r' to='{JULIET}/r'/>")}));
    wait_for_presence(&mut juliet, &format!("{FRIEND}/r"), None);

    let (killed_at, back_at) = (MESSAGES / 4, MESSAGES * 3 / 4);
    messages(&mut juliet, None, FRIEND, 0..killed_at);
    bot.wait_for_stanza("message", &format!("m{}", killed_at - 1));
    assert_eq!(ids(&bot), names(0..killed_at));
    drop(bot);
    // What would be written to its socket meanwhile would be lost with it.
    chain.enjamb.wait_for_log("connection ended");
    messages(&mut juliet, None, FRIEND, killed_at..back_at);
    juliet.ask(json!({"do": "ping", "to": "localhost"}));
    let mut bot = chain.bot().start();
    messages(&mut juliet, None, FRIEND, back_at..MESSAGES);
    bot.wait_for_stanza("message", &format!("m{}", MESSAGES - 1));
    // What else there is for either side comes before these.
    assert_echo(&mut juliet, DOMAIN);
    assert_eq!(ids(&bot), names(killed_at..MESSAGES), "each once, in order");
    let held =
        bot.events().iter().filter(|event| event["name"] == "message" && has(event, DELAY, "delay")).count();
    assert!(held >= back_at - killed_at, "{held} messages were held");

    let is_bad = |event: &Value| {
        let is_away = event["name"] == "presence" && event["type"] == "unavailable";
        event["event"] == "stanza" && (is_away || event["type"] == "error")
    };
    assert!(!juliet.events().iter().any(is_bad), "{:?}", juliet.events());
    let log = chain.enjamb.log();
    assert_eq!(log.matches("uplink connected").count(), 1, "one stream outlived it: {log}");
    assert!(!log.contains("remote-server-not-found"), "stanzas for it are held: {log}");
}

#[test]
fn u2_user_of_prosody_does_not_notice_that_the_component_restarts() {
    component_restarts(Kind::Prosody);
}

#[test]
fn u2_user_of_ejabberd_does_not_notice_that_the_component_restarts() {
    component_restarts(Kind::Ejabberd);
}

/// The ids of messages of ours that came back as errors.
fn refused(component: &Component) -> BTreeSet<String> {
    let events = component.events();
    let errors = events.iter().filter(|event| event["name"] == "message" && event["type"] == "error");
    errors.filter_map(|event| event["id"].as_str().map(str::to_owned)).collect()
}

/// Whether it waited here, for the server: servers that keep a message for a user add a stamp of their own.
fn was_held_here(event: &Value) -> bool {
    let xml = event["xml"].as_str().unwrap_or_default();
    event["name"] == "message" && has(event, DELAY, "delay") && xml.contains(&format!("from=\"{DOMAIN}\""))
}

fn server_restarts(kind: Kind) {
    let mut chain = Chain::start(kind, DOMAIN, false);
    let (mut bot, mut juliet) = (chain.bound_bot(), chain.juliet());
    let (arrive, early) = (MESSAGES / 8, MESSAGES / 2);
    messages(&mut bot, Some(FRIEND), JULIET, 0..arrive);
    juliet.wait_for_stanza("message", &format!("m{}", arrive - 1));
    // The rest is written while the server ends and begins, at least half of it with no stream there.
    let (enjamb, server) = (&chain.enjamb, &mut chain.server);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in arrive..MESSAGES {
                if n == early {
                    wait_until(|| enjamb.log().contains("uplink closed"));
                }
                message(&mut bot, Some(FRIEND), JULIET, &format!("m{n}"));
                thread::sleep(Duration::from_millis(5));
            }
        });
        wait_until(|| ids(&juliet).len() > MESSAGES / 4);
        server.restart();
        writer.join().unwrap();
    });
    let is_dealt_with = |n: usize, seen: &BTreeSet<String>| seen.contains(&format!("m{n}"));
    wait_until(|| {
        let seen: BTreeSet<_> = ids(&juliet).into_iter().chain(refused(&bot)).collect();
        (early..MESSAGES).all(|n| is_dealt_with(n, &seen))
    });
    assert_echo(&mut bot, &format!("{JULIET}/r"));

    let (arrived, refused) = (ids(&juliet), refused(&bot));
    let once: BTreeSet<_> = arrived.iter().cloned().collect();
    assert_eq!(arrived.len(), once.len(), "each at most once: {arrived:?}");
    assert!(once.is_disjoint(&refused), "delivered or refused: {refused:?}");
    let events = juliet.events();
    let held = events.iter().filter(|event| was_held_here(event));
    let number = |event: &Value| event["id"].as_str().unwrap()[1..].parse::<usize>().unwrap();
    let first_held = held.map(number).min().expect("some waited here, for the server");
    assert!(first_held <= early, "the first that waited here is {first_held}");
    let missing: Vec<_> =
        (0..MESSAGES).filter(|n| !is_dealt_with(*n, &once) && !refused.contains(&format!("m{n}"))).collect();
    println!(
        "{kind:?}: {} arrived, {} refused, from {first_held} on held, missing {missing:?}",
        once.len(),
        refused.len()
    );
    assert!(missing.len() <= 20, "more than is on its way in 100 ms: {missing:?}");
    assert!(
        missing.iter().all(|n| (arrive..first_held).contains(n)),
        "{missing:?} of those before {first_held}"
    );
}

#[test]
fn u5_restart_of_prosody_loses_only_what_was_in_flight() {
    server_restarts(Kind::Prosody);
}

#[test]
fn u5_restart_of_ejabberd_loses_only_what_was_in_flight() {
    server_restarts(Kind::Ejabberd);
}

/// It reads nothing any more, then it crashes: what is in its sockets is lost, and nothing that still waits here.
fn server_crashes(kind: Kind) {
    const LENGTH: usize = 8192;
    let mut chain = Chain::start(kind, DOMAIN, false);
    let (mut bot, mut juliet) = (chain.bound_bot(), chain.juliet());
    message(&mut bot, Some(FRIEND), JULIET, "m0");
    juliet.wait_for_stanza("message", "m0");
    chain.server.signal(Signal::STOP);
    for n in 1..MESSAGES {
        let (id, body) = (format!("m{n}"), "x".repeat(LENGTH));
        bot.send(&json!({"do": "message", "from": FRIEND, "to": JULIET, "id": id, "body": body}));
    }
    // Not for 5 s: then Enjamb would take the server for stuck.
    thread::sleep(Duration::from_secs(2));
    chain.server.crash();
    let last = format!("m{}", MESSAGES - 1);
    wait_until(|| ids(&juliet).contains(&last));
    assert_echo(&mut bot, &format!("{JULIET}/r"));

    let arrived = ids(&juliet);
    let in_flight = MESSAGES - arrived.len();
    println!("{kind:?}: {in_flight} of {MESSAGES} were in flight");
    assert!(in_flight < MESSAGES / 2, "sockets hold less than {in_flight} times {LENGTH} bytes");
    // On a busy machine it reads some more before it stops.
    let read =
        arrived.iter().zip(names(0..MESSAGES)).take_while(|(arrived, wanted)| *arrived == wanted).count();
    let wanted = [names(0..read), names(read + in_flight..MESSAGES)].concat();
    assert_eq!(arrived, wanted, "each once, in order");
    assert!(refused(&bot).is_empty(), "{:?}", refused(&bot));
}

#[test]
fn u5_crash_of_prosody_loses_only_what_was_in_flight() {
    server_crashes(Kind::Prosody);
}

#[test]
fn u5_crash_of_ejabberd_loses_only_what_was_in_flight() {
    server_crashes(Kind::Ejabberd);
}

/// The client writes all the time: what it writes is delivered or answered, but for what is on its way in that moment.
fn enjamb_restarts(kind: Kind) {
    let mut chain = Chain::start(kind, DOMAIN, false);
    let (mut bot, mut juliet) = (chain.bound_bot(), chain.juliet());
    let enjamb = &mut chain.enjamb;
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..MESSAGES {
                message(&mut juliet, None, FRIEND, &format!("m{n}"));
                thread::sleep(Duration::from_millis(5));
            }
        });
        wait_until(|| ids(&bot).len() > MESSAGES / 8);
        enjamb.restart();
        writer.join().unwrap();
    });
    bot.wait_for("offline");
    bot.wait_for("online");
    chain.enjamb.wait_for_log("uplink connected");
    assert_echo(&mut juliet, DOMAIN);
    assert_echo(&mut bot, &format!("{JULIET}/r"));

    let (arrived, refused) = (ids(&bot), refused(&juliet));
    let missing: Vec<_> =
        names(0..MESSAGES).into_iter().filter(|id| !arrived.contains(id) && !refused.contains(id)).collect();
    println!("{kind:?}: {} arrived, {} refused, missing {missing:?}", arrived.len(), refused.len());
    assert_eq!(arrived.len() + refused.len() + missing.len(), MESSAGES, "each at most once");
    // What a server sends before it has read the end of the stream can't be answered on it any more.
    assert!(missing.len() <= 3, "more than is on its way in 15 ms: {missing:?}");
    messages(&mut juliet, None, FRIEND, MESSAGES..MESSAGES + 10);
    bot.wait_for_stanza("message", &format!("m{}", MESSAGES + 9));
    assert!(ids(&bot).ends_with(&names(MESSAGES..MESSAGES + 10)));
}

#[test]
fn u2_component_and_prosody_are_connected_again_after_a_restart() {
    enjamb_restarts(Kind::Prosody);
}

#[test]
fn u2_component_and_ejabberd_are_connected_again_after_a_restart() {
    enjamb_restarts(Kind::Ejabberd);
}
