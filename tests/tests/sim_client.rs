//! The project's own component on the other end of the wire.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::jid::{Domain, Jid};
use enjamb_core::switch::Metric;
use enjamb_core::{Limits, Secret, StreamCondition};
use enjamb_runtime::{Component, ComponentSettings, Request, RequestError};
use enjamb_tests::sim::{Wire, World, header};

/// Sends `n` stanzas of about a KiB to `to`.
fn sender(world: &mut World, component: &Component, to: &'static str, n: usize) -> Rc<Cell<usize>> {
    let (component, sent) = (component.clone(), Rc::new(Cell::new(0)));
    let count = Rc::clone(&sent);
    world.spawn(async move {
        for number in 0..n {
            let body = "x".repeat(1000);
            let stanza = format!("<message to='{to}' id='{number}'><body>{body}</body></message>");
            if component.send(stanza).await.is_err() {
                return;
            }
            count.set(number + 1);
        }
    });
    sent
}

/// Takes stanzas until the end: the id of each, with a '!' for an error.
fn taker(world: &mut World, component: &Component) -> Rc<RefCell<Vec<String>>> {
    let (component, taken) = (component.clone(), Rc::new(RefCell::new(Vec::new())));
    let list = Rc::clone(&taken);
    world.spawn(async move {
        while let Some(stanza) = component.next().await {
            let stanza = stanza.as_stanza();
            let mark = if stanza.stanza_type().as_deref() == Some("error") { "!" } else { "" };
            list.borrow_mut().push(format!("{mark}{}", stanza.id().unwrap_or_default()));
        }
        list.borrow_mut().push("end".into());
    });
    taken
}

fn numbers(n: usize) -> Vec<String> {
    (0..n).map(|number| number.to_string()).collect()
}

#[test]
fn five_megabytes_go_both_ways_at_once_without_a_stall() {
    for (seed, targets) in [["b.example", "a.example"], ["a.example", "b.example"]].into_iter().enumerate() {
        let mut world = World::new(seed as u64, &["host.example"]);
        world.wire = Wire { capacity: 16 * 1024, latency: Duration::from_millis(1), ..Wire::default() };
        let ends = ["a.example", "b.example"].map(|name| world.component(name).0);
        world.run_ms(100);
        let all: Vec<_> = ends
            .iter()
            .zip(targets)
            .map(|(end, to)| (sender(&mut world, end, to, 5000), taker(&mut world, end)))
            .collect();
        world.run(Duration::from_secs(20));
        for (sent, taken) in all {
            assert_eq!(sent.get(), 5000);
            assert_eq!(*taken.borrow(), numbers(5000), "to {targets:?}");
        }
        assert_eq!(world.count(Metric::Bounced), 0);
    }
}

#[test]
fn a_close_comes_after_everything_that_was_sent_however_slow_the_server_reads() {
    let mut world = World::new(3, &["host.example"]);
    world.listener.rate = std::num::NonZeroU64::new(20_000);
    let receiver = world.component("b.example").0;
    world.run_ms(100);
    let taken = taker(&mut world, &receiver);
    world.wire.capacity = 4096;
    let (component, client, server) = world.component("a.example");
    world.run_ms(100);
    let sent = sender(&mut world, &component, "b.example", 500);
    world.run_ms(10);
    assert_eq!(sent.get(), 500);
    component.close();
    world.run(Duration::from_secs(40));
    assert_eq!(*taken.borrow(), numbers(500));
    assert!(matches!(component.end(), Some(CloseReason::ByUs)));
    assert!(!world.is_running(client) && !world.is_running(server));
}

#[test]
fn a_close_does_not_wait_for_ever_for_a_server_that_does_not_read() {
    let mut world = World::new(4, &["host.example"]);
    let mut settings = ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new("s"));
    settings.mark = 1 << 20;
    world.wire.capacity = 8192;
    let (component, client, peer) = world.component_alone(settings);
    peer.send(header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>");
    world.run_ms(10);
    peer.set_reading(false);
    let sent = sender(&mut world, &component, "b.example", 500);
    world.run_ms(10);
    assert_eq!(sent.get(), 500);
    component.close();
    world.run(Duration::from_secs(20));
    assert!(component.end().is_some() && !world.is_running(client));
}

#[test]
fn a_refusal_says_why() {
    let mut world = World::new(5, &["host.example"]);
    let held = world.bind("a.example");
    let (component, client, _) = world.component("a.example");
    let heard = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&heard);
    world.spawn(async move { *slot.borrow_mut() = Some(component.established().await) });
    world.run(Duration::from_secs(3));
    let heard = heard.borrow_mut().take();
    let Some(Err(CloseReason::Error(error))) = heard else { panic!("{heard:?}") };
    assert_eq!(error.condition, StreamCondition::Conflict);
    assert!(!world.is_running(client));
    assert!(!held.peer.is_over());
    assert_eq!(world.count(Metric::FailedNegotiations), 1);
}

