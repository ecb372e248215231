//! The programs `echo`, `listener`, `echo-tls` and `listener-tls` on smol, and the first two on async-std:
//!
//! ```text
//! other-runtimes smol|async-std echo ADDRESS DOMAIN SECRET
//! other-runtimes smol|async-std listener ADDRESS SECRET
//! other-runtimes smol echo-tls ADDRESS DOMAIN SECRET CA NAME
//! other-runtimes smol listener-tls ADDRESS SECRET CERTIFICATE KEY
//! ```
//!
//! What differs from tokio is the crate that `connect`, `serve` and `accept` come from, and how the program waits.

use std::sync::Arc;
use std::time::Duration;

use enjamb_async_std::{Component, ComponentSettings, Domain, Secret, SharedSwitch};
use enjamb_async_std::{accept, on_async_std, on_smol};
use enjamb_core::switch::{ListenerConfig, SwitchConfig};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use smol::future::FutureExt as _;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["smol", "echo", address, domain, secret] => smol::block_on(async {
            echo(on_smol::connect(address, Domain::parse(domain)?, Secret::new(secret)).await?).await
        }),
        ["async-std", "echo", address, domain, secret] => async_std::task::block_on(async {
            echo(on_async_std::connect(address, Domain::parse(domain)?, Secret::new(secret)).await?).await
        }),
        ["smol", "listener", address, secret] => smol::block_on(async {
            let socket = smol::net::TcpListener::bind(address).await?;
            println!("{}", socket.local_addr()?);
            let (switch, listener) = switch_and_listener(secret)?;
            match on_smol::serve(socket, switch, listener).await {}
        }),
        ["async-std", "listener", address, secret] => async_std::task::block_on(async {
            let socket = async_std::net::TcpListener::bind(address).await?;
            println!("{}", socket.local_addr()?);
            let (switch, listener) = switch_and_listener(secret)?;
            match on_async_std::serve(socket, switch, listener).await {}
        }),
        ["smol", "echo-tls", address, domain, secret, ca, name] => {
            smol::block_on(echo_over_tls(address, domain, secret, ca, name))
        }
        ["smol", "listener-tls", address, secret, certificate, key] => {
            smol::block_on(listen_over_tls(address, secret, certificate, key))
        }
        _ => Err("see the first lines of its source for the arguments".into()),
    }
}

/// The same on every runtime.
async fn echo(echo: Component) -> Outcome {
    while let Some(received) = echo.next().await {
        if let Some(back) = received.as_stanza().turned_back() {
            echo.send(back.to_vec()).await?;
        }
    }
    Ok(())
}

fn switch_and_listener(
    secret: &str,
) -> Result<(Arc<SharedSwitch>, Arc<ListenerConfig>), Box<dyn std::error::Error>> {
    let switch = SharedSwitch::new(SwitchConfig::new([Domain::parse("localhost")?]));
    Ok((Arc::new(switch), Arc::new(ListenerConfig::new(Secret::new(secret)))))
}

async fn echo_over_tls(address: &str, domain: &str, secret: &str, ca: &str, name: &str) -> Outcome {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(ca)? {
        roots.add(authority?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = smol::net::TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned())?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let settings = ComponentSettings::new(Domain::parse(domain)?, Secret::new(secret));
    echo(on_smol::connect_over(tls, settings).await?).await
}

async fn listen_over_tls(address: &str, secret: &str, certificate: &str, key: &str) -> Outcome {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let tls = TlsAcceptor::from(Arc::new(config));
    let (switch, listener) = switch_and_listener(secret)?;
    let socket = smol::net::TcpListener::bind(address).await?;
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
            let Ok(mut connection) = accept(stream, switch, listener) else { return };
            while connection.next_event().await.is_some() {}
        })
        .detach();
    }
}
