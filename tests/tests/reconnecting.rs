//! Each runtime's own loop around connections: it waits for a server that is not there yet, comes back when a stream
//! has ended, and says why it is not let in.

#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::Secret;
use enjamb_core::connection::CloseReason;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, Switch};
use enjamb_runtime::{Backoff, ComponentSettings, ConnectError};
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
