//! Each runtime's own loop around connections: it waits for a server that is not there yet, comes back when a stream
//! has ended, and says why it is not let in.

#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use enjamb_core::Secret;
use enjamb_core::connection::CloseReason;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, Switch};
use enjamb_runtime::{Backoff, ComponentSettings, ConnectError, SharedSwitch};
use enjamb_tests::env;
use enjamb_tests::sim::{SECRET, switch};

macro_rules! comes_back {
    ($name:ident, $run:expr, $listener:ty, $spawn:expr, $serve:path, $connector:expr) => {
        #[test]
        fn $name() {
            $run(async {
                let settings =
                    ComponentSettings::new(Domain::parse("a.example").unwrap(), Secret::new(SECRET));
                let mut backoff = Backoff::default();
                backoff.first = Duration::from_millis(20);
                // A port on which nobody listens yet.
                let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = free.local_addr().unwrap();
                drop(free);

                let name = format!("localhost:{}", address.port());
                let mut component = enjamb_runtime::Reconnecting::new($connector, &name, settings, backoff);
                let nobody = component.next().await;
                assert!(matches!(nobody, Err(ConnectError::Unreachable(_))), "{nobody:?}");
                let socket = <$listener>::bind(address).await.unwrap();
                let switch = switch(&["host.example"]);
                let listener = Arc::new(ListenerConfig::new(Secret::new(SECRET)));
                let _task = $spawn($serve(socket, Arc::clone(&switch), listener));
                for _ in 0..2 {
                    let connected = component.next().await.unwrap();
                    connected.send("<message to='a.example'/>").await.unwrap();
                    assert!(connected.next().await.is_some());
                    connected.close();
                    while connected.next().await.is_some() {}
                    assert!(matches!(connected.end(), Some(CloseReason::ByUs)));
                    // The server has unbound it once the other end has seen the end, too.
                    while switch.bound() > 0 {
                        let_others_run().await;
                    }
                }
                switch.shut_down();
                let refused = component.next().await.unwrap_err().to_string();
                assert!(refused.contains("shutting down"), "{refused}");
            });
        }
    };
}

/// Lets other tasks run.
async fn let_others_run() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn on_tokio(script: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a reactor").block_on(script);
}

comes_back!(
    on_tokio_it_comes_back,
    on_tokio,
    tokio::net::TcpListener,
    tokio::spawn,
    enjamb_tokio::serve,
    enjamb_tokio::Tokio
);
comes_back!(
    on_smol_it_comes_back,
    smol::block_on,
    smol::net::TcpListener,
    smol::spawn,
    enjamb_async_std::on_smol::serve,
    enjamb_async_std::on_smol::Smol
);
comes_back!(
    on_async_std_it_comes_back,
    async_std::task::block_on,
    async_std::net::TcpListener,
    async_std::task::spawn,
    enjamb_async_std::on_async_std::serve,
    enjamb_async_std::on_async_std::AsyncStd
);

/// The library with which a program sees another `/etc/hosts`.
const HOSTS_WRAPPER: &str = "libnss_wrapper.so";

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The name of the server moves to another address while a component is connected: it is looked up each time.
#[test]
fn a_name_that_moves_is_followed_on_every_runtime() {
    let path = env::work_dir().join(format!("hosts-{}", std::process::id()));
    for name in ["tokio", "smol", "async-std"] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let serve = |at: SocketAddr| {
            let switch = switch(&["host.example"]);
            let socket = runtime.block_on(tokio::net::TcpListener::bind(at)).unwrap();
            let at = socket.local_addr().unwrap();
            let listener = Arc::new(ListenerConfig::new(Secret::new(SECRET)));
            let task = runtime.spawn(enjamb_tokio::serve(socket, Arc::clone(&switch), listener));
            (switch, at, task)
        };
        let moves_to = |address: IpAddr, seconds: u64| {
            fs::write(&path, format!("{address} moving.example\n")).unwrap();
            // The wrapper looks at the file again where its time, in seconds, is another.
            let file = fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        let (old, at, accepting) = serve(SocketAddr::from(([127, 0, 0, 1], 0)));
        let (new, _, _) = serve(SocketAddr::from(([127, 0, 0, 2], at.port())));
        moves_to(at.ip(), 1_000_000);
        let mut program = Command::new(env!("CARGO_BIN_EXE_reconnecting"));
        program.args([name, &format!("moving.example:{}", at.port()), "a.example", SECRET]);
        program.env("LD_PRELOAD", HOSTS_WRAPPER).env("NSS_WRAPPER_HOSTS", &path);
        let _program = Program(program.spawn().unwrap());
        until_bound(&old, name);

        moves_to(IpAddr::from([127, 0, 0, 2]), 2_000_000);
        accepting.abort();
        old.shut_down();
        until_bound(&new, name);
    }
    fs::remove_file(&path).unwrap();
}

fn until_bound(switch: &SharedSwitch, name: &str) {
    let by = Instant::now() + Duration::from_secs(20);
    while switch.bound() == 0 {
        assert!(
            Instant::now() < by,
            "on {name} it does not come. Is there {HOSTS_WRAPPER}? apt-get install libnss-wrapper"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
