//! Enjamb between a slixmpp component and Debian's Prosody or ejabberd, where a slixmpp client is logged in.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::foreign::{Accounts, DELEGATED, ForeignServer, Kind};
use enjamb_tests::judge;
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::tree::Event;
use serde_json::{Value, json};

use crate::component::{Component, Library, Options, has};

pub(crate) const DOMAIN: &str = "bot.localhost";
pub(crate) const FRIEND: &str = "friend@bot.localhost";
pub(crate) const JULIET: &str = "juliet@localhost";
/// What components prove to Enjamb: another secret than Enjamb's towards the server.
pub(crate) const OWN: &str = "s3cretOfTheComponent";

/// An Enjamb without hosts, with one domain and its uplink. It and the server behind are stopped in this order.
pub(crate) struct Chain {
    pub(crate) enjamb: Server,
    pub(crate) server: ForeignServer,
}

/// Enjamb's file: both sides hold for longer than a server takes to restart on a busy machine.
pub(crate) fn config(domain: &str, server: SocketAddr, secret: &str) -> Config {
    Config::new(&[]).listener("").more(&format!(
        "[domain.\"{domain}\"]\n\
         secret = \"{OWN}\"\n\
         hold_seconds = 300\n\
         uplink = \"server\"\n\
         [uplink.server]\n\
         address = \"{server}\"\n\
         secret = \"{secret}\"\n\
         hold_seconds = 300\n\
         hold_bytes = 4194304\n"
    ))
}

impl Chain {
    pub(crate) fn start(kind: Kind, domain: &str, has_privileges: bool) -> Self {
        let names = &["juliet"];
        let server = ForeignServer::start_with(kind, &[domain], Accounts { names, has_privileges });
        let enjamb = config(domain, server.addr(), SECRET).start();
        Self { enjamb, server }
    }

    pub(crate) fn bot(&self) -> Options {
        let options = Options::new(Library::Slixmpp, self.enjamb.addr(0), DOMAIN);
        options.secret(OWN).manual_roster().takes_over(&DELEGATED)
    }

    /// A component on Enjamb, once the server takes it, too.
    pub(crate) fn bound_bot(&self) -> Component {
        let bot = self.bot().reconnect().online();
        self.enjamb.wait_for_log("uplink connected");
        bot
    }

    /// The client, logged in; again after each end.
    pub(crate) fn juliet(&self) -> Component {
        Options::client(self.server.clients(), &format!("{JULIET}/r")).reconnect().online()
    }
}

pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn message(sender: &mut Component, from: Option<&str>, to: &str, id: &str) {
    sender.send(&json!({"do": "message", "from": from, "to": to, "id": id, "body": id}));
}

/// What is inside of a stanza, with both namespaces of streams taken for one.
fn content(stanza: &str) -> Vec<Event> {
    let tree = judge::stanza(&stanza.replace("jabber:client", "jabber:component:accept"));
    tree.0[1..].to_vec()
}

pub(crate) fn assert_echo(asker: &mut Component, to: &str) {
    let payload = "<echo xmlns='urn:enjamb:test'><e xmlns='urn:e'>caf\u{e9} \u{1f980}</e></echo>";
    let answer = asker.ask(json!({"do": "iq", "type": "get", "to": to, "xml": payload}));
    assert_eq!((&answer["type"], &answer["from"]), (&json!("result"), &json!(to)), "{answer}");
    assert_eq!(content(answer["xml"].as_str().unwrap()), content(&format!("<iq>{payload}</iq>")));
}

fn assert_refusal(asker: &mut Component, to: &str) {
    let payload = "<refuse xmlns='urn:enjamb:test'/>";
    let answer = asker.ask(json!({"do": "iq", "type": "set", "to": to, "xml": payload}));
    assert_eq!(answer["error"]["condition"], "forbidden", "{answer}");
}

pub(crate) fn presence(sender: &mut Component, from: &str, to: &str, kind: &str) {
    sender.send(&json!({"do": "raw", "xml": format!("<presence from='{from}' to='{to}' type='{kind}'/>")}));
}

