//! Local ports of a switch for all threads, beside real connections, on tokio.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use enjamb_core::connection::{CloseReason, ReleaseReason};
use enjamb_core::jid::Domain;
use enjamb_core::port::{PortConfig, SendError};
use enjamb_core::router::{AttachError, Claim, DomainPattern};
use enjamb_core::switch::{ListenerConfig, PortKind, Switch, SwitchConfig, SwitchEvent};
use enjamb_core::{Secret, StreamErrorCause};
use enjamb_runtime::{LocalPort, SharedSwitch, Subscription};
use enjamb_tests::local_server::domain;
use enjamb_tokio::{Component, TokioTimer};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

fn switch() -> Arc<SharedSwitch> {
    Arc::new(SharedSwitch::new(SwitchConfig::new([domain("localhost")])))
}

fn name(of: &str) -> Claim {
    Claim::Domain(domain(of))
}

fn attach(switch: &Arc<SharedSwitch>, config: PortConfig) -> Result<LocalPort, AttachError> {
    LocalPort::attach(Arc::clone(switch), config, TokioTimer::default)
}

fn port(switch: &Arc<SharedSwitch>, of: &str) -> LocalPort {
    attach(switch, PortConfig::new([name(of)])).expect("it can be done")
}

async fn component(switch: &Arc<SharedSwitch>, of: &str) -> Component {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("it can be done");
    let address = socket.local_addr().expect("it can be done");
    let listener = Arc::new(ListenerConfig::new(Secret::new("s")));
    tokio::spawn(enjamb_tokio::serve(socket, Arc::clone(switch), listener));
    enjamb_tokio::connect(address, Domain::parse(of).expect("it can be done"), Secret::new("s"))
        .await
        .expect("it can be done")
}

async fn received(port: &LocalPort) -> Vec<String> {
    let batch = timeout(SOON, port.recv()).await.expect("something comes").expect("the port is there");
    batch.iter().map(|stanza| String::from_utf8(stanza.as_bytes().into()).expect("it can be done")).collect()
}

fn message(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}'/>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_port_and_component_exchange_stanzas() {
    let switch = switch();
    let (port, component) = (port(&switch, "port.example"), component(&switch, "a.example").await);
    for _ in 0..1000 {
        component.send("<message to='port.example'><body>?</body></message>").await.unwrap();
    }
    let mut count = 0;
    while count < 1000 {
        for stanza in received(&port).await {
            assert_eq!(stanza, "<message from='a.example' to='port.example'><body>?</body></message>");
            count += 1;
            port.send(message("port.example", "a.example")).await.unwrap();
        }
    }
    for _ in 0..1000 {
        let stanza = timeout(SOON, component.next()).await.unwrap().unwrap();
        assert_eq!(stanza.as_stanza().from().unwrap().as_str(), "port.example");
    }
}

#[tokio::test]
async fn p5_send_waits_for_room_and_bounces_after_the_stall() {
    let switch = switch();
    let sender = port(&switch, "sender.example");
    let mut config = PortConfig::new([name("slow.example")]);
    (config.queue_mark, config.stall) = (1, Duration::from_millis(300));
    let slow = attach(&switch, config).unwrap();
    let stanza = message("sender.example", "slow.example");
    sender.send(&stanza).await.unwrap();
    assert!(matches!(sender.try_send(&stanza), Err(SendError::Full { .. })));
    {
        let mut waiting = std::pin::pin!(sender.send(&stanza));
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        assert_eq!(received(&slow).await.len(), 1);
        timeout(SOON, waiting).await.expect("there is room").unwrap();
    }
    let begun = tokio::time::Instant::now();
    timeout(SOON, sender.send(&stanza)).await.unwrap().expect("it is taken, and answered");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let bounced = received(&sender).await;
    assert!(bounced[0].contains("<resource-constraint "), "{bounced:?}");
    assert_eq!(received(&slow).await.len(), 1);
}

#[tokio::test]
async fn p5_a_dropped_send_sends_nothing_and_a_dropped_recv_loses_nothing() {
    let switch = switch();
    let sender = port(&switch, "sender.example");
    let mut config = PortConfig::new([name("slow.example")]);
    config.queue_mark = 1;
    let slow = attach(&switch, config).unwrap();
    let stanza = message("sender.example", "slow.example");
    sender.send(&stanza).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(std::pin::pin!(sender.send(&stanza)).poll(&mut cx).is_pending());
    assert!(std::pin::pin!(sender.recv()).poll(&mut cx).is_pending());
    assert_eq!(received(&slow).await.len(), 1);
    assert!(std::pin::pin!(slow.recv()).poll(&mut cx).is_pending());
    sender.send(&stanza).await.unwrap();
    assert_eq!(received(&slow).await.len(), 1);
}

#[tokio::test]
async fn p5_port_is_a_stream_of_batches_and_a_sink_that_waits_for_room() {
    let switch = switch();
    let mut sender = port(&switch, "sender.example");
    let mut config = PortConfig::new([name("slow.example")]);
    (config.queue_mark, config.stall) = (1, Duration::from_millis(300));
    let mut slow = attach(&switch, config).unwrap();
    let stanza = message("sender.example", "slow.example");
    SinkExt::send(&mut sender, stanza.clone()).await.unwrap();
    // The sink takes one more, and is ready again once there is room.
    sender.feed(stanza.clone()).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(SinkExt::<String>::flush(&mut sender).poll_unpin(&mut cx).is_pending());
    assert_eq!(slow.next().await.expect("a batch").iter().count(), 1);
    timeout(SOON, SinkExt::<String>::flush(&mut sender)).await.unwrap().unwrap();
    // Or once it is answered instead.
    sender.feed(stanza.clone()).await.unwrap();
    timeout(SOON, SinkExt::<String>::flush(&mut sender)).await.unwrap().unwrap();
    assert!(received(&sender).await[0].contains("<resource-constraint "));
    let refused = SinkExt::send(&mut sender, message("other.example", "slow.example")).await;
    assert!(matches!(refused, Err(SendError::Rejected(_))), "{refused:?}");
    timeout(SOON, SinkExt::<String>::close(&mut sender)).await.unwrap().unwrap();
    assert_eq!(SinkExt::send(&mut sender, stanza).await, Err(SendError::Ended));
    assert!(sender.next().await.is_none());
    drop(port(&switch, "sender.example"));
}

