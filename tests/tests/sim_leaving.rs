//! A component whose server leaves, or which leaves itself, before or after it is accepted.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::Secret;
use enjamb_core::connection::CloseReason;
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::switch::Metric;
use enjamb_runtime::{Component, ComponentSettings, Request, RequestError, SendError};
use enjamb_tests::sim::{Peer, TaskId, World, header};
use futures_util::Sink;

/// A component alone with this server, which says all of this at once.
fn alone(world: &mut World, said: &str) -> (Component, TaskId, Peer) {
    let settings =
        ComponentSettings::new(Domain::parse("a.example").expect("it is a domain"), Secret::new("s"));
    let (component, client, peer) = world.component_alone(settings);
    peer.send(said);
    (component, client, peer)
}

#[test]
fn a_component_whose_server_leaves_knows_how_far_it_had_come() {
    let header = header("a.example", "id='1'").replace("to=", "from=");
    let accepted = format!("{header}<handshake/>");
    let closing = format!("{accepted}</stream:stream>");
    let before = "undefined-condition: the server closed the connection before it accepted the component";
    let late = "connection-timeout: the server's answer to the handshake did not come within 5s";
    for (said, shuts, established, end) in [
        ("", true, false, before),
        (&*header, true, false, before),
        (&header, false, false, late),
        (&accepted, true, true, "closed by the other side"),
        (&closing, false, true, "closed by the other side"),
    ] {
        let mut world = World::new(16, &["host.example"]);
        let (component, client, peer) = alone(&mut world, said);
        if shuts {
            world.run_ms(10);
            peer.shut();
        }
        world.run(Duration::from_secs(10));
        assert_eq!(component.end().expect("it has ended").to_string(), end, "{said}");
        let shown = format!("{component:?}");
        assert!(
            shown.starts_with(&format!("Component {{ established: {established}, ended: Some(")),
            "{shown}"
        );
        assert!(peer.text().ends_with("</stream:stream>") == (established || !shuts), "{}", peer.text());
        peer.shut();
        world.run(Duration::from_secs(10));
        assert!(!world.is_running(client));
    }
}

#[test]
fn a_component_that_is_closed_before_it_is_accepted_waits_for_nothing() {
    let mut world = World::new(17, &["host.example"]);
    let (component, client, peer) = alone(&mut world, "");
    world.run_ms(10);
    component.close();
    world.run_ms(10);
    assert!(matches!(component.end(), Some(CloseReason::ByUs)));
    peer.shut();
    world.run(Duration::from_secs(2));
    assert!(!world.is_running(client));
}

#[test]
fn what_answers_no_request_is_for_the_application_and_an_end_answers_all() {
    let mut world = World::new(18, &["host.example"]);
    let accepted = header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>";
    let (component, _, peer) = alone(&mut world, &accepted);
    let (taking, taken) = (component.clone(), Rc::new(RefCell::new(Vec::new())));
    let list = Rc::clone(&taken);
    world.spawn(async move {
        while let Some(stanza) = taking.next().await {
            list.borrow_mut().push(stanza.as_stanza().id().unwrap_or_default().into_owned());
        }
    });
    let outcome = Rc::new(RefCell::new(None));
    let place = Rc::clone(&outcome);
    world.spawn(async move {
        let host = Jid::parse("host.example").unwrap();
        let request = Request::get(&host, "<ping xmlns='urn:xmpp:ping'/>");
        *place.borrow_mut() = Some(component.request(request).await);
    });
    world.run_ms(10);
    let addresses = "from='host.example' to='a.example'";
    let others = [
        format!("<message type='result' id='enjamb-1' {addresses}/>"),
        format!("<iq type='result' {addresses}/>"),
        format!("<iq type='result' id='other-1' {addresses}/>"),
        format!("<iq type='result' id='enjamb-x' {addresses}/>"),
        format!("<iq type='result' id='enjamb-2' {addresses}/>"),
        format!("<iq type='get' id='enjamb-1' {addresses}><a/></iq>"),
        "<iq type='result' id='enjamb-1' from='evil.example' to='a.example'/>".to_string(),
    ];
    peer.send(others.concat());
    world.run_ms(10);
    let ids = ["enjamb-1", "", "other-1", "enjamb-x", "enjamb-2", "enjamb-1", "enjamb-1"];
    assert_eq!(*taken.borrow(), ids);
    assert!(outcome.borrow().is_none());
    peer.shut();
    world.run_ms(10);
    assert!(matches!(*outcome.borrow(), Some(Err(RequestError::Ended))), "{outcome:?}");
}

#[test]
fn a_component_that_leaves_before_its_proof_or_has_no_name_here_is_not_bound() {
    let long = vec!["p".repeat(63); 15].join(".") + "." + &"q".repeat(61);
    for (proves, words) in [
        (false, "closed by the other side"),
        // What a prefix makes of the hosts is looked at after the proof.
        (true, "host-unknown: the 'to' of the stream header, \"pppppppp"),
    ] {
        let mut world = World::new(19, &["host.example"]);
        let link = if proves {
            world.prove(&long, "is_subdomain='true'")
        } else {
            let link = world.link();
            link.peer.send(header("a.example", "") + "</stream:stream>");
            link
        };
        world.run_ms(10);
        let (end, unsent) = link.end().expect("it has ended");
        assert!(end.to_string().starts_with(words), "{end}");
        assert!(link.peer.text().ends_with("</stream:stream>"), "{}", link.peer.text());
        assert_eq!((unsent, world.count(Metric::Bound)), (0, 0));
    }
}

#[test]
fn flush_fails_if_the_end_leaves_bytes_unwritten() {
    let mut world = World::new(20, &["host.example"]);
    world.wire.capacity = 4096;
    let accepted = header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>";
    let (mut component, _, peer) = alone(&mut world, &accepted);
    world.run_ms(10);
    let flushed = Rc::new(RefCell::new(Vec::new()));
    let flush = |world: &mut World, bytes: usize| {
        let (component, place) = (component.clone(), Rc::clone(&flushed));
        world.spawn(async move {
            let body = "x".repeat(bytes);
            component.send(format!("<message to='b.example'>{body}</message>")).await.expect("there is room");
            let outcome = component.flush().await;
            place.borrow_mut().push(outcome.is_ok());
        });
        world.run_ms(10);
    };
    flush(&mut world, 100);
    assert_eq!(*flushed.borrow(), [true]);
    peer.set_reading(false);
    flush(&mut world, 100_000);
    assert_eq!(*flushed.borrow(), [true], "it waits");
    peer.reset();
    world.run_ms(10);
    assert_eq!(*flushed.borrow(), [true, false]);

    assert!(matches!(component.end(), Some(CloseReason::Broken(_))));
    let late = Pin::new(&mut component).start_send("<message/>");
    assert!(matches!(late, Err(SendError::Ended)), "it does not go on as if it were taken");
    let mut cx = Context::from_waker(Waker::noop());
    let closed = Sink::<&str>::poll_close(Pin::new(&mut component), &mut cx);
    assert!(matches!(closed, Poll::Ready(Err(SendError::Ended))), "this is no good order");
}
