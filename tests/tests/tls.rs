//! TLS on the real server's listeners: who gets in, who does not and is told why, and how it ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::peer::Peer;
use enjamb_tests::proc::{open_files, rss_kib};
use enjamb_tests::server::{Config, Server};
use enjamb_tests::tls::{Authority, Client, NAME, NO_PEERS, Tunnel, VERSIONS, connect, peers_of, rest};
use enjamb_tests::wire::{Wire, digest, header};
use rustix::process::Signal;

const HOST: &str = "host.example";

/// A server whose certificate the authority has signed, and who wants none of components.
fn start(authority: &Authority, more: &str) -> Server {
    let table = authority.table("server", &authority.issue(&[NAME, "127.0.0.1"]));
    Config::new(&[HOST]).listener(&(table + NO_PEERS + more)).args(&["--log", "debug"]).start()
}

/// Waits until the log says this N times.
fn wait_for_log(server: &Server, what: &str, times: usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.log().matches(what).count() != times {
        assert!(Instant::now() < deadline, "{what:?} is not {times} times in the log:\n{}", server.log());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Opens a stream and proves the secret; gives all that came.
fn log_in(client: &mut Client, domain: &str) -> String {
    client.write_all(header(domain).as_bytes()).expect("the server takes it");
    let mut received = read_until(client, "'>");
    let id =
        received.split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id").to_owned();
    client.write_all(format!("<handshake>{}</handshake>", digest(&id)).as_bytes()).expect("it is open");
    received += &read_until(client, "<handshake/>");
    received
}

fn read_until(client: &mut Client, what: &str) -> String {
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&received).contains(what) {
        match client.read(&mut buffer).expect("the server goes on") {
            0 => panic!("{what} did not come: {}", String::from_utf8_lossy(&received)),
            n => received.extend_from_slice(&buffer[..n]),
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

#[test]
fn components_exchange_stanzas_over_both_versions() {
    let authority = Authority::new();
    let server = start(&authority, "");
    for (versions, said) in VERSIONS.into_iter().zip(["TLSv1_3 ", "TLSv1_2 "]) {
        let tunnel = Tunnel::to(server.addr(0), authority.client(versions, None), b"");
        let mut one = Peer::online(tunnel.addr(), "one.example");
        let mut two = Peer::online(tunnel.addr(), "two.example");
        let body = "x".repeat(900_000);
        one.message("two.example", "large", &body);
        assert!(two.stanza("large").xml.contains(&body));
        for n in 0..100 {
            two.message("one.example", &n.to_string(), "back");
        }
        for n in 0..100 {
            assert_eq!(one.element().attribute("id"), Some(&*n.to_string()));
        }
        one.close();
        two.close();
        server.wait_for_log(&format!("version={said}"));
    }
    server.wait_for_log("group=X25519MLKEM768");
}

#[test]
fn the_end_is_slow_and_says_close_notify() {
    let authority = Authority::new();
    let server = start(&authority, "");
    for versions in VERSIONS {
        let mut client = connect(server.addr(0), &authority.client(versions, None));
        log_in(&mut client, "comp.example");
        // More than is read before the error is answered: closing at once would take the answer back.
        let _ = client.write_all("</wrong>".repeat(4000).as_bytes());
        let (text, end) = rest(&mut client);
        assert!(text.contains("<not-well-formed ") && text.ends_with("</stream:stream>"), "{text}");
        end.expect("a close_notify, not TCP's end alone");

        let mut client = connect(server.addr(0), &authority.client(versions, None));
        log_in(&mut client, "comp.example");
        client.conn.send_close_notify();
        client.flush().expect("it is open");
        let (text, end) = rest(&mut client);
        assert_eq!(text, "</stream:stream>", "half a connection closes");
        end.expect("a close_notify, not TCP's end alone");

        let mut client = connect(server.addr(0), &authority.client(versions, None));
        log_in(&mut client, "comp.example");
        client.sock.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        assert_eq!(rest(&mut client).0, "</stream:stream>", "TCP's end without close_notify is an end");
    }
    let log = server.wait_for_log("closed by the other side");
    assert!(!log.contains("connection ended: the connection broke"), "{log}");
}

#[test]
fn the_server_stops_and_tells_those_behind_tls() {
    let authority = Authority::new();
    let mut server = start(&authority, "state_timeout = \"infinity\"\n");
    let mut client = connect(server.addr(0), &authority.client(VERSIONS[0], None));
    log_in(&mut client, "comp.example");
    // One that hangs in its handshake does not hold it up.
    let hanging = TcpStream::connect(server.addr(0)).expect("it accepts");
    let teller = thread::spawn(move || rest(&mut client));
    let begun = Instant::now();
    assert!(server.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let (text, end) = teller.join().expect("it reads to the end");
    assert!(text.contains("<system-shutdown ") && text.ends_with("</stream:stream>"), "{text}");
    end.expect("a close_notify");
    drop(hanging);
}

/// What a client is told: a stream's bytes, or the alert that refuses it.
fn outcome(mut client: Client) -> Result<String, String> {
    let opening = header("comp.example");
    let written = client.write_all(opening.as_bytes()).map_err(|error| error.to_string());
    let mut buffer = [0; 1024];
    match (written, client.read(&mut buffer)) {
        (_, Ok(n)) if n > 0 => Ok(String::from_utf8_lossy(&buffer[..n]).into_owned()),
        (Err(error), _) => Err(error),
        (_, Ok(_)) => Err("closed".into()),
        (_, Err(error)) => Err(error.to_string()),
    }
}

#[test]
fn with_verify_mode_peer_only_the_right_certificates_get_in() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (mine, revoked, foreign) = (
        authority.issue(&["comp.example"]),
        authority.issue(&["comp.example"]),
        stranger.issue(&["comp.example"]),
    );
    let list = authority.write("revoked.pem", &authority.revoke(&revoked));
    let lines = authority.table("server", &authority.issue(&[NAME]))
        + &peers_of(&authority.ca())
        + &format!("tls.crl_files = ['{}']\n", list.display());
    let server = Config::new(&[HOST]).listener(&lines).start();
    for versions in VERSIONS {
        let as_who = |identity| outcome(connect(server.addr(0), &authority.client(versions, identity)));
        assert!(as_who(Some(&mine)).expect("it is let in").contains("<stream:stream "));
        let alert = as_who(None).expect_err("no certificate");
        // TLS 1.2 has no word of its own for it.
        assert!(alert.contains("CertificateRequired") || alert.contains("HandshakeFailure"), "{alert}");
        let alert = as_who(Some(&foreign)).expect_err("another authority");
        assert!(alert.contains("UnknownCA"), "{alert}");
        let alert = as_who(Some(&revoked)).expect_err("it is revoked");
        assert!(alert.contains("CertificateRevoked"), "{alert}");
    }
    for said in [
        "it has no certificate, and `verify_mode` wants one",
        "its certificate is refused: UnknownIssuer",
        "its certificate is refused: Revoked",
    ] {
        wait_for_log(&server, &format!("connection refused before its stream began: {said}"), 2);
    }
}

#[test]
fn a_client_that_does_not_trust_us_says_so_in_the_log() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = start(&authority, "");
    outcome(connect(server.addr(0), &stranger.client(VERSIONS[0], None)))
        .expect_err("it has another authority");
    server.wait_for_log("it does not accept our certificate: received fatal alert: ");
}

#[test]
fn plain_bytes_on_a_tls_port_are_closed_and_logged() {
    let server = start(&Authority::new(), "");
    for bytes in
        [&*header("comp.example"), "GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 192.0.2.7 203.0.113.1 4 8888\r\n"]
    {
        let mut wire = Wire::connect(server.addr(0));
        wire.send(bytes.as_bytes(), None);
        assert!(!wire.wait(Duration::from_secs(4), |_| false) && wire.closed(), "it is closed");
        assert!(
            !wire.text().contains('<') && wire.received().len() <= 7,
            "at most an alert: {}",
            wire.text()
        );
    }
    wait_for_log(&server, "plain bytes on a TLS port", 3);
    // A port scan is no news: the next line is that of the next one with something to say.
    drop(TcpStream::connect(server.addr(0)));
    let mut wire = Wire::connect(server.addr(0));
    wire.send(b"<", None);
    wire.send(b"stream>", None);
    wire.wait(Duration::from_secs(4), |_| false);
    wait_for_log(&server, "plain bytes on a TLS port", 4);
    assert_eq!(server.log().matches("connection refused before").count(), 4, "{}", server.log());
}

#[test]
fn what_is_not_named_is_not_spoken() {
    let authority = Authority::new();
    let server = start(&authority, "tls.versions = ['tlsv1.3']\n");
    let as_version =
        |index: usize| outcome(connect(server.addr(0), &authority.client(VERSIONS[index], None)));
    assert!(as_version(0).expect("it is spoken").contains("<stream:stream "));
    let alert = as_version(1).expect_err("it is not");
    assert!(alert.contains("ProtocolVersion"), "{alert}");

    let server =
        start(&authority, "tls.ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256:TLS_CHACHA20_POLY1305_SHA256'\n");
    for (versions, suite) in VERSIONS
        .into_iter()
        .zip(["TLS13_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"])
    {
        outcome(connect(server.addr(0), &authority.client(versions, None))).expect("there is one");
        server.wait_for_log(&format!("suite={suite}"));
    }
}

#[test]
fn tls_on_a_plain_port_gets_a_stream_error() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut client = connect(server.addr(0), &Authority::new().client(VERSIONS[0], None));
    let error = client.flush().and_then(|()| client.read(&mut [0; 16])).expect_err("that is no TLS");
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    let log = server.wait_for_log("connection ended: ");
    assert!(log.contains("condition="), "{log}");
    let mut wire = Wire::connect(server.addr(0));
    wire.send(b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03", None);
    assert!(wire.wait_for(Duration::from_secs(4), "</stream:stream>"), "{}", wire.text());
}

#[test]
fn a_handshake_that_hangs_is_timed_out() {
    let server = start(&Authority::new(), "state_timeout = 300\n");
    // Nothing; half a record of a handshake; a record that holds half a message.
    for bytes in [&b""[..], b"\x16\x03\x01\x02", b"\x16\x03\x01\x00\x06\x01\x00\x10\x00\x03\x03"] {
        let mut wire = Wire::connect(server.addr(0));
        wire.send(bytes, None);
        let begun = Instant::now();
        assert!(!wire.wait(Duration::from_secs(4), |_| false) && wire.closed(), "it is closed");
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(250) && took < Duration::from_secs(3), "{took:?}");
    }
    wait_for_log(&server, "its TLS handshake took longer than `state_timeout`", 3);
    // Behind the handshake, the steps of the stream have their own time.
    let mut client = connect(server.addr(0), &Authority::new().client(VERSIONS[0], None));
    assert!(client.write_all(b"<").is_err(), "an authority that it does not know");
}

#[test]
fn tls_in_one_byte_writes_is_tls() {
    let authority = Authority::new();
    let server = start(&authority, "state_timeout = 60000\n");
    for versions in VERSIONS {
        let mut client = connect(server.addr(0), &authority.client(versions, None));
        client.sock.step = 1;
        log_in(&mut client, "comp.example");
        client
            .write_all(b"<message to='comp.example' id='m'><body>drip</body></message>")
            .expect("it is open");
        assert!(read_until(&mut client, "</message>").contains("drip"));
        client.write_all(b"</stream:stream>").expect("it is open");
        assert_eq!(rest(&mut client).0, "</stream:stream>");
    }
}

#[test]
fn new_certificates_are_taken_on_sighup_and_bad_ones_are_not() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(&[NAME]), authority.issue(&[NAME]));
    let lines = authority.table("server", &first) + NO_PEERS;
    let server = Config::new(&[HOST]).listener(&lines).start();
    let shown = || {
        let mut client = connect(server.addr(0), &authority.client(VERSIONS[0], None));
        log_in(&mut client, "shown.example");
        let shown = client.conn.peer_certificates().expect("a server shows one")[0].to_vec();
        client.write_all(b"</stream:stream>").expect("it is open");
        rest(&mut client).1.expect("a close in good order");
        shown
    };
    let mut old = connect(server.addr(0), &authority.client(VERSIONS[0], None));
    log_in(&mut old, "old.example");
    assert_eq!(shown(), first.der());

    authority.table("server", &second);
    authority.write("server.key", "no key at all");
    server.signal(Signal::HUP);
    let log = server.wait_for_log("certificates stay as they were: ");
    assert!(log.contains("there is no private key"), "{log}");
    assert_eq!(shown(), first.der());

    authority.table("server", &second);
    server.signal(Signal::HUP);
    server.wait_for_log("certificates reloaded");
    assert_eq!(shown(), second.der());
    old.write_all(b"<message to='old.example' id='m'><body>still here</body></message>").expect("it is open");
    assert!(read_until(&mut old, "</message>").contains("still here"));
}

