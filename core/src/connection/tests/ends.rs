//! What becomes of a stanza whose receiver, or whose sender, ends meanwhile, and what is said of it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::{NOW, blocked, bound, connected, listener, need_input, send, switch, with, written};
use crate::connection::{CloseReason, ConnectionEvent, Transmit};
use crate::error::StreamErrorCause;
use crate::limits::Limits;
use crate::queue::{Buffer, Intake, Offer};
use crate::router::{BindPolicy, ConflictBehaviour};
use crate::stanza::Stanza;
use crate::switch::{LocalSwitch, Metric, Switch, SwitchConfig, Unsent};
use crate::xml::scan::Scan;
use crate::xml::scope::HeaderPrefixes;

const MESSAGE: &str = "<message to='b.example' id='1'/>";

fn counts<const N: usize>(switch: &LocalSwitch, metrics: [Metric; N]) -> [u64; N] {
    metrics.map(|metric| switch.metrics().get(metric))
}

/// Between the end of a connection and the loss of its name the switch still finds it.
#[test]
fn closed_receiver_that_is_still_bound_is_away() {
    let switch = switch();
    let mut sender = bound(&switch, listener(), "to='a.example'");
    let mut receiver = bound(&switch, listener(), "to='b.example'");
    switch.queue(receiver.port(), |queue| queue.set_intake(Intake::Closed));
    let (_, said) = send(&switch, &mut sender, MESSAGE);
    assert!(
        said.contains("<remote-server-timeout ") && said.contains("'b.example' is not connected"),
        "{said}"
    );
    assert_eq!(counts(&switch, [Metric::Bounced, Metric::Routed]), [1, 0]);
    switch.queue(receiver.port(), |queue| queue.set_intake(Intake::Open));
    assert_eq!(send(&switch, &mut sender, MESSAGE).1, "");
    assert_eq!(counts(&switch, [Metric::Bounced, Metric::Routed]), [1, 1]);
    assert_eq!(switch.poll_wake(), Some(receiver.id()));
    assert_eq!(switch.poll_wake(), None);
    assert!(written(&switch, &mut receiver).starts_with("<message from='a.example' to='b.example'"));
}

/// As it is delivered it has a `from`, and may be longer than it was.
#[test]
fn stanza_longer_than_its_receiver_takes_bounces() {
    let switch = switch();
    let mut sender = bound(&switch, listener(), "to='a.example'");
    let mut small = listener();
    small.limits = Arc::new(Limits { stanza: 40, ..Limits::default() });
    let mut receiver = bound(&switch, small, "to='b.example'");
    let (_, said) = send(&switch, &mut sender, MESSAGE);
    assert!(said.contains("<error type='modify'><policy-violation "), "{said}");
    assert!(said.contains("the component takes stanzas up to 40 bytes, and this one is longer"), "{said}");
    assert_eq!(written(&switch, &mut receiver), "");
}

/// A queue that was closed with this stanza in it.
fn queued(switch: &LocalSwitch, stanza: &str) -> Buffer {
    let (mut scan, mut queue) = (Scan::default(), switch.shared().closed_queue());
    assert!(scan.advance(stanza.as_bytes(), &Limits::default(), &[]).is_ok());
    let stanza = Stanza::new(stanza.as_bytes(), scan.head(), &HeaderPrefixes::Usual).unwrap().unwrap();
    queue.set_intake(Intake::Open);
    let offer = queue.offer(NOW.monotonic, &listener(), None, |bytes| Some(stanza.append_noting(bytes)));
    assert!(matches!(offer, Offer::Taken { .. }));
    queue.close()
}

#[test]
fn unsent_stanza_returns_to_its_sender_or_is_counted() {
    let switch = switch();
    let message = "<message from='a.example' to='b.example' id='1'/>";
    let bounce = |stanza, cause| {
        let halves = [queued(&switch, stanza), Buffer::default()];
        Unsent::new(halves, cause).bounce(&switch, NOW.monotonic, usize::MAX)
    };
    let unsent = |stanza| bounce(stanza, None);
    let counted = || counts(&switch, [Metric::UnsentBounced, Metric::UnsentDropped]);
    let mut full = listener();
    full.queue_mark = 1;
    let mut sender = bound(&switch, full, "to='a.example'");

    assert_eq!(unsent(message), 1);
    assert_eq!(counted(), [1, 0]);
    let bounced = written(&switch, &mut sender);
    assert!(
        bounced.starts_with("<message from='b.example' to='a.example' id='1' type='error'>"),
        "{bounced}"
    );
    assert!(bounced.contains("the component's connection ended before this could be sent"), "{bounced}");

    // Its own connection has ended, too.
    switch.queue(sender.port(), |queue| queue.set_intake(Intake::Closed));
    assert_eq!(unsent(message), 1);
    assert_eq!(counted(), [1, 1]);
    // It has room for one and no more.
    switch.queue(sender.port(), |queue| queue.set_intake(Intake::Open));
    assert_eq!(unsent(message) + unsent(message), 2);
    assert_eq!(counted(), [2, 2]);
    // Nobody is there, or nothing may answer, or there is nobody to answer.
    for dropped in [
        "<message from='c.example' to='b.example'/>",
        "<message from='a.example' to='b.example' type='error'/>",
        "<message from='a.example' to='b.example' type='&#101;rror'/>",
        "<presence from='a.example' to='b.example' type='unavailable'/>",
        "<message to='b.example'/>",
    ] {
        assert_eq!(unsent(dropped), 1);
    }
    assert_eq!(counted(), [2, 7]);
    let replaced = bounce(message, Some(&StreamErrorCause::Replaced));
    assert_eq!((replaced, counted()), (1, [2, 7]));
    assert_eq!(counts(&switch, [Metric::UnsentReplaced]), [1]);
}

