//! `[uplink.NAME.tls]`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::uplinks::uplink_file;
use crate::{clean, one_fault};

/// Files that a `tls` table may name, in a directory of their own.
fn certificates() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uplink-certificates");
    fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, text: &str, mode| {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["irc.example.org".to_owned()]).unwrap();
    let valid = params.self_signed(&key).unwrap().pem();
    write("cert.pem", &valid, 0o600);
    write("both.pem", &(valid + &key.serialize_pem()), 0o600);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    write("expired.pem", &params.self_signed(&key).unwrap().pem(), 0o600);
    write("key.pem", &key.serialize_pem(), 0o600);
    write("open-key.pem", &key.serialize_pem(), 0o644);
    write("other-key.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem(), 0o600);
    write("empty.pem", "", 0o600);
    dir
}

/// A `tls` table with these lines, from line 12 on.
fn tls_file(lines: &str) -> String {
    uplink_file(&format!("\n[uplink.prosody.tls]\n{lines}"))
}

#[test]
fn each_key_of_tls_is_read() {
    let tls = |text: &str| clean(text).uplinks.remove(0).tls.unwrap();
    let usual = tls(&tls_file(""));
    assert_eq!(usual.server_name.to_str(), "127.0.0.1");
    assert!(usual.cacertfile.is_none() && usual.certificate.is_none());
    let named = tls(&uplink_file("address = 'xmpp.example.org:5347'\ntls = {}"));
    assert_eq!(named.server_name.to_str(), "xmpp.example.org");
    let bracketed = tls(&uplink_file("address = '[::1]:5347'\ntls = {}"));
    assert_eq!(bracketed.server_name.to_str(), "::1");
    assert_eq!(tls(&tls_file("server_name = 'a.example'")).server_name.to_str(), "a.example");
    let dir = certificates();
    let at = |name: &str| dir.join(name).display().to_string();
    let lines = format!(
        "cacertfile = '{}'\ncertfile = '{}'\nkeyfile = '{}'",
        at("cert.pem"),
        at("cert.pem"),
        at("key.pem")
    );
    let all = tls(&tls_file(&lines));
    assert_eq!(all.cacertfile.unwrap(), dir.join("cert.pem"));
    let own = all.certificate.unwrap();
    assert_eq!((own.certfile, own.keyfile), (dir.join("cert.pem"), dir.join("key.pem")));
    let both = format!("certfile = '{}'\nkeyfile = '{}'", at("both.pem"), at("both.pem"));
    assert!(tls(&tls_file(&both)).certificate.is_some());
}

#[test]
fn each_fault_of_tls_is_found() {
    let dir = certificates();
    let at = |name: &str| dir.join(name).display().to_string();
    let refused =
        |lines: &str, expected: &str| one_fault(&tls_file(lines), &format!("enjamb.toml:{expected}"));
    one_fault(
        &uplink_file("tls = true"),
        "enjamb.toml:10:7: error: `uplink.prosody.tls` must be a table, and this is a boolean",
    );
    refused(
        "server_name = 'a b'",
        "13:15: error: `a b` is no host name and no IP address \
         (the name in the certificate of the other server, as in \"xmpp.example.org\")",
    );
    refused(
        "cacert = 'x'",
        "13:1: error: unknown key `cacert` in `uplink.prosody.tls` (known here: cacertfile, certfile, keyfile, server_name)",
    );
    let gone =
        |name: &str| format!("error: {} can't be read: No such file or directory (os error 2)", at(name));
    refused(&format!("cacertfile = '{}'", at("gone.pem")), &format!("13:14: {}", gone("gone.pem")));
    refused(
        &format!("cacertfile = '{}'", at("empty.pem")),
        &format!(
            "13:14: error: {}: there is no certificate (the file has to be PEM, which begins with -----BEGIN)",
            at("empty.pem")
        ),
    );
    refused("cacertfile = ''", "13:14: error: `cacertfile` is no path (the path of a PEM file)");
    let pair =
        |certfile: &str, keyfile: &str| format!("certfile = '{}'\nkeyfile = '{}'", at(certfile), at(keyfile));
    refused(&pair("gone.pem", "key.pem"), &format!("13:12: {}", gone("gone.pem")));
    refused(&pair("cert.pem", "gone.pem"), &format!("14:11: {}", gone("gone.pem")));
    refused(
        &pair("cert.pem", "other-key.pem"),
        &format!(
            "14:11: error: the key in {} is not the key of the first certificate in {} \
             (a chain begins with the certificate of the key)",
            at("other-key.pem"),
            at("cert.pem")
        ),
    );
    refused(
        &pair("expired.pem", "key.pem"),
        &format!(
            "13:12: warning: the certificate in {} has expired, on 2020-01-01T00:00:00Z (peers that check it will refuse it)",
            at("expired.pem")
        ),
    );
    refused(
        &pair("cert.pem", "open-key.pem"),
        &format!(
            "14:11: warning: {} has mode 0644: every user may read it, and it holds a private key (chmod 0640, or 0600)",
            at("open-key.pem")
        ),
    );
    for (key, other, column) in [("certfile", "keyfile", 12), ("keyfile", "certfile", 11)] {
        refused(
            &format!("{key} = '{}'", at("both.pem")),
            &format!(
                "13:{column}: error: `{key}` without `{other}`: a client certificate needs both \
                 (add `{other}`, the same file if it holds both; or take `{key}` out)"
            ),
        );
    }
}
