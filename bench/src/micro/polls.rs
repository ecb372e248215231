//! One poll of a connection that floods: what others wait for while it has its share.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::{Budget, Connection, Next};
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
use enjamb_core::{Instant, Now, Secret, StreamId};

use super::case::Case;
use super::stanzas;
use crate::wire;

pub(super) const NOW: Now = Now { monotonic: Instant::ORIGIN, unix: Duration::ZERO };

/// What the component floods with.
fn flood(name: &str) -> Vec<u8> {
    match name {
        "poll-usual" => stanzas::of("rich-324").repeat(500),
        "poll-names" => large(&declarations(), &format!("<a{}/>", attributes(|n| format!("p000:a{n:02}")))),
        "poll-prefixes" => {
            large(&declarations(), &format!("<a{}/>", attributes(|n| format!("p{:03}:a", 2 * n))))
        }
        "poll-lines" => large("<w>", "\n"),
        _ => large("<w>", "Art thou not Romeo, and a Montague? "),
    }
}

/// A message of some 256 KiB that holds these elements, the first of which are not closed.
fn large(front: &str, piece: &str) -> Vec<u8> {
    let back = "</w>".repeat(front.matches("<w").count());
    let pieces = piece.repeat(256 * 1024 / piece.len());
    format!("<message from='comp.example' to='peer.example'>{front}{pieces}{back}</message>").into_bytes()
}

/// Two elements that declare 120 prefixes each.
fn declarations() -> String {
    let mut declared = String::new();
    for prefix in 0..240 {
        let begins = if prefix % 120 == 0 { "<w" } else { "" };
        let ends = if prefix % 120 == 119 { ">" } else { "" };
        let _ = write!(declared, "{begins} xmlns:p{prefix:03}='urn:p{prefix:03}'{ends}");
    }
    declared
}

fn attributes(name: impl Fn(usize) -> String) -> String {
    (0..100).map(|n| format!(" {}=''", name(n))).collect()
}

/// A component that is bound.
pub(super) fn connected(switch: &LocalSwitch, domain: &str) -> Option<Connection<LocalSwitch>> {
    let listener = Arc::new(ListenerConfig::new(Secret::new("s")));
    let mut connection = Connection::new(switch, listener, StreamId::from_text("1")?, NOW);
    let input = format!("{}<handshake>{}</handshake>", wire::header(domain), wire::proof(b"1", "s"));
    let mut rest = input.as_bytes();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let progress = connection.process(switch, NOW, rest, &mut Budget::default());
        rest = &rest[progress.consumed..];
        connection.write_to(switch, NOW, &mut out);
        if progress.consumed == 0 {
            return None;
        }
    }
    out.ends_with(b"<handshake/>").then_some(connection)
}

/// A round is one share of work on the flood.
pub(super) fn poll(name: &str) -> Option<Case> {
    let switch = LocalSwitch::new(SwitchConfig::new([Domain::parse("host.example").ok()?]));
    let mut connection = connected(&switch, "comp.example")?;
    let input = flood(name);
    let (mut start, mut out) = (0, Vec::new());
    Some(Case::new(input.len(), move || {
        let progress = connection.process(&switch, NOW, &input[start..], &mut Budget::default());
        start += progress.consumed;
        if progress.next == Next::Input {
            start = 0;
        }
        out.clear();
        connection.write_to(&switch, NOW, &mut out);
        !connection.is_closed()
    }))
}
