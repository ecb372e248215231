//! The component's side, with the application on the other side of its handle.

use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use enjamb_core::{Secret, StreamId};
use enjamb_runtime::{Component, ComponentConnection, ComponentSettings};
use enjamb_tests::local_server::domain;

use crate::counting::allocations;
use crate::wire::{Clock, Far, Near};

const BATCH: usize = 40;
const ROUNDS: usize = 5;

struct App {
    component: Component,
    connection: ComponentConnection<Near, Clock>,
    server: Rc<Far>,
}

impl App {
    fn new() -> Self {
        let server = Far::new();
        let settings = ComponentSettings::new(domain("comp.example"), Secret::new("s"));
        let (component, connection) =
            Component::connect(settings, Near(Rc::clone(&server)), Clock::default());
        let mut app = Self { component, connection, server };
        let id = StreamId::from_text("1").unwrap();
        let header = format!(
            "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
             xmlns:p='urn:p' from='comp.example' id='{}'><handshake/>",
            id.as_str()
        );
        app.server.send(header.as_bytes());
        app.drive();
        app
    }

    fn drive(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(self.connection.poll(&mut cx).is_pending());
    }

    /// Takes all that came.
    fn take(&mut self) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = 0;
        while let Poll::Ready(stanza) = self.component.poll_next(&mut cx) {
            drop(stanza.unwrap());
            taken += 1;
        }
        taken
    }
}

#[test]
fn the_application_gets_a_stanza_for_one_allocation_and_a_batch_for_two_more() {
    for stanza in [
        "<message from='a@peer.example/x' to='comp.example'><body>x</body></message>",
        "<message from='a@peer.example/x' to='comp.example'><p:x/></message>",
        "<iq from='peer.example' to='comp.example' type='get' id='1'><q xmlns='urn:q'/></iq>",
    ] {
        let mut app = App::new();
        let batch = stanza.repeat(BATCH);
        let mut rounds = || {
            for _ in 0..ROUNDS {
                // The application waits, and is woken.
                assert_eq!(app.take(), 0);
                app.server.send(batch.as_bytes());
                app.drive();
                assert_eq!(app.take(), BATCH);
            }
        };
        rounds();
        let count = allocations(rounds);
        // The copy that it keeps; and the list of tasks to wake.
        let range = BATCH * ROUNDS..=(BATCH + 2) * ROUNDS;
        assert!(range.contains(&count), "{stanza}: {count} of {range:?}");
    }
}

#[test]
fn what_the_application_sends_costs_one_allocation_a_batch() {
    let stanza =
        "<message from='a@comp.example/x' to='peer.example'><body>x</body><q:x xmlns:q='urn:q'/></message>";
    let mut app = App::new();
    let mut rounds = || {
        for _ in 0..ROUNDS {
            app.server.got.borrow_mut().clear();
            for _ in 0..BATCH {
                let sending = pin!(app.component.send(stanza));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(matches!(sending.poll(&mut cx), Poll::Ready(Ok(()))));
            }
            app.drive();
        }
    };
    rounds();
    // The connection's task is woken for the first of them.
    let count = allocations(rounds);
    assert!(count <= ROUNDS, "{count}");
    assert_eq!(*app.server.got.borrow(), stanza.repeat(BATCH).as_bytes());
}
