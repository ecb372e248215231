//! TLS on a listener: from the files that the configuration names to what rustls needs, at start and again
//! whenever the operator asks for it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::{self, kx_group};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use tokio_rustls::rustls::{
    Error, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::modes;
use crate::printable::{printable, quoted};

/// The largest file that is read, in bytes: 16 MiB. Lists of revoked certificates may be long.
const FILE_LIMIT: u64 = 16 << 20;

/// What a `tls` table says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our certificate, and those of the authorities between it and a root.
    pub certfile: PathBuf,
    /// Its private key; where it is unset, the key is in `certfile`, too.
    pub keyfile: Option<PathBuf>,
    /// The authorities whose certificates components need; where it is unset, they need none.
    pub cacertfile: Option<PathBuf>,
    /// Lists of revoked certificates.
    pub crl_files: Vec<PathBuf>,
    /// What is offered; never empty.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// What is offered, at least one for one of the versions.
    pub suites: Vec<SupportedCipherSuite>,
}

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `certfile`.
    Certificate,
    /// `keyfile`, or `certfile` where it is unset.
    Key,
    /// `cacertfile`.
    Authorities,
    /// One of `crl_files`, from 0.
    Revoked(usize),
}

/// What is wrong with a file.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The file.
    pub part: Part,
    /// TLS can't be had with it; else it may surprise.
    pub is_fatal: bool,
    /// What is wrong, with the file's path.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Fault {
    fn fatal(part: Part, message: String) -> Self {
        Self { part, is_fatal: true, message, help: None }
    }
}

impl Settings {
    /// The settings of a table that names a certificate and its key, and nothing else.
    #[must_use]
    pub fn new(certfile: PathBuf, keyfile: Option<PathBuf>) -> Self {
        Self {
            certfile,
            keyfile,
            cacertfile: None,
            crl_files: Vec::new(),
            versions: vec![&version::TLS13, &version::TLS12],
            suites: aws_lc_rs::ALL_CIPHER_SUITES.to_vec(),
        }
    }

    /// Reads all files, and gives all that is wrong with them; with a fatal fault there is nothing else.
    #[must_use]
    pub fn load(&self, now: SystemTime) -> (Option<Arc<ServerConfig>>, Vec<Fault>) {
        let mut faults = Vec::new();
        let certified = self.certified_key(now, &mut faults);
        let verifier = keep(self.verifier(&mut faults), &mut faults);
        let config =
            certified.zip(verifier).and_then(|(certified, verifier)| self.config(certified, verifier).ok());
        (config.filter(|_| !faults.iter().any(|fault| fault.is_fatal)), faults)
    }

    /// The certificate and its key; none with a fatal fault.
    pub(crate) fn certified_key(&self, now: SystemTime, faults: &mut Vec<Fault>) -> Option<CertifiedKey> {
        let chain = keep(self.chain(now, faults), faults);
        let key = keep(self.key(), faults);
        faults.extend(self.exposed_key().filter(|_| key.is_some()));
        chain.zip(key).and_then(|(chain, key)| keep(self.certified(chain, key), faults))
    }

    fn config(
        &self,
        certified: CertifiedKey,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>, Error> {
        let provider = CryptoProvider {
            cipher_suites: self.suites.clone(),
            // What is recorded today is not to be read by a machine of the future, if the other side knows how.
            kx_groups: vec![
                kx_group::X25519MLKEM768,
                kx_group::X25519,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
            ],
            ..aws_lc_rs::default_provider()
        };
        let builder =
            ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&self.versions)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))))
    }

    fn chain(&self, now: SystemTime, faults: &mut Vec<Fault>) -> Result<Vec<CertificateDer<'static>>, Fault> {
        let path = &self.certfile;
        let chain = certificates(path, Part::Certificate)?;
        // Of the chain's others, the peer will say so itself; most often it has them.
        let problem = chain.first().and_then(|own| out_of_time(own, now));
        faults.extend(problem.map(|problem| Fault {
            part: Part::Certificate,
            is_fatal: false,
            message: format!("the certificate in {} {problem}", shown(path)),
            help: Some("peers that check it will refuse it".into()),
        }));
        Ok(chain)
    }

    fn key_path(&self) -> &Path {
        self.keyfile.as_deref().unwrap_or(&self.certfile)
    }

    /// Whether others may use the key's file.
    fn exposed_key(&self) -> Option<Fault> {
        let path = self.key_path();
        let exposed = modes::exposed(path)?;
        Some(Fault {
            part: Part::Key,
            is_fatal: false,
            message: format!("{} {exposed}, and it holds a private key", shown(path)),
            help: Some("chmod 0640, or 0600".into()),
        })
    }

    fn key(&self) -> Result<Arc<dyn SigningKey>, Fault> {
        let path = self.key_path();
        // Where it is the certificate's file, that it can't be read is said there.
        let bytes = read(path, if self.keyfile.is_some() { Part::Key } else { Part::Certificate })?;
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
            let is_encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
                .iter()
                .any(|mark| has(&bytes, mark));
            let (what, help) = if is_encrypted {
                let help = format!("decrypt it: openssl pkey -in {} -out FILE, mode 0600", shown(path));
                ("the private key is encrypted, and such keys are not read".to_owned(), help)
            } else {
                let help = "it begins with -----BEGIN PRIVATE KEY-----, or RSA or EC PRIVATE KEY".to_owned();
                match &error {
                    pem::Error::NoItemsFound => ("there is no private key".to_owned(), help),
                    error => (format!("this is no PEM: {}", pem_fault(error)), help),
                }
            };
            Fault { help: Some(help), ..Fault::fatal(Part::Key, format!("{}: {what}", shown(path))) }
        })?;
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key);
        key.map_err(|error| {
            Fault::fatal(Part::Key, format!("{}: the private key is of no use: {error}", shown(path)))
        })
    }

    fn certified(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<CertifiedKey, Fault> {
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(Error::InconsistentKeys(_)) => {
                let (key, certificate) = (shown(self.key_path()), shown(&self.certfile));
                let message =
                    format!("the key in {key} is not the key of the first certificate in {certificate}");
                let help = "a chain begins with the certificate of the key".to_owned();
                Err(Fault { help: Some(help), ..Fault::fatal(Part::Key, message) })
            }
            Err(error) => Err(Fault::fatal(
                Part::Certificate,
                format!("{}: the certificate is of no use: {error}", shown(&self.certfile)),
            )),
        }
    }

    /// What judges the certificates of components; none where they need none.
    fn verifier(&self, faults: &mut Vec<Fault>) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fault> {
        let Some(path) = &self.cacertfile else { return Ok(None) };
        let (roots, provider) = (Arc::new(authorities(path)?), Arc::new(aws_lc_rs::default_provider()));
        let builder =
            || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let mut revoked = Vec::new();
        for (index, path) in self.crl_files.iter().enumerate() {
            let part = Part::Revoked(index);
            // Each for itself first, so that the fault is said of the right one.
            let usable = revocations(path, part).and_then(|lists| {
                let judged = builder().with_crls(lists.clone()).build();
                judged.map_err(|error| Fault::fatal(part, format!("{}: {error}", shown(path))))?;
                Ok(lists)
            });
            revoked.extend(keep(usable, faults).into_iter().flatten());
        }
        let verifier = builder().with_crls(revoked).build();
        let verifier =
            verifier.map_err(|error| Fault::fatal(Part::Authorities, format!("{}: {error}", shown(path))))?;
        Ok(Some(verifier))
    }
}

