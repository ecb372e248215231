//! Other people's servers, for our component to connect to, on a port that no other test takes.

use std::net::SocketAddr;

use rustix::process::Signal;

pub use enjamb_foreign::Kind;
use enjamb_foreign::{Server, Settings};

use crate::env;
use crate::server::{Port, SECRET};

/// A server with the host `localhost`, which lets these components in with [`SECRET`]. It ends with this value.
#[derive(Debug)]
pub struct ForeignServer {
    server: Server,
    _port: Port,
}

impl ForeignServer {
    /// Starts one and waits until it accepts.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    #[must_use]
    pub fn start(kind: Kind, domains: &[&str]) -> Self {
        Self::start_for(kind, "localhost", domains)
    }

    /// Starts one for this host and waits until it answers.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    #[must_use]
    pub fn start_for(kind: Kind, host: &str, domains: &[&str]) -> Self {
        let port = Port::claim();
        let settings = Settings {
            dir: env::work_dir().join(format!("foreign-{}", port.addr().port())),
            addr: port.addr(),
            secret: SECRET.into(),
            host: host.into(),
            domains: domains.iter().map(ToString::to_string).collect(),
            quiet: false,
        };
        let server = Server::start(kind, settings).unwrap_or_else(|error| panic!("{error}"));
        Self { server, _port: port }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It has ended.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal).expect("it has not ended");
    }

    /// Ends it and starts it again on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn restart(&mut self) {
        self.server.restart().unwrap_or_else(|error| panic!("{error}"));
    }
}
