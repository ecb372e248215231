//! A listener for components over TLS, embedded in a program on tokio: `listener-tls ADDRESS SECRET CERTIFICATE
//! KEY`, the last two PEM files.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_runtime::SharedSwitch;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret, certificate, key] =
        std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let tls = TlsAcceptor::from(Arc::new(config));

    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    let socket = TcpListener::bind(address).await?;
    println!("{}", socket.local_addr()?);
    loop {
        let (tcp, _) = socket.accept().await?;
        tcp.set_nodelay(true)?;
        let (handshake, switch, listener) = (tls.accept(tcp), Arc::clone(&switch), Arc::clone(&listener));
        tokio::spawn(async move {
            // The stream's own limits of time begin behind it.
            let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(5), handshake).await else {
                return;
            };
            let Ok(mut connection) = enjamb_tokio::accept(stream, switch, listener) else { return };
            while connection.next_event().await.is_some() {}
        });
    }
}