pub(crate) fn wait_for_presence(component: &mut Component, from: &str, kind: Option<&str>) {
    component.wait(&format!("presence {kind:?} from {from}"), |event| {
        event["name"] == "presence" && event["from"] == from && event["type"].as_str() == kind
    });
}

fn all_kinds_pass(kind: Kind) {
    let chain = Chain::start(kind, DOMAIN, false);
    let (mut bot, mut juliet) = (chain.bound_bot(), chain.juliet());
    let resource = format!("{JULIET}/r");

    let body = "caf\u{e9} &lt;\u{1f980}&gt; &amp; \u{6f22}\u{5b57} e\u{301}";
    // ejabberd puts the body behind what it does not know.
    let inner = format!(
        "<a xmlns='urn:one' k='&lt;&quot;&amp;'><b xmlns='urn:two'><c xmlns='urn:one'/>text</b></a><body>{body}</body>"
    );
    let xml = |from: &str, to: &str| {
        format!("<message type='chat' from='{from}' to='{to}' id='m'>{inner}</message>")
    };
    juliet.send(&json!({"do": "raw", "xml": xml(&resource, &format!("{FRIEND}/\u{e9}"))}));
    let seen = bot.wait_for_stanza("message", "m");
    assert_eq!((&seen["from"], &seen["to"]), (&json!(resource), &json!(format!("{FRIEND}/\u{e9}"))));
    assert_eq!(content(seen["xml"].as_str().unwrap()), content(&xml("", "")));
    bot.send(&json!({"do": "raw", "xml": xml(&format!("{FRIEND}/\u{e9}"), &resource)}));
    let seen = juliet.wait_for_stanza("message", "m");
    assert_eq!((&seen["to"], &seen["from"]), (&json!(resource), &json!(format!("{FRIEND}/\u{e9}"))));
    assert_eq!(content(seen["xml"].as_str().unwrap()), content(&xml("", "")));

    assert_echo(&mut juliet, DOMAIN);
    assert_echo(&mut juliet, &format!("{FRIEND}/r"));
    assert_echo(&mut bot, &resource);
    assert_refusal(&mut juliet, DOMAIN);
    assert_refusal(&mut bot, &resource);
    let pong = bot.ask(json!({"do": "ping", "to": "localhost"}));
    assert_eq!((&pong["type"], &pong["from"]), (&json!("result"), &json!("localhost")), "{pong}");

    presence(&mut juliet, JULIET, FRIEND, "subscribe");
    wait_for_presence(&mut bot, JULIET, Some("subscribe"));
    presence(&mut bot, FRIEND, JULIET, "subscribed");
    bot.send(&json!({"do": "raw", "xml": format!("<presence from='{FRIEND}/r' to='{JULIET}'/>")}));
    wait_for_presence(&mut juliet, FRIEND, Some("subscribed"));
    wait_for_presence(&mut juliet, &format!("{FRIEND}/r"), None);
    presence(&mut bot, FRIEND, JULIET, "subscribe");
    wait_for_presence(&mut juliet, FRIEND, Some("subscribe"));
    presence(&mut juliet, JULIET, FRIEND, "subscribed");
    wait_for_presence(&mut bot, JULIET, Some("subscribed"));
    wait_for_presence(&mut bot, &resource, None);
}

#[test]
fn u3_u4_prosody_and_component_exchange_all_kinds_of_stanzas() {
    all_kinds_pass(Kind::Prosody);
}

#[test]
fn u3_u4_ejabberd_and_component_exchange_all_kinds_of_stanzas() {
    all_kinds_pass(Kind::Ejabberd);
}

/// Which announcement a stanza is. Debian's Prosody has version 2 of both, ejabberd version 1.
fn announcement(event: &Value) -> Option<&'static str> {
    let is = |name: &str, child| {
        ["1", "2"].iter().any(|version| has(event, &format!("urn:xmpp:{name}:{version}"), child))
    };
    if event["event"] != "stanza" || event["name"] != "message" {
        None
    } else if is("privilege", "perm") {
        Some("privilege")
    } else if is("delegation", "delegated") {
        Some("delegation")
    } else {
        None
    }
}

