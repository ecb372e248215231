//! `tls` of a listener: MongooseIM's keys, and the files that they name.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use super::diagnostic::{Faults, Severity};
use super::reader::{Section, Value, array, string};
use crate::nearest::did_you_mean;
use crate::printable::quoted;
use crate::tls::{Part, Settings, Tls};

/// MongooseIM's keys for what is as it should be here without being told: no Diffie-Hellman over finite fields, no
/// 0-RTT, tickets that resume a session, one TLS library, no log of session keys.
const PASSED_OVER: [&str; 5] = ["dhfile", "early_data", "keep_secrets", "module", "session_tickets"];

/// Reads a listener's `tls` table with all its files, relative to `base`.
pub(super) fn tls(listener: &mut Section<'_, '_>, base: &Path, faults: &mut Faults) -> Option<Arc<Tls>> {
    let value = listener.take("tls")?;
    let mut section = Section::of(listener.name_of("tls"), value, faults)?;
    mode(&mut section, faults);
    let mut places = vec![(Part::Certificate, section.span())];
    let certfile = match file(&mut section, "certfile", base, faults) {
        Named::Unset => {
            section.missing("certfile", "the path of a PEM file with the server's certificate", faults);
            None
        }
        Named::Refused => None,
        Named::Path(path, span) => {
            places[0].1.clone_from(&span);
            Some(path)
        }
    };
    let keyfile = match file(&mut section, "keyfile", base, faults) {
        Named::Path(path, span) => {
            places.push((Part::Key, span));
            Some(path)
        }
        _ => None,
    };
    // Without a file of its own the key is in the certificate's. Of two places the first counts.
    places.push((Part::Key, places[0].1.clone()));
    let clients = clients(&mut section, base, &mut places, faults);
    key_password(&mut section, faults);
    let is_named = certfile.is_some();
    let mut settings = Settings::new(certfile.unwrap_or_default(), keyfile);
    (settings.cacertfile, settings.crl_files) = clients;
    let offered = versions(&mut section, faults);
    settings.suites = suites(&mut section, &offered, faults).unwrap_or(settings.suites);
    settings.versions = offered;
    section.finish(&PASSED_OVER, faults);
    let (config, found) = settings.load(SystemTime::now());
    for fault in found.into_iter().filter(|fault| is_named || fault.part != Part::Certificate) {
        let severity = if fault.is_fatal { Severity::Error } else { Severity::Warning };
        let place = places.iter().find(|(part, _)| *part == fault.part);
        let span = place.map_or_else(|| value.span(), |(_, span)| span.clone());
        let found = faults.push(severity, span, fault.message).help_if(fault.help);
        if fault.part == Part::Key && settings.keyfile.is_none() {
            // `keyfile` may stand where a broken file can't be read.
            found.of_absence();
        }
    }
    config.map(|config| Arc::new(Tls::new(settings, config)))
}

fn mode(section: &mut Section<'_, '_>, faults: &mut Faults) {
    let Some((text, value)) = section.string("mode", faults) else { return };
    match text {
        "tls" => {}
        "starttls" | "starttls_required" => {
            faults
                .error(
                    value.span(),
                    format!("components can't do {}: XEP-0114 has no STARTTLS", quoted(text)),
                )
                .help("mode = \"tls\", the default here: TLS from the first byte on");
        }
        _ => {
            let help = did_you_mean(text, ["tls"]).unwrap_or_else(|| "\"tls\" is the only one".into());
            faults.error(value.span(), format!("unknown mode {}", quoted(text))).help(help);
        }
    }
}

/// The path that a key names, if it does.
pub(super) enum Named {
    Unset,
    Refused,
    Path(PathBuf, Range<usize>),
}

pub(super) fn file(
    section: &mut Section<'_, '_>,
    key: &'static str,
    base: &Path,
    faults: &mut Faults,
) -> Named {
    let Some(value) = section.take(key) else { return Named::Unset };
    match path(value, key, base, faults) {
        Some(path) => Named::Path(path, value.span()),
        None => Named::Refused,
    }
}

