//! A component on slixmpp, as it is published, is killed and started again: it misses nothing.

use std::thread;
use std::time::Duration;

use enjamb_tests::server::Config;
use serde_json::{Value, json};

use crate::component::{Component, has};

const DELAY: &str = "urn:xmpp:delay";
const MUC: &str = "http://jabber.org/protocol/muc";
const MESSAGES: usize = 200;
/// Of them, those that are sent before the component is killed.
const EARLY: usize = 5;
const PRESENCES: usize = 50;
const PAIRS: usize = 5;

fn send_message(sender: &mut Component, n: usize) {
    let from = format!("user{}@app.localhost/r", n % 3);
    let to = format!("room{}@bot.localhost", n % PAIRS);
    let xml = format!("<message type='chat' id='m{n}' from='{from}' to='{to}'><body>{n}</body></message>");
    sender.send(&json!({"do": "raw", "xml": xml}));
}

/// The first pair's first one enters a room; all others are plain.
fn send_presence(sender: &mut Component, n: usize) {
    let content = match n {
        0 => format!("<x xmlns='{MUC}'/>"),
        _ => "<show>away</show>".into(),
    };
    let pair = n % PAIRS;
    let xml = format!(
        "<presence id='p{n}' from='user@app.localhost/{pair}' to='room@bot.localhost/{pair}'>{content}</presence>"
    );
    sender.send(&json!({"do": "raw", "xml": xml}));
}

fn ids(stanzas: &[Value], name: &str) -> Vec<String> {
    let of_name = stanzas.iter().filter(|event| event["event"] == "stanza" && event["name"] == name);
    of_name.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn component_that_is_killed_and_started_again_misses_nothing() {
    let config = Config::new(&["localhost"]).listener("");
    let server = config.more("[domain.\"bot.localhost\"]\nhold_seconds = 60\n").start();
    let mut sender = Component::slixmpp(server.addr(0), "app.localhost");
    let mut bot = Component::slixmpp(server.addr(0), "bot.localhost");
    for n in 0..EARLY {
        send_message(&mut sender, n);
        let seen = bot.wait_for_stanza("message", &format!("m{n}"));
        assert!(!has(&seen, DELAY, "delay"), "{seen}");
    }

    // It reads no more, so what it is asked now is in its socket when it dies.
    bot.stop();
    let tag = "asked";
    let request = "<q xmlns='urn:q'/>";
    sender.send(&json!({"do": "iq", "type": "get", "to": "bot.localhost", "xml": request, "tag": tag}));
    sender.ask(json!({"do": "ping", "to": "localhost"}));
    thread::sleep(Duration::from_millis(500));
    drop(bot);
    let answer = sender.wait("answer", |event| event["event"] == "iq_result" && event["tag"] == tag);
    assert_eq!(answer["error"]["condition"], "recipient-unavailable", "{answer}");

    for n in EARLY..MESSAGES {
        send_message(&mut sender, n);
        if n % 3 == 0 && n / 3 - 2 < PRESENCES {
            send_presence(&mut sender, n / 3 - 2);
        }
    }
    sender.ask(json!({"do": "ping", "to": "localhost"}));

    let mut bot = Component::slixmpp(server.addr(0), "bot.localhost");
    bot.wait_for_stanza("message", &format!("m{}", MESSAGES - 1));
    // What follows the last one that was held is here as soon as this.
    bot.ask(json!({"do": "ping", "to": "localhost"}));
    let events = bot.events();
    let wanted: Vec<String> = (EARLY..MESSAGES).map(|n| format!("m{n}")).collect();
    assert_eq!(ids(&events, "message"), wanted, "each once, in order");
    let messages = events.iter().filter(|event| event["name"] == "message");
    for message in messages {
        assert!(has(message, DELAY, "delay"), "{message}");
    }
    let mut wanted: Vec<String> = (PRESENCES - PAIRS..PRESENCES).map(|n| format!("p{n}")).collect();
    wanted.insert(0, "p0".into());
    assert_eq!(ids(&events, "presence"), wanted, "one for each pair, and the wish to enter a room");
    let join = events.iter().find(|event| event["id"] == "p0").unwrap();
    assert!(has(join, MUC, "x"), "{join}");
    let is_error = |event: &&Value| event["event"] == "stanza" && event["type"] == "error";
    let errors = sender.events().iter().filter(is_error).count();
    assert_eq!(errors, 1, "nothing but the request was answered by an error");

    send_message(&mut sender, MESSAGES);
    let new = bot.wait_for_stanza("message", &format!("m{MESSAGES}"));
    assert!(!has(&new, DELAY, "delay"), "{new}");
}