#[test]
fn a_server_that_vanishes_ends_all_that_waits() {
    let mut world = World::new(6, &["host.example"]);
    world.wire = Wire { capacity: 4096, latency: Duration::from_millis(1), ..Wire::default() };
    let (component, client, server) = world.component("a.example");
    world.run_ms(100);
    let taken = taker(&mut world, &component);
    let sent = sender(&mut world, &component, "a.example", 50_000);
    world.run_ms(20);
    world.cancel(server);
    world.run(Duration::from_secs(10));
    assert!(sent.get() < 50_000 && !world.is_running(client));
    assert_eq!(taken.borrow().last().map(String::as_str), Some("end"));
    assert!(component.end().is_some());
    let unbound = world.bind("a.example");
    assert!(!unbound.peer.is_over(), "the name is free");
}

#[test]
fn an_application_that_takes_nothing_stops_the_stream_at_its_mark() {
    let mut world = World::new(7, &["host.example"]);
    let link = world.bind("b.example");
    let (component, _, _) = world.component("a.example");
    world.run_ms(100);
    let body = "y".repeat(1000);
    let stanzas: String = (0..4000)
        .map(|n| format!("<message to='a.example' id='{n}'><body>{body}</body></message>"))
        .collect();
    link.peer.send(stanzas);
    world.run(Duration::from_secs(2));
    assert!(link.peer.backlog() > 1_000_000, "{} are left", link.peer.backlog());
    let taken = taker(&mut world, &component);
    world.run(Duration::from_secs(2));
    assert_eq!(*taken.borrow(), numbers(4000));
}

#[test]
fn the_stream_ends_once_no_handle_is_left() {
    let mut world = World::new(8, &["host.example"]);
    let (component, client, server) = world.component("a.example");
    world.run_ms(100);
    let other = component.clone();
    drop(component);
    world.run(Duration::from_secs(10));
    assert!(world.is_running(client));
    drop(other);
    world.run(Duration::from_secs(10));
    assert!(!world.is_running(client) && !world.is_running(server), "nobody can use it any more");
}

