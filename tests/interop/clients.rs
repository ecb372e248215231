//! Third-party component libraries, as they are published, against the real server.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use enjamb_tests::judge;
use enjamb_tests::server::Config;
use enjamb_tests::tls::{Authority, NAME, NO_PEERS};
use enjamb_tests::tree::Event;
use serde_json::{Value, json};

use crate::component::{Component, Library, Options};

const HOST: &str = "host.example";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";

fn one_host() -> Config {
    Config::new(&[HOST]).listener("")
}

fn online(library: Library, addr: SocketAddr, jid: &str) -> Component {
    Options::new(library, addr, jid).online()
}

fn assert_pings(component: &mut Component, host: &str) {
    let pong = component.ask(json!({"do": "ping", "to": host}));
    assert_eq!((&pong["type"], &pong["from"]), (&json!("result"), &json!(host)), "{pong}");
}

fn xml_of(stanza: &Value) -> &str {
    stanza["xml"].as_str().expect("every stanza is reported with its XML")
}

/// The values of an attribute of all elements of this name in a stanza, sorted.
fn attributes(stanza: &Value, (namespace, name): (&str, &str), attribute: &str) -> Vec<String> {
    let tree = judge::stanza(xml_of(stanza));
    let starts = tree.starts().filter(|start| start.is(namespace, name));
    let mut values: Vec<String> =
        starts.filter_map(|start| start.attribute(attribute)).map(ToOwned::to_owned).collect();
    values.sort();
    values
}

