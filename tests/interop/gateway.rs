//! A gateway as Debian packages it, biboumi, between a user of Prosody and an IRC server, with Enjamb in its way.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use enjamb_tests::foreign::{Irc, Kind};
use serde_json::{Value, json};

use crate::component::{Component, has};
use crate::uplinks::{Chain, OWN};

const DOMAIN: &str = "irc.localhost";
const CHANNEL: &str = "#balcony";
const ROOM: &str = "#balcony@irc.localhost";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// A user of the IRC server who has nothing but a socket.
struct Romeo {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    seen: String,
}

impl Romeo {
    fn join(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        let mut romeo = Self { stream, lines, seen: String::new() };
        romeo.say("NICK romeo\r\nUSER romeo 0 * :Romeo");
        romeo.wait_for(" 001 romeo ");
        romeo.say(&format!("JOIN {CHANNEL}"));
        romeo.wait_for(" 366 romeo ");
        romeo
    }

    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    /// Waits for the next line with this in it.
    fn wait_for(&mut self, what: &str) {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line);
            assert!(matches!(read, Ok(1..)), "{read:?}, and no {what:?} in\n{}", self.seen);
            self.seen.push_str(&line);
            if let Some(token) = line.strip_prefix("PING ") {
                self.say(&format!("PONG {}", token.trim()));
            }
            if line.contains(what) {
                return;
            }
        }
    }
}

/// Tells the gateway the port of the IRC server, which each user does for themself (XEP-0050).
fn set_port(juliet: &mut Component, port: u16) {
    let mut ask = |rest: &str| {
        let xml = format!(
            "<command xmlns='http://jabber.org/protocol/commands' node='server-configure' {rest}</command>"
        );
        juliet.ask(json!({"do": "iq", "type": "set", "to": DOMAIN, "xml": xml}))
    };
    let form = ask("action='execute'>");
    let xml = form["xml"].as_str().unwrap();
    let session = xml.split_once("sessionid=\"").and_then(|(_, rest)| rest.split('"').next());
    let session = session.unwrap_or_else(|| panic!("no session in {form}"));
    // What is left out is not left as it was: without this it would say one line a second to the IRC server.
    let throttle = "<field var='throttle_limit'><value>10</value></field>";
    let done = ask(&format!(
        "action='complete' sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='ports'><value>{port}</value></field><field var='tls_ports'/>{throttle}</x>"
    ));
    let is_done = done["xml"].as_str().is_some_and(|xml| xml.contains("status=\"completed\""));
    assert!(is_done && done["type"] == "result", "{done}");
}

fn join(juliet: &mut Component) {
    let xml = format!("<presence to='{ROOM}/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    juliet.send(&json!({"do": "raw", "xml": xml}));
}

/// Waits until she is in the channel.
fn wait_until_joined(juliet: &mut Component) {
    juliet.wait("presence of herself", |event| {
        let is_from_her = event["from"] == format!("{ROOM}/juliet").as_str();
        let code = |xml: &str| xml.contains("code=\"110\"");
        event["name"] == "presence"
            && event["type"].is_null()
            && is_from_her
            && has(event, MUC_USER, "status")
            && event["xml"].as_str().is_some_and(code)
    });
}

/// Each hears what the other says.
fn talk(juliet: &mut Component, romeo: &mut Romeo, words: &str) {
    let xml = format!("<message type='groupchat' to='{ROOM}'><body>\u{bf}{words}?</body></message>");
    juliet.send(&json!({"do": "raw", "xml": xml}));
    romeo.wait_for(&format!(":juliet!~juliet@127.0.0.1 PRIVMSG {CHANNEL} :\u{bf}{words}?"));
    romeo.say(&format!("PRIVMSG {CHANNEL} :{words} \u{1f339}"));
    let is_heard = |event: &Value| {
        event["type"] == "groupchat"
            && event["from"] == format!("{ROOM}/romeo").as_str()
            && event["body"] == format!("{words} \u{1f339}").as_str()
    };
    juliet.wait("words of romeo", is_heard);
}

#[test]
fn u2_user_joins_an_irc_channel_while_biboumi_restarts() {
    let chain = Chain::start(Kind::Prosody, DOMAIN, false);
    let mut irc = Irc::start(DOMAIN, chain.enjamb.addr(0), OWN);
    chain.enjamb.wait_for_log("uplink connected");
    let (mut juliet, mut romeo) = (chain.juliet(), Romeo::join(irc.server.addr()));
    set_port(&mut juliet, irc.server.addr().port());
    join(&mut juliet);
    wait_until_joined(&mut juliet);
    romeo.wait_for(":juliet!~juliet@127.0.0.1 JOIN");
    talk(&mut juliet, &mut romeo, "wherefore art thou");

    irc.biboumi.stop().unwrap();
    romeo.wait_for(":juliet!~juliet@127.0.0.1 QUIT");
    chain.enjamb.wait_for_log("connection ended");
    // The wish to enter waits for it.
    join(&mut juliet);
    juliet.ask(json!({"do": "ping", "to": "localhost"}));
    irc.biboumi.start_again().unwrap();
    wait_until_joined(&mut juliet);
    romeo.wait_for(":juliet!~juliet@127.0.0.1 JOIN");
    talk(&mut juliet, &mut romeo, "parting is such sweet sorrow");
    let log = chain.enjamb.log();
    assert_eq!(log.matches("uplink connected").count(), 1, "one stream outlived it: {log}");
}