/// An order to end comes with the next look at the output, what the old one has read by then goes on, and what it had not
/// written returns.
#[test]
fn replaced_connection_returns_what_it_did_not_send() {
    let switch = switch();
    let mut sender = bound(&switch, listener(), "to='a.example'");
    let mut old = bound(&switch, listener(), "to='b.example'");
    send(&switch, &mut sender, MESSAGE);
    let kick = with(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
    let mut new = bound(&switch, kick, "to='b.example'");
    let (_, said) = send(&switch, &mut old, "");
    assert!(said.contains("<conflict ") && said.ends_with("</stream:stream>"), "{said}");
    assert!(old.is_closed());
    let events: alloc::vec::Vec<_> = core::iter::from_fn(|| old.poll_event()).collect();
    assert!(
        matches!(&events[..], [ConnectionEvent::Bound { .. }, ConnectionEvent::Closed { unsent: 1, .. }]),
        "{events:?}"
    );
    let back = written(&switch, &mut sender);
    assert!(back.contains("<recipient-unavailable "), "{back}");
    send(&switch, &mut sender, MESSAGE);
    assert_eq!(written(&switch, &mut new), "<message from='a.example' to='b.example' id='1'/>");
}

/// Those that wait for room in a queue are woken when it drains, and when its port ends.
#[test]
fn waiting_sender_is_woken_by_room_and_by_the_end() {
    for ends in [false, true] {
        let switch = switch();
        let mut sender = bound(&switch, listener(), "to='a.example'");
        let mut receiver =
            bound(&switch, crate::switch::ListenerConfig { queue_mark: 1, ..listener() }, "to='b.example'");
        assert_eq!(send(&switch, &mut sender, MESSAGE).0, need_input(MESSAGE.len()));
        assert_eq!(send(&switch, &mut sender, MESSAGE).0, blocked(0));
        assert_eq!(sender.read_budget(NOW), 0);
        assert_eq!(sender.poll_timeout(), Some(NOW.monotonic + listener().stall));
        assert_eq!((switch.poll_wake(), switch.poll_wake()), (Some(receiver.id()), None));
        if ends {
            receiver.handle_eof(&switch, NOW);
        } else {
            written(&switch, &mut receiver);
        }
        assert_eq!((switch.poll_wake(), switch.poll_wake()), (Some(sender.id()), None));
        let (progress, said) = send(&switch, &mut sender, MESSAGE);
        assert_eq!(progress, need_input(MESSAGE.len()));
        assert_eq!(said.contains("<remote-server-not-found "), ends, "{said}");
    }
}

/// A loop may read on, or be late to look. What comes after the end binds no name and is delivered to nobody.
#[test]
fn closed_connection_takes_what_comes_and_does_nothing() {
    type End = fn(&LocalSwitch, &mut super::Local);
    let ends: [End; 2] = [
        |switch, connection| connection.handle_eof(switch, NOW),
        |switch, connection| connection.handle_error(switch, NOW, "reset".into()),
    ];
    let header = super::header("to='b.example'");
    for end in ends {
        let switch = switch();
        let mut peer = bound(&switch, listener(), "to='a.example'");
        let mut early = connected(&switch, listener());
        send(&switch, &mut early, &header);
        end(&switch, &mut early);
        written(&switch, &mut early);
        let handshake = super::handshake("s");
        assert_eq!(send(&switch, &mut early, &handshake), (need_input(handshake.len()), "".into()));
        assert_eq!((switch.bound(), switch.connections()), (1, 1));

        let mut open = bound(&switch, listener(), "to='b.example'");
        end(&switch, &mut open);
        written(&switch, &mut open);
        let message = "<message to='a.example'/>";
        assert_eq!(send(&switch, &mut open, message), (need_input(message.len()), "".into()));
        assert_eq!((written(&switch, &mut peer), written(&switch, &mut open)), ("".into(), "".into()));
        // It lingers for a second if it has not failed.
        open.handle_timeout(&switch, super::after(1));
        assert_eq!(open.poll_output(&switch, NOW), Transmit::Done);
        assert_eq!(open.poll_timeout(), None);
        assert_eq!(counts(&switch, [Metric::Routed]), [0]);
    }
}

/// What was not written of a broken connection is not given out any more, and is still answered.
#[test]
fn broken_connection_gives_no_output_and_returns_what_it_had() {
    let switch = switch();
    let mut sender = bound(&switch, listener(), "to='a.example'");
    let mut receiver = bound(&switch, listener(), "to='b.example'");
    send(&switch, &mut sender, MESSAGE);
    assert!(!receiver.poll_output(&switch, NOW).bytes().is_empty());
    receiver.handle_error(&switch, NOW, "reset".into());
    assert_eq!(receiver.poll_output(&switch, NOW), Transmit::Done);
    assert!(written(&switch, &mut sender).contains("<recipient-unavailable "));
}

#[test]
fn switch_without_a_host_speaks_as_localhost() {
    let switch = LocalSwitch::new(SwitchConfig::new([]));
    let mut connection = connected(&switch, listener());
    let (_, said) = send(&switch, &mut connection, "<a>");
    assert!(said.contains(" from='localhost' ") && said.contains("<invalid-namespace "), "{said}");
}

#[test]
fn each_reason_has_its_words() {
    for (reason, words) in [
        (CloseReason::ByPeer, "closed by the other side"),
        (CloseReason::ByUs, "closed"),
        (
            CloseReason::Error(StreamErrorCause::Shutdown.into()),
            "system-shutdown: the server is shutting down",
        ),
        (CloseReason::Broken("connection reset".into()), "the connection broke: connection reset"),
    ] {
        assert_eq!(reason.to_string(), words);
    }
}

#[test]
fn debug_output_holds_no_secret_and_no_content() {
    let switch = switch();
    let _bound = bound(&switch, listener(), "to='a.example'");
    assert_eq!(
        format!("{switch:?}"),
        "LocalSwitch { directory: Directory { connections: 1, bound: 1, .. }, .. }"
    );
}

#[test]
fn every_metric_has_a_name_of_its_own() {
    let names: BTreeSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(names.len(), Metric::ALL.len());
    assert!(names.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))));
}

