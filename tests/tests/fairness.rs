//! One that floods does not hold up others, however the runtime looks for work.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::Poll;

use enjamb_runtime::Timer;
use enjamb_tokio::TokioTimer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// Polls of a task that always has more to do until another task has seen a byte on a socket.
async fn polls_until_a_byte_is_seen() -> u32 {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = socket.accept().await.unwrap();
    let polls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&polls);
    let seen = tokio::spawn(async move {
        far.read_u8().await.unwrap();
        counted.load(SeqCst)
    });
    tokio::task::yield_now().await;
    near.write_all(b"x").await.unwrap();
    let mut timer = TokioTimer::default();
    let busy = tokio::spawn(poll_fn(move |cx| {
        if polls.fetch_add(1, SeqCst) == 100_000 {
            return Poll::Ready(());
        }
        timer.yield_now(cx);
        Poll::Pending
    }));
    let polls = seen.await.unwrap();
    busy.abort();
    polls
}

#[test]
fn who_yields_on_tokio_lets_the_sockets_be_looked_at() {
    // Left to itself, it would look at them only after many polls as long as a task is ready.
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.enable_all().worker_threads(1).event_interval(1_000_000).build().unwrap();
        let polls = runtime.block_on(async { tokio::spawn(polls_until_a_byte_is_seen()).await.unwrap() });
        assert!(polls < 10_000, "seen after {polls} polls");
    }
}
