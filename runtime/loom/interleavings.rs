//! Every order in which threads may meet at a queue, at the switch or at a component's handle, tried by loom:
//! `cargo xtask loom`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::connection::{
    Budget, ClientConnection, Connection, ConnectionEvent, Next, Transmit, Written,
};
use enjamb_core::jid::Domain;
use enjamb_core::router::{BindPolicy, ConflictBehaviour};
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_core::{Instant, Now, Secret, StreamId};
use loom::future::block_on;
use loom::thread;

use crate::component::session::ComponentSession;
use crate::component::{Component, Shared};
use crate::driver::Session as _;
use crate::{ComponentSettings, SharedSwitch, WakePort as _};

const NOW: Now = Now { monotonic: Instant::ORIGIN, unix: Duration::ZERO };
const MESSAGE: &[u8] = b"<message to='comp.example'/>";

type Shareable = Connection<SharedSwitch>;

fn switch() -> Arc<SharedSwitch> {
    Arc::new(SharedSwitch::new(SwitchConfig::new([])))
}

fn listener() -> ListenerConfig {
    ListenerConfig::new(Secret::new("test"))
}

/// A connection that is bound, and has written nothing yet.
fn binding(switch: &SharedSwitch, listener: ListenerConfig, domain: &str) -> Shareable {
    let id = StreamId::from_text("3BF96D32").unwrap();
    let mut connection = Connection::new(switch, Arc::new(listener), id, NOW);
    let opening = format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
         to='{domain}'><handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>"
    );
    let _ = connection.process(switch, NOW, opening.as_bytes(), &mut Budget::default());
    connection
}

/// A connection that is bound, with its handshake written.
fn bound(switch: &SharedSwitch, listener: ListenerConfig, domain: &str) -> Shareable {
    let mut connection = binding(switch, listener, domain);
    assert!(written(switch, &mut connection).ends_with("<handshake/>"));
    connection
}

/// Writes all that a connection has to write.
fn written(switch: &SharedSwitch, connection: &mut Shareable) -> String {
    let mut written = Vec::new();
    connection.write_to(switch, NOW, &mut written);
    String::from_utf8(written).unwrap()
}

fn stanzas(written: &str) -> usize {
    written.matches("<message ").count()
}

/// Sends a stanza, and waits while there is no room.
fn send(switch: &SharedSwitch, connection: &mut Shareable, stanza: &[u8]) {
    block_on(poll_fn(|cx| {
        connection.port().register(cx.waker());
        let progress = connection.process(switch, NOW, stanza, &mut Budget::default());
        if progress.next == Next::Room {
            return Poll::Pending;
        }
        Poll::Ready(assert_eq!((progress.next, progress.consumed), (Next::Input, stanza.len())))
    }));
}

/// Receives that many stanzas; a wake-up that is lost is a deadlock, which loom reports.
fn receive(switch: &SharedSwitch, connection: &mut Shareable, expected: usize) {
    let mut received = 0;
    block_on(poll_fn(|cx| {
        connection.port().register(cx.waker());
        received += stanzas(&written(switch, connection));
        if received < expected { Poll::Pending } else { Poll::Ready(()) }
    }));
    assert_eq!(received, expected);
}

