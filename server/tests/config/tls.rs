//! `tls` and `proxy_protocol` of a listener: one test for each key, with a good value and with bad ones at their places.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use enjamb_server::config::load_file;
use enjamb_server::tls::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    SerialNumber, date_time_ymd,
};

use crate::{SECRET, faults, file_with, listener, one_fault, refused};

/// Writes a file that only its owner may read.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A directory with what a `tls` table may name: `cert.pem` and `key.pem`, which belong together, and so on.
static FILES: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates");
    fs::create_dir_all(&dir).unwrap();
    let key = KeyPair::generate().unwrap();
    let write = |name: &str, text: &str| write(&dir.join(name), text);
    let signed = |from: i32, to: i32| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params.self_signed(&key).unwrap().pem()
    };
    write("cert.pem", &signed(2020, 2120));
    write("expired.pem", &signed(2019, 2020));
    write("future.pem", &signed(2119, 2120));
    write("key.pem", &key.serialize_pem());
    write("both.pem", &(signed(2020, 2120) + &key.serialize_pem()));
    write("other-key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let is_encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write("encrypted.pem", is_encrypted);
    write("garbage.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    write("broken.pem", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n");
    write("empty.pem", "");
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    write("ca.pem", &authority.self_signed(&authority_key).unwrap().pem());
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2120, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    write("crl.pem", &list.signed_by(&Issuer::new(authority, authority_key)).unwrap().pem().unwrap());
    write("garbage.crl", "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n");
    dir
});

fn at(name: &str) -> String {
    FILES.join(name).display().to_string()
}

/// A table that nothing is to be said about, with more lines in it: they begin at line 11, column 1.
fn table(more: &str) -> String {
    format!(
        "[listen.service.tls]\nmode = 'tls'\ncertfile = '{}'\nkeyfile = '{}'\nverify_mode = 'none'\n{more}",
        at("cert.pem"),
        at("key.pem")
    )
}

/// The same for those who need a certificate.
fn peers(more: &str) -> String {
    table(&format!("cacertfile = '{}'\n{more}", at("ca.pem"))).replace("verify_mode = 'none'\n", "")
}

fn tls(lines: &str) -> std::sync::Arc<Tls> {
    listener(lines).tls.unwrap()
}

fn versions(tls: &Tls) -> Vec<String> {
    tls.settings().versions.iter().map(|version| format!("{:?}", version.version)).collect()
}

#[test]
fn without_a_table_there_is_none() {
    assert!(listener("").tls.is_none());
    assert!(tls(&table("")).settings().cacertfile.is_none());
    refused("tls = true", "6:7: error: `listen.service.tls` must be a table, and this is a boolean");
}

