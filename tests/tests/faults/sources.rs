//! 4: a component that fails again and again locks out no other of its address.

use std::time::{Duration, Instant};

use enjamb_tests::peer::stream_fault;
use enjamb_tests::server::{Config, SECRET, Server};
use enjamb_tests::wire::{Wire, digest_of, has_handshake, header};
use rustix::process::Signal;

const WAIT: Duration = Duration::from_secs(5);

/// A server that counts loopback addresses as it does others.
fn counting(lines: &str) -> Server {
    let table = format!("{lines}\n[listen.service.sources]\nexempt_loopback = false\n");
    Config::new(&["host.example"]).listener(&table).start()
}

/// Logs in, or says with which condition and text it was refused.
fn log_in(server: &Server, domain: &str, secret: &str) -> Result<Wire, (String, String)> {
    let mut wire = Wire::connect(server.addr(0));
    if let Ok(id) = wire.open(header(domain).as_bytes()) {
        wire.send(format!("<handshake>{}</handshake>", digest_of(&id, secret)).as_bytes(), None);
    }
    wire.wait(WAIT, |bytes| has_handshake(bytes) || bytes.ends_with(b"</stream:stream>"));
    if has_handshake(wire.received()) {
        return Ok(wire);
    }
    wire.finish();
    let fault = stream_fault(&wire).unwrap_or_else(|| panic!("closed without a word: {}", wire.text()));
    Err((fault.condition, fault.text))
}

#[test]
fn fault_04_one_bad_bot_locks_out_no_gateway_of_its_address() {
    let server = counting("domains = [\"*.example\"]");
    let bad = |times: usize| {
        for _ in 0..times {
            for (domain, conditions) in [
                ("bot.example", &["not-authorized", "policy-violation"][..]),
                ("not.listed", &["host-unknown"]),
            ] {
                let Err((condition, text)) = log_in(&server, domain, "a wrong secret") else {
                    panic!("{domain} is let in");
                };
                assert!(conditions.contains(&&*condition) && !text.is_empty(), "{condition}: {text}");
            }
            let mut junk = Wire::connect(server.addr(0));
            junk.send(b"GET / HTTP/1.1\r\n\r\n", None);
            junk.wait(WAIT, |bytes| bytes.ends_with(b"</stream:stream>"));
        }
    };
    bad(60);
    let begin = Instant::now();
    for n in 0..20 {
        let entered = log_in(&server, &format!("gateway{n}.example"), SECRET);
        assert!(entered.is_ok(), "gateway {n}: {:?}", entered.err());
        bad(1);
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "they had to wait: {:?}", begin.elapsed());
}

#[test]
fn fault_04_the_one_that_waits_is_told_and_the_log_says_how_to_let_it_in() {
    let server = counting("");
    let turned_away = (0..40)
        .filter_map(|_| log_in(&server, "bot.example", "a wrong secret").err())
        .find(|(condition, _)| condition == "policy-violation");
    let (_, text) = turned_away.expect("it has to wait at last");
    assert!(text.contains("this name has failed") && text.contains("try again in"), "{text}");
    let log = server.wait_for_log("SIGHUP lets it in at once");
    let line = log.lines().find(|line| line.contains("SIGHUP lets it in at once")).expect("it is there");
    for part in ["domain=bot.example", "condition=policy-violation", "listener=127.0.0.1:", "peer=127.0.0.1:"]
    {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    server.signal(Signal::HUP);
    server.wait_for_log("is what runs");
    assert!(log_in(&server, "bot.example", SECRET).is_ok());
}

#[test]
fn fault_04_connection_over_the_number_is_told_so() {
    let server = counting("");
    // More than 64, since one that logs in meanwhile takes the place of another for a moment.
    let silent: Vec<_> = (0..96).map(|_| Wire::connect(server.addr(0))).collect();
    let deadline = Instant::now() + WAIT;
    for n in 0.. {
        match log_in(&server, &format!("late{n}.example"), SECRET) {
            Err((condition, text)) => {
                assert_eq!(condition, "policy-violation");
                assert!(
                    text.contains("this address has 64 connections that are not authenticated"),
                    "{text}"
                );
                break;
            }
            // Not all of them were accepted yet.
            Ok(_) => assert!(Instant::now() < deadline, "it is let in"),
        }
    }
    server.wait_for_log("connection turned away: this address has 64 connections");
    drop(silent);
}
