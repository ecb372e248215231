//! `reconnecting RUNTIME ADDRESS DOMAIN SECRET`: a component that comes back for ever, for tests in which its
//! surroundings change.

use std::time::Duration;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_runtime::{Backoff, ComponentSettings, Reconnecting};

macro_rules! come_back {
    ($connector:expr, $address:expr, $settings:expr, $backoff:expr) => {
        async move {
            let mut component = Reconnecting::new($connector, &$address, $settings, $backoff);
            loop {
                match component.next().await {
                    Ok(connected) => while connected.next().await.is_some() {},
                    Err(error) => eprintln!("{error}"),
                }
            }
        }
    };
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [runtime, address, domain, secret] =
        std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let settings = ComponentSettings::new(Domain::parse(&domain)?, Secret::new(secret));
    let mut backoff = Backoff::default();
    (backoff.first, backoff.most) = (Duration::from_millis(20), Duration::from_millis(50));
    match &*runtime {
        "tokio" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(come_back!(enjamb_tokio::Tokio, address, settings, backoff))
        }
        "smol" => smol::block_on(come_back!(enjamb_async_std::on_smol::Smol, address, settings, backoff)),
        "async-std" => async_std::task::block_on(come_back!(
            enjamb_async_std::on_async_std::AsyncStd,
            address,
            settings,
            backoff
        )),
        other => Err(format!("there is no runtime {other:?}").into()),
    }
}