#[test]
fn certfile_and_keyfile() {
    let inline = format!("tls = {{certfile = '{}', verify_mode = 'none'}}", at("both.pem"));
    assert_eq!(tls(&inline).settings().certfile, FILES.join("both.pem"));
    refused(
        "tls.verify_mode = 'none'",
        "6:1: error: `listen.service.tls` has no `certfile`, which is mandatory \
         (the path of a PEM file with the server's certificate)",
    );
    let one = |certfile: &str, keyfile: &str| {
        format!(
            "tls.verify_mode = 'none'\ntls.certfile = '{}'\ntls.keyfile = '{}'",
            at(certfile),
            at(keyfile)
        )
    };
    let missing = at("missing.pem");
    let gone = format!("{missing} can't be read: No such file or directory (os error 2)");
    refused(&one("missing.pem", "key.pem"), &format!("7:16: error: {gone}"));
    refused(&one("cert.pem", "missing.pem"), &format!("8:15: error: {gone}"));
    refused(&one("cert.pem", ""), &format!("8:15: error: {}/ can't be read: it is no file", FILES.display()));
    let help = "(the file has to be PEM, which begins with -----BEGIN)";
    refused(
        &one("empty.pem", "key.pem"),
        &format!("7:16: error: {}: there is no certificate {help}", at("empty.pem")),
    );
    refused(
        &one("cert.pem", "ca.pem"),
        &format!(
            "8:15: error: {}: there is no private key \
             (it begins with -----BEGIN PRIVATE KEY-----, or RSA or EC PRIVATE KEY)",
            at("ca.pem")
        ),
    );
    refused(
        &one("cert.pem", "other-key.pem"),
        &format!(
            "8:15: error: the key in {} is not the key of the first certificate in {} \
             (a chain begins with the certificate of the key)",
            at("other-key.pem"),
            at("cert.pem")
        ),
    );
    let found = faults(&file_with(&one("garbage.pem", "key.pem")));
    assert!(found[0].starts_with("enjamb.toml:7:16: error: "), "{found:?}");
    assert!(found[0].contains("garbage.pem: the certificate is of no use: "), "{found:?}");
    let found = faults(&file_with(&one("broken.pem", "key.pem")));
    assert!(found[0].contains(":7:16: error: ") && found[0].contains("this is no PEM"), "{found:?}");
    refused(
        "tls = {certfile = 5, verify_mode = 'none'}",
        "6:19: error: `certfile` must be a string, and this is an integer",
    );
    refused(
        "tls = {certfile = '', verify_mode = 'none'}",
        "6:19: error: `certfile` is no path (the path of a PEM file)",
    );
    let alone = format!("tls.verify_mode = 'none'\ntls.certfile = '{}'", at("cert.pem"));
    refused(
        &alone,
        &format!(
            "7:16: error: {}: there is no private key \
             (it begins with -----BEGIN PRIVATE KEY-----, or RSA or EC PRIVATE KEY)",
            at("cert.pem")
        ),
    );
}

#[test]
fn a_certificate_out_of_time_is_warned_of() {
    for (name, says) in [
        ("expired.pem", "has expired, on 2020-01-01T00:00:00Z"),
        ("future.pem", "is not valid before 2119-01-01T00:00:00Z"),
    ] {
        refused(
            &table("").replace("cert.pem", name),
            &format!(
                "8:12: warning: the certificate in {} {says} (peers that check it will refuse it)",
                at(name)
            ),
        );
    }
}

#[test]
fn relative_paths_begin_at_the_file() {
    let path = FILES.join("relative.toml");
    write(&path, &file_with("tls = {certfile = 'cert.pem', keyfile = './key.pem', verify_mode = 'none'}"));
    let loaded = load_file(&path).unwrap();
    assert_eq!(loaded.render(false), "");
    assert_eq!(
        loaded.config.unwrap().listeners[0].tls.as_ref().unwrap().settings().certfile,
        FILES.join("cert.pem")
    );
}

