//! What becomes of stanzas whose receiver stalls, ends or never answers: the rules of docs/delivery.md.

mod accounts;
mod flow;
mod holding;
mod requests;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{DomainConfig, ListenerConfig, LocalSwitch, Metric, Switch, SwitchConfig};
use crate::connection::tests::{Local, NOW, connected, domain, handshake, header};
use crate::connection::{Budget, Next, Transmit, Written};
use crate::router::DomainPattern;
use crate::time::Now;

/// A switch on which this is configured for `pattern`.
fn switch_with(pattern: &str, config: DomainConfig) -> LocalSwitch {
    let mut switch = SwitchConfig::new([domain("host.example")]);
    switch.domains = Vec::from([(DomainPattern::parse(pattern).unwrap(), config)]);
    LocalSwitch::new(switch)
}

fn at(seconds: f64) -> Now {
    let span = Duration::from_secs_f64(seconds);
    Now { monotonic: NOW.monotonic + span, unix: NOW.unix + span }
}

/// How many stanzas are held.
pub(crate) fn held(switch: &LocalSwitch) -> usize {
    switch.read(|directory| {
        let places = directory.domains.all_places().chain(directory.ports.values());
        places.map(|port| switch.queue(port, |queue| queue.held())).sum()
    })
}

/// How many ports have lost their names and have not said yet what they did not send.
pub(crate) fn leaving(switch: &LocalSwitch) -> usize {
    switch.read(|directory| directory.domains.leaving.len())
}

/// Does all that is due at `now` without a connection.
fn sweep(switch: &LocalSwitch, now: Now) {
    for _ in 0..10_000 {
        match switch.poll_timeout() {
            Some(due) if due <= now.monotonic => switch.handle_timeout(now),
            _ => return,
        }
    }
    panic!("there is no end to what is due");
}

/// Gives bytes to a connection and takes what it has to write.
fn say(switch: &LocalSwitch, now: Now, connection: &mut Local, bytes: &str) -> String {
    feed(switch, now, connection, bytes);
    hear(switch, now, connection)
}

/// Gives bytes to a connection.
fn feed(switch: &LocalSwitch, now: Now, connection: &mut Local, bytes: &str) {
    let mut rest = bytes.as_bytes();
    loop {
        let progress = connection.process(switch, now, rest, &mut Budget::default());
        rest = &rest[progress.consumed..];
        if progress.next != Next::More {
            break;
        }
    }
    assert_eq!(rest, b"", "all of it is taken");
}

/// A connection for the header's attributes, up to its last handshake. Nothing that waits for it is written yet.
fn log_in(switch: &LocalSwitch, now: Now, listener: ListenerConfig, attributes: &str) -> Local {
    let mut connection = connected(switch, listener);
    say(switch, now, &mut connection, &header(attributes));
    feed(switch, now, &mut connection, &handshake("s"));
    connection
}

/// Takes what a connection has to write.
fn hear(switch: &LocalSwitch, now: Now, connection: &mut Local) -> String {
    let mut written = Vec::new();
    connection.write_to(switch, now, &mut written);
    String::from_utf8(written).unwrap()
}

/// Has `bytes` of what a connection has to write taken by its socket.
fn hear_some(switch: &LocalSwitch, now: Now, connection: &mut Local, bytes: usize) {
    let Transmit::Bytes(pending) = connection.poll_output(switch, now) else { panic!("nothing to write") };
    assert!(pending.len() > bytes, "{} bytes", pending.len());
    connection.wrote(switch, now, Written::Bytes(bytes));
    connection.wrote(switch, now, Written::Full);
}

/// Breaks a connection off.
fn break_off(switch: &LocalSwitch, now: Now, connection: &mut Local) {
    connection.abandon(switch, now, "reset".into());
}

fn count(switch: &LocalSwitch, metric: Metric) -> u64 {
    switch.metrics().get(metric)
}
