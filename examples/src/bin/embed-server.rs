//! A server with users of its own, and a listener for components in front of it, on tokio: `embed-server ADDRESS SECRET`.
//!
//! The switch passes stanzas between components and the local port, which holds the host `chat.localhost`.

use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::port::PortConfig;
use enjamb_core::router::Claim;
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_examples::users::Users;
use enjamb_tokio::{LocalPort, SharedSwitch, TokioTimer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([])));
    let config = PortConfig::new([Claim::Host(Domain::parse("chat.localhost")?)]);
    let port = LocalPort::attach(Arc::clone(&switch), config, TokioTimer::default)?;

    let socket = tokio::net::TcpListener::bind(address).await?;
    println!("{}", socket.local_addr()?);
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    tokio::spawn(enjamb_tokio::serve(socket, Arc::clone(&switch), listener));

    let users = Users::default();
    while let Some(batch) = port.recv().await {
        for stanza in batch.iter() {
            let mut answer = Vec::new();
            users.handle(&stanza, &*switch, port.now(), &mut answer);
            if !answer.is_empty() {
                // It waits while the component's queue is full.
                port.send(answer).await?;
            }
        }
    }
    Ok(())
}
