//! Receivers that do not read, and components that do not answer (F1 to F5).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{at, count, feed, hear, hear_some, log_in, say, switch_with};
use crate::config::{DomainConfig, ListenerConfig};
use crate::connection::tests::{Local, listener};
use crate::connection::{Budget, ConnectionEvent, Next};
use crate::switch::{LocalSwitch, Metric, Switch};
use crate::time::Now;

fn switch() -> LocalSwitch {
    switch_with("*.example", DomainConfig::default())
}

/// A listener whose components have room for one stanza.
fn small() -> ListenerConfig {
    ListenerConfig { queue_mark: 10, ..listener() }
}

fn message(to: usize, id: usize) -> String {
    format!("<message from='a.example' to='r{to}.example' id='{id}'/>")
}

/// Lets time pass until the connection has taken all of `input`; how long that took, and what it said.
fn push(switch: &LocalSwitch, mut now: Now, a: &mut Local, input: &str) -> (Duration, String) {
    let (begin, mut rest, mut said) = (now, input.as_bytes(), String::new());
    loop {
        let progress = a.process(switch, now, rest, &mut Budget::default());
        rest = &rest[progress.consumed..];
        said += &hear(switch, now, a);
        match progress.next {
            Next::Input => break,
            Next::More => {}
            Next::Room => {
                let until = a.poll_timeout().unwrap();
                now.unix += until.since(now.monotonic);
                now.monotonic = until;
            }
        }
    }
    assert!(rest.is_empty());
    (now.monotonic.since(begin.monotonic), said)
}

fn full(switch: &LocalSwitch, number: usize) -> Local {
    log_in(switch, at(0.0), small(), &format!("to='r{number}.example'"))
}

#[test]
fn f1_sender_with_ten_stuck_receivers_is_silent_for_six_seconds() {
    let switch = switch();
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    let mut receivers: Vec<Local> = (0..10).map(|number| full(&switch, number)).collect();
    // Each has one, and is full.
    let first: String = (0..10).map(|number| message(number, 0)).collect();
    let second: String = (0..10).map(|number| message(number, 1)).collect();
    assert_eq!(push(&switch, at(0.0), &mut a, &first).0, Duration::ZERO);
    let (waited, said) = push(&switch, at(0.0), &mut a, &second);
    assert_eq!(said.matches("<resource-constraint ").count(), 10, "{said}");
    assert_eq!(waited, Duration::from_millis(5000 + 9 * 100));
    // Another sender has its own patience, and these are stuck by now.
    let mut other = log_in(&switch, at(6.0), listener(), "to='a2.example'");
    let third = second.replace("'a.example'", "'a2.example'");
    assert!(push(&switch, at(6.0), &mut other, &third).0 <= Duration::from_secs(5));
    hear(&switch, at(12.0), &mut receivers[0]);
    assert_eq!(push(&switch, at(12.0), &mut a, &message(0, 2)), (Duration::ZERO, String::new()));
    assert!(hear(&switch, at(12.0), &mut receivers[0]).contains(" id='2'"), "it has made room");
}

#[test]
fn f1_full_receiver_stops_only_those_who_send_to_it() {
    let switch = switch();
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    let mut b = log_in(&switch, at(0.0), listener(), "to='b.example'");
    hear(&switch, at(0.0), &mut b);
    let (_full, mut free) = (full(&switch, 0), full(&switch, 1));
    feed(&switch, at(0.0), &mut a, &message(0, 0));
    let input = message(0, 1);
    let progress = a.process(&switch, at(0.0), input.as_bytes(), &mut Budget::default());
    assert_eq!((progress.consumed, progress.next), (0, Next::Room));
    assert_eq!(a.read_budget(at(0.0)), 0, "it is not read");
    assert_eq!(say(&switch, at(0.0), &mut b, &message(1, 0).replace("'a.example'", "'b.example'")), "");
    assert!(b.read_budget(at(0.0)) > 0);
    assert!(hear(&switch, at(0.0), &mut free).contains(" id='0'"));
}

#[test]
fn f2_each_queue_shows_bytes_stanzas_age_and_time_spent_full() {
    let switch = switch();
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    let mut r = full(&switch, 0);
    hear(&switch, at(0.0), &mut r);
    let status = |switch: &LocalSwitch| switch.ports()[1].queue.clone();
    assert_eq!(status(&switch), Default::default());
    feed(&switch, at(3.2), &mut a, &message(0, 0));
    let stanza = message(0, 0);
    let input = message(0, 1);
    let progress = a.process(&switch, at(4.0), input.as_bytes(), &mut Budget::default());
    assert_eq!(progress.next, Next::Room);
    let shown = status(&switch);
    assert_eq!((shown.bytes, shown.stanzas), (stanza.len(), 1));
    assert_eq!(shown.oldest, Some(at(3.0).monotonic), "to the second");
    assert_eq!((shown.full_since, shown.full_time), (Some(at(4.0).monotonic), Duration::ZERO));
    hear_some(&switch, at(5.0), &mut r, 10);
    assert_eq!(status(&switch).bytes, stanza.len() - 10);
    hear(&switch, at(6.0), &mut r);
    let shown = status(&switch);
    assert_eq!((shown.stanzas, shown.oldest, shown.full_since), (0, None, None));
    assert_eq!(shown.full_time, Duration::from_secs(2));
    assert_eq!(count(&switch, Metric::Delivered), 1);
}

