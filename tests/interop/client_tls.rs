//! TLS as other people's programs speak it.

use std::process::Command;

use enjamb_tests::server::{Config, Server};
use enjamb_tests::tls::{Authority, NAME, NO_PEERS, Tunnel, VERSIONS};

use crate::component::{Component, Library, Options};
use crate::programs;

/// A server whose certificate the authority has signed, and that wants none of components.
fn start(authority: &Authority) -> Server {
    let table = authority.table("server", &authority.issue(&[NAME, "127.0.0.1"]));
    Config::new(&["host.example"]).listener(&(table + NO_PEERS)).args(&["--log", "debug"]).start()
}

#[test]
fn component_libraries_work_over_it() {
    let authority = Authority::new();
    let server = start(&authority);
    let tunnel = Tunnel::to(server.addr(0), authority.client(VERSIONS[0], None), b"");
    let mut slixmpp =
        Options::new(Library::Slixmpp, server.addr(0), "slixmpp.example").tls(authority.ca()).online();
    let mut xmppjs = Component::xmppjs(tunnel.addr(), "xmppjs.example");
    slixmpp.message("xmppjs.example", "there", "caf\u{e9}");
    assert_eq!(xmppjs.wait_for_stanza("message", "there")["body"], "caf\u{e9}");
    xmppjs.message("slixmpp.example", "back", "tea");
    assert_eq!(slixmpp.wait_for_stanza("message", "back")["body"], "tea");
}

#[test]
fn pythons_tls_1_1_is_refused_and_its_1_2_and_1_3_are_not() {
    const SCRIPT: &str = r"
import socket, ssl, sys
port, ca, version = int(sys.argv[1]), sys.argv[2], getattr(ssl.TLSVersion, sys.argv[3])
context = ssl.create_default_context(cafile=ca)
context.set_ciphers('DEFAULT@SECLEVEL=0')
context.minimum_version = context.maximum_version = version
with socket.create_connection(('127.0.0.1', port)) as tcp:
    with context.wrap_socket(tcp, server_hostname='localhost') as tls:
        tls.sendall(b'<stream:stream xmlns=\'jabber:client\'>')
        data = b''
        while not data.endswith(b'</stream:stream>'):
            data += tls.recv(4096)
        print(tls.version(), data)
        # Raises where the other side has closed without saying so.
        tls.unwrap()
";
    let authority = Authority::new();
    let server = start(&authority);
    let said = |version: &str| {
        let mut python = Command::new(programs::python());
        python.args(["-W", "ignore", "-c", SCRIPT, &server.addr(0).port().to_string()]);
        let out = python.arg(authority.ca()).arg(version).output().expect("python runs");
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        (out.status.success(), text)
    };
    let (fine, text) = said("TLSv1_1");
    assert!(!fine && text.contains("ALERT_"), "{text}");
    server.wait_for_log("its TLS handshake failed");
    for version in ["TLSv1_2", "TLSv1_3"] {
        let (fine, text) = said(version);
        let name = version.replace("_", ".");
        assert!(fine && text.contains(&name) && text.contains("</stream:stream>"), "{text}");
    }
}
