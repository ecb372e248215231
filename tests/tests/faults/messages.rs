//! 11: messages in the operator's words.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use enjamb_tests::peer::{Peer, refused, stream_fault};
use enjamb_tests::server::Config;
use enjamb_tests::wire::{Wire, header};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{Dir, certificate, check, enjamb, output};

const GENERAL: &str = "[general]\nhosts = [\"a.example\"]\n";

fn one(lines: &str) -> String {
    format!("{GENERAL}[[listen.service]]\npassword = \"9Zu4hWq7TnPz3kLs\"\n{lines}\n")
}

#[test]
fn fault_11_a_pem_file_without_its_end_is_said_in_words() {
    let dir = Dir::new();
    let [cert, key] = certificate();
    let table = "port = 8888\n[listen.service.tls]\ncertfile = \"cert.pem\"\nkeyfile = \"key.pem\"\nverify_mode = \"none\"";
    let file = dir.file("enjamb.toml", one(table));
    let half = |text: &str| text[..text.len() / 2].to_owned();
    for (cert, key, says) in [
        (half(&cert), key.clone(), "cert.pem: this is no PEM: the line -----END CERTIFICATE----- is missing"),
        (cert.clone(), half(&key), "key.pem: this is no PEM: the line -----END PRIVATE KEY----- is missing"),
        (cert.replace("MII", "M!I"), key.clone(), "is no base64"),
    ] {
        dir.file("cert.pem", cert);
        dir.file("key.pem", key);
        let (code, said) = output(enjamb().arg("check").arg(&file));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(says), "{says} is not in {said}");
        assert!(!said.contains("[67, 69"), "bytes as numbers: {said}");
    }
}

#[test]
fn fault_11_habits_of_other_servers_get_a_hint() {
    for (lines, says) in [
        ("port = \"5347\"", "without the quotes: port = 5347"),
        ("port = 8888\nbacklog = \"100\"", "without the quotes: backlog = 100"),
        ("port = 8888\nmax_connections = \"100\"", "without the quotes: max_connections = 100"),
        ("port = 8888\ncheck_from = \"true\"", "without the quotes: check_from = true"),
        ("port = 8888\nhosts = [\"sms.a.example\"]", "`domains` lists the names that may connect"),
        ("port = 8888\ninterface = \"::1\"", "`ip_address` is the address"),
        ("port = 8888\nsecret = \"x\"", "`password` is the secret"),
    ] {
        let (code, said) = check(&one(lines));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(says), "{says} is not in\n{said}");
    }
}

#[test]
fn fault_11_a_limit_that_nobody_set_is_not_talked_about() {
    let four = |lines: &str| (0..4).fold(Config::new(&["host.example"]), |config, _| config.listener(lines));
    let log = four("").files(1024).start().wait_for_log("listening for components");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("max_unauthenticated is")).collect();
    assert!(lines.is_empty(), "{log}");
    assert!(log.contains("max_unauthenticated=128"), "{log}");
    let log = four("max_unauthenticated = 500").files(1024).start().wait_for_log("listening for components");
    let is_said =
        |line: &&str| line.contains("WARN") && line.contains("max_unauthenticated is 128 instead of 500");
    assert_eq!(log.lines().filter(is_said).count(), 4, "{log}");
}