fn path(value: &Value<'_>, key: &str, base: &Path, faults: &mut Faults) -> Option<PathBuf> {
    let text = string(value, key, faults)?;
    if text.is_empty() || text.contains('\0') {
        faults.error(value.span(), format!("`{key}` is no path")).help("the path of a PEM file");
        return None;
    }
    Some(base.join(text))
}

/// Whose certificates components need, and which of those are revoked.
fn clients(
    section: &mut Section<'_, '_>,
    base: &Path,
    places: &mut Vec<(Part, Range<usize>)>,
    faults: &mut Faults,
) -> (Option<PathBuf>, Vec<PathBuf>) {
    let authorities = file(section, "cacertfile", base, faults);
    let mut revoked = Vec::new();
    if let Some(items) = section.take("crl_files").and_then(|value| array(value, "crl_files", faults)) {
        for item in items {
            if let Some(path) = path(item, "crl_files", base, faults) {
                places.push((Part::Revoked(revoked.len()), item.span()));
                revoked.push(path);
            }
        }
    }
    let wanted = verify_mode(section, faults);
    let strict = section.boolean("disconnect_on_failure", true, faults);
    if !wanted {
        for key in ["cacertfile", "crl_files"] {
            if let Some(value) = section.take(key) {
                let message = format!("`{key}` has no effect with verify_mode = \"none\"");
                faults.warning(value.span(), message).help("components are asked for no certificate");
            }
        }
        return (None, Vec::new());
    }
    if !strict && let Some(value) = section.take("disconnect_on_failure") {
        faults
            .error(value.span(), "`disconnect_on_failure` = false would let in whom `verify_mode` refuses")
            .help("take it out; or verify_mode = \"none\", if components need no certificate");
    }
    match authorities {
        Named::Path(path, span) => {
            places.push((Part::Authorities, span));
            (Some(path), revoked)
        }
        Named::Refused => (None, Vec::new()),
        Named::Unset => {
            let place = section.take("verify_mode").map_or_else(|| section.span(), |value| value.span());
            faults
                .error(
                    place,
                    "verify_mode \"peer\", the default, needs `cacertfile`: whose certificates components have",
                )
                .of_absence()
                .help("add it; or verify_mode = \"none\", and the secret alone tells who may connect");
            (None, Vec::new())
        }
    }
}

/// Whether components need a certificate. What is refused counts as asked for, so that nothing is said twice.
fn verify_mode(section: &mut Section<'_, '_>, faults: &mut Faults) -> bool {
    let Some((text, value)) = section.string("verify_mode", faults) else { return true };
    match text {
        "peer" => return true,
        "none" => {}
        "selfsigned_peer" => {
            faults
                .error(
                    value.span(),
                    "verify_mode `selfsigned_peer` is not supported: anybody can sign his own certificate",
                )
                .help("\"peer\" with `cacertfile`; or \"none\", and the secret alone tells who may connect");
        }
        _ => {
            let help =
                did_you_mean(text, ["peer", "none"]).unwrap_or_else(|| "\"peer\" or \"none\"".to_owned());
            faults.error(value.span(), format!("unknown verify_mode {}", quoted(text))).help(help);
        }
    }
    false
}

fn key_password(section: &mut Section<'_, '_>, faults: &mut Faults) {
    if let Some(value) = section.take("password")
        && string(value, "password", faults).is_some()
    {
        faults.warning(value.span(), "the key's `password` has no effect: encrypted keys are not read").help(
            "decrypt the key, and let nobody else read its file; beside the key a password guards nothing",
        );
    }
}

const OFFERED: [(&str, &SupportedProtocolVersion); 2] =
    [("tlsv1.3", &version::TLS13), ("tlsv1.2", &version::TLS12)];