#[test]
fn a_server_that_says_nothing_is_asked_and_then_given_up() {
    let mut world = World::new(9, &["host.example"]);
    let settings = ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new("s"));
    let (component, client, peer) = world.component_alone(settings);
    peer.send(header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>");
    world.run(Duration::from_secs(50));
    // Any byte is a sign of life: the time begins again.
    peer.send(" ");
    world.run(Duration::from_secs(50));
    assert!(!peer.text().contains("urn:xmpp:ping"));
    world.run(Duration::from_secs(11));
    // Silence means something only on a stream on which three pings came back.
    for number in 1..=3 {
        let id = format!("enjamb-alive-d4730317d3797534-{number}");
        let ping = format!(
            "<iq type='get' id='{id}' from='a.example' to='a.example'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        assert!(peer.text().ends_with(&ping), "{}", peer.text());
        peer.send(format!("<iq type='error' id='{id}' from='a.example' to='a.example'/>"));
        if number < 3 {
            world.run(Duration::from_secs(61));
        }
    }
    world.run(Duration::from_secs(79));
    assert!(component.end().is_none());
    world.run(Duration::from_secs(2));
    let end = component.end().expect("it gave up").to_string();
    assert_eq!(
        end,
        "connection-timeout: nothing came from the server within 80s, not even the answer to a ping"
    );
    assert!(peer.text().contains("<connection-timeout "), "the server is told why");
    peer.shut();
    world.run(Duration::from_secs(10));
    assert!(!world.is_running(client));
}

#[test]
fn the_question_comes_back_and_the_application_does_not_see_it() {
    let mut world = World::new(10, &["host.example"]);
    // No keepalive of the server's, so that only the ping shows that it lives.
    let mut limits = Limits::default();
    limits.keepalive = None;
    world.listener.limits = Arc::new(limits);
    let (component, client, _) = world.component("a.example");
    let taken = taker(&mut world, &component);
    world.run(Duration::from_secs(3600));
    assert!(world.is_running(client) && component.end().is_none());
    assert!(taken.borrow().is_empty(), "{:?}", taken.borrow());
    assert!(world.count(Metric::Routed) >= 59, "{} pings", world.count(Metric::Routed));
}

#[test]
fn an_application_that_takes_nothing_does_not_make_the_server_look_dead() {
    let mut world = World::new(11, &["host.example"]);
    world.listener.stall = Duration::from_secs(3600);
    let link = world.bind("b.example");
    let (component, client, _) = world.component("a.example");
    world.run_ms(100);
    let body = "y".repeat(1000);
    let stanza = format!("<message to='a.example'><body>{body}</body></message>");
    link.peer.send(stanza.repeat(4000));
    world.run(Duration::from_secs(600));
    assert!(world.is_running(client) && component.end().is_none());
}

/// A request used to wait for room as long as there was none, and its time began when it was sent.
#[test]
fn a_request_is_late_in_time_though_there_is_no_room_to_send_it() {
    let mut world = World::new(12, &["host.example"]);
    let mut settings = ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new("s"));
    settings.mark = 4096;
    world.wire.capacity = 8192;
    let (component, client, peer) = world.component_alone(settings);
    peer.send(header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>");
    world.run_ms(10);
    peer.set_reading(false);
    let sent = sender(&mut world, &component, "b.example", 500);
    world.run_ms(10);
    assert!(sent.get() < 500, "there is room");

    let outcome = Rc::new(RefCell::new(None));
    let (asking, place) = (component.clone(), Rc::clone(&outcome));
    world.spawn(async move {
        let host = Jid::parse("host.example").unwrap();
        let ping = Request::get(&host, "<ping xmlns='urn:xmpp:ping'/>").timeout(Duration::from_millis(700));
        *place.borrow_mut() = Some(asking.request(ping).await);
    });
    world.run_ms(699);
    assert!(outcome.borrow().is_none());
    world.run_ms(10);
    assert!(matches!(*outcome.borrow(), Some(Err(RequestError::Late(_)))), "{outcome:?}");

    // It is not sent later, either: nobody waits for its answer.
    peer.set_reading(true);
    world.run(Duration::from_secs(1));
    assert_eq!(sent.get(), 500);
    assert!(world.is_running(client) && !peer.text().contains("urn:xmpp:ping"));
}

/// Each request used to be polled for every stanza that came: n requests cost n² turns.
#[test]
fn an_answer_wakes_the_request_that_it_answers_and_no_other() {
    let mut world = World::new(13, &["host.example"]);
    let settings = ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new("s"));
    let (component, _, peer) = world.component_alone(settings);
    peer.send(header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>");
    world.run_ms(10);
    let (turns, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for _ in 0..100 {
        let (asking, turns, done) = (component.clone(), Rc::clone(&turns), Rc::clone(&done));
        world.spawn(async move {
            let host = Jid::parse("host.example").unwrap();
            let mut request = Box::pin(asking.request(Request::get(&host, "<ping xmlns='urn:xmpp:ping'/>")));
            let answer = std::future::poll_fn(|cx| {
                turns.set(turns.get() + 1);
                request.as_mut().poll(cx)
            });
            assert!(answer.await.is_ok());
            done.set(done.get() + 1);
        });
    }
    world.run_ms(10);
    let asked = turns.get();
    for number in (1..=100).rev() {
        peer.send(format!("<iq type='result' id='enjamb-{number}' from='host.example' to='a.example'/>"));
        world.run_ms(10);
    }
    assert_eq!((done.get(), turns.get() - asked), (100, 100));
}

#[test]
fn a_component_that_says_nothing_sends_a_space_in_time() {
    let mut world = World::new(14, &["host.example"]);
    let settings = ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new("s"));
    let (_component, client, peer) = world.component_alone(settings);
    peer.send(header("a.example", "id='1'").replace("to=", "from=") + "<handshake/>");
    world.run(Duration::from_secs(29));
    let quiet = peer.text();
    assert!(quiet.ends_with("</handshake>"), "{quiet}");
    world.run(Duration::from_secs(2));
    assert_eq!(peer.text(), quiet.clone() + " ");
    world.run(Duration::from_secs(28));
    assert_eq!(peer.text(), quiet + " ");
    assert!(world.is_running(client));
}

#[test]
fn what_the_server_says_last_is_what_the_application_hears() {
    let conditions = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";
    for (said, heard) in [
        (
            format!("<conflict {conditions}/><text {conditions}>Component already connected</text>"),
            "conflict: the peer says: Component already connected",
        ),
        (format!("<not-authorized {conditions}/>"), "not-authorized: the peer says no more than that"),
        (String::new(), "undefined-condition: the peer says no more than that"),
        ("<x xmlns='urn:x'/>".into(), "undefined-condition: the peer says no more than that"),
    ] {
        for before in ["", "<handshake/>"] {
            let mut world = World::new(15, &["host.example"]);
            let settings = ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new("s"));
            let (component, client, peer) = world.component_alone(settings);
            let header = header("a.example", "id='1'").replace("to=", "from=");
            peer.send(format!("{header}{before}<stream:error>{said}</stream:error></stream:stream>"));
            peer.shut();
            world.run(Duration::from_secs(10));
            assert_eq!(component.end().expect("it has ended").to_string(), heard);
            assert!(!world.is_running(client));
        }
    }
}
