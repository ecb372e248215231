//! Each program does what it says: every echo against every listener.

mod program;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use enjamb_tests::peer::{Element, Peer, refused};
use enjamb_tests::server::SECRET;
use enjamb_tests::tls::{Authority, NAME, Tunnel, VERSIONS};
use enjamb_tests::wire::header;
use program::Program;

const OTHER: &str = env!("CARGO_BIN_EXE_other-runtimes");

/// A program, the arguments before those that all have, and a name for it.
type Echo = (&'static str, &'static str, &'static [&'static str]);

const ECHOES: [Echo; 4] = [
    ("tokio", env!("CARGO_BIN_EXE_echo"), &[]),
    ("smol", OTHER, &["smol", "echo"]),
    ("async-std", OTHER, &["async-std", "echo"]),
    ("threads", env!("CARGO_BIN_EXE_echo-threads"), &[]),
];

const TLS_ECHOES: [Echo; 2] =
    [("tokio", env!("CARGO_BIN_EXE_echo-tls"), &[]), ("smol", OTHER, &["smol", "echo-tls"])];

fn every_echo_meets(listener: &str, first: &[&str]) {
    let mut listener = Program::start(listener, &[first, &["127.0.0.1:0", SECRET]].concat());
    let address = listener.address();
    all_meet(&ECHOES, &[], address, Peer::online(address, "peer.localhost"));
}

fn every_echo_meets_over_tls(listener: &str, first: &[&str]) {
    let authority = Authority::new();
    let (certificate, key) = authority.files("server", &authority.issue(&[NAME]));
    let [certificate, key, ca] = [certificate, key, authority.ca()].map(|path| path.display().to_string());
    let mut listener =
        Program::start(listener, &[first, &["127.0.0.1:0", SECRET, &certificate, &key]].concat());
    let address = listener.address();
    let tunnel = Tunnel::to(address, authority.client(VERSIONS[0], None), b"");
    all_meet(&TLS_ECHOES, &[&ca, NAME], address, Peer::online(tunnel.addr(), "peer.localhost"));
}

