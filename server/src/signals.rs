//! Signals: what an operator orders by them.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the server takes.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    /// Has no meaning here. It is taken, since it would end the process.
    _user2: Signal,
}

/// What an operator orders.
pub(crate) enum Order {
    /// To stop, by the signal of this name.
    Stop(&'static str),
    /// To read files again.
    Reload,
    /// To log a summary.
    Summary,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            _user2: signal(SignalKind::user_defined2())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Order::Stop("SIGINT"),
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user1.recv() => Order::Summary,
        }
    }

    /// The next order to stop.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            if let Order::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