#[test]
fn end_of_a_long_queue_is_cut_into_shares() {
    let switch = switch();
    let mut sender = bound(&switch, listener(), "to='a.example'");
    let mut receiver = bound(&switch, listener(), "to='b.example'");
    let stanzas = "<message to='b.example'/>".repeat(90);
    for _ in 0..4 {
        assert_eq!(send(&switch, &mut sender, &stanzas).0.consumed, stanzas.len());
    }
    let bounced = || switch.metrics().get(Metric::UnsentBounced);
    receiver.handle_error(&switch, NOW, "reset".into());
    assert!(receiver.poll_event().is_some_and(|event| matches!(event, ConnectionEvent::Bound { .. })));
    assert_eq!(bounced(), 64, "the rest waits");
    while receiver.poll_timeout() == Some(NOW.monotonic) {
        // Its names are free meanwhile, and it is not over.
        assert_eq!(receiver.poll_output(&switch, NOW), Transmit::Nothing);
        assert!(receiver.poll_event().is_none());
        let before = bounced();
        receiver.handle_timeout(&switch, NOW);
        assert_eq!(bounced() - before, 2);
    }
    assert_eq!(bounced(), 360);
    assert_eq!(receiver.poll_output(&switch, NOW), Transmit::Done);
    let Some(ConnectionEvent::Closed { unsent: 360, .. }) = receiver.poll_event() else {
        panic!("it is over")
    };
    let mut dropped = bound(&switch, listener(), "to='b.example'");
    assert_eq!(send(&switch, &mut sender, &stanzas).0.consumed, stanzas.len());
    dropped.abandon(&switch, NOW, "dropped".into());
    assert_eq!((bounced(), dropped.poll_output(&switch, NOW)), (450, Transmit::Done));
}

#[test]
fn what_comes_after_the_servers_end_is_counted_and_its_end_is_not_waited_for_longer() {
    let switch = switch();
    let mut component = bound(&switch, listener(), "to='a.example'");
    switch.shut_down();
    assert!(written(&switch, &mut component).ends_with("</stream:error></stream:stream>"));
    assert_eq!(component.read_budget(NOW), usize::MAX);
    let message = "<message to='host.example'><body/></message>";
    let whole = "<presence to='a.example'/><x/>";
    for (bytes, consumed) in
        [(&*message.repeat(3), 3 * message.len()), (&whole[..9], 0), (whole, whole.len())]
    {
        assert_eq!(send(&switch, &mut component, bytes), (need_input(consumed), String::new()), "{bytes}");
    }
    assert_eq!(switch.metrics().get(Metric::DroppedUndeliverable), 5);
    send(&switch, &mut component, "</stream:stream>");
    assert_eq!(component.poll_output(&switch, NOW), Transmit::Done);
}
