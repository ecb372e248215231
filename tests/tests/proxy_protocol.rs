//! PROXY headers on the real server's listeners: whose address is logged, and who is closed for one.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use enjamb_tests::peer::{Peer, stream_fault};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::tls::{Authority, NAME, NO_PEERS, Tunnel, VERSIONS, connect};
use enjamb_tests::wire::{Wire, digest, header};

const HOST: &str = "host.example";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 203.0.113.1 45678 8888\r\n";

fn start(more: &str) -> Server {
    let lines = format!("proxy_protocol = true\n{more}");
    Config::new(&[HOST]).listener(&lines).args(&["--log", "debug"]).start()
}

/// A header of version 2: its version and command, its family and protocol, and what is behind the length.
fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("short");
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len.to_be_bytes(), content].concat()
}

/// 192.0.2.7:45678 to 203.0.113.1:8888.
const IP4: &[u8] = &[192, 0, 2, 7, 203, 0, 113, 1, 0xb2, 0x6e, 0x22, 0xb8];

/// Logs in behind a header, which goes out with the stream's own in writes of N bytes; gives the line of the
/// log that tells who it is.
fn logged_in(server: &Server, proxy: &[u8], split: Option<usize>, domain: &str) -> String {
    let mut wire = Wire::connect(server.addr(0));
    wire.send(&[proxy, header(domain).as_bytes()].concat(), split);
    assert!(wire.wait_for(Duration::from_secs(5), " id='"), "no header: {}", wire.text());
    assert!(wire.wait_for(Duration::from_secs(5), "'>"), "no header: {}", wire.text());
    let text = wire.text();
    let id = text.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
    wire.send(format!("<handshake>{}</handshake>", digest(id)).as_bytes(), split);
    assert!(wire.wait_for(Duration::from_secs(5), "<handshake/>"), "{}", wire.text());
    connected(server, domain)
}

fn connected(server: &Server, domain: &str) -> String {
    let log = server.wait_for_log(&format!("domain={domain}"));
    let line = log.lines().find(|line| line.contains("component connected") && line.contains(domain));
    line.unwrap_or_else(|| panic!("{domain} is not connected:\n{log}")).to_owned()
}

#[test]
fn the_source_that_a_proxy_names_is_the_peer() {
    let server = start("");
    let ip6 = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    let of_ip6 = [&ip6("2001:db8::7")[..], &ip6("2001:db8::1"), &[0xb2, 0x6e, 0x22, 0xb8]].concat();
    let remarks = [IP4, b"\x01\x00\x0bxmpp-client\xea\x00\x02\x01v"].concat();
    let headers = [
        (V1.to_vec(), "192.0.2.7:45678"),
        (b"PROXY TCP6 2001:db8::7 ::1 45678 8888\r\n".to_vec(), "[2001:db8::7]:45678"),
        (v2(0x21, 0x11, IP4), "192.0.2.7:45678"),
        (v2(0x21, 0x21, &of_ip6), "[2001:db8::7]:45678"),
        (v2(0x21, 0x11, &remarks), "192.0.2.7:45678"),
    ];
    for (n, (proxy, peer)) in headers.iter().enumerate() {
        // Together with the stream's header in one write, and each byte for itself.
        for split in [None, Some(1)] {
            let domain = format!("c{n}-{}.example", split.unwrap_or(0));
            let line = logged_in(&server, proxy, split, &domain);
            assert!(line.contains(&format!("peer={peer} ")), "{line}");
        }
    }
}

#[test]
fn where_the_proxy_names_none_it_is_the_sockets() {
    let server = start("");
    let headers = [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, b""), v2(0x20, 0x11, IP4), v2(0x21, 0, b"")];
    for (n, proxy) in headers.iter().enumerate() {
        let line = logged_in(&server, proxy, None, &format!("c{n}.example"));
        assert!(line.contains("peer=127.0.0.1:"), "{line}");
    }
}

