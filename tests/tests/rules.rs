//! Rules of docs/conformance.md that no stream, script or transcript of the other tests shows.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{Access, BindPolicy};
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_core::{Secret, StanzaKind};
use enjamb_runtime::SharedSwitch;
use enjamb_tests::bad_streams::setting;
use enjamb_tests::server::{SECRET, Server, binary};
use enjamb_tests::wire::{Wire, header};

const WAIT: Duration = Duration::from_secs(20);

fn logged_in(server: &Server, domain: &str) -> Wire {
    let mut wire = Wire::connect(server.addr(0));
    wire.log_in(header(domain).as_bytes()).unwrap();
    wire.take();
    wire
}

/// What peer.example receives of this stanza of comp.example.
fn delivered(stanza: &str) -> String {
    let server = setting().start();
    let (mut sender, mut receiver) = (logged_in(&server, "comp.example"), logged_in(&server, "peer.example"));
    sender.send(stanza.as_bytes(), None);
    sender.send(b"<message from='comp.example' to='peer.example' id='behind'/>", None);
    assert!(receiver.wait_for(WAIT, "id='behind'/>"), "{} {}", receiver.text(), sender.text());
    receiver.text().replace("<message from='comp.example' to='peer.example' id='behind'/>", "")
}

/// What comes back for this stanza of comp.example, up to these words.
fn answered(stanza: &str, until: &str) -> String {
    let server = setting().start();
    let mut sender = logged_in(&server, "comp.example");
    sender.send(stanza.as_bytes(), None);
    assert!(sender.wait_for(WAIT, until), "{}", sender.text());
    sender.text()
}

#[test]
fn a_zero_width_no_break_space_in_text_is_kept() {
    let stanza = "<message from='comp.example' to='peer.example'><body>\u{feff}a\u{feff}</body></message>";
    assert_eq!(delivered(stanza), stanza);
}

#[test]
fn the_end_of_cdata_is_fine_in_attributes_and_as_a_reference() {
    let stanza = "<message from='comp.example' to='peer.example' id=']]>'><body>]]&gt;</body></message>";
    let arrived = delivered(stanza);
    let document = roxmltree::Document::parse(&arrived).unwrap();
    assert_eq!(document.root_element().attribute("id"), Some("]]>"));
    assert_eq!(document.root_element().first_child().unwrap().text(), Some("]]>"));
}

#[test]
fn a_reference_is_as_long_as_the_limit_says() {
    let message = |digits: usize| {
        format!("<message from='comp.example' to='peer.example'><body>&#{:0digits$};</body></message>", 65)
    };
    assert_eq!(
        delivered(&message(64)),
        "<message from='comp.example' to='peer.example'><body>&#x41;</body></message>"
    );
    assert!(answered(&message(65), "</stream:stream>").contains("<policy-violation "));
}

#[test]
fn attributes_of_the_prefix_xml_come_out_with_it() {
    let stanza = "<message from='comp.example' to='peer.example' xml:lang='de' xml:space='preserve' \
                  xml:base='urn:b' xml:other='x'><body xml:lang='en' xml:from='y'>a</body></message>";
    assert_eq!(delivered(stanza), stanza);
}

#[test]
fn an_iq_keeps_an_empty_id_and_one_of_1000_bytes() {
    let long = "i".repeat(1000);
    for id in ["", &long] {
        let iq =
            format!("<iq type='get' id='{id}' from='comp.example' to='peer.example'><q xmlns='urn:q'/></iq>");
        assert_eq!(delivered(&iq), iq);
        let bounced = iq.replace("peer.example", "nowhere.example");
        let answer = answered(&bounced, "</iq>");
        let document = roxmltree::Document::parse(&answer).unwrap();
        assert_eq!(document.root_element().attribute("id"), Some(id));
    }
}

#[test]
fn disco_of_an_unknown_node_is_item_not_found() {
    for what in ["info", "items"] {
        let answer = answered(
            &format!(
                "<iq type='get' id='1' from='comp.example' to='host.example'>\
                 <query xmlns='http://jabber.org/protocol/disco#{what}' node='urn:none'/></iq>"
            ),
            "</iq>",
        );
        assert!(answer.contains("<item-not-found"), "{answer}");
    }
}