#[test]
fn fault_11_a_shared_port_is_explained() {
    let (code, said) = check(&one("port = 8888\nreuse_port = true"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("connections are split between the two"), "{said}");
}

#[test]
fn fault_11_tls_on_a_plain_port_is_recognised_in_any_cut() {
    let server = Config::new(&["host.example"]).listener("").start();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for split in [None, Some(1), Some(2)] {
        let mut wire = Wire::connect(server.addr(0));
        wire.send(hello, split);
        wire.wait(Duration::from_secs(5), |bytes| bytes.ends_with(b"</stream:stream>"));
        wire.finish();
        let fault = stream_fault(&wire).expect("a stream error");
        assert_eq!(fault.condition, "not-well-formed");
        assert!(fault.text.contains("this looks like TLS"), "{}", fault.text);
    }
    server.wait_for_log("connection ended: this looks like TLS");
    // Only the first byte tells: elsewhere it is a byte that XML does not have.
    let fault = refused(server.addr(0), "<stream:stream \x16");
    assert!(!fault.text.contains("TLS"), "{}", fault.text);
}

#[test]
fn fault_11_a_refused_prefix_is_named_with_its_host() {
    let server = Config::new(&["example.org"]).listener("domains = [\"sms.example.org\"]").start();
    let prefix = header("sms2").replace("<stream:stream ", "<stream:stream is_subdomain='true' ");
    let mut wire = Wire::connect(server.addr(0));
    let _ = wire.log_in(prefix.as_bytes());
    wire.finish();
    let fault = stream_fault(&wire).expect("a stream error");
    assert_eq!(fault.condition, "host-unknown");
    assert!(fault.text.contains("'sms2.example.org'"), "{}", fault.text);
    server.wait_for_log("no component may connect as 'sms2.example.org' here");
}

#[test]
fn fault_11_domains_is_recommended_once_when_a_component_leaves() {
    let hint = "if the listener's `domains` names it";
    let server = Config::new(&["host.example"]).listener("").start();
    for _ in 0..3 {
        Peer::online(server.addr(0), "comp.example").close();
    }
    let log = server.wait_for_log(hint);
    let line = log.lines().find(|line| line.contains(hint)).expect("it is there");
    assert!(line.contains("remote-server-not-found") && line.contains("domain=comp.example"), "{line}");
    Peer::online(server.addr(0), "comp.example").assert_quiet();
    assert_eq!(server.log().matches(hint).count(), 1, "{}", server.log());
    let server = Config::new(&["host.example"]).listener("domains = [\"comp.example\"]").start();
    Peer::online(server.addr(0), "comp.example").close();
    assert!(!server.wait_for_log("connection ended").contains(hint));
}

/// Standard error that takes lines in part, and then none for a while, as a full disk does.
#[test]
fn fault_11_no_line_of_a_log_that_was_full_has_another_one_in_it() {
    let (log, mut reader) = UnixStream::pair().expect("a socket pair");
    log.set_nonblocking(true).expect("it is a socket");
    let dir = Dir::new();
    let file = dir.file("enjamb.toml", one("port = 0"));
    let mut command = enjamb();
    command.args(["--log", "debug", "--log-format", "json", "--config"]).arg(&file);
    let mut child = command.stderr(OwnedFd::from(log)).spawn().expect("the binary runs");
    drop(command);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    let addr: SocketAddr = loop {
        let n = reader.read(&mut buffer).expect("it logs");
        text.extend_from_slice(&buffer[..n]);
        let listening =
            |line: &str| serde_json::from_str::<Value>(line).ok()?["listener"].as_str()?.parse().ok();
        if let Some(addr) = String::from_utf8_lossy(&text).lines().find_map(listening) {
            break addr;
        }
    };
    const SILENT: usize = 3000;
    for _ in 0..SILENT {
        drop(TcpStream::connect(addr).expect("it accepts"));
    }
    let pid = Pid::from_child(&child);
    let reading = std::thread::spawn(move || {
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).expect("it ends");
        rest
    });
    // The end waits for the log.
    std::thread::sleep(Duration::from_millis(500));
    kill_process(pid, Signal::TERM).expect("it runs");
    text.extend(reading.join().expect("it does not panic"));
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    let text = String::from_utf8(text).expect("it writes UTF-8");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let dropped: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
    let silent = lines.iter().filter(|line| line["peer"].is_string()).count() as u64;
    println!("{silent} lines of silent connections, {dropped} dropped");
    assert!(dropped > 0 && silent + dropped >= 2 * SILENT as u64, "{silent} lines, {dropped} dropped");
}
