//! Faults that operators reported of addresses and of XML, each met as they met it: with the server, over TCP.
//! Judged by bytes and by roxmltree, so that nothing else has to be installed.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::net::SocketAddr;
use std::time::Duration;

use enjamb_tests::server::Config;
use enjamb_tests::wire::{Wire, header};

const WAIT: Duration = Duration::from_secs(5);

/// A component that is logged in, its negotiation read.
fn online(addr: SocketAddr, header: &str) -> Wire {
    let mut wire = Wire::connect(addr);
    wire.log_in(header.as_bytes()).unwrap_or_else(|got| panic!("{header}: {got}"));
    wire.take();
    wire
}

/// What comes up to the element of this name that is last, and its end.
fn stanza(wire: &mut Wire, name: &str) -> String {
    let end = format!("</{name}>");
    assert!(wire.wait(WAIT, |got| got.ends_with(end.as_bytes())), "no {end}: {}", wire.text());
    String::from_utf8(wire.take()).unwrap()
}

/// The condition of the error that answers a message to `to`, `None` where it is delivered to `receiver`.
fn refused(sender: &mut Wire, receiver: &mut Wire, to: &str) -> Option<String> {
    // What cannot be delivered is answered before the second message is.
    sender.send(format!("<message to='{to}'><body>1</body></message>").as_bytes(), None);
    sender.send(b"<iq type='get' to='nobody.example' id='end'><a xmlns='urn:a'/></iq>", None);
    assert!(sender.wait_for(WAIT, "id='end'") && sender.wait_for(WAIT, "</iq>"), "{}", sender.text());
    let answers = String::from_utf8(sender.take()).unwrap();
    if let Some(error) = answers.strip_prefix("<message ") {
        let condition = error.split_once("<error").unwrap().1.split_once('<').unwrap().1;
        return condition.split([' ', '/']).next().map(str::to_owned);
    }
    let delivered = stanza(receiver, "message");
    assert!(delivered.contains(&format!("to='{to}'")), "{to}: {delivered}");
    None
}

#[test]
fn fault_01_subdomain_of_an_ip_literal_is_a_name() {
    let more = "\n[acl]\nbot = [{server = \"bot.10.211.55.9\"}]\n[access]\nno_bots = [{acl = \"bot\", value = \"deny\"}, {acl = \"all\", value = \"allow\"}]\n";
    let server = Config::new(&["10.211.55.9", "host.example"])
        .listener("")
        .listener("domains = [\"muc.10.211.55.9\", \"*.pubsub.10.211.55.9\"]\naccess = \"no_bots\"")
        .more(more)
        .start();
    let mut sender = online(server.addr(0), &header("bot.10.211.55.9"));
    let mut by_header = online(server.addr(0), &header("MUClight.10.211.55.9."));
    let mut listed = online(server.addr(1), &header("muc.10.211.55.9"));
    let mut matched = online(server.addr(1), &header("a.pubsub.10.211.55.9"));
    let subdomain = header("vjud").replace(" to=", " is_subdomain='true' to=");
    let mut by_prefix = online(server.addr(0), &subdomain);

    for to in ["muclight.10.211.55.9", "room@muclight.10.211.55.9/nick"] {
        assert_eq!(refused(&mut sender, &mut by_header, to), None, "{to}");
    }
    for to in ["vjud.10.211.55.9", "vjud.host.example"] {
        assert_eq!(refused(&mut sender, &mut by_prefix, to), None, "{to}");
    }
    let mut other = online(server.addr(0), &header("other.host.example"));
    for (to, receiver) in [("muc.10.211.55.9", &mut listed), ("a.pubsub.10.211.55.9", &mut matched)] {
        assert_eq!(
            refused(&mut sender, receiver, to).as_deref(),
            Some("not-allowed"),
            "{to}: bots are denied"
        );
        assert_eq!(refused(&mut other, receiver, to), None, "{to}");
    }

    // Numbers alone are an address, in one spelling.
    for to in ["127.1", "0x7f.0.0.1", "10.211.55.09", "1.10.211.55.9"] {
        let condition = refused(&mut sender, &mut by_header, to);
        assert_eq!(condition.as_deref(), Some("bad-request"), "{to}");
        let mut wire = Wire::connect(server.addr(0));
        assert!(wire.log_in(header(to).as_bytes()).is_err_and(|got| got.contains("<host-unknown")), "{to}");
    }
}

