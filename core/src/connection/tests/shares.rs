//! The pools of memory are shared between realms: what one holds takes nothing from the part of another.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Local, NOW, bound, domain, with, written};
use crate::connection::{Budget, Next};
use crate::router::BindPolicy;
use crate::switch::{ListenerConfig, LocalSwitch, Switch, SwitchConfig};

/// A switch whose pools hold 1 MiB, and the listeners of two realms.
fn small() -> (LocalSwitch, [ListenerConfig; 2]) {
    let mut config = SwitchConfig::new([domain("host.example")]);
    config.max_queued = 1 << 20;
    let listener = |realm| with(BindPolicy { realm, ..BindPolicy::default() });
    (LocalSwitch::new(config), [listener(1), listener(2)])
}

/// A message for `to`, of 200 kB.
fn large(to: &str) -> String {
    format!("<message to='{to}'><body>{}</body></message>", "x".repeat(200_000))
}

#[test]
fn begun_stanzas_of_one_realm_end_no_stream_of_another() {
    let (switch, [attackers, others]) = small();
    let begun = format!("<message to='b.example'><body>{}", "x".repeat(1_000_000));
    let attack = |n| {
        let mut connection = bound(&switch, attackers.clone(), &format!("to='a{n}.example'"));
        feed(&switch, &mut connection, &begun);
        connection
    };
    let mut victim = bound(&switch, others, "to='b.example'");
    let attackers: Vec<Local> = (0..20).map(attack).collect();
    assert!(attackers.iter().filter(|connection| connection.is_closed()).count() >= 19);
    let stanza = large("b.example");
    for _ in 0..3 {
        let (front, back) = stanza.split_at(150_000);
        feed(&switch, &mut victim, front);
        assert!(!victim.is_closed(), "its stanza came in two reads");
        feed(&switch, &mut victim, &format!("{front}{back}"));
        assert!(written(&switch, &mut victim).contains("<body>xxx"));
    }
}

#[test]
fn queues_of_one_realm_bounce_nothing_of_another() {
    let (switch, [attackers, others]) = small();
    let mut victim = bound(&switch, others, "to='b.example'");
    let mut sender = bound(&switch, attackers.clone(), "to='a.example'");
    let mut slow: Vec<Local> = Vec::new();
    for n in 0..20 {
        slow.push(bound(&switch, attackers.clone(), &format!("to='s{n}.example'")));
        feed(&switch, &mut sender, &large(&format!("s{n}.example")));
    }
    assert!(written(&switch, &mut sender).contains("<resource-constraint "), "their part is full");
    feed(&switch, &mut victim, &large("b.example"));
    let came = written(&switch, &mut victim);
    assert!(came.contains("<body>xxx") && !came.contains("<error"), "{}", &came[..came.len().min(300)]);
    assert!(switch.queued() <= 1 << 20, "{}", switch.queued());
}

/// Shows a connection all of its input until it wants more.
fn feed(switch: &LocalSwitch, connection: &mut Local, input: &str) {
    while connection.process(switch, NOW, input.as_bytes(), &mut Budget::default()).next == Next::More
        && !connection.is_closed()
    {}
}
