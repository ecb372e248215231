//! A listener for components, embedded in a program on smol: `listener-smol ADDRESS SECRET`.

use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_runtime::SharedSwitch;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    smol::block_on(async {
        let socket = smol::net::TcpListener::bind(address).await?;
        println!("{}", socket.local_addr()?);
        match enjamb_async_std::on_smol::serve(socket, switch, listener).await {}
    })
}