#[test]
fn without_a_right_header_it_is_closed_and_logged() {
    let server = start("");
    let mut checksum = [IP4, b"\x03\x00\x04\0\0\0\0"].concat();
    checksum[0] = 10;
    for (bytes, said) in [
        (header("comp.example").into_bytes(), "it does not begin with a PROXY header"),
        (b"\x16\x03\x01\x00\xf4".to_vec(), "it does not begin with a PROXY header"),
        (b"PROXY TCP4 192.0.2.7 203.0.113.1 45678\r\n".to_vec(), "the PROXY header's line is malformed"),
        ([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(), "the PROXY header is longer than 107 bytes"),
        (v2(0x21, 0x12, IP4), "the PROXY header's family and protocol are 0x12"),
        (v2(0x21, 0x11, &[0; 5000]), "the PROXY header is longer than 4096 bytes"),
        (v2(0x21, 0x11, &checksum), "the PROXY header's checksum (CRC32C) is wrong"),
    ] {
        let mut wire = Wire::connect(server.addr(0));
        wire.send(&bytes, None);
        wire.wait(Duration::from_secs(4), |_| false);
        assert!(wire.closed() && wire.received().is_empty(), "{}", wire.text());
        server.wait_for_log(&format!("connection refused before its stream began: {said}"));
    }
    // One that ends within it.
    let mut wire = Wire::connect(server.addr(0));
    wire.send(b"PROXY TCP4", None);
    wire.half_close();
    wire.wait(Duration::from_secs(4), |_| false);
    assert!(wire.closed(), "{}", wire.text());
    server.wait_for_log("the PROXY header is shorter than what it holds");
}

#[test]
fn refusals_are_counted_and_not_logged_each() {
    let server = start("");
    // All at once, so that a minute is enough for them on any machine.
    let mut wires: Vec<_> = (0..80).map(|_| Wire::connect(server.addr(0))).collect();
    for wire in &mut wires {
        wire.send(b"x", None);
    }
    for wire in &mut wires {
        wire.wait(Duration::from_secs(4), |_| false);
        assert!(wire.closed());
    }
    let lines = || server.log().matches("connection refused before").count();
    let deadline = Instant::now() + Duration::from_secs(5);
    while lines() < 60 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(lines(), 60, "the most a minute");
}

#[test]
fn a_slow_header_is_timed_out() {
    let server = start("state_timeout = 300\n");
    for bytes in [&b""[..], b"PROXY TCP4 192.0.2.7", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"] {
        let mut wire = Wire::connect(server.addr(0));
        wire.send(bytes, None);
        let begun = Instant::now();
        wire.wait(Duration::from_secs(4), |_| false);
        assert!(wire.closed() && wire.received().is_empty(), "{}", wire.text());
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(250) && took < Duration::from_secs(3), "{took:?}");
    }
    server.wait_for_log("its PROXY header took longer than `state_timeout`");
}

#[test]
fn it_comes_before_tls() {
    let authority = Authority::new();
    let server = start(&(authority.table("server", &authority.issue(&[NAME])) + NO_PEERS));
    for (n, versions) in VERSIONS.into_iter().enumerate() {
        let config = authority.client(versions, None);
        let domain = format!("tunnel{n}.example");
        let tunnel = Tunnel::to(server.addr(0), config.clone(), V1);
        let mut peer = Peer::online(tunnel.addr(), &domain);
        peer.message(&domain, "m", "x");
        peer.stanza("m");
        let line = connected(&server, &domain);
        assert!(line.contains("peer=192.0.2.7:45678 "), "{line}");

        // Together with the first bytes of TLS in one write, and with both in writes of one byte.
        for step in [usize::MAX, 1] {
            let mut client = connect(server.addr(0), &config);
            client.sock.preface = V1.to_vec();
            client.sock.step = step;
            client.write_all(header("together.example").as_bytes()).expect("it is open");
            let mut buffer = [0; 1024];
            let n = client.read(&mut buffer).expect("a header");
            assert!(String::from_utf8_lossy(&buffer[..n]).contains("<stream:stream "));
        }
    }
    // Without it, TLS is refused as anything else is.
    let mut client = connect(server.addr(0), &authority.client(VERSIONS[0], None));
    assert!(client.write_all(b"<").and_then(|()| client.read(&mut [0; 16])).map_or(true, |n| n == 0));
    server.wait_for_log("it does not begin with a PROXY header");
}

#[test]
fn where_it_is_not_asked_for_it_is_no_stream() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut wire = Wire::connect(server.addr(0));
    wire.send(V1, None);
    wire.finish();
    assert!(stream_fault(&wire).is_some(), "{}", wire.text());
}
