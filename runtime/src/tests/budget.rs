//! How much of a component's input is dealt with before the others have their turn, what of it counts as kept, and that
//! a batch is one wake and one write.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use enjamb_core::connection::{CloseReason, ConnectionEvent};
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::router::{Access, BindPolicy};
use enjamb_core::switch::{ListenerConfig, Metric, Switch, SwitchConfig};
use enjamb_core::{Secret, StreamCondition, StreamId};

use super::doubles::{PROOF, Socket, Still, Written, all};
use crate::{ServerConnection, SharedSwitch};

fn switch() -> Arc<SharedSwitch> {
    Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("host.example").unwrap()])))
}

fn listener() -> ListenerConfig {
    ListenerConfig::new(Secret::new("test"))
}

type Driven = ServerConnection<Socket, Still>;

/// The connection of a component that sends this, and what is written to it. One read ends within the first stanza.
fn sends(
    switch: &Arc<SharedSwitch>,
    listener: ListenerConfig,
    domain: &str,
    stanzas: &str,
) -> (Driven, Written) {
    let header = format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
    );
    let opening = format!("{header}<handshake>{PROOF}</handshake>");
    let (cut, input) =
        (opening.len() + stanzas.len().min(9), [opening.as_str(), stanzas].concat().into_bytes());
    let written = Written::default();
    let socket = Socket { input, read: 0, cut, written: Rc::clone(&written) };
    let id = StreamId::from_text("3BF96D32").unwrap();
    (ServerConnection::new(Arc::clone(switch), Arc::new(listener), id, socket, Still), written)
}

/// A component that is bound and idle.
fn bound(switch: &Arc<SharedSwitch>, listener: ListenerConfig, domain: &str) -> Driven {
    let (mut connection, _) = sends(switch, listener, domain, "");
    take_turn(&mut connection);
    connection
}

/// One turn, in which nothing is worth a line but that it is bound.
fn take_turn(connection: &mut Driven) {
    take_turn_as(connection, Waker::noop());
}

/// The same of a task that this wakes.
fn take_turn_as(connection: &mut Driven, waker: &Waker) {
    while let Poll::Ready(event) = connection.poll_event(&mut Context::from_waker(waker)) {
        assert!(matches!(event, Some(ConnectionEvent::Bound { .. })), "{event:?}");
    }
}

/// The max number of requests that are answered in one turn, among this many other components.
fn answered_in_a_turn(others: usize, hidden: bool, payload: &str, requests: usize) -> usize {
    let switch = switch();
    let listener = || {
        let mut listener = listener();
        listener.policy = Arc::new(BindPolicy { hidden, ..BindPolicy::default() });
        listener
    };
    let _others: Vec<_> =
        (0..others).map(|i| bound(&switch, listener(), &format!("gateway-{i:06}.example"))).collect();
    let request = format!("<iq type='get' from='a.example' to='host.example' id='1'>{payload}</iq>");
    let (mut connection, written) = sends(&switch, self::listener(), "a.example", &request.repeat(requests));
    let answered = || all(&written).matches("type='result'").count();
    let (mut most, mut turns) = (0, 0);
    while answered() < requests {
        turns += 1;
        assert!(turns <= 10 * requests, "{} of {requests}", answered());
        let before = answered();
        take_turn(&mut connection);
        most = most.max(answered() - before);
    }
    most
}

#[test]
fn long_list_of_components_costs_its_length() {
    let list = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    // What one turn leaves to be written counts as answered in the next.
    let most = answered_in_a_turn(0, false, ping, 500);
    assert!((90..=192).contains(&most), "{most} pings");
    let most = answered_in_a_turn(0, false, list, 500);
    assert!((90..=192).contains(&most), "{most} empty lists");
    // Some 35 bytes for each component.
    for (others, limit) in [(300, 16), (1000, 4), (5000, 2)] {
        let most = answered_in_a_turn(others, false, list, 40);
        assert!(most <= limit, "{most} lists of {others}");
    }
    // What is not in a list takes no time either.
    let most = answered_in_a_turn(5000, true, list, 500);
    assert!((90..=192).contains(&most), "{most} lists of hidden ones");
}

