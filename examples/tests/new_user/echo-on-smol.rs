//! An echo component on smol, by a new user.

use enjamb_async_std::{Domain, Secret, on_smol::connect};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, domain, secret] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    smol::block_on(async {
        let echo = connect(address, Domain::parse(&domain)?, Secret::new(secret)).await?;
        while let Some(received) = echo.next().await {
            if let Some(back) = received.as_stanza().turned_back() {
                echo.send(back.to_vec()).await?;
            }
        }
        Ok(())
    })
}
