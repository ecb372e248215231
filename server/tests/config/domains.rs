//! `[domain]`: what holds for one domain, or for all below one.

use std::time::Duration;

use enjamb_core::router::ConflictBehaviour;

use crate::{SECRET, clean, faults, file_with, load_text, one_fault};

#[test]
fn each_key_of_a_domain_is_read() {
    let config = clean(&file_with(
        "[domain.'IRC.Example.org']\nhold_seconds = 60\nhold_bytes = 2048\niq_timeout_seconds = 3600\n\
         max_pending_iqs = 0\nping_seconds = 30\n[domain.'*.bots.example']\n",
    ));
    let names: Vec<_> = config.domains.iter().map(|section| section.pattern.to_string()).collect();
    assert_eq!(names, ["irc.example.org", "*.bots.example"]);
    let irc = &config.domains[0].config;
    assert_eq!((irc.hold, irc.hold_bytes), (Duration::from_secs(60), 2048));
    assert_eq!((irc.iq_timeout, irc.max_pending_iqs), (Duration::from_secs(3600), 0));
    assert_eq!((irc.ping, config.domains[1].config.ping), (Some(Duration::from_secs(30)), None));
    let usual = &config.domains[1].config;
    assert_eq!((usual.hold, usual.hold_bytes), (Duration::ZERO, 1 << 20));
    assert_eq!((usual.iq_timeout, usual.max_pending_iqs), (Duration::from_secs(120), 10_000));
    assert!(clean(&file_with("")).domains.is_empty());
}

#[test]
fn each_fault_of_a_domain_is_found() {
    let bad = faults(&file_with(
        "[domain.'a.example']\nhold_seconds = 86401\nhold_bytes = 1\niq_timeout_seconds = 0\n\
         max_pending_iqs = '5'\nhold_second = 5\n[domain.'*']\n[domain.localhost]\n[domain.'A.example.']\n",
    ));
    for (found, wanted) in bad.iter().zip([
        ":7:16: error: `hold_seconds` is out of range (from 0 to 86400 seconds)",
        ":8:14: error: `hold_bytes` is out of range (from 1024 to 1073741824 bytes)",
        ":9:22: error: `iq_timeout_seconds` is out of range (from 1 to 3600 seconds)",
        ":10:19: error: `max_pending_iqs` must be an integer, and this is a string (without the quotes: max_pending_iqs = 5)",
        ":11:1: error: unknown key `hold_second` in `domain.\"a.example\"`",
        ":12:9: error: `*` is no domain",
        ":13:9: error: `localhost` is a host of this server: no component can have it",
        ":14:9: error: the domain `A.example.` is given twice",
    ]) {
        assert!(found.contains(wanted), "{found}\n{wanted}");
    }
    assert_eq!(bad.len(), 8, "{bad:?}");
    one_fault(
        &file_with("[domain]\nhold_seconds = 5\n"),
        "enjamb.toml:7:16: error: `domain.\"hold_seconds\"` must be a table, and this is an integer",
    );
}

#[test]
fn a_domain_may_have_secrets_of_its_own() {
    let secrets = |lines: &str| -> Vec<String> {
        let config = clean(&file_with(&format!("[domain.'a.example']\n{lines}\n")));
        config.domains[0].secrets.iter().map(|secret| secret.expose().to_owned()).collect()
    };
    assert!(secrets("").is_empty());
    assert_eq!(secrets(&format!("secret = '{SECRET}'")), [SECRET]);
    assert_eq!(secrets(&format!("secrets = ['{SECRET}', 'x{SECRET}']")), [SECRET, &format!("x{SECRET}")]);
    let bad = |lines: &str| faults(&file_with(&format!("[domain.'a.example']\n{lines}\n"))).remove(0);
    let two = format!("secret = '{SECRET}'\nsecrets = ['{SECRET}']");
    assert!(
        bad(&two).contains(":8:11: error: at most one of `secret`, `secret_file` and `secrets`"),
        "{}",
        bad(&two)
    );
    assert!(bad("secrets = []").contains("`secrets` is empty"));
    assert!(bad("secret = ''").contains("`secret` is empty"));
    assert!(bad("secret = 'short'").contains("`secret` is shorter than 16 characters"));
    assert!(bad("secret_file = '/nowhere/secret'").contains("/nowhere/secret can't be read"));
    let file = std::env::temp_dir().join(format!("enjamb-secret-{}", std::process::id()));
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(secrets(&format!("secret_file = '{}'", file.display())), [SECRET]);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn conflict_behaviour_of_a_domain_is_read() {
    let config = clean(&file_with("[domain.'a.example']\nconflict_behaviour = 'kick_old'\n"));
    assert_eq!(config.domains[0].config.conflict, Some(ConflictBehaviour::KickOld));
    one_fault(
        &file_with("[domain.'a.example']\nconflict_behaviour = 'kick_new'\n"),
        "enjamb.toml:7:22: error: unknown conflict behaviour `kick_new` (\"disconnect\" or \"kick_old\")",
    );
}

#[test]
fn domain_that_no_listener_lists_is_warned_of() {
    let file = |listed: &str, section: &str| {
        file_with(&format!("domains = [{listed}]\n[domain.'{section}']\nhold_seconds = 1\n"))
    };
    for (listed, section, is_listed) in [
        ("'a.example'", "a.example", true),
        ("'*.example'", "a.example", true),
        ("'a.example'", "*.example", true),
        ("'*.b.example'", "*.example", true),
        ("'b.example'", "a.example", false),
        ("'*.a.example'", "a.example", false),
        ("'ba.example'", "*.a.example", false),
    ] {
        let said = faults(&file(listed, section));
        assert_eq!(said.is_empty(), is_listed, "{listed} {section}: {said:?}");
        assert!(said.iter().all(|line| line.contains(": no listener lets ")), "{said:?}");
        assert!(load_text(&file(listed, section)).config.is_some(), "it is a warning");
    }
}
