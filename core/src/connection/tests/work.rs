//! What one call may cost, whatever the input is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Local, NOW, bound, domain, listener, send, switch, with, written};
use crate::connection::{Budget, Next};
use crate::router::BindPolicy;
use crate::switch::{ListenerConfig, LocalSwitch, Switch, SwitchConfig};

/// A message of 1 MiB less a little whose elements have this start tag and nothing else, in a `<w>` with these attributes.
fn message(outer: &str, tag: &str) -> String {
    let front = format!("<message to='b.example'><w{outer}>");
    let back = format!("{}</message>", "</w>".repeat(front.matches("<w").count()));
    let times = ((1 << 20) - front.len() - back.len() - 1) / tag.len();
    format!("{front}{}{back}", tag.repeat(times))
}

/// Each input, and the most bytes of it that one call may look at.
fn inputs() -> [(&'static str, String, usize); 4] {
    let declared = |from: usize| -> String {
        (from..from + 120).map(|n| format!(" xmlns:p{n:03}='urn:p{n:03}'")).collect()
    };
    let prefixes = format!("{}><w{}", declared(0), declared(120));
    let attributes: String = (0..100).map(|n| format!(" p000:a{n:02}=''")).collect();
    let plain: String = (0..100).map(|n| format!(" a{n:02}=''")).collect();
    [
        ("many prefixed attributes", message(&prefixes, &format!("<a{attributes}/>")), 48 << 10),
        ("many attributes", message("", &format!("<a{plain}/>")), 48 << 10),
        ("many tags", message("", "<a/>"), 48 << 10),
        ("text", message("", &"x".repeat(1000)), 900 << 10),
    ]
}

#[test]
fn large_stanza_is_scanned_in_shares_of_its_cost() {
    for (what, input, most) in inputs() {
        let switch = switch();
        let mut connection = bound(&switch, listener(), "to='a.example'");
        let (mut looked, mut calls) = (0, 0);
        loop {
            let progress = connection.process(&switch, NOW, input.as_bytes(), &mut Budget::default());
            calls += 1;
            if progress.consumed > 0 {
                assert_eq!(progress.consumed, input.len(), "{what}");
                break;
            }
            assert_eq!(progress.next, Next::More, "{what}: the input is there");
            let now_looked = connection.session.window();
            assert!(now_looked - looked <= most, "{what}: {} bytes in one call", now_looked - looked);
            looked = now_looked;
        }
        assert!(calls > input.len() / most, "{what}: {calls} calls");
        // It was taken whole, and the connection goes on.
        let said = send(
            &switch,
            &mut connection,
            "<iq type='get' to='host.example' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        )
        .1;
        assert!(said.contains("id='1'") && said.contains("<remote-server-not-found "), "{what}: {said}");
    }
}

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
