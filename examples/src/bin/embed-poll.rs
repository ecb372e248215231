//! `embed-server` without a runtime: `embed-poll ADDRESS SECRET`. The loop is in `src/poll.rs`.

use std::sync::Arc;
use std::time::Instant as Clock;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::port::{LocalPort, PortConfig, PortState};
use enjamb_core::router::Claim;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
use enjamb_examples::poll;
use enjamb_examples::users::Users;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let switch = LocalSwitch::new(SwitchConfig::new([]));
    let config = PortConfig::new([Claim::Host(Domain::parse("chat.localhost")?)]);
    let (mut port, _) = LocalPort::attach(&switch, config, poll::now(Clock::now()))?;
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    let users = Users::default();
    poll::serve(&address, &switch, &listener, |now| {
        // Answers go out when the closure returns, and wait while the component's queue is full.
        let state = port.poll(&switch, now, |stanza, out| users.handle(stanza, &switch, now, out));
        match state {
            Ok(PortState::More) => Some(now.monotonic),
            Ok(_) => port.poll_timeout(),
            Err(error) => {
                eprintln!("an answer can't be sent: {error}");
                Some(now.monotonic)
            }
        }
    })
}
