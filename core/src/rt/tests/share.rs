//! How much of a component's input is dealt with before the others have their turn, what of it counts as kept, and that
//! a batch is one wake and one write.

use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

use super::ends::{bound, listener, switch};
use super::streams::T;
use crate::error::StreamCondition;
use crate::handshake::{Secret, StreamId};
use crate::router::Terms;
use crate::rt::outbox::Offer;
use crate::rt::{Connection, Count, End, Listener, Notice, Switch, Timer, Transport};
use crate::time::Instant;

/// A socket that takes all that is written, and has all of the input at once, but for one cut.
struct Socket {
    input: Vec<u8>,
    read: usize,
    /// Where a read ends.
    cut: usize,
    written: Written,
}

/// Each write by itself.
type Written = Rc<RefCell<Vec<Vec<u8>>>>;

fn all(written: &Written) -> String {
    String::from_utf8(written.borrow().concat()).unwrap()
}

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let end = if self.read < self.cut { self.cut } else { self.input.len() };
        let n = buffer.len().min(end - self.read);
        buffer[..n].copy_from_slice(&self.input[self.read..self.read + n]);
        self.read += n;
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still.
struct Still;

impl Timer for Still {
    fn now(&self) -> Instant {
        T
    }

    fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// The connection of a component that sends this, and what is written to it. One read ends within the first stanza.
fn sends(switch: &Arc<Switch>, domain: &str, stanzas: &str) -> (Connection<Socket, Still>, Written) {
    let header = format!(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>"
    );
    let proof = Secret::new("s").handshake("1");
    let proof = core::str::from_utf8(&proof).unwrap();
    let opening = format!("{header}<handshake>{proof}</handshake>");
    let (cut, input) =
        (opening.len() + stanzas.len().min(9), [opening.as_str(), stanzas].concat().into_bytes());
    let written = Written::default();
    let socket = Socket { input, read: 0, cut, written: Rc::clone(&written) };
    let id = StreamId::from_text("1").unwrap();
    (Connection::new(Arc::clone(switch), Arc::new(listener()), id, socket, Still), written)
}

/// One turn, in which nothing is worth a line but that it is bound.
fn take_turn(connection: &mut Connection<Socket, Still>) {
    take_turn_as(connection, Waker::noop());
}

/// The same of a task that this wakes.
fn take_turn_as(connection: &mut Connection<Socket, Still>, waker: &Waker) {
    while let Poll::Ready(notice) = connection.poll_notice(&mut Context::from_waker(waker)) {
        assert!(matches!(notice, Some(Notice::Bound { .. })), "{notice:?}");
    }
}

/// How many requests are answered in one turn at the most, among so many other components.
fn answered_in_a_turn(others: usize, hidden: bool, payload: &str, requests: usize) -> usize {
    let switch = Arc::new(switch());
    let listener = || {
        let terms = Arc::new(Terms { hidden, ..Terms::default() });
        Listener { terms, ..listener() }
    };
    let _others: Vec<_> =
        (0..others).map(|i| bound(&switch, listener(), &format!("gateway-{i:06}.example"))).collect();
    let request = format!("<iq type='get' from='a.example' to='host.example' id='1'>{payload}</iq>");
    let (mut connection, written) = sends(&switch, "a.example", &request.repeat(requests));
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
fn a_list_of_many_components_counts_by_its_length() {
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
fn what_is_unfinished_is_counted_once_it_is_long() {
    for (room, ends) in [(0, true), (1 << 20, false)] {
        let switch = Arc::new(switch());
        switch.set_max_queued(room);
        let text = "a".repeat(200_000);
        let (mut connection, written) =
            sends(&switch, "a.example", &format!("<message to='b.example'><body>{text}"));
        let mut end = None;
        for _ in 0..20 {
            while let Poll::Ready(Some(notice)) =
                connection.poll_notice(&mut Context::from_waker(Waker::noop()))
            {
                if let Notice::Ended { end: End::Error(error), .. } = notice {
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
fn stanzas_that_wait_for_room_are_not_counted_as_unfinished() {
    let switch = Arc::new(switch());
    switch.set_max_queued(0);
    let narrow = Listener { outbox_mark: 1, ..listener() };
    let receiver = bound(&switch, narrow, "b.example");
    let stanza = |out: &mut Vec<u8>| out.extend_from_slice(b"<message/>");
    assert!(matches!(receiver.outbox().offer(T, &receiver.listener, stanza), Offer::Taken { .. }));
    // The first waits, and with what was left of the read before it is more than one read.
    let (mut connection, written) = sends(&switch, "a.example", &"<message to='b.example'/>".repeat(10_000));
    for _ in 0..20 {
        take_turn(&mut connection);
    }
    let written = all(&written);
    assert!(written.ends_with("<handshake/>"), "{written}");
    assert_eq!(switch.counters().get(Count::Delivered), 0);
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_batch_is_one_wake_of_its_receiver_and_one_write() {
    let switch = Arc::new(switch());
    let woken = Arc::<Woken>::default();
    let (mut receiver, written) = sends(&switch, "b.example", "");
    take_turn_as(&mut receiver, &Arc::clone(&woken).into());
    let before = written.borrow().len();
    let message = "<message from='a.example' to='b.example'/>";
    let (mut sender, _) = sends(&switch, "a.example", &message.repeat(50));
    take_turn(&mut sender);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    take_turn(&mut receiver);
    assert_eq!(written.borrow()[before..].to_vec(), [message.repeat(50).into_bytes()]);
}
