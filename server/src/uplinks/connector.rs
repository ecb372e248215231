//! Sockets to the servers behind uplinks: TCP, or TLS on it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use enjamb_runtime::{Connector, Transport};
use enjamb_tokio::{Tokio, TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use crate::config::UplinkTls;
use crate::listen::{MAX_UNSENT, USER_TIMEOUT};
use crate::tls::{Settings, authorities};

/// Tokio's sockets and tasks, with TLS if an uplink asks for it.
#[derive(Clone)]
pub(super) struct UplinkConnector {
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl UplinkConnector {
    /// Reads the files that `tls` names.
    ///
    /// # Errors
    /// What is wrong with them, for the log.
    pub(super) fn new(tls: Option<&UplinkTls>) -> Result<Self, String> {
        let tls = tls.map(|tls| Ok::<_, String>((client_config(tls)?.into(), tls.server_name.clone())));
        Ok(Self { tls: tls.transpose()? })
    }
}

fn client_config(tls: &UplinkTls) -> Result<Arc<ClientConfig>, String> {
    let roots = match &tls.cacertfile {
        Some(path) => authorities(path).map_err(|fault| fault.message)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let settings = Settings::new(certificate.certfile.clone(), Some(certificate.keyfile.clone()));
            let mut faults = Vec::new();
            let own = settings.certified_key(SystemTime::now(), &mut faults);
            let own = own.ok_or_else(|| {
                faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("; ")
            })?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
        }
    };
    Ok(Arc::new(config))
}

/// The certificates that the system trusts.
fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("the system has no certificates of authorities: install them (on Debian the package ca-certificates), or set `cacertfile`".into());
    }
    Ok(roots)
}

/// The bytes of a connection to a server.
pub(super) enum UplinkStream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Transport for UplinkStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => stream.poll_read(cx, buffer),
            Self::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => stream.poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_flush(cx),
            Self::Tls(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}

impl Connector for UplinkConnector {
    type Stream = UplinkStream;
    type Listener = TcpListener;
    type Timer = TokioTimer;

    fn timer(&self) -> TokioTimer {
        Tokio.timer()
    }

    fn resolve(&self, address: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        Tokio.resolve(address)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<UplinkStream> {
        let TokioIo(stream) = Tokio.connect(address).await?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
        match &self.tls {
            None => Ok(UplinkStream::Plain(TokioIo(stream))),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await?;
                Ok(UplinkStream::Tls(Box::new(TokioIo(stream))))
            }
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(UplinkStream, SocketAddr)> {
        let (stream, peer) = Tokio.accept(listener).await?;
        Ok((UplinkStream::Plain(stream), peer))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Tokio.spawn(task);
    }
}