/// Both answer whatever they get with an error, errors of the server and results included, but not each other's answers.
/// Since the server answers no error, what was sent and its answers are all that there ever is.
#[test]
fn two_that_answer_everything_with_an_error_come_to_rest() {
    const STANZAS: usize = 500;
    let server = setting().start();
    let mut wires = [logged_in(&server, "comp.example"), logged_in(&server, "peer.example")];
    let names = ["comp.example", "peer.example"];
    // To the other, to nobody, to one that is away, to the server, to itself; of each kind and type.
    let targets = ["OTHER", "nowhere.example", "down.example", "host.example", "SELF"];
    let kinds = [
        ("message", ""),
        ("message", " type='error'"),
        ("presence", ""),
        ("presence", " type='error'"),
        ("iq", " type='result'"),
    ];
    for n in 0..STANZAS {
        for at in 0..2 {
            let (kind, kind_type) = kinds[n % kinds.len()];
            let to = targets[n / kinds.len() % targets.len()];
            let to = to.replace("OTHER", names[1 - at]).replace("SELF", names[at]);
            let stanza = format!("<{kind}{kind_type} from='{}' to='{to}' id='{at}-{n}'/>", names[at]);
            wires[at].send(stanza.as_bytes(), None);
        }
    }
    let mut answers = 0;
    loop {
        let mut quiet = true;
        for at in 0..2 {
            wires[at].wait(Duration::from_millis(400), |bytes| bytes.ends_with(b">"));
            // Let what is half there come whole.
            wires[at].wait(Duration::from_millis(50), |_| false);
            let text = String::from_utf8(wires[at].take()).unwrap();
            let stream = format!("<s>{text}</s>");
            for stanza in roxmltree::Document::parse(&stream).unwrap().root_element().children() {
                quiet = false;
                let (Some(from), Some(id)) = (stanza.attribute("from"), stanza.attribute("id")) else {
                    continue;
                };
                if id.starts_with("answer") {
                    continue;
                }
                answers += 1;
                let answer = format!(
                    "<message type='error' from='{}' to='{from}' id='answer-{id}'>\
                     <error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
                    names[at]
                );
                wires[at].send(answer.as_bytes(), None);
            }
        }
        if quiet || answers > 4 * STANZAS {
            break;
        }
    }
    assert!(answers > 0 && answers <= 4 * STANZAS, "{answers} answers to {} stanzas", 2 * STANZAS);
    assert!(wires.iter().all(|wire| !wire.closed()));
}

#[test]
fn the_server_takes_no_secret_on_its_command_line() {
    let output = Command::new(binary()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap().to_lowercase();
    assert!(
        help.contains("--config") && !help.contains("--secret") && !help.contains("--password"),
        "{help}"
    );
}

/// An access rule of the application's own panics, inside the sender's task.
#[test]
fn a_task_that_panics_ends_only_its_own_stream() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = Domain::parse("host.example").unwrap();
        let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([host])));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut listener = ListenerConfig::new(Secret::new(SECRET));
        let rule = |sender: &Jid<'_>, _: bool| {
            assert_ne!(sender.domain(), "c.example", "the rule is broken, as this test wants it");
            true
        };
        listener.policy =
            Arc::new(BindPolicy { access: Access::Rule(Arc::new(rule)), ..BindPolicy::default() });
        tokio::spawn(enjamb_tokio::serve(socket, switch, Arc::new(listener)));
        let connect = |name: &'static str| {
            enjamb_tokio::connect(address, Domain::parse(name).unwrap(), Secret::new(SECRET))
        };
        let (a, b) = (connect("a.example").await.unwrap(), connect("b.example").await.unwrap());
        let unlucky = connect("c.example").await.unwrap();
        unlucky.send("<message from='c.example' to='b.example'/>").await.unwrap();
        let ended = async { while unlucky.next().await.is_some() {} };
        tokio::time::timeout(WAIT, ended).await.expect("its stream ends");

        a.send("<message from='a.example' to='b.example' id='1'/>").await.unwrap();
        let received = tokio::time::timeout(WAIT, b.next()).await.unwrap().unwrap();
        assert_eq!(
            (received.as_stanza().kind(), received.as_stanza().id().as_deref()),
            (StanzaKind::Message, Some("1"))
        );
        // And its name is free again.
        let again = connect("c.example").await.unwrap();
        a.send("<message from='a.example' to='c.example' id='2'/>").await.unwrap();
        let received = tokio::time::timeout(WAIT, again.next()).await.unwrap().unwrap();
        assert_eq!(received.as_stanza().id().as_deref(), Some("2"));
    });
}
