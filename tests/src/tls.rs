//! TLS for the tests: an authority of their own, and ways to speak it to a server.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::{self, kx_group};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion,
    version,
};

use crate::env;

/// Both versions that are in use.
pub const VERSIONS: [&[&SupportedProtocolVersion]; 2] = [&[&version::TLS13], &[&version::TLS12]];

/// The name in the certificates of servers.
pub const NAME: &str = "localhost";

/// Who signs certificates, and where they lie as files.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
    issued: AtomicU32,
}

/// A certificate and its key.
pub struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
    serial: u64,
}

impl Authority {
    /// An authority with a directory of its own, which holds its certificate as `ca.pem`.
    ///
    /// # Panics
    /// There are no random numbers, or the directory can't be made.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        let key = KeyPair::generate().expect("there are random numbers");
        let certificate = params.self_signed(&key).expect("a key that signs");
        let dir = env::work_dir().join(format!("tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("target/ is writable");
        let authority =
            Self { certificate, issuer: Issuer::new(params, key), dir, issued: AtomicU32::new(0) };
        authority.write("ca.pem", &authority.certificate.pem());
        authority
    }

    /// A certificate for these names, which servers and clients may show.
    ///
    /// # Panics
    /// They are no names.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        let serial = u64::from(self.issued.fetch_add(1, Ordering::Relaxed)) + 1;
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("there are random numbers");
        let certificate = params.signed_by(&key, &self.issuer).expect("a key that signs");
        Issued { certificate, key, serial }
    }

    /// A list that revokes one certificate, as PEM.
    ///
    /// # Panics
    /// Never: the key signs.
    #[must_use]
    pub fn revoke(&self, revoked: &Issued) -> String {
        let one = RevokedCertParams {
            serial_number: SerialNumber::from(revoked.serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2120, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![one],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).expect("a key that signs")
    }

    /// Writes a file into the authority's directory, and gives its path.
    ///
    /// # Panics
    /// It is not writable.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::write(&path, text).expect("target/ is writable");
        path
    }

    /// Where `ca.pem` lies.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Writes a certificate and its key, and gives both paths.
    pub fn files(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let certificate = self.write(&format!("{name}.pem"), &issued.certificate.pem());
        (certificate, self.write(&format!("{name}.key"), &issued.key.serialize_pem()))
    }

    /// The same, and gives the lines of a `tls` table that names them.
    pub fn table(&self, name: &str, issued: &Issued) -> String {
        let (certfile, keyfile) = self.files(name, issued);
        format!("tls.certfile = '{}'\ntls.keyfile = '{}'\n", certfile.display(), keyfile.display())
    }

    /// What a client needs that trusts this authority alone, and shows this certificate, if any.
    ///
    /// # Panics
    /// Never: the key belongs to the certificate.
    #[must_use]
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Issued>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a certificate");
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .expect("versions with cipher suites")
            .with_root_certificates(roots);
        Arc::new(match identity {
            Some(one) => builder.with_client_auth_cert(one.chain(), one.key()).expect("they belong together"),
            None => builder.with_no_client_auth(),
        })
    }

    /// What a server needs that shows this certificate.
    ///
    /// # Panics
    /// Never: the key belongs to the certificate.
    #[must_use]
    pub fn server(&self, identity: &Issued) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder().with_no_client_auth();
        Arc::new(builder.with_single_cert(identity.chain(), identity.key()).expect("they belong together"))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // A leftover does no harm; the next one has another name.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Issued {
    /// The certificate, as others see it.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("PKCS #8")
    }
}

/// A client's TLS over TCP, blocking, with 5 s for each read.
pub type Client = StreamOwned<ClientConnection, Slowly>;

/// A TCP stream that writes this many bytes at once, most often all.
pub struct Slowly {
    /// The stream itself.
    pub stream: TcpStream,
    /// The most bytes of one write.
    pub step: usize,
    /// What is written in front of the first bytes, together with them.
    pub preface: Vec<u8>,
}

impl Read for Slowly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Slowly {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.step);
        let together = [&std::mem::take(&mut self.preface), &bytes[..n]].concat();
        self.stream.write_all(&together)?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects over TLS; the handshake is made by the first read or write.
///
/// # Panics
/// The server does not accept.
#[must_use]
pub fn connect(addr: SocketAddr, config: &Arc<ClientConfig>) -> Client {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_nodelay(true).expect("TCP has nodelay");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("it has one");
    let name = ServerName::try_from(NAME).expect("a name");
    let connection = ClientConnection::new(Arc::clone(config), name).expect("a usable configuration");
    StreamOwned::new(connection, Slowly { stream, step: usize::MAX, preface: Vec::new() })
}

/// Everything up to the end of a TLS stream, and how that came: `Ok` is a `close_notify`.
pub fn rest(client: &mut Client) -> (String, io::Result<()>) {
    let mut received = Vec::new();
    let end = client.read_to_end(&mut received).map(drop);
    (String::from_utf8_lossy(&received).into_owned(), end)
}

/// Takes plain connections and carries their bytes to a server over TLS, for peers that can't speak it.
pub struct Tunnel {
    addr: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Tunnel {
    /// A tunnel to this server. Each of its connections begins with these bytes, before TLS.
    ///
    /// # Panics
    /// There is no loopback, or no thread.
    #[must_use]
    pub fn to(server: SocketAddr, config: Arc<ClientConfig>, preface: &'static [u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads and a reactor");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(any)).expect("loopback");
        let addr = listener.local_addr().expect("it is bound");
        runtime.spawn(async move {
            while let Ok((plain, _)) = listener.accept().await {
                // What fails, ends the connection: its client sees that.
                tokio::spawn(carry(plain, server, Arc::clone(&config), preface));
            }
        });
        Self { addr, _runtime: runtime }
    }

    /// Where it takes plain connections.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

async fn carry(
    mut plain: tokio::net::TcpStream,
    server: SocketAddr,
    config: Arc<ClientConfig>,
    preface: &[u8],
) -> io::Result<()> {
    let mut stream = tokio::net::TcpStream::connect(server).await?;
    plain.set_nodelay(true)?;
    stream.set_nodelay(true)?;
    stream.write_all(preface).await?;
    let name = ServerName::try_from(NAME).expect("a name");
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    copy_bidirectional(&mut plain, &mut stream).await.map(drop)
}

/// The lines of a `tls` table for components that need a certificate of this authority.
#[must_use]
pub fn peers_of(ca: &Path) -> String {
    format!("tls.cacertfile = '{}'\ntls.verify_mode = 'peer'\n", ca.display())
}

/// The line of a `tls` table for components that need none.
pub const NO_PEERS: &str = "tls.verify_mode = 'none'\n";