#[test]
fn interleavings_of_two_senders_and_a_receiver_lose_no_wake_up() {
    loom::model(|| {
        let switch = switch();
        let mut receiver = bound(&switch, listener(), "comp.example");
        let senders = ["a.example", "b.example"].map(|name| {
            let (switch, mut sender) = (Arc::clone(&switch), bound(&switch, listener(), name));
            thread::spawn(move || send(&switch, &mut sender, MESSAGE))
        });
        receive(&switch, &mut receiver, 2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn interleavings_wake_a_sender_that_waits_for_room() {
    loom::model(|| {
        let switch = switch();
        // Full with one stanza.
        let mut narrow = listener();
        narrow.queue_mark = 4;
        let mut receiver = bound(&switch, narrow, "comp.example");
        let sender = {
            let (switch, mut sender) = (Arc::clone(&switch), bound(&switch, listener(), "a.example"));
            thread::spawn(move || {
                for _ in 0..2 {
                    send(&switch, &mut sender, MESSAGE);
                }
            })
        };
        receive(&switch, &mut receiver, 2);
        sender.join().unwrap();
    });
}

/// The second stanza takes the route that the first has found, or another if that leads nowhere any more.
#[test]
fn interleavings_of_a_replacement_deliver_each_stanza_once_or_return_it() {
    loom::model(|| {
        let switch = switch();
        let mut old = bound(&switch, listener(), "comp.example");
        let mut sender = bound(&switch, listener(), "a.example");
        let newcomer = {
            let switch = Arc::clone(&switch);
            thread::spawn(move || {
                let mut kick = listener();
                kick.policy =
                    Arc::new(BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() });
                binding(&switch, kick, "comp.example")
            })
        };
        send(&switch, &mut sender, MESSAGE);
        send(&switch, &mut sender, MESSAGE);
        let mut new = newcomer.join().unwrap();
        // The old one's task: told to end, it returns what it had not written.
        let by_old = stanzas(&written(&switch, &mut old));
        assert!(old.is_closed());
        let unsent = std::iter::from_fn(|| old.poll_event()).find_map(|event| match event {
            ConnectionEvent::Closed { unsent, .. } => Some(unsent as usize),
            _ => None,
        });
        let returned = written(&switch, &mut sender);
        assert_eq!(Some(returned.matches("<recipient-unavailable ").count()), unsent, "{returned}");
        assert!(!returned.contains("<remote-server"), "the name is held all the time: {returned}");
        let by_new = stanzas(&written(&switch, &mut new));
        assert_eq!(by_old + by_new + unsent.unwrap(), 2, "a stanza is lost, or there twice");
    });
}

/// A component's handle, and its connection as the loop drives it, established.
fn component() -> (Component, ComponentSession) {
    let domain = || Domain::parse("comp.example").unwrap();
    let settings = ComponentSettings::new(domain(), Secret::new("s"));
    let limits = Arc::clone(&settings.limits);
    let shared = Arc::new(Shared::new(&settings));
    let connection = ClientConnection::new(domain(), false, Secret::new("s"), limits, NOW);
    let mut session = ComponentSession::new(Arc::clone(&shared), connection);
    write(&mut session);
    let input = b"<stream:stream xmlns='jabber:component:accept' \
        xmlns:stream='http://etherx.jabber.org/streams' from='comp.example' id='1'><handshake/>";
    session.register(&Context::from_waker(Waker::noop()));
    let _ = session.process(NOW, input, &mut Budget::default());
    write(&mut session);
    (Component { shared }, session)
}

/// Writes all that there is to write; returns how many bytes that is.
fn write(session: &mut ComponentSession) -> usize {
    let mut sent = 0;
    while let Transmit::Bytes(bytes) = session.poll_output(NOW) {
        let n = bytes.len();
        session.wrote(NOW, Written::Bytes(n));
        sent += n;
    }
    sent
}

#[test]
fn interleavings_of_a_handle_and_its_connection_lose_no_wake_up() {
    loom::model(|| {
        let (handle, mut session) = component();
        let sender = thread::spawn(move || {
            handle.put(b"<message to='a'/>").unwrap();
            // Flushed once all of it is out.
            assert!(block_on(poll_fn(|cx| handle.poll_flushed(cx))).is_ok());
            handle
        });
        let mut sent = 0;
        block_on(poll_fn(|cx| {
            session.register(cx);
            sent += write(&mut session);
            if sent >= b"<message to='a'/>".len() { Poll::Ready(()) } else { Poll::Pending }
        }));
        drop(sender.join().unwrap());
    });
}

#[test]
fn interleavings_of_a_stanza_and_its_reader_lose_no_wake_up() {
    loom::model(|| {
        let (handle, mut session) = component();
        let reader = thread::spawn(move || block_on(handle.next()).is_some());
        let stanza = b"<message from='a' to='comp.example'/>";
        let _ = session.process(NOW, stanza, &mut Budget::default());
        assert!(reader.join().unwrap());
    });
}