fn names(event: &Value, namespace: &str) -> bool {
    event["xml"].as_str().is_some_and(|xml| xml.contains(namespace))
}

/// A server announces once in a stream, and the component behind comes and goes.
fn announcements_outlive_a_component(kind: Kind) {
    let chain = Chain::start(kind, DOMAIN, true);
    let (mut bot, mut juliet) = (chain.bound_bot(), chain.juliet());
    bot.wait("privilege", |event| announcement(event) == Some("privilege"));
    // ejabberd announces each namespace by itself, and twice.
    let delegates =
        |event: &Value, namespace| announcement(event) == Some("delegation") && names(event, namespace);
    wait_until(|| {
        let events = bot.events();
        DELEGATED.iter().all(|namespace| events.iter().any(|event| delegates(event, namespace)))
    });
    drop(bot);
    chain.enjamb.wait_for_log("connection ended");
    message(&mut juliet, None, FRIEND, "held");
    juliet.ask(json!({"do": "ping", "to": "localhost"}));

    let mut bot = chain.bot().online();
    bot.wait_for_stanza("message", "held");
    let stanzas: Vec<_> = bot.events().into_iter().filter(|event| event["event"] == "stanza").collect();
    let (first, rest) =
        stanzas.split_at(stanzas.iter().take_while(|event| announcement(event).is_some()).count());
    assert_eq!(announcement(&stanzas[0]), Some("privilege"), "{stanzas:?}");
    for namespace in DELEGATED {
        assert_eq!(first.iter().filter(|event| names(event, namespace)).count(), 1, "{stanzas:?}");
    }
    assert!(!rest.iter().any(|event| announcement(event).is_some()), "{stanzas:?}");
    // What it was told is still true.
    let query = "<query xmlns='jabber:iq:roster'/>";
    let roster = bot.ask(json!({"do": "iq", "type": "get", "to": JULIET, "xml": query}));
    assert_eq!(roster["type"], "result", "{roster}");
}

#[test]
fn u11_announcements_of_prosody_come_first_after_a_restart() {
    announcements_outlive_a_component(Kind::Prosody);
}

#[test]
fn u11_announcements_of_ejabberd_come_first_after_a_restart() {
    announcements_outlive_a_component(Kind::Ejabberd);
}

/// The one line of Enjamb's log that says this, once a component has made it connect.
fn line_of_refusal(enjamb: &Server, what: &str) -> String {
    let _bot = Options::new(Library::Slixmpp, enjamb.addr(0), DOMAIN).secret(OWN).online();
    let log = enjamb.wait_for_log(what);
    // The next attempt is a minute away.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(enjamb.log().matches("the server refused the uplink").count(), 1, "{}", enjamb.log());
    log.lines().find(|line| line.contains(what)).unwrap().to_owned()
}

fn wrong_secret_is_said(kind: Kind) {
    let server = ForeignServer::start(kind, &[DOMAIN]);
    let enjamb = config(DOMAIN, server.addr(), "wrongS3cretOfTheUplink").start();
    let line = line_of_refusal(&enjamb, "not-authorized");
    for part in ["ERROR", "`secret` of [uplink.server]", "domain=bot.localhost", "uplink=server"] {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
    assert!(!enjamb.log().contains("wrongS3cret"), "{}", enjamb.log());
}

#[test]
fn u6_wrong_secret_at_prosody_is_an_error_that_names_the_key() {
    wrong_secret_is_said(Kind::Prosody);
}

#[test]
fn u6_wrong_secret_at_ejabberd_is_an_error_that_names_the_key() {
    wrong_secret_is_said(Kind::Ejabberd);
}

#[test]
fn u9_component_that_prosody_does_not_know_is_an_error_with_its_words() {
    let server = ForeignServer::start(Kind::Prosody, &["other.localhost"]);
    let enjamb = config(DOMAIN, server.addr(), SECRET).start();
    let line = line_of_refusal(&enjamb, "host-unknown");
    for part in
        ["ERROR", "[uplink.server]", "bot.localhost does not match any configured external components"]
    {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}
