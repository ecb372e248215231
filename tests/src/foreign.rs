//! Other people's servers, for our component to connect to, on a port that no other test takes.

use std::net::SocketAddr;

use rustix::process::Signal;

use enjamb_foreign::{Biboumi, Ngircd, Server, Settings, Users};
pub use enjamb_foreign::{DELEGATED, Kind};

use crate::env;
use crate::server::{Port, SECRET};

/// A server with the host `localhost`, which lets these components in with [`SECRET`]. It ends with this value.
#[derive(Debug)]
pub struct ForeignServer {
    server: Server,
    _port: Port,
    clients: Option<Port>,
}

/// Users of such a server; [`SECRET`] is their password.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    /// Their names.
    pub names: &'a [&'a str],
    /// Its components have privileges over the host, and [`DELEGATED`] are delegated to them.
    pub has_privileges: bool,
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
        let settings = settings(&port, host, domains);
        let server = Server::start(kind, settings).unwrap_or_else(|error| panic!("{error}"));
        Self { server, _port: port, clients: None }
    }

    /// Starts one with users on `localhost` and waits until it answers.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    #[must_use]
    pub fn start_with(kind: Kind, domains: &[&str], accounts: Accounts<'_>) -> Self {
        let (port, clients) = (Port::claim(), Port::claim());
        let settings = settings(&port, "localhost", domains);
        let users = Users {
            addr: clients.addr(),
            names: accounts.names.iter().map(ToString::to_string).collect(),
            has_privileges: accounts.has_privileges,
        };
        let server = Server::start_with_users(kind, settings, users);
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        Self { server, _port: port, clients: Some(clients) }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Where its clients connect.
    ///
    /// # Panics
    /// It has no users.
    #[must_use]
    pub fn clients(&self) -> SocketAddr {
        self.clients.as_ref().expect("it was started with users").addr()
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

    /// Ends it as a crash does and starts it again on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn crash(&mut self) {
        self.server.crash().unwrap_or_else(|error| panic!("{error}"));
    }
}

fn settings(port: &Port, host: &str, domains: &[&str]) -> Settings {
    Settings {
        dir: env::work_dir().join(format!("foreign-{}", port.addr().port())),
        addr: port.addr(),
        secret: SECRET.into(),
        host: host.into(),
        domains: domains.iter().map(ToString::to_string).collect(),
        quiet: false,
    }
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server behind said:\n{}---", self.server.log());
        }
    }
}

/// biboumi as the component `domain`, and the IRC server that it leads to.
#[derive(Debug)]
pub struct Irc {
    /// The gateway.
    pub biboumi: Biboumi,
    /// The server.
    pub server: Ngircd,
    _port: Port,
}

impl Irc {
    /// Starts both; the gateway connects to `xmpp` with this secret.
    ///
    /// # Panics
    /// One is not installed, or does not start.
    #[must_use]
    pub fn start(domain: &str, xmpp: SocketAddr, secret: &str) -> Self {
        let port = Port::claim();
        let dir = |name: &str| env::work_dir().join(format!("{name}-{}", port.addr().port()));
        let server = Ngircd::start(dir("ngircd"), port.addr());
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        let biboumi = Biboumi::start(dir("biboumi"), domain, (xmpp, secret), server.addr().ip());
        let biboumi = biboumi.unwrap_or_else(|error| panic!("{error}"));
        Self { biboumi, server, _port: port }
    }
}

impl Drop for Irc {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- biboumi said:\n{}---", self.biboumi.log());
        }
    }
}
