//! Limits by source address.

use std::time::Duration;

use enjamb_runtime::sources::SourceLimits;

use crate::{listener, refused};

#[test]
fn what_is_not_said_has_the_defaults() {
    let plain = listener("");
    assert_eq!((plain.max_unauthenticated, plain.sources), (None, SourceLimits::default()));
    assert_eq!(listener("[listen.service.sources]").sources, SourceLimits::default());
    assert!(listener("sources = {}").sources.exempt_loopback);
}

#[test]
fn each_key_is_read() {
    let lines = "max_unauthenticated = 5\n[listen.service.sources]\nmax_connections = 40\nmax_unauthenticated = 4\n\
                 failures = 0\nbackoff = 7\nbackoff_max = 70\nsource_failures = 30\nsource_recovery = 3\nexempt_loopback = false";
    let found = listener(lines);
    assert_eq!(found.max_unauthenticated, Some(5));
    let mut expected = SourceLimits::default();
    (expected.connections, expected.unauthenticated, expected.failures) = (40, 4, 0);
    (expected.backoff, expected.backoff_max) = (Duration::from_secs(7), Duration::from_secs(70));
    (expected.source_failures, expected.source_recovery) = (30, Duration::from_secs(3));
    expected.exempt_loopback = false;
    assert_eq!(found.sources, expected);
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    refused("sources = 5", "6:11: error: `listen.service.sources` must be a table, and this is an integer");
    refused(
        "max_unauthenticated = 0",
        "6:23: error: `max_unauthenticated` is out of range (from 1 to 1000000 connections)",
    );
    for (line, expected) in [
        (
            "max_connections = 0",
            "7:19: error: `max_connections` is out of range (from 1 to 1000000 connections)",
        ),
        (
            "max_connections = 'many'",
            "7:19: error: `max_connections` is `many` (an integer or \"infinity\" belongs here)",
        ),
        ("failures = -1", "7:12: error: `failures` is out of range (from 0 to 1000 failures)"),
        (
            "source_failures = -1",
            "7:19: error: `source_failures` is out of range (from 0 to 100000 failures)",
        ),
        ("source_recovery = 0", "7:19: error: `source_recovery` is out of range (from 1 to 3600 seconds)"),
        ("backoff = 0", "7:11: error: `backoff` is out of range (from 1 to 3600 seconds)"),
        ("backoff_max = 3601", "7:15: error: `backoff_max` is out of range (from 1 to 3600 seconds)"),
        (
            "exempt_loopback = 1",
            "7:19: error: `exempt_loopback` must be a boolean (true or false), and this is an integer",
        ),
        (
            "exempt_lopback = true",
            "7:1: error: unknown key `exempt_lopback` in `listen.service.sources` (did you mean `exempt_loopback`?)",
        ),
        (
            "backoff = 400",
            "7:11: error: `backoff` is 400 s, and `backoff_max` only 300 s (a name is turned away for `backoff` first, then twice as long each time, up to `backoff_max`)",
        ),
    ] {
        refused(&format!("[listen.service.sources]\n{line}"), expected);
    }
}
