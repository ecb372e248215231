//! An echo component on tokio, over TLS: `echo-tls ADDRESS DOMAIN SECRET CA NAME`, where CA is the PEM file of
//! the authority that has signed the server's certificate, and NAME is the name in that.

use std::sync::Arc;

use enjamb_runtime::ComponentSettings;
use enjamb_tokio::{Domain, Secret, connect_over};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, domain, secret, ca, name] =
        std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(ca)? {
        roots.add(authority?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();

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
}