/// Each echo answers the peer, and is gone when its program is.
fn all_meet(echoes: &[Echo], more: &[&str], address: SocketAddr, mut peer: Peer) {
    for (name, path, first) in echoes {
        let domain = format!("{name}.localhost");
        let address = address.to_string();
        let mut echo = Program::start(path, &[first, &[&*address, &*domain, SECRET][..], more].concat());
        // It is there once something comes back from it and not from the host.
        let came_up_by = Instant::now() + Duration::from_secs(20);
        for attempt in 0.. {
            let id = format!("{name}-{attempt}");
            peer.send(&format!(
                "<message to='someone@{domain}/r' from='me@peer.localhost' id='{id}' type='chat'>\
                 <body>caf\u{e9} &lt;3</body><x:y xmlns:x='urn:x' a='&quot;'/></message>"
            ));
            let back = peer.stanza(&id);
            if back.attribute("type") == Some("chat") {
                assert_eq!(back.attribute("from"), Some(&*format!("someone@{domain}/r")));
                assert_eq!(back.attribute("to"), Some("me@peer.localhost"));
                break;
            }
            let is_running = echo.0.try_wait().expect("it is ours").is_none();
            assert!(is_running && Instant::now() < came_up_by, "{name} did not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Errors are not echoed: they would go to and fro for ever.
        peer.send(&format!("<message to='{domain}' type='error' id='e'/>"));
        peer.send(&format!("<message to='{domain}' id='{name}-last'/>"));
        assert_eq!(peer.element().attribute("id"), Some(&*format!("{name}-last")));
    }
    // The listener notices the end of the last echo soon. Until then, a message for it bounces, or is lost if it was already
    // written to the socket of the dead program.
    let last = echoes.last().expect("there are echoes").0;
    let noticed_by = Instant::now() + Duration::from_secs(20);
    for attempt in 0.. {
        peer.send(&format!("<message to='{last}.localhost' id='gone-{attempt}'/>"));
        let condition = peer.next_xml(Duration::from_secs(1)).map(|xml| {
            let back = Element::new(&xml);
            assert_eq!(back.attribute("type"), Some("error"), "{xml}");
            back.fault().expect("an error").condition
        });
        match condition.as_deref() {
            Some("remote-server-not-found") => break,
            Some("recipient-unavailable") | None => {
                assert!(Instant::now() < noticed_by, "the end goes unnoticed");
            }
            Some(other) => panic!("{other}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn on_tokio() {
    every_echo_meets(env!("CARGO_BIN_EXE_listener"), &[]);
}

#[test]
fn on_smol() {
    every_echo_meets(OTHER, &["smol", "listener"]);
}

#[test]
fn on_async_std() {
    every_echo_meets(OTHER, &["async-std", "listener"]);
}

#[test]
fn on_a_poll_loop() {
    every_echo_meets(env!("CARGO_BIN_EXE_listener-poll"), &[]);
}

#[test]
fn on_tokio_over_tls() {
    every_echo_meets_over_tls(env!("CARGO_BIN_EXE_listener-tls"), &[]);
}

#[test]
fn on_smol_over_tls() {
    every_echo_meets_over_tls(OTHER, &["smol", "listener-tls"]);
}

#[test]
fn a_wrong_secret_ends_an_echo_with_the_reason() {
    let mut listener = Program::start(env!("CARGO_BIN_EXE_listener"), &["127.0.0.1:0", SECRET]);
    let address = listener.address().to_string();
    for (name, path, first) in ECHOES {
        let wrong = [&*address, "echo.localhost", "wrong"];
        let out = Command::new(path).args(first).args(wrong).output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains("not the SHA-1 of the stream id"), "{name}: {said}");
    }
}

/// With the types of `xmpp-parsers`: what it asks, what it answers, and what it refuses.
#[test]
fn a_typed_component_asks_and_answers() {
    let mut listener = Program::start(env!("CARGO_BIN_EXE_listener"), &["127.0.0.1:0", SECRET]);
    let address = listener.address();
    let mut peer = Peer::online(address, "peer.localhost");
    let args = [&address.to_string(), "typed.localhost", SECRET, "localhost"];
    let mut typed = Program::start(env!("CARGO_BIN_EXE_typed"), &args);
    let mut line = String::new();
    BufReader::new(typed.0.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says what");
    assert_eq!(line, "localhost is a server/im\n");

    let mut ask = |id: &str, payload: &str| {
        peer.send(&format!(
            "<iq type='get' to='x@typed.localhost' from='me@peer.localhost' id='{id}'>{payload}</iq>"
        ));
        peer.stanza(id)
    };
    let info = ask("info", "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    assert_eq!(info.attribute("type"), Some("result"), "{}", info.xml);
    assert_eq!(info.attribute("from"), Some("x@typed.localhost"));
    assert_eq!(info.attribute("to"), Some("me@peer.localhost"));
    assert!(info.xml.contains("category='component'") && info.xml.contains("urn:xmpp:ping"), "{}", info.xml);
    let pong = ask("ping", "<ping xmlns='urn:xmpp:ping'/>");
    assert_eq!(pong.attribute("type"), Some("result"), "{}", pong.xml);
    let refused = ask("what", "<what xmlns='urn:x'/>");
    assert!(
        refused.attribute("type") == Some("error") && refused.xml.contains("<service-unavailable"),
        "{}",
        refused.xml
    );
}

/// A component talks to the users of the server that is embedded with it.
fn users_answer(program: &str) {
    let mut server = Program::start(program, &["127.0.0.1:0", SECRET]);
    let address = server.address();
    let mut peer = Peer::online(address, "bot.localhost");
    peer.send("<message to='juliet@chat.localhost/balcony' from='romeo@bot.localhost' id='1' type='chat'/>");
    let answer = peer.element();
    assert_eq!(answer.attribute("from"), Some("juliet@chat.localhost/balcony"));
    assert_eq!(answer.attribute("to"), Some("romeo@bot.localhost"));
    assert!(answer.xml.contains("<body>O Romeo, Romeo!</body>"), "{}", answer.xml);
    peer.send("<message to='mercutio@chat.localhost' id='2'/>");
    let fault = peer.stanza("2").fault().expect("there is no such user");
    assert_eq!((&*fault.condition, &*fault.text), ("item-not-found", "this server has no such user"));
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    peer.send(&format!("<iq type='get' to='chat.localhost' id='3'>{items}</iq>"));
    let listed = peer.stanza("3");
    assert!(listed.xml.contains("<item jid='bot.localhost'/>"), "{}", listed.xml);
    // No component takes the host's name.
    assert_eq!(refused(address, &header("chat.localhost")).condition, "conflict");
}

#[test]
fn p10_embedded_server_with_users_of_its_own_on_tokio() {
    users_answer(env!("CARGO_BIN_EXE_embed-server"));
}

#[test]
fn p10_embedded_server_with_users_of_its_own_on_a_poll_loop() {
    users_answer(env!("CARGO_BIN_EXE_embed-poll"));
}

#[test]
fn p10_bridge_creates_names_at_run_time() {
    let mut bridge = Program::start(env!("CARGO_BIN_EXE_bridge"), &["127.0.0.1:0", SECRET]);
    let mut peer = Peer::online(bridge.address(), "peer.localhost");
    let mut listed = |id: &str, is_listed: bool| {
        let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
        peer.send(&format!("<iq type='get' to='localhost' id='items-{id}'>{items}</iq>"));
        let answer = peer.stanza(&format!("items-{id}"));
        assert_eq!(answer.xml.contains("jid='new.bots.localhost'"), is_listed, "{}", answer.xml);
        peer.send(&format!("<message to='a@new.bots.localhost' id='{id}'><body>{id}</body></message>"));
        let echo = peer.stanza(id);
        assert_eq!(echo.attribute("from"), Some("a@new.bots.localhost"), "{}", echo.xml);
    };
    listed("hello", false);
    listed("bye", true);
    // It has let go of the name before it takes the next stanza.
    listed("sync", false);
}

/// A listener and two components on one thread: the question comes to one, the answer to the other.
#[test]
fn one_thread_serves_two_components() {
    let output = Command::new(env!("CARGO_BIN_EXE_one-thread")).output().expect("cargo has built it");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("weather.localhost: from bot.localhost: <body>Will it rain in Bergen?</body>"),
        "{said}"
    );
    assert!(said.contains("bot.localhost: from weather.localhost: <body>Yes. ☔</body>"), "{said}");
}
