//! Connects a component: over a connection that is there, by an address, or again whenever its connection has ended.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::backoff::{Backoff, Reconnect};
use crate::component::{Component, ComponentSettings, ConnectError};
use crate::random::jitter;
use crate::transport::{Connector, Timer, Transport};

/// After that long without an answer the next address is tried as well (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects a component and waits until the server has accepted it. The connection is driven in a task of its own, which
/// ends with it. `address` is `host:port`; a host with several addresses is tried at all of them, 250 ms apart, and the
/// first that answers is used (RFC 8305). It has no limit of time of its own; [`Reconnecting`] has one.
///
/// # Errors
/// The server can't be reached, or refuses the component.
pub async fn connect<C: Connector>(
    connector: &C,
    address: &str,
    settings: ComponentSettings,
) -> Result<Component, ConnectError> {
    let stream = reach(connector, address).await?;
    connect_over(connector, stream, connector.timer(), settings).await
}

/// Looks up `host:port` and connects to the first of its addresses that answers.
pub(crate) async fn reach<C: Connector>(connector: &C, address: &str) -> io::Result<C::Stream> {
    let addresses = connector.resolve(address).await?;
    connect_any(connector, interleave(addresses)).await
}

/// [`connect`] over a connection that is there already, such as TLS.
///
/// # Errors
/// The server refuses the component.
pub async fn connect_over<C: Connector>(
    connector: &C,
    stream: impl Transport + Send + 'static,
    timer: impl Timer + Send + 'static,
    settings: ComponentSettings,
) -> Result<Component, ConnectError> {
    let (component, connection) = Component::connect(settings, stream, timer);
    connector.spawn(connection.run());
    component.established().await.map_err(ConnectError::Refused)?;
    Ok(component)
}

/// The two families in turns, so that one that does not work delays only every other attempt (RFC 8305, section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(first.next());
        mixed.extend(second.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

type Attempt<'a, S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send + 'a>>;

/// Attempts that run side by side.
struct Attempts<'a, C: Connector> {
    connector: &'a C,
    waiting: std::vec::IntoIter<SocketAddr>,
    running: Vec<Attempt<'a, C::Stream>>,
    timer: C::Timer,
    last_error: io::Error,
    /// An attempt has failed since the last one began.
    has_failed: bool,
}

async fn connect_any<C: Connector>(connector: &C, addresses: Vec<SocketAddr>) -> io::Result<C::Stream> {
    let mut attempts = Attempts {
        connector,
        waiting: addresses.into_iter(),
        running: Vec::new(),
        timer: connector.timer(),
        last_error: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        has_failed: false,
    };
    let mut next_at = attempts.timer.now();
    poll_fn(move |cx| {
        loop {
            if let Poll::Ready(result) = attempts.poll(cx) {
                return Poll::Ready(result);
            }
            // A failure, or a silence of 250 ms, begins the next attempt.
            let now = attempts.timer.now();
            let is_due = attempts.running.is_empty() || attempts.has_failed || next_at <= now;
            if is_due && attempts.begin() {
                next_at = now + STAGGER;
                continue;
            }
            if !attempts.waiting.as_slice().is_empty() && attempts.timer.poll_at(cx, next_at).is_ready() {
                // It rang early: ask again after other tasks.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
    })
    .await
}

impl<C: Connector> Attempts<'_, C> {
    /// Ready with the first connection, or once all attempts have failed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<C::Stream>> {
        let mut index = 0;
        while let Some(attempt) = self.running.get_mut(index) {
            match attempt.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Err(error)) => {
                    self.last_error = error;
                    self.has_failed = true;
                    drop(self.running.remove(index));
                }
            }
        }
        if self.running.is_empty() && self.waiting.as_slice().is_empty() {
            let none = io::Error::from(io::ErrorKind::NotFound);
            return Poll::Ready(Err(std::mem::replace(&mut self.last_error, none)));
        }
        Poll::Pending
    }

    /// Begins the next attempt, if there is one.
    fn begin(&mut self) -> bool {
        let Some(address) = self.waiting.next() else { return false };
        self.running.push(Box::pin(self.connector.connect(address)));
        self.has_failed = false;
        true
    }
}

/// A component that connects again whenever its connection has ended: a loop around [`next`](Self::next).
#[derive(Debug)]
pub struct Reconnecting<C: Connector> {
    connector: C,
    address: String,
    settings: ComponentSettings,
    reconnect: Reconnect<C::Timer>,
}

impl<C: Connector> Reconnecting<C> {
    /// The first attempt is made at once. A name in `address` is looked up again for each.
    #[must_use]
    pub fn new(connector: C, address: &str, settings: ComponentSettings, backoff: Backoff) -> Self {
        let reconnect = Reconnect::new(connector.timer(), backoff);
        Self { connector, address: address.into(), settings, reconnect }
    }