/// A listener's TLS, which may be reloaded while it is in use.
#[derive(Debug)]
pub struct Tls {
    settings: Settings,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// TLS as it was loaded from these settings.
    #[must_use]
    pub fn new(settings: Settings, loaded: Arc<ServerConfig>) -> Self {
        Self { settings, current: RwLock::new(loaded) }
    }

    /// What the table says.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the next connection gets.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all files again, and says what is wrong with them. With a fatal fault all stays as it was. Connections
    /// that are there already keep what they began with.
    pub fn reload(&self, now: SystemTime) -> Vec<Fault> {
        let (config, faults) = self.settings.load(now);
        if let Some(config) = config {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
        faults
    }
}

/// The value, or none and its fault among the others, unless that is said already.
fn keep<T>(result: Result<T, Fault>, faults: &mut Vec<Fault>) -> Option<T> {
    result
        .map_err(|fault| {
            if !faults.iter().any(|other| other.message == fault.message) {
                faults.push(fault);
            }
        })
        .ok()
}

/// The authorities in a PEM file.
pub(crate) fn authorities(path: &Path) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path, Part::Authorities)? {
        roots.add(authority).map_err(|error| {
            let message = format!("{}: a certificate is of no use: {error}", shown(path));
            Fault::fatal(Part::Authorities, message)
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path, part: Part) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let bytes = read(path, part)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    pem_items(all.map_err(|error| pem_fault(&error)), "certificate", path, part)
}

fn revocations(path: &Path, part: Part) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let bytes = read(path, part)?;
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    pem_items(all.map_err(|error| pem_fault(&error)), "list of revoked certificates", path, part)
}

fn pem_items<T>(read: Result<Vec<T>, String>, what: &str, path: &Path, part: Part) -> Result<Vec<T>, Fault> {
    match read {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(Fault {
            help: Some("the file has to be PEM, which begins with -----BEGIN".into()),
            ..Fault::fatal(part, format!("{}: there is no {what}", shown(path)))
        }),
        Err(error) => Err(Fault::fatal(part, format!("{}: this is no PEM: {error}", shown(path)))),
    }
}

/// What is wrong with a PEM file, in words: the library shows bytes as numbers.
fn pem_fault(error: &pem::Error) -> String {
    let text = |bytes: &[u8]| quoted(&String::from_utf8_lossy(bytes));
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            let name = String::from_utf8_lossy(end_marker);
            let name = name.trim_matches(|c| c == '-' || c == ' ');
            let name = name.strip_prefix("END").unwrap_or(name).trim();
            format!("the line -----END {}----- is missing", printable(name))
        }
        pem::Error::IllegalSectionStart { line } => format!("a section begins with {}", text(line)),
        pem::Error::Base64Decode(_) => {
            "what stands between its lines -----BEGIN and -----END is no base64".to_owned()
        }
        error => error.to_string(),
    }
}

/// All bytes of a file that is one, and not without end.
fn read(path: &Path, part: Part) -> Result<Vec<u8>, Fault> {
    let bytes = || {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 {
            ..=FILE_LIMIT => Ok(bytes),
            _ => Err(io::Error::other("it is larger than 16 MiB")),
        }
    };
    bytes().map_err(|error: io::Error| Fault::fatal(part, format!("{} can't be read: {error}", shown(path))))
}

fn has(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// Why a certificate is not valid now, if its times can be read and say so.
fn out_of_time(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let [begin, end] = [validity.not_before, validity.not_after].map(|at| UNIX_EPOCH + at.to_unix_duration());
    if now < begin {
        return Some(format!("is not valid before {}", humantime::format_rfc3339_seconds(begin)));
    }
    (end < now).then(|| format!("has expired, on {}", humantime::format_rfc3339_seconds(end)))
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}
