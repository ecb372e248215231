//! How much of a component's input is dealt with before the others have their turn.

use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::ends::{T, bound, listener, switch};
use crate::handshake::{Secret, StreamId};
use crate::rt::{Connection, Notice, Timer, Transport};
use crate::time::Instant;

/// A socket that has all of the input at once and takes all that is written.
struct Socket {
    input: Vec<u8>,
    read: usize,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = buffer.len().min(self.input.len() - self.read);
        buffer[..n].copy_from_slice(&self.input[self.read..self.read + n]);
        self.read += n;
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
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

/// How many requests are answered in one turn at the most, among so many other components.
fn answered_in_a_turn(others: usize, payload: &str, requests: usize) -> usize {
    let switch = Arc::new(switch());
    let _others: Vec<_> =
        (0..others).map(|i| bound(&switch, listener(), &format!("gateway-{i:06}.example"))).collect();
    let request = format!("<iq type='get' from='a.example' to='host.example' id='1'>{payload}</iq>");
    let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='a.example'>";
    let proof = Secret::new("s").handshake("1");
    let proof = core::str::from_utf8(&proof).unwrap();
    let input = format!("{header}<handshake>{proof}</handshake>{}", request.repeat(requests));
    let written = Rc::<RefCell<Vec<u8>>>::default();
    let socket = Socket { input: input.into_bytes(), read: 0, written: Rc::clone(&written) };
    let id = StreamId::from_text("1").unwrap();
    let mut connection = Connection::new(switch, Arc::new(listener()), id, socket, Still);
    let mut cx = Context::from_waker(Waker::noop());
    let answered = || String::from_utf8_lossy(&written.borrow()).matches("type='result'").count();
    let (mut most, mut turns) = (0, 0);
    while answered() < requests {
        turns += 1;
        assert!(turns <= 10 * requests, "{} of {requests}", answered());
        let before = answered();
        while let Poll::Ready(notice) = connection.poll_notice(&mut cx) {
            assert!(matches!(notice, Some(Notice::Bound { .. })), "{notice:?}");
        }
        most = most.max(answered() - before);
    }
    most
}

#[test]
fn a_list_of_many_components_counts_by_its_length() {
    let list = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    // What one turn leaves to be written counts as answered in the next.
    let most = answered_in_a_turn(0, ping, 500);
    assert!((90..=192).contains(&most), "{most} pings");
    let most = answered_in_a_turn(0, list, 500);
    assert!((90..=192).contains(&most), "{most} empty lists");
    // Some 35 bytes for each component.
    for (others, limit) in [(300, 16), (1000, 4), (5000, 2)] {
        let most = answered_in_a_turn(others, list, 40);
        assert!(most <= limit, "{most} lists of {others}");
    }
}
