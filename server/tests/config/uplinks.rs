//! `[uplink]`, the keys of `[domain]` about it, and `hosts` beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use enjamb_server::check::summary;
use enjamb_server::config::{Severity, Uplink};

use crate::{SECRET, clean, faults, load_text, one_fault};

/// A file without hosts whose domain `irc.example.org` has these lines, from line 7 on, and then uplink `prosody` these,
/// with its secret before and its address behind them.
fn file(domain: &str, uplink: &str) -> String {
    format!(
        "[general]\nhosts = []\n[[listen.service]]\nport = 5348\npassword = \"{SECRET}\"\n\
         [domain.\"irc.example.org\"]\n{domain}\n[uplink.prosody]\nsecret = \"{SECRET}\"\n{uplink}\n"
    )
}

/// [`file`] of a domain with the uplink, whose lines begin at line 10.
pub(crate) fn uplink_file(lines: &str) -> String {
    let address = if lines.contains("address = ") { "" } else { "address = '127.0.0.1:5347'\n" };
    let lines = match lines.split_once("\n[") {
        Some((keys, tables)) => format!("{keys}\n{address}[{tables}"),
        None => format!("{lines}\n{address}"),
    };
    file("uplink = 'prosody'", &lines)
}

fn uplink(lines: &str) -> Uplink {
    clean(&uplink_file(lines)).uplinks.remove(0)
}

#[track_caller]
fn refused(lines: &str, expected: &str) {
    one_fault(&uplink_file(lines), &format!("enjamb.toml:{expected}"));
}

