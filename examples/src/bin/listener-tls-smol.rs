//! A listener for components over TLS, embedded in a program on smol: `listener-tls-smol ADDRESS SECRET CERTIFICATE
//! KEY`, the last two PEM files.

use std::sync::Arc;
use std::time::Duration;

use enjamb_core::Secret;
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use enjamb_runtime::SharedSwitch;
use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use futures_rustls::rustls::ServerConfig;
use smol::future::FutureExt as _;
use smol::net::TcpListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [address, secret, certificate, key] =
        std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let tls = TlsAcceptor::from(Arc::new(config));

    let switch = Arc::new(SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?])));
    let listener = Arc::new(ListenerConfig::new(Secret::new(secret)));
    smol::block_on(async {
        let socket = TcpListener::bind(address).await?;
        println!("{}", socket.local_addr()?);
        loop {
            let (tcp, _) = socket.accept().await?;
            tcp.set_nodelay(true)?;
            let (handshake, switch, listener) = (tls.accept(tcp), Arc::clone(&switch), Arc::clone(&listener));
            smol::spawn(async move {
                // The stream's own limits of time begin behind it.
                let late = async {
                    smol::Timer::after(Duration::from_secs(5)).await;
                    Err(std::io::ErrorKind::TimedOut.into())
                };
                let Ok(stream) = handshake.or(late).await else { return };
                let Ok(mut connection) = enjamb_async_std::accept(stream, switch, listener) else { return };
                while connection.next_event().await.is_some() {}
            })
            .detach();
        }
    })
}
