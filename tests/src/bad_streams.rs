//! Where the hostile streams of `enjamb-probe` are played: the server that they ask for, and our judges.

use std::net::SocketAddr;
use std::time::Duration;

use enjamb_probe::{Judge, Names, Patience, Stage};

use crate::judge;
use crate::server::{Config, SECRET};

/// The server that "Test setting" in the README of the cases asks for, with one listener.
#[must_use]
pub fn setting() -> Config {
    Config::new(&["host.example"]).listener(
        "domains = [\"comp.example\", \"peer.example\", \"down.example\"]\n\
         check_from = true\n\
         conflict_behaviour = \"disconnect\"\n\
         max_stanza_size = 262144\n\
         # Header and handshake come in one-byte writes, too, on a busy machine.\n\
         state_timeout = 60_000",
    )
}

/// The names of that setting.
#[must_use]
pub fn names() -> Names {
    Names::standard(SECRET)
}

/// A stage on such a server, whose deliveries our judges see.
///
/// # Panics
/// The receiver can't log in.
#[must_use]
pub fn stage(addr: SocketAddr) -> Stage {
    let judge = Judge::new(judge::check);
    // An answer that comes is waited for, however busy the machine is.
    let patience = Patience { answer: Duration::from_secs(20), ..Patience::default() };
    Stage::new(addr, names(), patience, judge).expect("the server has the test setting")
}