#[tokio::test]
async fn p5_dropped_port_frees_its_names_and_bounces_what_waits() {
    let switch = switch();
    let sender = port(&switch, "sender.example");
    let other = port(&switch, "other.example");
    sender.send(message("sender.example", "other.example")).await.unwrap();
    drop(other);
    let bounced = received(&sender).await;
    assert!(bounced[0].contains("<recipient-unavailable "), "{bounced:?}");
    drop(port(&switch, "other.example"));
    sender.add(name("other.example")).unwrap();
    assert!(sender.remove(&name("other.example")).is_empty());
}

#[tokio::test]
async fn p9_ports_are_listed_and_kicked_by_name() {
    let switch = switch();
    let local = port(&switch, "local.example");
    let component = component(&switch, "a.example").await;
    local.send(message("local.example", "local.example")).await.unwrap();
    let ports = switch.ports();
    let seen: Vec<_> = ports.iter().map(|port| (port.kind, port.names.clone())).collect();
    let wanted =
        [(PortKind::Local, vec![domain("local.example")]), (PortKind::Connection, vec![domain("a.example")])];
    assert_eq!(seen, wanted);
    assert_eq!(ports[0].queue.bytes, message("local.example", "local.example").len());
    assert_eq!(switch.kick(&domain("nobody.example"), "why"), None);
    assert_eq!(switch.kick(&domain("a.example"), "too loud"), Some(ports[1].id));
    assert!(timeout(SOON, component.next()).await.unwrap().is_none());
    let end = component.end().expect("it has ended").to_string();
    assert!(end.contains("policy-violation") && end.contains("too loud"), "{end}");
    switch.kick(&domain("local.example"), "enough").unwrap();
    assert_eq!(received(&local).await.len(), 1);
    assert!(local.recv().await.is_none());
}

#[tokio::test]
async fn p9_subscription_tells_what_is_bound_and_released_and_why() {
    let switch = switch();
    let mut changes = Subscription::new(Arc::clone(&switch));
    let local = attach(&switch, PortConfig::new([Claim::Below(domain("bots.example"))])).unwrap();
    let below = DomainPattern::Below(domain("bots.example"));
    let (id, exact) = (local.id(), |name| DomainPattern::Exact(domain(name)));
    assert_eq!(changes.next().await, SwitchEvent::Bound { port: id, name: below.clone() });
    local.add(name("b.example")).unwrap();
    assert_eq!(changes.next().await, SwitchEvent::Bound { port: id, name: exact("b.example") });
    drop(local);
    for name in [below, exact("b.example")] {
        let released = SwitchEvent::Released { port: id, name, reason: ReleaseReason::Released };
        assert_eq!(changes.next().await, released);
    }
    let component = component(&switch, "a.example").await;
    let Some(SwitchEvent::Bound { port, name: taken }) = timeout(SOON, changes.next()).await.ok() else {
        panic!("it is bound")
    };
    assert_eq!(taken, exact("a.example"));
    // A future that is dropped takes nothing.
    assert!(timeout(Duration::from_millis(10), changes.next()).await.is_err());
    switch.kick(&domain("a.example"), "enough").unwrap();
    let SwitchEvent::Released { port: released, reason, .. } = timeout(SOON, changes.next()).await.unwrap()
    else {
        panic!("it is released")
    };
    assert_eq!(released, port);
    let ReleaseReason::Closed(CloseReason::Error(error)) = reason else { panic!("{reason:?}") };
    assert_eq!(error.cause, StreamErrorCause::Kicked("enough".into()));
    drop(component);
    // A slow one is told how much it has missed.
    let local = port_of_none(&switch);
    for _ in 0..600 {
        local.add(name("c.example")).unwrap();
        local.remove(&name("c.example"));
    }
    assert_eq!(changes.next().await, SwitchEvent::Missed(1200 - 1024));
    assert!(matches!(changes.next().await, SwitchEvent::Bound { .. }));
}

fn port_of_none(switch: &Arc<SharedSwitch>) -> LocalPort {
    attach(switch, PortConfig::new([])).expect("nobody holds anything")
}

#[tokio::test]
async fn p9_switch_is_awaited_until_it_is_empty() {
    let switch = switch();
    timeout(SOON, switch.emptied()).await.expect("it is empty from the start");
    let local = port(&switch, "local.example");
    let component = component(&switch, "a.example").await;
    {
        let mut emptied = std::pin::pin!(switch.emptied());
        assert!(timeout(Duration::from_millis(10), emptied.as_mut()).await.is_err());
        switch.shut_down();
        assert!(timeout(SOON, component.next()).await.unwrap().is_none());
        assert!(timeout(Duration::from_millis(10), emptied.as_mut()).await.is_err());
        assert!(local.recv().await.is_none());
        drop(local);
        timeout(SOON, emptied).await.expect("nobody is left");
    }
    assert!(matches!(attach(&switch, PortConfig::new([])), Err(AttachError::Ended)));
}
