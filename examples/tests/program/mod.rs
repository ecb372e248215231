//! A program of this package that runs while a test does.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A program that ends with the test.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    pub(crate) fn start(path: &str, args: &[&str]) -> Self {
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self(command.spawn().expect("cargo has built it"))
    }

    /// The address that a listener prints.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let mut line = String::new();
        let out = self.0.stdout.as_mut().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it prints its address");
        line.trim().parse().expect("an address")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
