//! Uplinks on tokio, over real sockets: another Enjamb is the server behind them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use enjamb_core::Secret;
use enjamb_core::connection::CloseReason;
use enjamb_core::router::AttachError;
use enjamb_core::switch::{ListenerConfig, Metric, PortKind, Switch, SwitchConfig};
use enjamb_core::uplink::{ConnectWhen, Trouble, UplinkConfig, UplinkEvent};
use enjamb_runtime::{SharedSwitch, UplinkServer};
use enjamb_tests::local_server::domain;
use enjamb_tokio::{Component, Tokio};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// An Enjamb, and where it listens.
struct Server {
    switch: Arc<SharedSwitch>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Server {
    async fn new(address: &str) -> Self {
        let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([])));
        let socket = TcpListener::bind(address).await.expect("it can be done");
        let address = socket.local_addr().expect("it can be done");
        let listener = Arc::new(ListenerConfig::new(Secret::new("s")));
        let serve = enjamb_tokio::serve(socket, Arc::clone(&switch), listener);
        let serving = tokio::spawn(async move {
            serve.await;
        });
        Self { switch, address, serving }
    }

    async fn component(&self, name: &str) -> Component {
        let connecting = enjamb_tokio::connect(self.address, domain(name), Secret::new("s"));
        timeout(SOON, connecting).await.expect("it answers").expect("it takes the component")
    }

    /// Stops it as a restart does.
    async fn stop(self) -> SocketAddr {
        self.serving.abort();
        let _ = self.serving.await;
        self.switch.shut_down();
        timeout(SOON, self.switch.emptied()).await.expect("all connections end");
        self.address
    }

    fn uplink(
        &self,
        config: UplinkConfig,
        to: SocketAddr,
    ) -> (UnboundedReceiver<UplinkEvent>, JoinHandle<Result<(), AttachError>>) {
        let (events, received) = unbounded_channel();
        let switch = Arc::clone(&self.switch);
        let task = tokio::spawn(async move {
            let server = UplinkServer::new(Tokio, to.to_string());
            server.run(switch, config, |event| drop(events.send(event))).await
        });
        (received, task)
    }
}

fn config(name: &str) -> UplinkConfig {
    UplinkConfig::new(domain(name), Secret::new("s"))
}

fn always(name: &str) -> UplinkConfig {
    let mut config = config(name);
    config.connect = ConnectWhen::Always;
    config
}

async fn event(events: &mut UnboundedReceiver<UplinkEvent>) -> UplinkEvent {
    timeout(SOON, events.recv()).await.expect("something happens").expect("it is there")
}

async fn next(component: &Component) -> String {
    let stanza = timeout(SOON, component.next()).await.expect("something comes").expect("it is connected");
    String::from_utf8(stanza.raw().into()).expect("it is text")
}

