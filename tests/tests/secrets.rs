//! Where the secret is: in one place of the server's memory, as Linux shows it, and nowhere else.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::server::{Config, Server};
use enjamb_tests::wire::{Wire, digest_of, has_handshake, header};

/// Of a kind that stands nowhere by chance.
const SECRET: &str = "mq7VxPz2Lr9TkWd4Hs8YbNf3Gc6JuEa5";
const WAIT: Duration = Duration::from_secs(5);

fn start(password: fn(&[u16]) -> String) -> Server {
    Config::of_text(1, password).start()
}

fn file(port: u16, password: &str) -> String {
    format!(
        "[general]\nhosts = [\"host.example\"]\n[[listen.service]]\nport = {port}\npassword = {password}\n"
    )
}

/// How often these bytes are in memory that the server can write to.
fn copies(server: &Server, bytes: &[u8]) -> usize {
    let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid())).expect("the server runs");
    let memory = File::open(format!("/proc/{}/mem", server.pid())).expect("a child's memory may be read");
    let mut found = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').expect("a range");
        let number = |hex| u64::from_str_radix(hex, 16).expect("hexadecimal");
        let (mut at, end) = (number(start), number(end));
        let mut part = vec![0; 1 << 20];
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(part.len());
            // Guard pages and the like can't be read.
            let Ok(read) = memory.read_at(&mut part[..length], at) else { break };
            found += memchr::memmem::find_iter(&part[..read], bytes).count();
            // What lies over the edge of two parts is found with the second.
            at += if at + read as u64 >= end || read <= bytes.len() {
                read as u64
            } else {
                (read - bytes.len() + 1) as u64
            };
            if read == 0 {
                break;
            }
        }
    }
    found
}

fn log_in(server: &Server, domain: &str, secret: &str) -> Wire {
    let mut wire = Wire::connect(server.addr(0));
    let id = wire.open(header(domain).as_bytes()).expect("a header");
    wire.send(format!("<handshake>{}</handshake>", digest_of(&id, secret)).as_bytes(), None);
    wire.wait(WAIT, |bytes| has_handshake(bytes) || bytes.ends_with(b"</stream:stream>"));
    wire
}

#[test]
fn of_the_secret_there_is_one_copy_in_the_servers_memory_at_start_and_after_many_handshakes() {
    let server = start(|ports| file(ports[0], &format!("\"{SECRET}\"")));
    assert_eq!(copies(&server, SECRET.as_bytes()), 1, "at start");
    let mut bound: Vec<_> = (0..10).map(|n| log_in(&server, &format!("c{n}.example"), SECRET)).collect();
    assert!(bound.iter().all(|wire| has_handshake(wire.received())));
    for n in 0..10 {
        assert!(!has_handshake(log_in(&server, &format!("w{n}.example"), "a wrong secret").received()));
    }
    for wire in &mut bound[5..] {
        wire.finish();
    }
    assert_eq!(copies(&server, SECRET.as_bytes()), 1, "after handshakes");
    // Those that wait for theirs have one each, until they are gone.
    let mut waiting: Vec<_> = (0..5).map(|_| Wire::connect(server.addr(0))).collect();
    for (n, wire) in waiting.iter_mut().enumerate() {
        wire.open(header(&format!("h{n}.example")).as_bytes()).expect("a header");
    }
    assert_eq!(copies(&server, SECRET.as_bytes()), 1, "while handshakes are awaited");
    for wire in &mut waiting {
        wire.finish();
    }
    // The server's tasks end a little after the connections.
    let by = Instant::now() + WAIT;
    while copies(&server, SECRET.as_bytes()) > 1 && Instant::now() < by {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(copies(&server, SECRET.as_bytes()), 1, "after they are gone");
    assert!(!server.log().contains(SECRET));
}

#[test]
fn the_search_finds_what_is_there() {
    let server = start(|ports| file(ports[0], &format!("\"{SECRET}\"")));
    let mut wire = Wire::connect(server.addr(0));
    let name = "a-name-to-be-found.example";
    wire.open(header(name).as_bytes()).expect("a header");
    assert!(copies(&server, name.as_bytes()) > 0);
    assert_eq!(copies(&server, b"a-name-that-is-not-there.example"), 0);
}
