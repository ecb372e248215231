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
/// first that answers is used (RFC 8305).
///
/// # Errors
/// The server can't be reached, or refuses the component.
pub async fn connect<C: Connector>(
    connector: &C,
    address: &str,
    settings: ComponentSettings,
) -> Result<Component, ConnectError> {
    let addresses = connector.resolve(address).await?;
    let stream = connect_any(connector, interleave(addresses)).await?;
    connect_over(connector, stream, connector.timer(), settings).await
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
}

async fn connect_any<C: Connector>(connector: &C, addresses: Vec<SocketAddr>) -> io::Result<C::Stream> {
    let mut attempts = Attempts {
        connector,
        waiting: addresses.into_iter(),
        running: Vec::new(),
        timer: connector.timer(),
        last_error: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    };
    let mut next_at = attempts.timer.now();
    poll_fn(move |cx| {
        loop {
            if let Poll::Ready(result) = attempts.poll(cx) {
                return Poll::Ready(result);
            }
            // A failure, or a silence of 250 ms, begins the next attempt.
            let now = attempts.timer.now();
            if (attempts.running.is_empty() || next_at <= now) && attempts.begin() {
                next_at = now + STAGGER;
                continue;
            }
            if attempts.waiting.as_slice().is_empty() || attempts.timer.poll_at(cx, next_at).is_pending() {
                return Poll::Pending;
            }
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