#[test]
fn check_reads_the_files_too() {
    let outcome = |certfile: &str| {
        let path = FILES.join("checked.toml");
        let table = format!("tls = {{certfile = '{certfile}', keyfile = 'key.pem', verify_mode = 'none'}}");
        fs::write(&path, file_with(&table)).unwrap();
        format!("{:?}", enjamb_server::check::run(&path))
    };
    assert_eq!(outcome("cert.pem"), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(outcome("expired.pem"), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(outcome("missing.pem"), format!("{:?}", ExitCode::FAILURE));
}

#[test]
fn mode() {
    let expected = |mode| {
        format!(
            "7:8: error: components can't do `{mode}`: XEP-0114 has no STARTTLS \
             (mode = \"tls\", the default here: TLS from the first byte on)"
        )
    };
    for mode in ["starttls", "starttls_required"] {
        refused(&table("").replace("'tls'", &format!("'{mode}'")), &expected(mode));
    }
    let with = |mode: &str| table("").replace("'tls'", mode);
    refused(&with("'tsl'"), "7:8: error: unknown mode `tsl` (did you mean `tls`?)");
    refused(&with("'ssh'"), "7:8: error: unknown mode `ssh` (\"tls\" is the only one)");
    refused(&with("1"), "7:8: error: `mode` must be a string, and this is an integer");
}

#[test]
fn verify_mode_is_peer_unless_set() {
    assert_eq!(tls(&peers("")).settings().cacertfile, Some(FILES.join("ca.pem")));
    assert_eq!(tls(&peers("verify_mode = 'peer'")).settings().cacertfile, Some(FILES.join("ca.pem")));
    let without = "error: verify_mode \"peer\", the default, needs `cacertfile`: whose certificates components \
                   have (add it; or verify_mode = \"none\", and the secret alone tells who may connect)";
    refused(&table("").replace("verify_mode = 'none'", ""), &format!("6:1: {without}"));
    refused(&table("").replace("'none'", "'peer'"), &format!("10:15: {without}"));
    refused(
        &table("").replace("'none'", "'selfsigned_peer'"),
        "10:15: error: verify_mode `selfsigned_peer` is not supported: anybody can sign his own certificate \
         (\"peer\" with `cacertfile`; or \"none\", and the secret alone tells who may connect)",
    );
    refused(
        &table("").replace("'none'", "'pear'"),
        "10:15: error: unknown verify_mode `pear` (did you mean `peer`?)",
    );
    refused(
        &table("").replace("'none'", "'all'"),
        "10:15: error: unknown verify_mode `all` (\"peer\" or \"none\")",
    );
    refused(
        &table("verify_mode_ = 1"),
        "11:1: error: unknown key `verify_mode_` in `listen.service.tls` (did you mean `verify_mode`?)",
    );
}

#[test]
fn cacertfile() {
    let with = |name: &str| peers("").replace("/ca.pem", &format!("/{name}"));
    refused(
        &with("key.pem"),
        &format!(
            "10:14: error: {}: there is no certificate (the file has to be PEM, which begins with -----BEGIN)",
            at("key.pem")
        ),
    );
    let found = faults(&file_with(&with("garbage.pem")));
    assert!(
        found[0].contains(":10:14: error: ") && found[0].contains("a certificate is of no use"),
        "{found:?}"
    );
    refused(
        &table(&format!("cacertfile = '{}'", at("missing.pem"))),
        "11:14: warning: `cacertfile` has no effect with verify_mode = \"none\" \
         (components are asked for no certificate)",
    );
}

#[test]
fn crl_files() {
    let with = |name: &str| peers(&format!("crl_files = ['{}', '{}']", at("crl.pem"), at(name)));
    assert_eq!(tls(&with("crl.pem")).settings().crl_files.len(), 2);
    let column = at("crl.pem").len() + 18;
    let found = faults(&file_with(&with("garbage.crl")));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(&format!("enjamb.toml:11:{column}: error: {}: ", at("garbage.crl"))),
        "{found:?}"
    );
    refused(
        &with("ca.pem"),
        &format!(
            "11:{column}: error: {}: there is no list of revoked certificates \
             (the file has to be PEM, which begins with -----BEGIN)",
            at("ca.pem")
        ),
    );
    refused(&peers("crl_files = 'a'"), "11:13: error: `crl_files` must be an array, and this is a string");
    refused(
        &table("crl_files = []"),
        "11:13: warning: `crl_files` has no effect with verify_mode = \"none\" \
         (components are asked for no certificate)",
    );
}

#[test]
fn disconnect_on_failure() {
    tls(&peers("disconnect_on_failure = true"));
    tls(&table("disconnect_on_failure = false"));
    refused(
        &peers("disconnect_on_failure = false"),
        "11:25: error: `disconnect_on_failure` = false would let in whom `verify_mode` refuses \
         (take it out; or verify_mode = \"none\", if components need no certificate)",
    );
    refused(
        &peers("disconnect_on_failure = 0"),
        "11:25: error: `disconnect_on_failure` must be a boolean (true or false), and this is an integer",
    );
}

#[test]
fn an_encrypted_key_is_refused_and_its_password_is_of_no_use() {
    let path = at("encrypted.pem");
    refused(
        &table("").replace("/key.pem", "/encrypted.pem"),
        &format!(
            "9:11: error: {path}: the private key is encrypted, and such keys are not read \
             (decrypt it: openssl pkey -in {path} -out FILE, mode 0600)"
        ),
    );
    let warning = "11:12: warning: the key's `password` has no effect: encrypted keys are not read (decrypt the \
                   key, and let nobody else read its file; beside the key a password guards nothing)";
    refused(&table("password = 'Tr0ub4dor'"), warning);
    refused(&table("password = 5"), "11:12: error: `password` must be a string, and this is an integer");
}

#[test]
fn versions_are_those_that_are_not_broken() {
    assert_eq!(versions(&tls(&table(""))), ["TLSv1_3", "TLSv1_2"]);
    assert_eq!(versions(&tls(&table("versions = ['tlsv1.2', 'tlsv1.3']"))), ["TLSv1_3", "TLSv1_2"]);
    assert_eq!(versions(&tls(&table("versions = ['tlsv1.3']"))), ["TLSv1_3"]);
    assert_eq!(versions(&tls(&table("versions = ['tlsv1.2']"))), ["TLSv1_2"]);
    let old =
        |name| format!("warning: `{name}` is not offered: it is broken (TLS 1.2 and 1.3 are (RFC 8996))");
    refused(&table("versions = ['tlsv1.1', 'tlsv1.2']"), &format!("11:13: {}", old("tlsv1.1")));
    let none = "11:12: error: no TLS version is left (\"tlsv1.2\", \"tlsv1.3\", or both, the default)";
    refused(&table("versions = []"), none);
    assert_eq!(
        faults(&file_with(&table("versions = ['tlsv1']"))),
        [format!("enjamb.toml:{none}"), format!("enjamb.toml:11:13: {}", old("tlsv1"))]
    );
    refused(
        &table("versions = ['tlsv1.4']"),
        "11:13: error: unknown TLS version `tlsv1.4` (did you mean `tlsv1.2`?)",
    );
    refused(
        &table("versions = ['1']"),
        "11:13: error: unknown TLS version `1` (\"tlsv1.2\" and \"tlsv1.3\" are offered)",
    );
    refused(
        &table("versions = 'tlsv1.3'"),
        "11:12: error: `versions` must be an array, and this is a string",
    );
}

#[test]
fn protocol_options() {
    let old = "protocol_options = ['no_sslv2', 'no_sslv3', 'no_tlsv1', 'no_tlsv1_1']";
    assert_eq!(versions(&tls(&table(old))), ["TLSv1_3", "TLSv1_2"]);
    assert_eq!(versions(&tls(&table("protocol_options = ['no_tlsv1_2']"))), ["TLSv1_3"]);
    refused(
        &table("protocol_options = ['no_tlsv1_2', 'no_tlsv1_3']"),
        "11:35: error: no TLS version is left (\"tlsv1.2\", \"tlsv1.3\", or both, the default)",
    );
    refused(
        &table("protocol_options = ['cipher_server_preference']"),
        "11:21: warning: `cipher_server_preference` is an option of OpenSSL; passed over",
    );
    refused(
        &table("protocol_options = 'no_sslv3'"),
        "11:20: error: `protocol_options` must be an array, and this is a string",
    );
}

#[test]
fn ciphers() {
    let suites = |lines: &str| {
        let tls = tls(&table(lines));
        tls.settings().suites.iter().map(|suite| format!("{:?}", suite.suite())).collect::<Vec<_>>()
    };
    assert_eq!(suites("").len(), 9);
    assert_eq!(
        suites("ciphers = 'ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256'"),
        ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS13_AES_128_GCM_SHA256"]
    );
    assert_eq!(
        suites("ciphers = 'ECDHE-ECDSA-CHACHA20-POLY1305:TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'"),
        ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
    );
    assert_eq!(suites("ciphers = 'TLSv1.2:TLSv1.3'").len(), 9);
    refused(
        &table("ciphers = 'DHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384'"),
        "11:11: warning: suites in `ciphers` that are not offered here: `DHE-RSA-AES256-GCM-SHA384`",
    );
    for entry in ["HIGH", "!aNULL", "-RC4", "@STRENGTH"] {
        refused(
            &table(&format!("ciphers = 'TLSv1.3:{entry}'")),
            &format!(
                "11:11: error: `{entry}` in `ciphers` is no cipher suite \
                 (name each suite, as in \"ECDHE-RSA-AES256-GCM-SHA384\"; groups and exclusions are not read)"
            ),
        );
    }
    refused(
        &table("versions = ['tlsv1.3']\nciphers = 'ECDHE-RSA-AES256-GCM-SHA384'"),
        "12:11: error: `ciphers` leaves no cipher suite for the TLS versions that are offered \
         (there are: TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256)",
    );
    refused(&table("ciphers = ['a']"), "11:11: error: `ciphers` must be a string, and this is an array");
}

#[test]
fn what_needs_no_saying_here_is_passed_over() {
    refused(
        &table(
            "dhfile = 'dh.pem'\nmodule = 'just_tls'\nkeep_secrets = false\nearly_data = false\nsession_tickets = 'stateless'",
        ),
        "6:1: warning: keys of `listen.service.tls` that Enjamb does not have are passed over: \
         dhfile, early_data, keep_secrets, module, session_tickets",
    );
}

#[test]
fn all_faults_of_a_table_are_reported_at_once() {
    let text = format!(
        "[general]\nhosts = ['a']\n[[listen.component]]\nport = 1\npassword = '{SECRET}'\n[listen.component.tls]\n\
         certfile = 'no.pem'\nkeyfile = 'no.key'\ncacertfile = 'no.ca'\ncrl_files = ['no.crl']\nmode = 'starttls'\n\
         versions = ['tlsv3']\nciphers = 'ALL'\nverify_mode = 5\nx = 1\n"
    );
    let found = faults(&text);
    let places: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [7, 8, 9, 11, 12, 13, 14, 15].map(|line| match line {
            7 | 13 => format!("enjamb.toml:{line}:1{}", if line == 7 { 2 } else { 1 }),
            8 => "enjamb.toml:8:11".to_owned(),
            9 => "enjamb.toml:9:14".to_owned(),
            11 => "enjamb.toml:11:8".to_owned(),
            12 => "enjamb.toml:12:13".to_owned(),
            14 => "enjamb.toml:14:15".to_owned(),
            _ => "enjamb.toml:15:1".to_owned(),
        }),
        "{found:#?}"
    );
}