#[test]
fn f3_no_error_causes_another_error() {
    let switch = switch();
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    hear(&switch, at(0.0), &mut a);
    for stanza in
        ["message type='error'", "presence type='error'", "iq type='error' id='1'", "iq type='result' id='1'"]
    {
        let nowhere = format!("<{stanza} from='a.example' to='nowhere.invalid'/>");
        assert_eq!(say(&switch, at(0.0), &mut a, &nowhere), "", "{stanza}");
    }
    assert_eq!(count(&switch, Metric::DroppedUndeliverable), 4);
}

#[test]
fn f3_component_whose_stanzas_bounce_is_told_of_once_a_minute() {
    let switch = switch();
    let mut a = log_in(&switch, at(0.0), listener(), "to='a.example'");
    hear(&switch, at(0.0), &mut a);
    while a.poll_event().is_some() {}
    let nowhere = "<message from='a.example' to='nowhere.invalid'/>".repeat(100);
    let mut told = Vec::new();
    for (second, hundreds) in [(1.0, 10), (2.0, 11), (3.0, 11), (61.9, 11), (62.0, 11)] {
        for _ in 0..hundreds {
            say(&switch, at(second), &mut a, &nowhere);
        }
        while let Some(ConnectionEvent::Bouncing(bounced)) = a.poll_event() {
            told.push((second, bounced > 1000));
        }
    }
    assert_eq!(told, [(2.0, true), (62.0, true)]);
}

/// A switch that pings after 30 s, and a component of it.
fn pinged() -> (LocalSwitch, Local) {
    let switch = switch_with(
        "b.example",
        DomainConfig { ping: Some(Duration::from_secs(30)), ..DomainConfig::default() },
    );
    let mut quiet = listener();
    quiet.limits = alloc::sync::Arc::new(crate::Limits { keepalive: None, ..Default::default() });
    let mut b = log_in(&switch, at(0.0), quiet, "to='b.example'");
    hear(&switch, at(0.0), &mut b);
    assert!(b.read_budget(at(0.0)) > 0);
    (switch, b)
}

fn due(switch: &LocalSwitch, b: &mut Local, seconds: f64) -> String {
    assert_eq!(b.poll_timeout(), Some(at(seconds).monotonic));
    b.handle_timeout(switch, at(seconds));
    hear(switch, at(seconds), b)
}

fn pong(number: u64) -> String {
    format!("<iq type='result' id='enjamb-alive-{number}' from='b.example' to='host.example'/>")
}

#[test]
fn f5_silent_component_is_pinged_and_its_answer_is_swallowed() {
    let (switch, mut b) = pinged();
    let ping = due(&switch, &mut b, 30.0);
    assert_eq!(
        ping,
        "<iq type='get' id='enjamb-alive-1' from='host.example' to='b.example'><ping xmlns='urn:xmpp:ping'/></iq>"
    );
    assert_eq!(say(&switch, at(31.0), &mut b, &pong(1)), "");
    assert_eq!(count(&switch, Metric::DroppedByHost), 0, "it is not routed");
    // It answers, so silence after the next one ends it.
    assert!(due(&switch, &mut b, 61.0).contains("enjamb-alive-2"));
    assert!(due(&switch, &mut b, 81.0).contains("<connection-timeout "));
}

#[test]
fn f5_component_of_a_prefix_is_pinged_under_the_first_host() {
    let config = DomainConfig { ping: Some(Duration::from_secs(20)), ..DomainConfig::default() };
    let switch = switch_with("*.host.example", config);
    let mut b = log_in(&switch, at(0.0), listener(), "to='p' is_subdomain='true'");
    hear(&switch, at(0.0), &mut b);
    b.read_budget(at(0.0));
    assert!(due(&switch, &mut b, 20.0).contains("from='host.example' to='p.host.example'"));
    let pong = pong(1).replace("'b.example'", "'p.host.example'");
    assert_eq!(
        (say(&switch, at(21.0), &mut b, &pong), count(&switch, Metric::DroppedByHost)),
        (String::new(), 0)
    );
}

#[test]
fn f5_component_that_never_answered_a_ping_lives_on() {
    let (switch, mut b) = pinged();
    for round in 0..5 {
        let begin = 50.0 * f64::from(round);
        assert!(due(&switch, &mut b, begin + 30.0).contains("<ping "));
        assert_eq!(due(&switch, &mut b, begin + 50.0), "");
    }
    assert!(!b.is_closed());
}

#[test]
fn f5_any_byte_is_a_sign_of_life() {
    let (switch, mut b) = pinged();
    due(&switch, &mut b, 30.0);
    say(&switch, at(31.0), &mut b, &pong(1));
    due(&switch, &mut b, 61.0);
    say(&switch, at(80.0), &mut b, " ");
    assert!(due(&switch, &mut b, 110.0).contains("<ping "));
}

#[test]
fn f5_time_while_reading_is_paused_does_not_count() {
    let (switch, mut b) = pinged();
    let _full = full(&switch, 0);
    feed(&switch, at(1.0), &mut b, "<message from='b.example' to='r0.example'/>");
    let input = "<message from='b.example' to='r0.example'/>";
    let progress = b.process(&switch, at(2.0), input.as_bytes(), &mut Budget::default());
    assert_eq!(progress.next, Next::Room);
    assert_eq!(b.read_budget(at(2.0)), 0);
    assert_eq!(b.poll_timeout(), Some(at(7.0).monotonic), "it waits for room alone");
}