    /// Waits as long as the end of the last connection asks for, then connects. The last one is closed if it
    /// lives, so take its stanzas to the end before.
    ///
    /// # Errors
    /// The server can't be reached, or refuses the component. The next call waits before it tries again.
    pub async fn next(&mut self) -> Result<Component, ConnectError> {
        let Self { connector, address, settings, reconnect } = self;
        reconnect.attempt(jitter()?, connect(connector, address, settings.clone())).await
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use enjamb_core::Instant;

    use super::*;

    /// What becomes of the attempt at each port, and when the attempts began.
    #[derive(Clone, Default)]
    struct Network {
        now: Arc<Mutex<Duration>>,
        begun: Arc<Mutex<Vec<(u16, Duration)>>>,
    }

    /// Ports of addresses that refuse at once, that never answer, and that answer at once.
    const REFUSES: u16 = 1;
    const SILENT: u16 = 2;
    const ANSWERS: u16 = 3;

    struct Stream;

    impl Transport for Stream {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// A timer whose alarm always rings, early or not.
    struct Early(Arc<Mutex<Duration>>);

    impl Timer for Early {
        fn now(&self) -> Instant {
            Instant::from_origin(*self.0.lock().unwrap())
        }

        fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
            Poll::Ready(())
        }
    }

    impl Connector for Network {
        type Stream = Stream;
        type Listener = ();
        type Timer = Early;

        fn timer(&self) -> Early {
            Early(Arc::clone(&self.now))
        }

        async fn resolve(&self, _: &str) -> io::Result<Vec<SocketAddr>> {
            Ok(Vec::new())
        }

        async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
            self.begun.lock().unwrap().push((address.port(), *self.now.lock().unwrap()));
            match address.port() {
                REFUSES => Err(io::ErrorKind::ConnectionRefused.into()),
                SILENT => std::future::pending().await,
                _ => Ok(Stream),
            }
        }

        async fn accept(&self, (): &()) -> io::Result<(Stream, SocketAddr)> {
            std::future::pending().await
        }

        fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
    }

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| (Ipv4Addr::LOCALHOST, *port).into()).collect()
    }

    /// Polls every 50 ms; gives what came of it within 2 s, and when each attempt began.
    fn attempt(ports: &[u16]) -> (Option<io::Result<()>>, Vec<(u16, u64)>) {
        let network = Network::default();
        let mut attempts = pin!(connect_any(&network, addresses(ports)));
        let mut cx = Context::from_waker(Waker::noop());
        let mut result = None;
        for _ in 0..40 {
            if let Poll::Ready(ready) = attempts.as_mut().poll(&mut cx) {
                result = Some(ready.map(drop));
                break;
            }
            *network.now.lock().unwrap() += Duration::from_millis(50);
        }
        let begun = network.begun.lock().unwrap();
        let begun = begun.iter().map(|(port, at)| (*port, at.as_millis() as u64)).collect();
        (result, begun)
    }

    #[test]
    fn silent_address_delays_the_next_by_a_quarter_of_a_second() {
        let (result, begun) = attempt(&[SILENT, SILENT, ANSWERS]);
        assert!(matches!(result, Some(Ok(()))));
        assert_eq!(begun, [(SILENT, 0), (SILENT, 250), (ANSWERS, 500)]);
    }

    #[test]
    fn refused_attempt_begins_the_next_at_once() {
        let (result, begun) = attempt(&[SILENT, REFUSES, ANSWERS]);
        assert!(matches!(result, Some(Ok(()))));
        assert_eq!(begun, [(SILENT, 0), (REFUSES, 250), (ANSWERS, 250)]);
    }

    #[test]
    fn last_error_is_told_once_all_have_failed() {
        let (result, begun) = attempt(&[REFUSES, REFUSES]);
        let Some(Err(error)) = result else { panic!("it goes on") };
        assert_eq!((error.kind(), begun.len()), (io::ErrorKind::ConnectionRefused, 2));
        let (result, _) = attempt(&[]);
        assert_eq!(result.unwrap().unwrap_err().to_string(), "the name has no address");
        // One that is silent is waited for.
        assert!(attempt(&[SILENT, REFUSES]).0.is_none());
    }

    #[test]
    fn address_families_take_turns() {
        let v4 = |n| SocketAddr::from((Ipv4Addr::LOCALHOST, n));
        let v6 = |n| SocketAddr::from((IpAddr::from(Ipv6Addr::LOCALHOST), n));
        let mixed = interleave(vec![v6(1), v6(2), v6(3), v4(4), v4(5)]);
        assert_eq!(mixed, [v6(1), v4(4), v6(2), v4(5), v6(3)]);
        assert_eq!(interleave(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
    }
}