/// Asserts what is said of lines of the domain, of which there are `more` behind the first; the uplink is there.
#[track_caller]
fn domain_refused(lines: &str, expected: &[&str]) {
    let found = faults(&file(lines, "address = '127.0.0.1:5347'"));
    let expected: Vec<_> = expected.iter().map(|expected| format!("enjamb.toml:{expected}")).collect();
    assert_eq!(found, expected, "{lines}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = clean(&uplink_file(""));
    let uplink = &config.uplinks[0];
    assert_eq!((uplink.name.as_str(), uplink.address.as_str()), ("prosody", "127.0.0.1:5347"));
    assert_eq!(uplink.secret.as_ref().unwrap().expose(), SECRET);
    assert!(!uplink.always && uplink.local_routing && uplink.tls.is_none());
    assert_eq!((uplink.hold, uplink.hold_bytes), (Duration::from_secs(10), 1_048_576));
    assert_eq!(uplink.max_stanza_size, 524_288);
    let domain = &config.domains[0];
    assert_eq!(domain.uplink.as_ref().unwrap().index, 0);
    assert!(domain.uplink.as_ref().unwrap().secret.is_none() && !domain.end_presence);
    let (named, secret) = config.uplink_of(domain).unwrap();
    assert_eq!((named.name.as_str(), secret.expose()), ("prosody", SECRET));
    assert_eq!(
        summary(&load_text(&uplink_file(""))),
        "enjamb.toml: 0 hosts, 1 listener, 1 uplink, 0 warnings"
    );
}

#[test]
fn each_key_of_an_uplink_is_read() {
    assert!(uplink("connect = 'always'").always);
    assert!(!uplink("connect = 'with-component'").always);
    assert!(!uplink("local_routing = false").local_routing);
    assert_eq!(uplink("hold_seconds = 0").hold, Duration::ZERO);
    assert_eq!(uplink("hold_seconds = 86400").hold, Duration::from_secs(86_400));
    assert_eq!(uplink("hold_bytes = 1024").hold_bytes, 1024);
    assert_eq!(uplink("max_stanza_size = 10_000").max_stanza_size, 10_000);
    for address in ["127.0.0.1:1", "[::1]:65535", "localhost:5347", "LocalHost:5347", "127.8.8.8:5347"] {
        assert_eq!(uplink(&format!("address = '{address}'")).address, address);
    }
}

#[test]
fn each_fault_of_an_uplink_is_found() {
    refused("hold_seconds = 86401", "10:16: error: `hold_seconds` is out of range (from 0 to 86400 seconds)");
    refused("hold_bytes = 1", "10:14: error: `hold_bytes` is out of range (from 1024 to 1073741824 bytes)");
    refused(
        "max_stanza_size = 9999",
        "10:19: error: `max_stanza_size` is out of range (from 10000 to 67108864 bytes)",
    );
    refused(
        "local_routing = 'no'",
        "10:17: error: `local_routing` must be a boolean (true or false), and this is a string",
    );
    refused("connect = 'allways'", "10:11: error: `connect` can't be `allways` (did you mean `always`?)");
    refused("connect = 'x'", "10:11: error: `connect` can't be `x` (\"with-component\" or \"always\")");
    refused(
        "hold_second = 5",
        "10:1: error: unknown key `hold_second` in `uplink.prosody` (did you mean `hold_seconds`?)",
    );
    refused(
        "zebra = 5",
        "10:1: error: unknown key `zebra` in `uplink.prosody` (known here: address, connect, hold_bytes, \
         hold_seconds, local_routing, max_stanza_size, secret, secret_file, tls)",
    );
    for (key, help) in [
        ("host", "`address` is host:port"),
        ("port", "`address` is host:port"),
        ("password", "`secret` is the secret"),
        ("domains", "each [domain] names its uplink: uplink = \"NAME\""),
        ("certfile", "TLS has a table of its own: [uplink.NAME.tls]"),
    ] {
        let expected = format!("10:1: error: unknown key `{key}` in `uplink.prosody` ({help})");
        refused(&format!("{key} = 'x'"), &expected);
    }
    refused("address = 5", "10:11: error: `address` must be a string, and this is an integer");
    one_fault(
        &file("uplink = 'prosody'", ""),
        "enjamb.toml:8:1: error: `uplink.prosody` has no `address`, which is mandatory \
         (host:port, as in \"127.0.0.1:5347\", \"[::1]:5347\" or \"xmpp.example.org:5347\")",
    );
    let hosts = "[general]\nhosts = ['a.example']\n[[listen.service]]\nport = 1\npassword = '";
    for (section, expected) in [
        ("uplink = 1\n", "1:10: error: `uplink` must be a table, and this is an integer"),
        ("uplink.prosody = 1\n", "1:18: error: `uplink.prosody` must be a table, and this is an integer"),
    ] {
        let found = faults(&format!("{section}{hosts}{SECRET}'\n"));
        assert!(found.contains(&format!("enjamb.toml:{expected}")), "{found:?}");
    }
    let found = faults(&format!("{hosts}{SECRET}'\n[uplnk.prosody]\n"));
    assert_eq!(found, ["enjamb.toml:6:2: error: unknown section `uplnk` (did you mean `uplink`?)"]);
}

#[test]
fn an_address_is_a_host_and_a_port() {
    let help = "(host:port, as in \"127.0.0.1:5347\", \"[::1]:5347\" or \"xmpp.example.org:5347\")";
    for (address, fault) in [
        ("", "has no host name or IP address in front of its port"),
        (":5347", "has no host name or IP address in front of its port"),
        ("a b:5347", "has no host name or IP address in front of its port"),
        ("10.0.0.256:5347", "has no host name or IP address in front of its port"),
        ("[10.0.0.1]:5347", "has no host name or IP address in front of its port"),
        ("localhost", "has no port"),
        ("[::1]", "has no port"),
        ("[::1", "has no closing bracket"),
        ("::1:5347", "has more than one colon: an IPv6 address has to be in brackets"),
        ("localhost:", "has no port from 1 to 65535"),
        ("localhost:0", "has no port from 1 to 65535"),
        ("localhost:+1", "has no port from 1 to 65535"),
        ("localhost:65536", "has no port from 1 to 65535"),
        ("localhost:xmpp", "has no port from 1 to 65535"),
    ] {
        let expected = format!("10:11: error: `{address}` {fault} {help}");
        refused(&format!("address = '{address}'"), &expected);
    }
}

#[test]
fn a_name_of_an_uplink_is_plain() {
    let help = "(1 to 64 ASCII letters, digits, `-` and `_`, as in [uplink.prosody])";
    for (name, shown) in [("a b", "a b"), ("\u{fc}", "\u{fc}"), ("", ""), ("a.b", "a.b")] {
        let text = uplink_file("")
            .replace("prosody", &format!("\"{name}\""))
            .replace("'\"", "'")
            .replace("\"'", "'");
        one_fault(&text, &format!("enjamb.toml:8:9: error: `{shown}` is no name for an uplink {help}"));
    }
    assert_eq!(clean(&uplink_file("").replace("prosody", "Ej_1-b")).uplinks[0].name, "Ej_1-b");
}

#[test]
fn hosts_may_be_left_out_beside_an_uplink() {
    let with = uplink_file("");
    for hosts in ["[general]\nhosts = []\n", "[general]\n", ""] {
        let config = clean(&with.replace("[general]\nhosts = []\n", hosts));
        assert!(config.hosts.is_empty());
        assert_eq!(config.server_name().as_str(), "localhost");
    }
    let config = clean(&with.replace("hosts = []", "hosts = ['a.example', 'b.example']"));
    assert_eq!(config.server_name().as_str(), "a.example");
    let help = "(name the domains of this server, as in hosts = [\"localhost\"])";
    let without = with.split("[domain").next().unwrap();
    one_fault(without, &format!("enjamb.toml:2:9: error: `hosts` is empty {help}"));
    one_fault(&format!("{without}[uplink]\n"), &format!("enjamb.toml:2:9: error: `hosts` is empty {help}"));
}

#[test]
fn keys_of_a_domain_about_its_uplink_are_read() {
    let own = format!("x{SECRET}");
    let config = clean(
        &file(
            &format!(
                "uplink = 'prosody'\nuplink_secret = '{own}'\nend_presence = true\n[domain.'*.bots.example']"
            ),
            "address = '127.0.0.1:5347'",
        )
        .replace("[uplink", "uplink = 'prosody'\n[uplink"),
    );
    assert_eq!(config.uplink_of(&config.domains[0]).unwrap().1.expose(), own);
    assert!(config.domains[0].end_presence);
    let (uplink, secret) = config.uplink_of(&config.domains[1]).unwrap();
    assert_eq!((uplink.name.as_str(), secret.expose()), ("prosody", SECRET));
    let none = clean(&(uplink_file("") + "[domain.'a.example']\n"));
    assert!(none.uplink_of(&none.domains[1]).is_none());
}

#[test]
fn each_fault_of_a_domain_about_its_uplink_is_found() {
    let unused =
        "8:9: warning: no domain uses uplink `prosody` (name it by uplink = \"prosody\" in a [domain])";
    domain_refused(
        "uplink = 'prosdy'",
        &["7:10: error: no uplink is named `prosdy` (did you mean `prosody`?)"],
    );
    domain_refused(
        "uplink = 'zebra'",
        &[
            "7:10: error: no uplink is named `zebra` (define it: [uplink.NAME] with `address` and `secret`)",
            unused,
        ],
    );
    domain_refused("uplink = 5", &["7:10: error: `uplink` must be a string, and this is an integer", unused]);
    let without = "without `uplink`: there is no server to prove it to \
                   (add uplink = \"NAME\", the name of an [uplink.NAME]; or take it out)";
    domain_refused(
        &format!("uplink_secret = '{SECRET}'"),
        &[&format!("7:17: error: `uplink_secret` {without}"), unused],
    );
    domain_refused(
        "end_presence = true",
        &[
            "7:16: warning: `end_presence` has no effect without `uplink` \
             (it is about users of the server that the uplink connects to)",
            unused,
        ],
    );
    let shown = load_text(&file("uplink = 'prosdy'", "address = '127.0.0.1:5347'")).render(false);
    assert!(shown.contains("8 | [uplink.prosody]\n  |         ------- the nearest name is here"), "{shown}");
}

#[test]
fn uplink_that_no_domain_names_is_warned_of() {
    let text = file("", "address = '127.0.0.1:5347'");
    one_fault(
        &text,
        "enjamb.toml:8:9: warning: no domain uses uplink `prosody` (name it by uplink = \"prosody\" in a [domain])",
    );
    assert!(load_text(&text).config.is_some());
}

#[test]
fn each_domain_needs_a_secret_for_its_uplink() {
    let without = |domain: &str| {
        file(&format!("uplink = 'prosody'\n{domain}"), "address = '127.0.0.1:5347'")
            .replace(&format!("secret = \"{SECRET}\"\naddress"), "address")
    };
    let fault = "error: the uplink `prosody` has no secret for `irc.example.org` \
                 (add `secret` to [uplink.prosody], or `uplink_secret` to [domain.\"irc.example.org\"])";
    one_fault(&without(""), &format!("enjamb.toml:7:10: {fault}"));
    let own = format!("uplink_secret = '{SECRET}'");
    assert!(clean(&without(&own)).uplinks[0].secret.is_none());
    let two = without(&own) + "[domain.'b.example']\nuplink = 'prosody'\n";
    assert_eq!(
        faults(&two),
        [format!("enjamb.toml:12:10: {}", fault.replace("irc.example.org", "b.example"))]
    );
    // What is there and wrong is not missing, too.
    one_fault(
        &without("uplink_secret = ''"),
        "enjamb.toml:8:17: error: `uplink_secret` is empty \
        (the secret that the other server has for this component)",
    );
}

#[test]
fn a_secret_may_be_in_a_file() {
    let write = |name: &str, text: &str, mode| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("uplink-{name}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let with = |domain: &str, lines: &str| {
        file(&format!("uplink = 'prosody'\n{domain}"), &format!("{lines}\naddress = '127.0.0.1:5347'"))
    };
    let at = |text: &str| text.replace(&format!("secret = \"{SECRET}\"\nsecret_file"), "secret_file");
    let good = write("secret", &format!("of-the-file-{SECRET}\r\n"), 0o600);
    let good = good.display();
    let config = clean(&at(&with("", &format!("secret_file = '{good}'"))));
    assert_eq!(config.uplinks[0].secret.as_ref().unwrap().expose(), format!("of-the-file-{SECRET}"));
    let config = clean(&with(&format!("uplink_secret_file = '{good}'"), ""));
    assert!(config.uplink_of(&config.domains[0]).unwrap().1.expose().starts_with("of-the-file"));
    let open = write("open", SECRET, 0o644);
    one_fault(
        &at(&with("", &format!("secret_file = '{}'", open.display()))),
        &format!(
            "enjamb.toml:10:15: warning: {} has mode 0644: every user may read it, and it holds a secret \
             (chmod 0640, or 0600)",
            open.display()
        ),
    );
    let empty = write("empty", "\n", 0o600);
    one_fault(
        &with(&format!("uplink_secret_file = '{}'", empty.display()), ""),
        "enjamb.toml:8:22: error: `uplink_secret_file` is empty \
         (the secret that the other server has for this component)",
    );
    one_fault(
        &at(&with("", "secret_file = '/nowhere/secret'")),
        "enjamb.toml:10:15: error: /nowhere/secret can't be read: No such file or directory (os error 2)",
    );
    one_fault(
        &with("", &format!("secret_file = '{good}'")),
        "enjamb.toml:11:15: error: at most one of `secret` and `secret_file` may be given",
    );
    one_fault(
        &with(&format!("uplink_secret = '{SECRET}'\nuplink_secret_file = '{good}'"), ""),
        "enjamb.toml:9:22: error: at most one of `uplink_secret` and `uplink_secret_file` may be given",
    );
}

#[test]
fn weak_secrets_of_uplinks_are_warned_of_and_not_shown() {
    let loaded =
        load_text(&uplink_file("").replace(&format!("\nsecret = \"{SECRET}\""), "\nsecret = \"hunter2\""));
    assert_eq!(loaded.count(Severity::Warning), 1);
    assert_eq!(loaded.diagnostics[0].message, "`secret` is shorter than 16 characters: it can be guessed");
    let own = load_text(&file("uplink = 'prosody'\nuplink_secret = 'hunter2'", "address = '127.0.0.1:5347'"));
    assert_eq!(
        own.diagnostics[0].message,
        "`uplink_secret` is shorter than 16 characters: it can be guessed"
    );
    for loaded in [loaded, own] {
        let shown = format!("{}{loaded:?}", loaded.render(false));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    // Enjamb hashes the bytes as they are, whatever they are.
    clean(&file(
        "uplink = 'prosody'\nuplink_secret = 'h\u{f6}chst_geheim-und-lang'",
        "address = '127.0.0.1:5347'",
    ));
}

#[test]
fn wildcards_have_no_name_to_be_always_connected_as() {
    let text = uplink_file("connect = 'always'") + "[domain.'*.bots.example']\nuplink = 'prosody'\n";
    one_fault(
        &text,
        "enjamb.toml:14:10: error: the uplink `prosody` is always connected, and `*.bots.example` has no name \
         of its own to connect as (connect = \"with-component\" connects as each component that is there)",
    );
    let shown = load_text(&text).render(false);
    assert!(shown.contains("10 | connect = 'always'\n   |           -------- it is set here"), "{shown}");
    clean(&text.replace("always", "with-component"));
}

/// U10.
#[test]
fn host_above_an_uplinked_domain_is_warned_of() {
    let with =
        |host: &str| uplink_file("").replace("hosts = []", &format!("hosts = ['a.example', '{host}']"));
    for host in ["example.org", "Example.ORG", "org"] {
        let name = host.to_lowercase();
        one_fault(
            &with(host),
            &format!(
                "enjamb.toml:2:23: warning: `{name}` is in `hosts`, and that is where the users of the other server \
                 are: stanzas to them would be answered here (take it out of `hosts`, which are domains of Enjamb itself)"
            ),
        );
    }
    let shown = load_text(&with("example.org")).render(false);
    assert!(shown.contains("`irc.example.org` has an uplink"), "{shown}");
    for host in ["ample.org", "x.irc.example.org", "irc.example.com"] {
        clean(&with(host));
    }
    let wildcard = |host: &str| with(host).replace("domain.\"irc", "domain.\"*");
    assert_eq!(faults(&wildcard("example.org")).len(), 1);
    assert_eq!(faults(&wildcard("org")).len(), 1);
    clean(&wildcard("irc.example.org"));
    // A domain without an uplink has its users anywhere.
    clean(&(with("b.example") + "[domain.'irc.b.example']\n"));
}

#[test]
fn uplink_to_a_listener_of_our_own_is_warned_of() {
    let to = |address: &str, ip: &str| {
        let text = uplink_file(&format!("address = '{address}'"));
        faults(&text.replace("port = 5348", &format!("port = 5348\nip_address = '{ip}'")))
    };
    let help = "(`address` is that of the other server)";
    for (address, ip, at) in [
        ("127.0.0.1:5348", "127.0.0.1", ""),
        ("[::ffff:127.0.0.1]:5348", "127.0.0.1", ", at 127.0.0.1:5348"),
        ("localhost:5348", "127.0.0.1", ", at 127.0.0.1:5348"),
        ("localhost:5348", "::1", ", at [::1]:5348"),
        ("10.0.0.1:5348", "10.0.0.1", ""),
        ("[fd00::1]:5348", "fd00::1", ""),
    ] {
        let expected = format!(
            "11:11: warning: the uplink connects to {address}, where Enjamb itself listens{at}: a loop {help}"
        );
        assert_eq!(to(address, ip), [format!("enjamb.toml:{expected}")]);
    }
    let is_loop = |address, ip| to(address, ip).iter().any(|fault| fault.contains(": a loop"));
    for (address, ip) in [
        ("127.0.0.1:5348", "0.0.0.0"),
        ("[::1]:5348", "::"),
        ("127.0.0.1:5348", "::"),
        ("localhost:5348", "0.0.0.0"),
    ] {
        assert!(is_loop(address, ip), "{address} {ip}");
    }
    for (address, ip) in [
        ("127.0.0.1:5347", "127.0.0.1"),
        ("127.0.0.2:5348", "127.0.0.1"),
        ("[::1]:5348", "0.0.0.0"),
        ("10.0.0.1:5348", "0.0.0.0"),
        ("xmpp.example.org:5348", "127.0.0.1"),
        ("localhost:5348", "127.0.0.2"),
    ] {
        assert!(!is_loop(address, ip), "{address} {ip}");
    }
    let shown = load_text(&uplink_file("address = '127.0.0.1:5348'")).render(false);
    assert!(shown.contains(" 4 | port = 5348\n   |        ---- this listener"), "{shown}");
}

#[test]
fn uplink_without_tls_that_leaves_this_machine_is_warned_of() {
    let plain = |address: &str| {
        refused(
            &format!("address = '{address}'"),
            &format!(
                "10:11: warning: it connects to {address} without TLS: others on the network can read the secret's \
                 digest and all that passes (add [uplink.prosody.tls], or connect to a loopback address)"
            ),
        );
    };
    for address in ["xmpp.example.org:5347", "10.0.0.1:5347", "[fd00::1]:5347", "localhost.example:5347"] {
        plain(address);
        clean(&uplink_file(&format!("address = '{address}'\n[uplink.prosody.tls]\n")));
    }
}

#[test]
fn strict_makes_errors_of_what_is_said_of_uplinks() {
    let text = uplink_file("address = '10.0.0.1:5347'").replace("hosts = []", "strict = true");
    assert!(load_text(&text).config.is_none());
}

#[test]
fn a_change_of_an_uplink_differs() {
    let before = load_text(&uplink_file(""));
    let after = load_text(&uplink_file("hold_seconds = 5").replace(SECRET, "ZYXWVUTSRQPONMLKJIHGFEDCBA"));
    assert_eq!(
        before.fingerprint.differences(&after.fingerprint),
        ["listen.service[0].password", "uplink.prosody.hold_seconds", "uplink.prosody.secret"]
    );
}

/// What could not be read may have said what seems to be missing.
#[test]
fn faults_of_syntax_hide_what_they_may_have_said() {
    let broken = file("uplink = 'prosody", "address = '127.0.0.1:5347'");
    let found = faults(&broken);
    assert!(found.iter().all(|fault| fault.contains("this is no TOML")), "{found:?}");
}