fn items(asker: &mut Component, host: &str) -> Vec<String> {
    let answer = asker.ask(json!({"do": "disco_items", "to": host}));
    assert_eq!(answer["type"], "result", "{answer}");
    attributes(&answer, (DISCO_ITEMS, "item"), "jid")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn a_component_connects_leaves_and_comes_back() {
    let server = one_host().start();
    for library in Library::ALL {
        let mut first = online(library, server.addr(0), "comp.example");
        first.send(&json!({"do": "close"}));
        first.wait_for("closed");
        // Nobody holds the domain any more, or this one would meet a conflict.
        let mut second = online(library, server.addr(0), "comp.example");
        assert_pings(&mut second, HOST);
        second.send(&json!({"do": "close"}));
        second.wait_for("closed");
    }
}

#[test]
fn a_wrong_secret_is_reported_by_the_library() {
    let server = one_host().start();
    for library in Library::ALL {
        let mut component = Options::new(library, server.addr(0), "comp.example").secret("guess").start();
        let error = component.wait("stream error", |e| e["event"] == "error" && e["condition"].is_string());
        assert_eq!(error["condition"], "not-authorized");
        assert!(error["text"].as_str().is_some_and(|t| !t.is_empty()), "{error}");
        component.wait_for("offline");
        assert!(!component.events().iter().any(|e| e["event"] == "online"));
    }
}

#[test]
fn a_host_of_ours_cannot_be_claimed() {
    let server = one_host().start();
    for library in Library::ALL {
        let mut component = Options::new(library, server.addr(0), HOST).start();
        assert_eq!(component.wait_for_stream_error(), "conflict");
    }
}

#[test]
fn messages_pass_between_the_libraries_unchanged() {
    let bodies = [
        "plain",
        "emoji \u{1F600}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467} and flags \u{1F1E9}\u{1F1EA}",
        "\u{6F22}\u{5B57} \u{304B}\u{306A} \u{D55C}\u{AE00} \u{20BB7}",
        "e\u{301} n\u{303} a\u{308}\u{323} \u{202E}rtl \u{5D0}\u{5D1}",
        "<>&\"' ]]> &amp; &#65; <![CDATA[x]]>",
        "lines\nand\ttabs",
    ];
    let children = "<a xmlns='urn:one' k='&lt;&quot;&amp;'><b xmlns='urn:two'><c xmlns='urn:one'/>text</b></a>\
        <empty xmlns='urn:three'/>";
    let server = one_host().start();
    for library in Library::ALL {
        let mut sender = online(library, server.addr(0), "comp.example");
        let mut receiver = online(library.other(), server.addr(0), "peer.example");
        for (n, body) in bodies.iter().enumerate() {
            let id = format!("m{n}");
            sender.send(&json!({"do": "message", "to": "bob@peer.example/\u{e9}", "from": "al@comp.example",
                "id": id, "body": body, "children_xml": children}));
            let got = receiver.wait_for_stanza("message", &id);
            assert_eq!(got["body"], *body);
            let sent = format!(
                "<message from='al@comp.example' to='bob@peer.example/\u{e9}' id='{id}'><body>{}</body>{children}</message>",
                escaped(body)
            );
            assert_eq!(judge::stanza(xml_of(&got)), judge::stanza(&sent));
        }
    }
}

#[test]
fn unusual_but_right_xml_arrives_as_the_same_tree() {
    let stanzas = [
        "<message from='comp.example' to='peer.example' id='x0'><body><![CDATA[<not> & markup]]></body></message>",
        "<message xmlns:p='urn:p' from='comp.example' to='peer.example' id='x1'><p:a p:k='v' k='w'><p:b/></p:a></message>",
        "<message\n from=\"comp.example\"\tto='peer.example' id='x2' xml:lang='de'><body xml:lang='fr'>&#x1F600;&#x10FFFD;&apos;</body></message>",
        "<c:message xmlns:c='jabber:component:accept' from='comp.example' to='peer.example' id='x3'><c:body>x</c:body></c:message>",
        "<message from='comp.example' to='peer.example' id='x4'><x xmlns=''><y xmlns='urn:y'/></x></message>",
    ];
    let server = one_host().start();
    for library in Library::ALL {
        let mut sender = online(library, server.addr(0), "comp.example");
        let mut receiver = Component::slixmpp(server.addr(0), "peer.example");
        for (n, xml) in stanzas.iter().enumerate() {
            sender.send(&json!({"do": "raw", "xml": xml}));
            let got = receiver.wait_for_stanza("message", &format!("x{n}"));
            assert_eq!(judge::stanza(xml_of(&got)), judge::stanza(xml));
        }
    }
}

#[test]
fn an_iq_gets_its_result_and_its_error() {
    let server = one_host().start();
    for library in Library::ALL {
        let mut asker = online(library, server.addr(0), "comp.example");
        let _answerer = online(library.other(), server.addr(0), "peer.example");
        let ask = |xml: &str| json!({"do": "iq", "type": "get", "to": "peer.example", "xml": xml});

        let result =
            asker.ask(ask("<echo xmlns='urn:enjamb:test'><deep xmlns='urn:x'>\u{1F98A}</deep></echo>"));
        assert_eq!(
            (&result["type"], &result["from"]),
            (&json!("result"), &json!("peer.example")),
            "{result}"
        );
        let tree = judge::stanza(xml_of(&result));
        let starts: Vec<_> = tree.starts().collect();
        assert!(starts[1].is("urn:enjamb:test", "echo") && starts[2].is("urn:x", "deep"), "{tree:?}");
        assert_eq!(tree.0[3], Event::Text("\u{1F98A}".into()));

        let error = asker.ask(ask("<refuse xmlns='urn:enjamb:test'/>"));
        assert_eq!(error["type"], "error");
        assert_eq!(
            error["error"],
            json!({"type": "auth", "condition": "forbidden", "text": "Refused, as asked"})
        );
    }
}

#[test]
fn what_nobody_serves_bounces_with_its_name() {
    let server = one_host().start();
    for library in Library::ALL {
        let mut component = online(library, server.addr(0), "comp.example");
        component.message("someone@nowhere.example", "lost", "hello?");
        let bounce = component.wait_for_stanza("message", "lost");
        assert_eq!((&bounce["type"], &bounce["from"]), (&json!("error"), &json!("someone@nowhere.example")));
        let answer = component.ask(json!({"do": "disco_info", "to": "nowhere.example"}));
        for error in [&bounce["error"], &answer["error"]] {
            assert_eq!(
                (&error["condition"], &error["type"]),
                (&json!("remote-server-not-found"), &json!("cancel"))
            );
            assert!(error["text"].as_str().is_some_and(|t| t.contains("nowhere.example")), "{error}");
        }
    }
}

#[test]
fn a_domain_that_is_known_but_away_bounces_as_away() {
    let server = Config::new(&[HOST]).listener("domains = [\"comp.example\", \"down.example\"]").start();
    for library in Library::ALL {
        let mut component = online(library, server.addr(0), "comp.example");
        let answer = component.ask(json!({"do": "ping", "to": "down.example"}));
        assert_eq!(
            (&answer["error"]["condition"], &answer["error"]["type"]),
            (&json!("remote-server-timeout"), &json!("wait"))
        );
    }
}

#[test]
fn a_forged_sender_gets_an_error_and_keeps_its_stream() {
    let server = one_host().listener("check_from = false").start();
    for library in Library::ALL {
        let mut receiver = online(library.other(), server.addr(0), "peer.example");
        let mut checked = online(library, server.addr(0), "comp.example");
        let mut trusted = online(library, server.addr(1), "gateway.example");
        let from = |from: &str, id: &str| json!({"do": "message", "to": "peer.example", "from": from, "id": id, "body": "x"});

        checked.send(&from("evil-comp.example", "forged"));
        assert_eq!(checked.wait_for_stanza("message", "forged")["error"]["condition"], "bad-request");
        trusted.send(&from("user@elsewhere.example", "foreign"));
        assert_eq!(receiver.wait_for_stanza("message", "foreign")["from"], "user@elsewhere.example");
        checked.send(&from("user@comp.example", "own"));
        receiver.wait_for_stanza("message", "own");
        assert!(!receiver.events().iter().any(|e| e["id"] == "forged"));
    }
}

#[test]
fn a_taken_domain_stays_with_its_holder_under_disconnect() {
    let server = Config::new(&[HOST]).listener("conflict_behaviour = \"disconnect\"").start();
    for library in Library::ALL {
        let mut holder = online(library, server.addr(0), "comp.example");
        let mut newcomer = Options::new(library.other(), server.addr(0), "comp.example").start();
        assert_eq!(newcomer.wait_for_stream_error(), "conflict");
        newcomer.wait_for("offline");
        assert_pings(&mut holder, HOST);
        assert!(!holder.events().iter().any(|e| e["event"] == "offline"));
    }
}

#[test]
fn a_taken_domain_goes_to_the_newcomer_under_kick_old() {
    let server = Config::new(&[HOST]).listener("conflict_behaviour = \"kick_old\"").start();
    for library in Library::ALL {
        let mut holder = online(library, server.addr(0), "comp.example");
        let mut peer = online(library, server.addr(0), "peer.example");
        let mut newcomer = online(library.other(), server.addr(0), "comp.example");
        let error = holder.wait("stream error", |e| e["event"] == "error" && e["condition"].is_string());
        assert_eq!(
            (&error["condition"], &error["text"]),
            (&json!("conflict"), &json!("Replaced by new connection"))
        );
        holder.wait_for("offline");
        peer.message("comp.example", "after", "for the newcomer");
        newcomer.wait_for_stanza("message", "after");
        newcomer.message("peer.example", "back", "from the newcomer");
        peer.wait_for_stanza("message", "back");
        assert!(!holder.events().iter().any(|e| e["id"] == "after"));
    }
}

#[test]
fn a_subdomain_component_serves_its_prefix_on_every_host() {
    let hosts = ["host1.example", "host2.example"];
    let server = Config::new(&hosts).listener("").start();
    for library in Library::ALL {
        let mut muc = Options::new(library, server.addr(0), "muc").subdomain().online();
        let mut peer = online(library.other(), server.addr(0), "peer.example");
        for host in hosts {
            let room = format!("room@muc.{host}");
            peer.message(&room, &format!("to-{host}"), "hello");
            assert_eq!(muc.wait_for_stanza("message", &format!("to-{host}"))["to"], *room);
            let id = format!("from-{host}");
            muc.send(
                &json!({"do": "message", "from": room, "to": "peer.example", "id": id, "body": "hello"}),
            );
            assert_eq!(peer.wait_for_stanza("message", &id)["from"], *room);
            let listed = items(&mut peer, host);
            assert_eq!(listed, [format!("muc.{host}"), "peer.example".to_owned()]);
        }
        // The bare prefix is no name of its own.
        let answer = peer.ask(json!({"do": "ping", "to": "muc"}));
        assert_eq!(answer["error"]["condition"], "remote-server-not-found");
    }
}

#[test]
fn disco_items_lists_components_unless_their_listener_hides_them() {
    let server = one_host().listener("hidden_components = true").start();
    for library in Library::ALL {
        let mut shown = online(library, server.addr(0), "shown.example");
        let _peer = online(library.other(), server.addr(0), "peer.example");
        let mut hidden = online(library, server.addr(1), "hidden.example");
        for asker in [&mut shown, &mut hidden] {
            assert_eq!(items(asker, HOST), ["peer.example", "shown.example"]);
        }
        shown.message("hidden.example", "to-hidden", "hidden is not unreachable");
        hidden.wait_for_stanza("message", "to-hidden");
    }
}

#[test]
fn disco_items_lists_hidden_components_where_the_operator_says_so() {
    let server = one_host()
        .listener("hidden_components = true")
        .more("[modules.mod_disco]\nusers_can_see_hidden_services = true\n")
        .start();
    let mut shown = Component::slixmpp(server.addr(0), "shown.example");
    let _hidden = Component::xmppjs(server.addr(1), "hidden.example");
    assert_eq!(items(&mut shown, HOST), ["hidden.example", "shown.example"]);
}

#[test]
fn the_host_answers_ping_version_and_disco() {
    let server = one_host().start();
    for library in Library::ALL {
        let mut component = online(library, server.addr(0), "comp.example");
        assert_pings(&mut component, HOST);

        let version = component.ask(json!({"do": "version", "to": HOST}));
        assert_eq!(version["type"], "result");
        let tree = judge::stanza(xml_of(&version));
        let text_of = |name: &str| {
            let is_start =
                |event: &Event| matches!(event, Event::Start(start) if start.is("jabber:iq:version", name));
            match tree.0.iter().position(is_start).map(|at| &tree.0[at + 1]) {
                Some(Event::Text(text)) => text.clone(),
                other => panic!("{name}: {other:?} in {tree:?}"),
            }
        };
        assert_eq!(text_of("name").to_lowercase(), "enjamb");
        assert!(text_of("version").starts_with(|c: char| c.is_ascii_digit()));

        let info = component.ask(json!({"do": "disco_info", "to": HOST}));
        assert_eq!(info["type"], "result");
        assert_eq!(attributes(&info, (DISCO_INFO, "identity"), "category"), ["server"]);
        let features = attributes(&info, (DISCO_INFO, "feature"), "var");
        for feature in [DISCO_INFO, DISCO_ITEMS, "urn:xmpp:ping", "jabber:iq:version", "urn:xmpp:time"] {
            assert!(features.iter().any(|f| f == feature), "{feature} is not in {features:?}");
        }

        let user = component.ask(json!({"do": "ping", "to": format!("nobody@{HOST}")}));
        assert_eq!(user["error"]["condition"], "service-unavailable", "{user}");
    }
}

#[test]
fn components_come_back_after_the_server_restarts() {
    let mut server = one_host().start();
    let mut slixmpp = Options::new(Library::Slixmpp, server.addr(0), "comp.example").reconnect().online();
    let mut xmppjs = Options::new(Library::XmppJs, server.addr(0), "peer.example").reconnect().online();
    server.restart();
    for component in [&mut slixmpp, &mut xmppjs] {
        assert_eq!(component.wait_for_stream_error(), "system-shutdown");
        component.wait_for("offline");
        component.wait_for("online");
    }
    slixmpp.message("peer.example", "there", "back again");
    xmppjs.wait_for_stanza("message", "there");
    xmppjs.message("comp.example", "here", "so am I");
    slixmpp.wait_for_stanza("message", "here");
}

/// stunnel with the lines of the documentation, for this server and this authority.
fn stunnel(server: SocketAddr, accept: SocketAddr, ca: &Path) -> Child {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators.md"));
    let docs = docs.expect("the documentation is there");
    let lines =
        docs.split("```ini\n[enjamb]").nth(1).and_then(|rest| rest.split("```").next()).expect("a snippet");
    let lines = lines
        .replace("127.0.0.1:5347", &accept.to_string())
        .replace("xmpp.example.org:5223", &server.to_string())
        .replace("xmpp.example.org", NAME)
        .replace("/etc/ssl/certs/ca-certificates.crt", &ca.display().to_string());
    let file = ca.with_file_name("stunnel.conf");
    std::fs::write(&file, format!("foreground = yes\npid =\n[enjamb]{lines}")).expect("target/ is writable");
    let mut command = Command::new("stunnel4");
    command.arg(file).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("stunnel4 runs. Install it: apt-get install stunnel4")
}

#[test]
fn fault_14_the_snippet_for_stunnel_gives_both_libraries_tls() {
    let authority = Authority::new();
    let table = authority.table("server", &authority.issue(&[NAME])) + NO_PEERS;
    let mut server = Config::new(&[HOST]).listener(&table).start();
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port");
    let mut tunnel = stunnel(server.addr(0), free, &authority.ca());
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(free).is_err() {
        assert!(Instant::now() < deadline, "stunnel does not accept");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut slixmpp = Options::new(Library::Slixmpp, free, "comp.example").reconnect().online();
    let mut xmppjs = Options::new(Library::XmppJs, free, "peer.example").reconnect().online();
    slixmpp.message("peer.example", "there", "over TLS");
    xmppjs.wait_for_stanza("message", "there");
    server.restart();
    for component in [&mut slixmpp, &mut xmppjs] {
        component.wait_for("offline");
        component.wait_for("online");
    }
    xmppjs.message("comp.example", "here", "back again");
    slixmpp.wait_for_stanza("message", "here");
    tunnel.kill().expect("it is ours");
    tunnel.wait().expect("it is ours");
}

#[test]
fn a_dropped_connection_leaves_its_domain_free() {
    let server = Config::new(&[HOST]).listener("conflict_behaviour = \"disconnect\"").start();
    for library in Library::ALL {
        // The process dies: the system ends its connection.
        drop(online(library, server.addr(0), "comp.example"));
        let again = Options::new(library, server.addr(0), "comp.example").reconnect();
        let mut component = again.online();
        assert_pings(&mut component, HOST);
        // The connection is reset under a living program, whose library then connects again.
        component.send(&json!({"do": "kill"}));
        component.wait_for("offline");
        component.wait_for("online");
        assert_pings(&mut component, HOST);
    }
}
