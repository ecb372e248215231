//! What comes before a stream where the listener asks for it: the PROXY header, then the TLS handshake.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use enjamb_core::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{AlertDescription, Error, InvalidMessage};
use tokio_rustls::server::TlsStream;
use tracing::debug;
use tracing::field::debug;

use crate::config;
use crate::printable::printable;
use crate::proxy::{self, Parsed, ProxyError};
use crate::tls::Tls;

/// What a connection has to pass, and in what time.
#[derive(Debug)]
pub(crate) struct Preamble {
    proxy_protocol: bool,
    tls: Option<Arc<Tls>>,
    limits: Arc<Limits>,
}

/// The bytes of a connection that has passed.
pub(crate) enum Entered {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Preamble {
    /// What this listener asks for, if it asks for anything: else a connection's task need not pay for it.
    pub(crate) fn of(settings: &config::Listener, limits: &Arc<Limits>) -> Option<Arc<Self>> {
        let preamble = Self {
            proxy_protocol: settings.proxy_protocol,
            tls: settings.tls.clone(),
            limits: Arc::clone(limits),
        };
        (preamble.proxy_protocol || preamble.tls.is_some()).then(|| Arc::new(preamble))
    }

    /// Does a proxy say who connects?
    pub(crate) fn names_source(&self) -> bool {
        self.proxy_protocol
    }

    /// Does the stream begin without TLS?
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// When a connection that comes now has to be past both steps: they have the time of one of the negotiation.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.limits.negotiation_step
    }

    /// First, who is at the other end: whom the socket is connected with, unless a proxy knows better.
    pub(crate) async fn source(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Result<SocketAddr, Refusal> {
        if !self.proxy_protocol {
            return Ok(peer);
        }
        match timeout_at(deadline, proxied(stream)).await {
            Ok(from) => Ok(from?.unwrap_or(peer)),
            Err(_) => Err(Refusal::Slow("PROXY header")),
        }
    }

    /// Then TLS; behind it the stream begins.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        deadline: Instant,
    ) -> Result<Entered, Refusal> {
        let Some(tls) = &self.tls else { return Ok(Entered::Plain(stream)) };
        let handshake = TlsAcceptor::from(tls.current()).accept(stream).into_fallible();
        match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let version = session.protocol_version().map(debug);
                let suite = session.negotiated_cipher_suite().map(|suite| debug(suite.suite()));
                let group = session.negotiated_key_exchange_group().map(|group| debug(group.name()));
                debug!(%peer, version, suite, group, "TLS begins");
                Ok(Entered::Tls(Box::new(stream)))
            }
            Ok(Err((error, stream))) => {
                self.part(stream).await;
                Err(Refusal::Tls(error))
            }
            Err(_) => Err(Refusal::Slow("TLS handshake")),
        }
    }

    /// Reads on a little behind an alert: closing with unread input would make TCP take it back.
    async fn part(&self, mut stream: TcpStream) {
        let reading = async {
            let _ = stream.shutdown().await;
            let mut rest = (&mut stream).take(self.limits.linger_bytes as u64);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        };
        // What is not over by then is not waited for.
        let _ = timeout(self.limits.linger, reading).await;
    }
}

/// Reads a PROXY header and not a byte of what is behind it.
async fn proxied(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Refusal> {
    let mut header = Vec::new();
    loop {
        match proxy::parse(&header).map_err(Refusal::Proxy)? {
            Parsed::Whole { from, .. } => return Ok(from),
            Parsed::Needs(n) => {
                let read = stream.take(n as u64).read_buf(&mut header).await.map_err(Refusal::Broken)?;
                if read == 0 {
                    return Err(if header.is_empty() {
                        Refusal::Gone
                    } else {
                        Refusal::Proxy(ProxyError::TooShort)
                    });
                }
            }
        }
    }
}

/// Why a connection got no stream.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It was closed, and had said nothing.
    Gone,
    Broken(io::Error),
    Proxy(ProxyError),
    Tls(io::Error),
    Slow(&'static str),
}

impl Refusal {
    /// A port scan or a health check does not count as one.
    pub(crate) fn is_news(&self) -> bool {
        match self {
            Self::Gone | Self::Broken(_) => false,
            Self::Proxy(_) | Self::Slow(_) => true,
            Self::Tls(error) => error.kind() == io::ErrorKind::InvalidData,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("closed by the other side"),
            Self::Broken(error) => write!(f, "the connection broke: {}", error.kind()),
            Self::Proxy(error) => error.fmt(f),
            Self::Slow(step) => write!(f, "its {step} took longer than `state_timeout`"),
            Self::Tls(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(error) => tls(error, f),
                None => write!(f, "the connection broke within its TLS handshake: {}", error.kind()),
            },
        }
    }
}

/// A failed handshake, in an operator's words.
fn tls(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            f.write_str("plain bytes on a TLS port: it has to begin with a TLS handshake")
        }
        Error::NoCertificatesPresented => f.write_str("it has no certificate, and `verify_mode` wants one"),
        Error::InvalidCertificate(error) => {
            write!(f, "its certificate is refused: {}", printable(&error.to_string()))
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired,
        ) => write!(f, "it does not accept our certificate: {error}"),
        _ => write!(f, "its TLS handshake failed: {}", printable(&error.to_string())),
    }
}