/// The versions that `versions` names and `protocol_options` does not switch off; both where all is refused.
fn versions(section: &mut Section<'_, '_>, faults: &mut Faults) -> Vec<&'static SupportedProtocolVersion> {
    const OLD: [&str; 4] = ["sslv2", "sslv3", "tlsv1", "tlsv1.1"];
    let mut on = [true; 2];
    let mut place = None;
    if let Some(value) = section.take("versions")
        && let Some(items) = array(value, "versions", faults)
    {
        on = [false; 2];
        place = Some(value.span());
        for item in items {
            let Some(text) = string(item, "versions", faults) else { continue };
            if let Some(index) = OFFERED.iter().position(|(name, _)| *name == text) {
                on[index] = true;
            } else if OLD.contains(&text) {
                faults
                    .warning(item.span(), format!("{} is not offered: it is broken", quoted(text)))
                    .help("TLS 1.2 and 1.3 are (RFC 8996)");
            } else {
                let help = did_you_mean(text, ["tlsv1.2", "tlsv1.3"])
                    .unwrap_or_else(|| "\"tlsv1.2\" and \"tlsv1.3\" are offered".to_owned());
                faults.error(item.span(), format!("unknown TLS version {}", quoted(text))).help(help);
                on = [true; 2];
            }
        }
    }
    if let Some(value) = section.take("protocol_options") {
        for item in array(value, "protocol_options", faults).unwrap_or_default() {
            match string(item, "protocol_options", faults) {
                Some("no_tlsv1_3") => on[0] = false,
                Some("no_tlsv1_2") => on[1] = false,
                Some("no_sslv2" | "no_sslv3" | "no_tlsv1" | "no_tlsv1_1" | "no_compression") | None => {
                    continue;
                }
                Some(text) => {
                    faults.warning(
                        item.span(),
                        format!("{} is an option of OpenSSL; passed over", quoted(text)),
                    );
                    continue;
                }
            }
            place = Some(item.span());
        }
    }
    if on == [false; 2] {
        let place = place.unwrap_or_else(|| section.span());
        faults.error(place, "no TLS version is left").help("\"tlsv1.2\", \"tlsv1.3\", or both, the default");
        on = [true; 2];
    }
    OFFERED.iter().zip(on).filter(|(_, on)| *on).map(|((_, version), _)| *version).collect()
}

/// The cipher suites that `ciphers` names, in its order: it is what is offered, and nothing else is.
fn suites(
    section: &mut Section<'_, '_>,
    versions: &[&'static SupportedProtocolVersion],
    faults: &mut Faults,
) -> Option<Vec<SupportedCipherSuite>> {
    let (text, value) = section.string("ciphers", faults)?;
    let all = tokio_rustls::rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut strange = Vec::new();
    for entry in text.split([':', ',', ' ']).filter(|entry| !entry.is_empty()) {
        let named = |suite: &&SupportedCipherSuite| match entry {
            "TLSv1.2" => suite.tls13().is_none(),
            "TLSv1.3" => suite.tls13().is_some(),
            _ => openssl_name(suite) == entry || standard_name(suite) == entry,
        };
        let found: Vec<_> = all.iter().filter(named).copied().collect();
        if !found.is_empty() {
            chosen.extend(found);
        } else if entry.starts_with(|first: char| first.is_ascii_alphanumeric()) && entry.contains(['-', '_'])
        {
            strange.push(entry);
        } else {
            faults.error(value.span(), format!("{} in `ciphers` is no cipher suite", quoted(entry))).help(
                "name each suite, as in \"ECDHE-RSA-AES256-GCM-SHA384\"; groups and exclusions are not read",
            );
            return None;
        }
    }
    if !strange.is_empty() {
        let strange = quoted(&strange.join(":"));
        faults.warning(value.span(), format!("suites in `ciphers` that are not offered here: {strange}"));
    }
    if !chosen.iter().any(|suite| versions.contains(&suite.version())) {
        let names: Vec<_> =
            all.iter().filter(|suite| versions.contains(&suite.version())).map(openssl_name).collect();
        faults
            .error(value.span(), "`ciphers` leaves no cipher suite for the TLS versions that are offered")
            .help(format!("there are: {}", names.join(":")));
        return None;
    }
    Some(chosen)
}

/// A suite's name in OpenSSL: of TLS 1.3 the standard's own, of TLS 1.2 a shorter one.
fn openssl_name(suite: &SupportedCipherSuite) -> String {
    let name = standard_name(suite);
    if suite.tls13().is_some() {
        return name;
    }
    name.trim_start_matches("TLS_")
        .replace("_WITH", "")
        .replace("AES_128", "AES128")
        .replace("AES_256", "AES256")
        .replace("POLY1305_SHA256", "POLY1305")
        .replace('_', "-")
}

fn standard_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}