fn message(from: &str, to: &str, id: usize) -> String {
    format!("<message from='{from}' to='{to}' id='{id}'><body/></message>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u13_two_enjambs_in_a_row_pass_stanzas_both_ways() {
    let (near, far) = (Server::new("127.0.0.1:0").await, Server::new("127.0.0.1:0").await);
    let user = far.component("s.example").await;
    let (mut events, task) = near.uplink(config("irc.example"), far.address);
    assert_eq!(far.switch.bound(), 1, "U2: no component, no stream");
    let begun = Instant::now();
    let irc = near.component("irc.example").await;
    assert_eq!(event(&mut events).await, UplinkEvent::Established);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for id in 0..100 {
        irc.send(message("a@irc.example", "u@s.example", id)).await.expect("it is connected");
        assert_eq!(next(&user).await, message("a@irc.example", "u@s.example", id));
        user.send(message("u@s.example", "a@irc.example", id)).await.expect("it is connected");
        let mut received = next(&irc).await;
        if received.contains("urn:xmpp:ping") {
            received = next(&irc).await;
        }
        assert_eq!(received, message("u@s.example", "a@irc.example", id));
    }
    let ports = near.switch.ports();
    for kind in [PortKind::Uplink, PortKind::Connection] {
        assert_eq!(ports.iter().filter(|port| port.kind == kind).count(), 1, "{kind:?}");
    }
    near.switch.shut_down();
    assert_eq!(timeout(SOON, task).await.expect("it ends").expect("without a panic"), Ok(()));
    timeout(SOON, near.switch.emptied()).await.expect("nothing is left");
    far.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u5_restart_of_the_server_loses_nothing_that_was_written_after_it() {
    let (near, far) = (Server::new("127.0.0.1:0").await, Server::new("127.0.0.1:0").await);
    let mut config = config("irc.example");
    config.hold = Duration::from_secs(60);
    let (mut events, _task) = near.uplink(config, far.address);
    let irc = near.component("irc.example").await;
    assert_eq!(event(&mut events).await, UplinkEvent::Established);
    let address = far.stop().await;
    let UplinkEvent::Closed { was_established: true, .. } = event(&mut events).await else {
        panic!("the stream ends")
    };
    for id in 0..200 {
        irc.send(message("irc.example", "u@s.example", id)).await.expect("it is connected");
    }
    let far = Server::new(&address.to_string()).await;
    let user = far.component("s.example").await;
    for id in 0..200 {
        let received = next(&user).await;
        assert!(received.contains(&format!(" id='{id}'>")), "{received}");
        assert!(received.contains("<delay "), "{received}");
    }
    assert_eq!(near.switch.metrics().get(Metric::HeldSent), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u12_server_that_hangs_delays_no_other_uplink() {
    let (near, far) = (Server::new("127.0.0.1:0").await, Server::new("127.0.0.1:0").await);
    // It accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("it can be done");
    let (mut hanging, _one) =
        near.uplink(config("a.example"), silent.local_addr().expect("it has an address"));
    let (mut working, _two) = near.uplink(config("b.example"), far.address);
    let (_a, b) = (near.component("a.example").await, near.component("b.example").await);
    assert_eq!(event(&mut working).await, UplinkEvent::Established);
    let user = far.component("s.example").await;
    b.send(message("b.example", "s.example", 1)).await.expect("it is connected");
    assert_eq!(next(&user).await, message("b.example", "s.example", 1));
    assert!(hanging.try_recv().is_err(), "it still waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u6_wrong_secret_is_refused_and_said() {
    let (near, far) = (Server::new("127.0.0.1:0").await, Server::new("127.0.0.1:0").await);
    let mut config = always("irc.example");
    config.secret = Secret::new("wrong");
    let (mut events, _task) = near.uplink(config, far.address);
    let UplinkEvent::Closed { reason: CloseReason::Error(error), trouble, retry_at, .. } =
        event(&mut events).await
    else {
        panic!("it is refused")
    };
    assert!(error.to_string().starts_with("not-authorized"), "{error}");
    assert_eq!(trouble, Some(Trouble::NotAuthorized));
    assert!(retry_at.is_some());
}

/// Two that are each other's uplink would pass a stanza round for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u14_two_that_are_each_others_uplink_find_out() {
    let (one, two) = (Server::new("127.0.0.1:0").await, Server::new("127.0.0.1:0").await);
    let (mut first, _one) = one.uplink(always("irc.example"), two.address);
    let (mut second, _two) = two.uplink(always("irc.example"), one.address);
    let found = AtomicUsize::new(0);
    let look = async |events: &mut UnboundedReceiver<UplinkEvent>| {
        while event(events).await != UplinkEvent::Loop {}
        found.fetch_add(1, Ordering::Relaxed);
    };
    tokio::select! {
        () = look(&mut first) => {}
        () = look(&mut second) => {}
    }
    assert_eq!(found.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn u6_all_domains_are_back_after_a_restart_at_a_bounded_rate() {
    const DOMAINS: usize = 300;
    let (near, far) = (Server::new("127.0.0.1:0").await, Server::new("127.0.0.1:0").await);
    let server = Arc::new(UplinkServer::new(Tokio, far.address.to_string()));
    for number in 0..DOMAINS {
        let (server, switch) = (Arc::clone(&server), Arc::clone(&near.switch));
        let config = always(&format!("d{number}.example"));
        tokio::spawn(async move { server.run(switch, config, |_| {}).await });
    }
    all_bound(&far, DOMAINS).await;
    let address = far.stop().await;
    let far = Server::new(&address.to_string()).await;
    let begun = Instant::now();
    all_bound(&far, DOMAINS).await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let attempts = far.switch.metrics().get(Metric::Connections);
    let most = 50 * (begun.elapsed().as_secs() + 2);
    assert!(attempts <= most, "{attempts} attempts, of at most {most}");
}

async fn all_bound(server: &Server, count: usize) {
    let waiting = async {
        while server.switch.bound() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let begun = Instant::now();
    if timeout(Duration::from_secs(60), waiting).await.is_err() {
        panic!("{} of {count} after {:?}", server.switch.bound(), begun.elapsed());
    }
}

/// What an idle uplink costs is its machine, which has a test of its own, and its task.
#[tokio::test]
async fn u12_task_of_an_uplink_is_small() {
    let near = Server::new("127.0.0.1:0").await;
    let server = UplinkServer::new(Tokio, near.address.to_string());
    let task = server.run(Arc::clone(&near.switch), config("irc.example"), drop);
    assert!(size_of_val(&task) <= 816, "{} bytes", size_of_val(&task));
}
