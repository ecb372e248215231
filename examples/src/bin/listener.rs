//! A listener for components, embedded in a program on tokio: `listener ADDRESS SECRET`.

use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_runtime::SharedSwitch;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
    let socket = tokio::net::TcpListener::bind(address).await?;
    println!("{}", socket.local_addr()?);
    match enjamb_tokio::serve(socket, switch, Arc::new(ListenerConfig::new(Secret::new(secret)))).await {}
}
