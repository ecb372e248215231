//! `[uplink.NAME.tls]`: TLS from the first byte on, towards the other server.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_rustls::rustls::pki_types::ServerName;

use super::diagnostic::{Faults, Severity};
use super::reader::Section;
use super::tls::{Named, file};
use crate::printable::quoted;
use crate::tls::{Fault, Part, Settings, authorities};

/// How the certificate of the other server is checked, and what ours is.
#[derive(Clone, Debug)]
pub struct UplinkTls {
    /// The only authorities that are trusted; the system's when unset.
    pub cacertfile: Option<PathBuf>,
    /// The name or address that the certificate must have.
    pub server_name: ServerName<'static>,
    /// The certificate that is shown if the other server asks for one.
    pub certificate: Option<ClientCertificate>,
}

/// A certificate of our own. The files are PEM.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate, and those of the authorities between it and a root.
    pub certfile: PathBuf,
    /// Its private key.
    pub keyfile: PathBuf,
}

/// Reads the `tls` table of an uplink to `host`, with all its files, relative to `base`.
pub(super) fn tls(
    uplink: &mut Section<'_, '_>,
    host: &ServerName<'static>,
    base: &Path,
    faults: &mut Faults,
) -> Option<UplinkTls> {
    let value = uplink.take("tls")?;
    let mut section = Section::of(uplink.name_of("tls"), value, faults)?;
    let mut server_name = host.clone();
    if let Some((text, value)) = section.string("server_name", faults) {
        match ServerName::try_from(text.to_owned()) {
            Ok(name) => server_name = name,
            Err(_) => {
                faults
                    .error(value.span(), format!("{} is no host name and no IP address", quoted(text)))
                    .help("the name in the certificate of the other server, as in \"xmpp.example.org\"");
            }
        }
    }
    let cacertfile = match file(&mut section, "cacertfile", base, faults) {
        Named::Path(path, place) => {
            if let Err(fault) = authorities(&path) {
                report(fault, place, faults);
            }
            Some(path)
        }
        _ => None,
    };
    let certificate = certificate(&mut section, base, faults);
    section.finish(&[], faults);
    Some(UplinkTls { cacertfile, server_name, certificate })
}

fn certificate(section: &mut Section<'_, '_>, base: &Path, faults: &mut Faults) -> Option<ClientCertificate> {
    let named = ["certfile", "keyfile"].map(|key| file(section, key, base, faults));
    let (certfile, certificate_place, keyfile, key_place) = match named {
        [Named::Path(certfile, one), Named::Path(keyfile, two)] => (certfile, one, keyfile, two),
        [Named::Path(_, place), Named::Unset] => {
            alone("certfile", "keyfile", place, faults);
            return None;
        }
        [Named::Unset, Named::Path(_, place)] => {
            alone("keyfile", "certfile", place, faults);
            return None;
        }
        _ => return None,
    };
    let settings = Settings::new(certfile.clone(), Some(keyfile.clone()));
    let mut found = Vec::new();
    settings.certified_key(SystemTime::now(), &mut found);
    for fault in found {
        let place = if fault.part == Part::Key { &key_place } else { &certificate_place };
        report(fault, place.clone(), faults);
    }
    Some(ClientCertificate { certfile, keyfile })
}

fn alone(key: &str, other: &str, place: Range<usize>, faults: &mut Faults) {
    faults
        .error(place, format!("`{key}` without `{other}`: a client certificate needs both"))
        .of_absence()
        .help(format!("add `{other}`, the same file if it holds both; or take `{key}` out"));
}

fn report(fault: Fault, place: Range<usize>, faults: &mut Faults) {
    let severity = if fault.is_fatal { Severity::Error } else { Severity::Warning };
    faults.push(severity, place, fault.message).help_if(fault.help);
}
