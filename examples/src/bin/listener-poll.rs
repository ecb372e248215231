//! A listener for components on a poll loop written by hand: `listener-poll ADDRESS SECRET`. The loop is in `src/poll.rs`.

use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::host::HostInfo;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let mut config = SwitchConfig::new([Domain::parse("localhost")?]);
    config.info = HostInfo::new("listener-poll", env!("CARGO_PKG_VERSION"));
    let switch = LocalSwitch::new(config);
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    enjamb_examples::poll::serve(&address, &switch, &listener, |_| None)
}