#[test]
fn partial_stanza_is_counted_once_it_is_long() {
    for (room, ends) in [(0, true), (1 << 20, false)] {
        let switch = switch();
        switch.set_max_queued(room);
        let text = "a".repeat(200_000);
        let (mut connection, written) =
            sends(&switch, listener(), "a.example", &format!("<message to='b.example'><body>{text}"));
        let mut end = None;
        for _ in 0..20 {
            while let Poll::Ready(Some(event)) =
                connection.poll_event(&mut Context::from_waker(Waker::noop()))
            {
                if let ConnectionEvent::Closed { reason: CloseReason::Error(error), .. } = event {
                    end = Some(error.condition);
                }
            }
        }
        assert_eq!(end, ends.then_some(StreamCondition::ResourceConstraint), "with {room}");
        let written = all(&written);
        assert_eq!(written.contains("<resource-constraint "), ends, "{written}");
    }
}

#[test]
fn stanzas_that_wait_for_room_are_not_counted_as_partial() {
    let switch = switch();
    switch.set_max_queued(0);
    let mut narrow = listener();
    narrow.queue_mark = 1;
    let mut receiver = bound(&switch, narrow, "b.example");
    let (mut first, _) = sends(&switch, listener(), "c.example", "<message to='b.example'/>");
    take_turn(&mut first);
    assert_eq!(switch.metrics().get(Metric::Routed), 1);
    // The first waits, and with what was left of the read before it is more than one read.
    let (mut connection, written) =
        sends(&switch, listener(), "a.example", &"<message to='b.example'/>".repeat(10_000));
    for _ in 0..20 {
        take_turn(&mut connection);
    }
    let written = all(&written);
    assert!(written.ends_with("<handshake/>"), "{written}");
    assert_eq!(switch.metrics().get(Metric::Routed), 1);
    // Once there is room they go on.
    take_turn(&mut receiver);
    take_turn(&mut connection);
    assert!(switch.metrics().get(Metric::Routed) > 1);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn batch_is_one_wake_of_its_receiver_and_one_write() {
    let switch = switch();
    let woken = Arc::<Woken>::default();
    let (mut receiver, written) = sends(&switch, listener(), "b.example", "");
    take_turn_as(&mut receiver, &Arc::clone(&woken).into());
    let before = written.borrow().len();
    let message = "<message from='a.example' to='b.example'/>";
    let (mut sender, _) = sends(&switch, listener(), "a.example", &message.repeat(50));
    take_turn(&mut sender);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    take_turn(&mut receiver);
    assert_eq!(written.borrow()[before..].to_vec(), [message.repeat(50).into_bytes()]);
}

/// An access rule of the application's own may panic. What was delivered before it is counted, and its receiver woken.
#[test]
fn panic_in_an_access_rule_ends_the_batch_before_it() {
    let switch = switch();
    let woken = Arc::<Woken>::default();
    let (mut receiver, written) = sends(&switch, listener(), "b.example", "");
    take_turn_as(&mut receiver, &Arc::clone(&woken).into());
    let mut ruled = listener();
    let broken = |_: &Jid<'_>, _: bool| -> bool { panic!("the rule is broken, as this test wants it") };
    ruled.policy = Arc::new(BindPolicy { access: Access::Rule(Arc::new(broken)), ..BindPolicy::default() });
    let _ruled = bound(&switch, ruled, "c.example");
    let message = "<message from='a.example' to='b.example'/>";
    let (mut sender, _) =
        sends(&switch, listener(), "a.example", &format!("{message}<message to='c.example'/>"));
    let turn = std::panic::AssertUnwindSafe(move || take_turn(&mut sender));
    assert!(std::panic::catch_unwind(turn).is_err());
    assert_eq!(switch.metrics().get(Metric::Routed), 1);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    take_turn(&mut receiver);
    assert!(all(&written).ends_with(message));
}
