//! 11: messages in the operator's words.

use enjamb_tests::server::Config;

use crate::program::{Dir, certificate, check, enjamb, output};

const GENERAL: &str = "[general]\nhosts = [\"a.example\"]\n";

fn one(lines: &str) -> String {
    format!("{GENERAL}[[listen.service]]\npassword = \"9Zu4hWq7TnPz3kLs\"\n{lines}\n")
}

#[test]
fn fault_11_a_pem_file_without_its_end_is_said_in_words() {
    let dir = Dir::new();
    let [cert, key] = certificate();
    let table = "port = 8888\n[listen.service.tls]\ncertfile = \"cert.pem\"\nkeyfile = \"key.pem\"\nverify_mode = \"none\"";
    let file = dir.file("enjamb.toml", one(table));
    let half = |text: &str| text[..text.len() / 2].to_owned();
    for (cert, key, says) in [
        (half(&cert), key.clone(), "cert.pem: this is no PEM: the line -----END CERTIFICATE----- is missing"),
        (cert.clone(), half(&key), "key.pem: this is no PEM: the line -----END PRIVATE KEY----- is missing"),
        (cert.replace("MII", "M!I"), key.clone(), "is no base64"),
    ] {
        dir.file("cert.pem", cert);
        dir.file("key.pem", key);
        let (code, said) = output(enjamb().arg("check").arg(&file));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(says), "{says} is not in {said}");
        assert!(!said.contains("[67, 69"), "bytes as numbers: {said}");
    }
}

#[test]
fn fault_11_habits_of_other_servers_get_a_hint() {
    for (lines, says) in [
        ("port = \"5347\"", "without the quotes: port = 5347"),
        ("port = 8888\nbacklog = \"100\"", "without the quotes: backlog = 100"),
        ("port = 8888\nmax_connections = \"100\"", "without the quotes: max_connections = 100"),
        ("port = 8888\ncheck_from = \"true\"", "without the quotes: check_from = true"),
        ("port = 8888\nhosts = [\"sms.a.example\"]", "`domains` lists the names that may connect"),
        ("port = 8888\ninterface = \"::1\"", "`ip_address` is the address"),
        ("port = 8888\nsecret = \"x\"", "`password` is the secret"),
    ] {
        let (code, said) = check(&one(lines));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(says), "{says} is not in\n{said}");
    }
}

#[test]
fn fault_11_a_limit_that_nobody_set_is_not_talked_about() {
    let four = |lines: &str| (0..4).fold(Config::new(&["host.example"]), |config, _| config.listener(lines));
    let log = four("").files(1024).start().wait_for_log("listening for components");
    let lines: Vec<_> = log.lines().filter(|line| line.contains("max_unauthenticated is")).collect();
    assert!(lines.is_empty(), "{log}");
    assert!(log.contains("max_unauthenticated=128"), "{log}");
    let log = four("max_unauthenticated = 500").files(1024).start().wait_for_log("listening for components");
    let is_said =
        |line: &&str| line.contains("WARN") && line.contains("max_unauthenticated is 128 instead of 500");
    assert_eq!(log.lines().filter(is_said).count(), 4, "{log}");
}

#[test]
fn fault_11_a_shared_port_is_explained() {
    let (code, said) = check(&one("port = 8888\nreuse_port = true"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("connections are split between the two"), "{said}");
}