#[test]
fn sighup_without_tls_changes_nothing() {
    let server = Config::new(&[HOST]).listener("").start();
    let mut comp = Peer::online(server.addr(0), "comp.example");
    server.signal(Signal::HUP);
    server.wait_for_log("is what runs");
    comp.assert_quiet();
}

/// Has N connections, each of which leaves at least this many KiB with the server; returns by how much its memory grows.
fn hold(
    server: &Server,
    before: u64,
    number: usize,
    each_kib: usize,
    connect: impl Fn() -> TcpStream,
) -> u64 {
    let held: Vec<_> = (0..number).map(|_| connect()).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    let grown = || rss_kib(server.pid()).saturating_sub(before);
    let (mut last, mut now) = (0, grown());
    while now > last || now < (each_kib * number) as u64 {
        assert!(Instant::now() < deadline, "{now} KiB: they are not kept, or it grows on");
        thread::sleep(Duration::from_millis(300));
        (last, now) = (now, grown());
    }
    drop(held);
    while open_files(server.pid()) > 50 {
        assert!(Instant::now() < deadline, "{} files stay open", open_files(server.pid()));
        thread::sleep(Duration::from_millis(20));
    }
    now
}

/// What a connection may hold before its handshake is done: a message that never ends.
#[test]
fn a_handshake_message_that_never_ends_costs_no_more_than_96_kib() {
    const NUMBER: usize = 400;
    let authority = Authority::new();
    let table = authority.table("server", &authority.issue(&[NAME])) + &peers_of(&authority.ca());
    let server = Config::new(&[HOST]).listener(&(table + "state_timeout = 60_000\n")).start();
    // The longest ClientHello that rustls takes, but for its end, in full records.
    let hello = [&[1, 0, 0xff, 0xf0, 3, 3][..], &[0; 65_000]].concat();
    let record = |content: &[u8]| {
        let [high, low] = u16::try_from(content.len()).expect("a record").to_be_bytes();
        [&[0x16, 3, 1, high, low], content].concat()
    };
    let records: Vec<u8> = hello.chunks(16_384).flat_map(record).collect();
    let first_message = || {
        let mut stream = TcpStream::connect(server.addr(0)).expect("it accepts");
        stream.write_all(&records).expect("it takes them");
        stream
    };
    // The same behind the server's answer: a certificate of many names, but for its end.
    let names: Vec<_> = (0..1680).map(|n| format!("a-name-as-long-as-many-{n:0>4}.example")).collect();
    let many = authority.issue(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let config = authority.client(VERSIONS[0], Some(&many));
    let second_message = || {
        let mut client = connect(server.addr(0), &config);
        let mut flight = Vec::new();
        while client.conn.is_handshaking() {
            client.conn.write_tls(&mut client.sock).expect("it takes it");
            client.conn.read_tls(&mut client.sock).expect("it answers");
            client.conn.process_new_packets().expect("a good answer");
        }
        while client.conn.wants_write() {
            client.conn.write_tls(&mut flight).expect("a vector takes all");
        }
        assert!((61_000..66_000).contains(&flight.len()), "{} bytes", flight.len());
        client.sock.stream.write_all(&flight[..flight.len() - 1000]).expect("it takes them");
        client.sock.stream
    };
    let before = rss_kib(server.pid());
    let first = hold(&server, before, NUMBER, 60, first_message);
    let second = hold(&server, before, NUMBER, 60, second_message);
    let third = hold(&server, before, NUMBER, 60, second_message);
    println!(
        "{NUMBER} half-open handshakes over TLS: {first} KiB more, later in it {second} KiB, once more {third} KiB"
    );
    assert!(!server.log().contains("its TLS handshake failed"), "{}", server.log());
    assert!(first.max(second) < 96 * NUMBER as u64, "{first} KiB, {second} KiB");
    assert!(third < second + second / 10, "{second} KiB, then {third} KiB: it leaks");
}

#[test]
fn idle_connections_over_tls_cost_little_memory() {
    const NUMBER: usize = 200;
    let authority = Authority::new();
    let server = start(&authority, "");
    let fresh = rss_kib(server.pid());
    let config = authority.client(VERSIONS[0], None);
    let clients: Vec<_> = (0..NUMBER)
        .map(|n| {
            let mut client = connect(server.addr(0), &config);
            log_in(&mut client, &format!("c{n}.example"));
            client
        })
        .collect();
    thread::sleep(Duration::from_millis(1500));
    let busy = rss_kib(server.pid());
    println!("fresh {fresh} KiB; with {NUMBER} idle connections over TLS {busy} KiB");
    drop(clients);
    assert!(busy < fresh + 40 * NUMBER as u64, "{fresh} KiB, then {busy} KiB");
}
