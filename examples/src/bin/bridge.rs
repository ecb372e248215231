//! A bridge that creates names at run time, on tokio: `bridge ADDRESS SECRET`.
//!
//! It holds every name below `bots.localhost`. The first message for one of them makes a bot of that name, which
//! `localhost` lists in service discovery from then on, and which sends each message back. The message `bye` ends it.

use std::collections::BTreeSet;
use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::port::PortConfig;
use enjamb_core::router::Claim;
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_tokio::{LocalPort, SharedSwitch, TokioTimer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
    let config = PortConfig::new([Claim::Below(Domain::parse("bots.localhost")?)]);
    let port = LocalPort::attach(Arc::clone(&switch), config, TokioTimer::default)?;

    let socket = tokio::net::TcpListener::bind(address).await?;
    println!("{}", socket.local_addr()?);
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    tokio::spawn(enjamb_tokio::serve(socket, switch, listener));

    let mut bots: BTreeSet<Domain> = BTreeSet::new();
    while let Some(batch) = port.recv().await {
        for incoming in batch.iter() {
            // Errors and presence get no echo.
            let Some(copy) = incoming.to_owned() else { continue };
            let stanza = copy.as_stanza();
            let (Some(to), Some(echo)) = (stanza.to(), stanza.turned_back()) else { continue };
            let name = Domain::parse(to.domain())?;
            if bots.insert(name.clone()) {
                port.add(Claim::Domain(name.clone()))?;
            }
            port.send(echo.to_vec()).await?;
            if stanza.content() == b"<body>bye</body>" {
                bots.remove(&name);
                port.remove(&Claim::Domain(name));
            }
        }
    }
    Ok(())
}
