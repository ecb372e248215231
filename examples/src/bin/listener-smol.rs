//! A listener for components, embedded in a program on smol: `listener-smol ADDRESS SECRET`.

use std::sync::Arc;

use enjamb_core::Secret;
use enjamb_core::host::HostInfo;
use enjamb_core::jid::Domain;
use enjamb_core::rt::{Listener, Switch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let info = HostInfo::new("listener-smol", env!("CARGO_PKG_VERSION"));
    let utc = || humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let switch = Arc::new(Switch::new([Domain::parse("localhost")?], info, utc, false));
    let listener = Arc::new(Listener::new(Secret::new(secret)));
    smol::block_on(async {
        let socket = smol::net::TcpListener::bind(address).await?;
        println!("{}", socket.local_addr()?);
        match enjamb_async_std::on_smol::serve(socket, switch, listener).await {}
    })
}