#[test]
fn a_pair_that_became_bad_leaves_the_old_one() {
    let dir = FILES.join("reload");
    fs::create_dir_all(&dir).unwrap();
    let copy = |from: &str, to: &str| assert!(fs::copy(FILES.join(from), dir.join(to)).unwrap() > 0);
    copy("cert.pem", "cert.pem");
    copy("key.pem", "key.pem");
    let paths = format!(
        "tls = {{certfile = '{0}/cert.pem', keyfile = '{0}/key.pem', verify_mode = 'none'}}",
        dir.display()
    );
    let tls = tls(&paths);
    let first = tls.current();
    copy("other-key.pem", "key.pem");
    let found = tls.reload(std::time::SystemTime::now());
    assert!(
        found.iter().any(|fault| fault.is_fatal && fault.message.contains("is not the key of")),
        "{found:?}"
    );
    assert!(std::sync::Arc::ptr_eq(&first, &tls.current()));
    copy("key.pem", "key.pem");
    assert!(tls.reload(std::time::SystemTime::now()).is_empty());
    assert!(!std::sync::Arc::ptr_eq(&first, &tls.current()));
}

#[test]
fn proxy_protocol() {
    assert!(!listener("").proxy_protocol);
    assert!(!listener("proxy_protocol = false").proxy_protocol);
    assert!(listener("proxy_protocol = true").proxy_protocol);
    one_fault(
        &file_with("proxy_protocol = 1"),
        "enjamb.toml:6:18: error: `proxy_protocol` must be a boolean (true or false), and this is an integer",
    );
}
