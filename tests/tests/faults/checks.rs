//! 6 and 7: what `check` and `serve` say of a file, with the same words.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use enjamb_tests::peer::{Peer, refused};
use enjamb_tests::server::Config;

use crate::program::{Dir, certificate, check, enjamb, output};

const SECRET: &str = "9Zu4hWq7TnPz3kLs";
const GENERAL: &str = "[general]\nhosts = [\"a.example\"]\n";

fn listener(port: u16, lines: &str) -> String {
    format!("[[listen.service]]\nport = {port}\n{lines}\n")
}

fn with_secret(port: u16, lines: &str) -> String {
    listener(port, &format!("password = \"{SECRET}\"\n{lines}"))
}

#[test]
fn fault_06_an_undefined_acl_in_a_deny_clause_is_an_error() {
    let rules = |clause: &str| {
        format!(
            "{GENERAL}{}[acl]\nblocked = [{{server = \"evil.example\"}}]\n[access]\nfew = [{clause}, \
             {{acl = \"all\", value = \"allow\"}}]\nunused = [{{acl = \"blokced\", value = \"deny\"}}]\n",
            with_secret(8888, "access = \"few\"")
        )
    };
    let near = "did you mean `blocked`?";
    let (code, said) = check(&rules("{acl = \"blokced\", value = \"deny\"}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error: no acl is named `blokced`") && said.contains(near), "{said}");
    // A rule that no listener names, and a clause that allows, are warned of: nobody gets in over them.
    let (code, said) = check(&rules("{acl = \"blocekd\", value = \"allow\"}"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("warning: no acl is named `bloc").count(), 1, "{said}");
    assert_eq!(said.matches("warning: no acl is named `blokced`").count(), 1, "{said}");
    assert_eq!(said.matches(near).count(), 2, "{said}");
    let dir = Dir::new();
    let file = dir.file("enjamb.toml", rules("{acl = \"blokced\", value = \"deny\"}"));
    let (code, said) = output(enjamb().arg("--config").arg(file));
    assert!(code == Some(1) && said.contains("nothing was started"), "{code:?} {said}");
}

/// Files with something to warn of, and the warning.
fn doubtful() -> Vec<(String, &'static str)> {
    let one = |lines: &str| GENERAL.to_owned() + &with_secret(8888, lines);
    let secret = |secret: &str| GENERAL.to_owned() + &listener(8888, &format!("password = \"{secret}\""));
    vec![
        (one("check_from = false"), "check_from is off"),
        (one("ip_address = \"0.0.0.0\""), "it listens on 0.0.0.0 without TLS"),
        (one("ip_address = \"::\""), "it listens on :: without TLS"),
        (one("ip_address = \"203.0.113.7\""), "it listens on 203.0.113.7 without TLS"),
        (one("ip_address = \"0.0.0.0\"\nproxy_protocol = true"), "`proxy_protocol` on all addresses"),
        (one("") + &with_secret(8889, ""), "two listeners have the same secret"),
        (
            one("domains = [\"irc.example\"]")
                + &listener(8889, "password = \"Xq7TnV2mPz4LrK8sWd\"\ndomains = [\"*.example\"]"),
            "two listeners with different secrets list `*.example` and `irc.example`",
        ),
        (secret("aaaaaaaaaaaaaaaaaaaaaaaa"), "`password` is one character again and again"),
        (secret("abababababababababab"), "`password` has very few different characters"),
        (secret("changeme"), "`password` is a placeholder"),
        (secret("ChangeMe-changeme-123"), "`password` is a placeholder"),
        (secret("9Zu4hWq7"), "`password` is shorter than 16 characters"),
    ]
}

#[test]
fn fault_07_check_warns_of_what_is_valid_and_doubtful() {
    for (text, warning) in doubtful() {
        let (code, said) = check(&text);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&format!("warning: {warning}")), "{warning} is not in\n{said}");
        assert!(!said.contains(SECRET) && !said.contains("abababab"), "a secret is shown: {said}");
    }
    let (code, said) = check(&(GENERAL.to_owned() + &with_secret(8888, "ip_address = \"10.0.0.1\"")));
    assert!(code == Some(0) && said.contains("0 warnings"), "{said}");
}

#[test]
fn fault_07_strict_turns_warnings_into_errors() {
    for (text, warning) in doubtful() {
        let (code, said) = check(&text.replace(GENERAL, &format!("{GENERAL}strict = true\n")));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("error: {warning}")) && !said.contains("warning:"), "{said}");
    }
    let (code, said) = check(&format!("{GENERAL}strict = true\n{}", with_secret(8888, "")));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn fault_07_serve_warns_with_the_words_of_check() {
    let lines = "check_from = false\nproxy_protocol = false";
    let server = Config::new(&["host.example"]).listener(lines).listener(lines).start();
    let log = server.wait_for_log("listening for components");
    let (_, said) = output(enjamb().arg("check").arg(server.config_path()));
    let warnings: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    assert!(warnings.len() >= 6, "{said}");
    for warning in &warnings {
        assert!(log.lines().any(|line| line.contains("WARN") && line.contains(warning)), "{warning}: {log}");
    }
    let logged = log.lines().filter(|line| line.contains("WARN")).count();
    assert_eq!(logged, warnings.len(), "{log}\n{said}");
    Peer::online(server.addr(0), "comp.example").assert_quiet();
    assert_eq!(refused(server.addr(0), "<x>").condition, "invalid-namespace");
}

#[test]
fn fault_07_files_that_others_may_use_are_warned_of() {
    let dir = Dir::new();
    let [cert, key] = certificate();
    dir.file("cert.pem", cert);
    let key = dir.file("key.pem", key);
    let table =
        "[listen.service.tls]\ncertfile = \"cert.pem\"\nkeyfile = \"key.pem\"\nverify_mode = \"none\"";
    let file = dir.file("enjamb.toml", GENERAL.to_owned() + &with_secret(8888, table));
    let said = |of: &std::path::Path, mode: u32| {
        fs::set_permissions(of, fs::Permissions::from_mode(mode)).expect("it is ours");
        let (code, said) = output(enjamb().arg("check").arg(&file));
        fs::set_permissions(of, fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert_eq!(code, Some(0), "{said}");
        said
    };
    for mode in [0o600, 0o400, 0o640, 0o440] {
        for of in [&file, &key] {
            assert!(said(of, mode).contains("0 warnings"), "{mode:o}: {}", said(of, mode));
        }
    }
    for mode in [0o666, 0o644, 0o604, 0o602, 0o660] {
        let shown = format!("has mode {mode:04o}");
        let of_file = said(&file, mode);
        assert!(of_file.contains(&shown) && of_file.contains("it holds secrets"), "{of_file}");
        let of_key = said(&key, mode);
        assert!(of_key.contains(&shown) && of_key.contains("it holds a private key"), "{of_key}");
    }
}
