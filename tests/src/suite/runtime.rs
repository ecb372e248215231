//! What a script needs of a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use enjamb_core::Instant;
use enjamb_core::connection::ConnectionEvent;
use enjamb_runtime::{ComponentConnection, ServerConnection, Timer, Transport};

/// How long a script may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server logged of one connection.
pub type Log = Arc<Mutex<Vec<ConnectionEvent>>>;

/// A timer that rings this much later than it is set, as a busy machine's does.
pub struct Late<C>(pub C, pub Duration);

impl<C: Timer> Timer for Late<C> {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix(&self) -> Duration {
        self.0.unix()
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.0.poll_at(cx, at + self.1)
    }
}

/// A runtime, with bytes and time of its own. Scripts run where `block_on` runs them, connections in tasks.
pub trait Runtime: Clone + Default + 'static {
    /// One end of a connection.
    type Stream: Transport + 'static;
    /// The clock and one alarm.
    type Timer: Timer + 'static;

    /// Runs a script to its end.
    fn block_on<R: 'static>(&self, script: impl Future<Output = R> + 'static) -> R;
    /// Both ends of a connection.
    fn pair(&self) -> impl Future<Output = (Self::Stream, Self::Stream)>;
    /// A clock and an alarm that is not set.
    fn timer(&self) -> Self::Timer;
    /// Drives a server's connection in a task of its own.
    fn spawn_server(&self, connection: ServerConnection<Self::Stream, Late<Self::Timer>>, log: Log);
    /// Drives a component's connection in a task of its own.
    fn spawn_component(&self, connection: ComponentConnection<Self::Stream, Late<Self::Timer>>);

    /// Waits.
    fn sleep(&self, span: Duration) -> impl Future<Output = ()> {
        let mut timer = self.timer();
        let end = timer.now() + span;
        std::future::poll_fn(move |cx| match end <= timer.now() {
            true => Poll::Ready(()),
            false => timer.poll_at(cx, end),
        })
    }

    /// What a future gives, unless it takes longer; it is dropped then.
    fn within<R>(&self, span: Duration, future: impl Future<Output = R>) -> impl Future<Output = Option<R>> {
        async move {
            let (mut future, mut end) = (pin!(future), pin!(self.sleep(span)));
            std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending => end.as_mut().poll(cx).map(|()| None),
            })
            .await
        }
    }
}

/// Keeps what a connection has to say, to its end.
pub(crate) async fn keep_notices<T: Transport, C: Timer>(mut connection: ServerConnection<T, C>, log: Log) {
    while let Some(notice) = connection.next_event().await {
        log.lock().expect("nobody panics while holding it").push(notice);
    }
}

/// Plays a script and gives its transcript.
///
/// # Panics
/// It comes to no end.
pub fn play<R: Runtime, F: Future<Output = Vec<String>>>(
    script: impl FnOnce(R) -> F + 'static,
) -> Vec<String> {
    let runtime = R::default();
    let own = runtime.clone();
    let played = runtime.block_on(async move { own.within(PATIENCE, script(own.clone())).await });
    played.expect("the script comes to its end in time")
}