#[test]
fn fault_02_local_parts_are_for_their_domain_to_judge() {
    let server = Config::new(&["host.example"]).listener("").start();
    let mut sender = online(server.addr(0), &header("bot.example"));
    let mut irc = online(server.addr(0), &header("irc.example"));
    // Persian with a non-joiner between letters that join, Hindi with one and with a joiner behind a virama.
    let persian = "\u{646}\u{627}\u{645}\u{647}\u{200C}\u{627}\u{6CC}";
    let hindi = ["\u{915}\u{94D}\u{200C}\u{937}", "\u{915}\u{94D}\u{200D}\u{937}"];
    for local in [persian, hindi[0], hindi[1], "#chan\u{1F40E}%irc", "\u{2603}", "Nick`[away]", "\u{378}"] {
        let to = format!("{local}@irc.example");
        assert_eq!(refused(&mut sender, &mut irc, &to), None, "{to}");
    }
    // What shows nothing, or is a separator, would make one name pass for another.
    for local in
        ["spam\u{200C}mer", "spam\u{200D}mer", "spam\u{200B}mer", "spam\u{34F}mer", "a\u{3164}", "a:b"]
    {
        let to = format!("{local}@irc.example");
        assert_eq!(refused(&mut sender, &mut irc, &to).as_deref(), Some("bad-request"), "{to:?}");
    }
}

/// The words of the stream error that answers this element, sent in writes of N bytes.
fn stream_error(addr: SocketAddr, element: &[u8], split: Option<usize>) -> String {
    let mut wire = online(addr, &header("bot.example"));
    wire.send(element, split);
    wire.finish();
    let got = String::from_utf8(wire.take()).unwrap();
    let text = got.split_once("xml:lang='en'>").unwrap_or_else(|| panic!("no stream error: {got}")).1;
    text.split_once("</text>").unwrap().0.to_owned()
}

#[test]
fn fault_09_the_position_is_the_byte_at_fault_in_any_cut() {
    let server = Config::new(&["host.example"]).listener("").start();
    // A ^ stands before the byte at fault.
    for marked in [
        "<message to='peer.example' from='bot.example' ^to='b'/>",
        "<message to='peer.example' from='bot.example'^id='b'/>",
        "<message to='peer.example'><body>&amp; text</body><x xmlns='urn:x' a='b' c='d' e=^f></x></message>",
        "<message to='peer.example'><body>text</body><x xmlns='urn:x' a='b ^&nbsp;'/></message>",
        "<message to='peer.example'><body>text</body><x xmlns='urn:^ x' a='b'/></message>",
        "<message to='peer.example'><body>text</body><x xmlns:a='urn:a' ^b:c='d'/></message>",
        "<message to='peer.example'><body>text</^boby></message>",
        "<message to='peer.example'><body>text ^&#x1;</body>",
        "<message to='peer.example'><body>text ]]^></body>",
    ] {
        let (before, behind) = marked.split_once('^').unwrap();
        let element = format!("{before}{behind}");
        let position = format!("(at byte {} of the element)", before.len());
        for split in [None, Some(1), Some(7), Some(before.len()), Some(before.len() + 1)] {
            let words = stream_error(server.addr(0), element.as_bytes(), split);
            assert!(words.ends_with(&position), "{element} in pieces of {split:?}: {words}, not {position}");
        }
    }
}

#[test]
fn fault_10_declarations_of_a_stanza_are_rescoped_whatever_their_prefix() {
    let server = Config::new(&["host.example"]).listener("").start();
    let mut sender = online(server.addr(0), &header("bot.example"));
    let mut receiver = online(server.addr(0), &header("peer.example"));
    let stream = header("peer.example");
    for uri in ["jabber:client", "jabber:server", "jabber:component:accept"] {
        for (name, end) in [("c:message", "c:message"), ("message", "message")] {
            let forwarded = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/><d:message xmlns:d='jabber:client'/></forwarded>";
            let sent = format!(
                "<{name} to='peer.example' xmlns:c='{uri}'><c:body>text</c:body>{forwarded}<end/></{end}>"
            );
            sender.send(sent.as_bytes(), None);
            let got = format!("{stream}{}</stream:stream>", stanza(&mut receiver, "message"));
            let document = roxmltree::Document::parse(&got).unwrap_or_else(|why| panic!("{why}: {got}"));
            let message = document.root_element().first_element_child().unwrap();
            let accept = |name| ("jabber:component:accept", name);
            assert!(message.has_tag_name(accept("message")), "{got}");
            assert!(message.first_element_child().unwrap().has_tag_name(accept("body")), "{got}");
            let inside = message.children().find(|child| child.has_tag_name("forwarded")).unwrap();
            let clients = inside.children().filter(|child| child.has_tag_name(("jabber:client", "message")));
            assert_eq!(clients.count(), 2, "{got}");
        }
    }
}
