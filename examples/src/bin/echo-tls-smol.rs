//! An echo component on smol, over TLS: `echo-tls-smol ADDRESS DOMAIN SECRET CA NAME`, where CA is the PEM file of
//! the authority that has signed the server's certificate, and NAME is the name in that.

use std::sync::Arc;

use enjamb_async_std::on_smol::connect_over;
use enjamb_async_std::{ComponentSettings, Domain, Secret};
use futures_rustls::TlsConnector;
use futures_rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use smol::net::TcpStream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, domain, secret, ca, name] =
        std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(ca)? {
        roots.add(authority?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

    smol::block_on(async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let tls = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name)?, tcp).await?;
        let settings = ComponentSettings::new(Domain::parse(&domain)?, Secret::new(secret));
        let echo = connect_over(tls, settings).await?;
        while let Some(received) = echo.next().await {
            if let Some(back) = received.as_stanza().turned_back() {
                echo.send(back.to_vec()).await?;
            }
        }
        Ok(())
    })
}
