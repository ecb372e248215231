//! Sections: hosts, addresses, what is passed over and what nobody knows.

use crate::{SECRET, clean, faults, file_with, load_text, one_fault, refused};

/// A file with listeners on these addresses, each the lines of one; the first stands in line 3.
fn listeners(each: &[&str]) -> String {
    let listeners: String =
        each.iter().map(|lines| format!("[[listen.service]]\npassword = '{SECRET}'\n{lines}\n")).collect();
    format!("[general]\nhosts = ['localhost']\n{listeners}")
}

/// A file whose general section has these lines, the first of them in line 2.
fn general(lines: &str) -> String {
    format!("[general]\n{lines}\n[[listen.service]]\nport = 8888\npassword = '{SECRET}'\n")
}

#[test]
fn hosts() {
    let config = clean(&general("hosts = ['Localhost', 'example.org.']"));
    assert_eq!(
        config.hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>(),
        ["localhost", "example.org"]
    );
    let help = "(name the domains of this server, as in hosts = [\"localhost\"])";
    one_fault(&general("hosts = []"), &format!("enjamb.toml:2:9: error: `hosts` is empty {help}"));
    one_fault(
        &general(""),
        &format!("enjamb.toml:1:1: error: `general` has no `hosts`, which is mandatory {help}"),
    );
    one_fault(
        &general("hosts = 'localhost'"),
        "enjamb.toml:2:9: error: `hosts` must be an array, and this is a string",
    );
    one_fault(
        &general("hosts = [1]"),
        "enjamb.toml:2:10: error: `hosts` must be a string, and this is an integer",
    );
    one_fault(&general("hosts = ['a', 'A.']"), "enjamb.toml:2:15: error: the host `A.` is given twice");
    let bad = faults(&general("hosts = ['a', 'user@b']"));
    assert!(bad[0].starts_with("enjamb.toml:2:15: error: `user@b` is no domain: "), "{bad:?}");
    one_fault(
        &format!("[[listen.service]]\nport = 1\npassword = '{SECRET}'\n"),
        &format!("enjamb.toml:1:1: error: no `[general]` section, and so no host {help}"),
    );
}

#[test]
fn a_file_without_a_listener_is_refused() {
    let hosts = "[general]\nhosts = ['a']\n";
    let expected = "error: no `[[listen.service]]`: there is nothing to listen to (add [[listen.service]] with a port and a password)";
    one_fault(hosts, &format!("enjamb.toml:1:1: {expected}"));
    one_fault(&format!("{hosts}[listen]\n"), &format!("enjamb.toml:3:1: {expected}"));
    one_fault(&format!("{hosts}[listen]\nservice = []\n"), &format!("enjamb.toml:3:1: {expected}"));
    let other = faults(&format!("{hosts}[[listen.c2s]]\nport = 1\n"));
    assert!(other.iter().any(|fault| fault.ends_with(expected)), "{other:?}");
    one_fault(
        &format!("{hosts}[listen.service]\nport = 1\npassword = '{SECRET}'\n"),
        "enjamb.toml:3:1: error: `listen.service` must be an array of tables, and this is a table \
         (with two brackets: [[listen.service]])",
    );
    assert_eq!(faults("").len(), 2);
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    let help = "(give one of them another port)";
    one_fault(
        &listeners(&["port = 1", "port = 1"]),
        &format!("enjamb.toml:8:8: error: two listeners on one address: 127.0.0.1:1 {help}"),
    );
    one_fault(
        &listeners(&["port = 1\nip_address = '10.0.0.1'", "port = 1\nip_address = '::ffff:10.0.0.1'"]),
        &format!("enjamb.toml:9:8: error: two listeners on one address: 10.0.0.1:1 {help}"),
    );
    one_fault(
        &listeners(&["port = 1\nreuse_port = true", "port = 1\nreuse_port = true"]),
        &format!("enjamb.toml:9:8: error: two listeners on one address: 127.0.0.1:1 {help}"),
    );
    let all = "port = 1\nip_address = '0.0.0.0'";
    let covered = faults(&listeners(&["port = 1", all]));
    let first =
        format!("enjamb.toml:8:8: error: two listeners on one address: 0.0.0.0:1 and 127.0.0.1:1 {help}");
    assert_eq!(covered.first(), Some(&first));
    clean(&listeners(&["port = 1", "port = 1\nip_version = 6", "port = 1\nip_address = '127.0.0.2'"]));
    let shared = listeners(&["port = 1\nreuse_port = true", &format!("{all}\nreuse_port = true")]);
    assert!(load_text(&shared).config.is_some());
    let both_names = listeners(&["port = 1", "port = 1"]).replacen("service", "component", 1);
    assert_eq!(faults(&both_names).len(), 1);
}

#[test]
fn unknown_keys_and_sections_are_refused_with_the_nearest_name() {
    refused(
        "pasword = 'x'",
        "6:1: error: unknown key `pasword` in `listen.service` (did you mean `password`?)",
    );
    refused(
        "conflict-behaviour = 'x'",
        "6:1: error: unknown key `conflict-behaviour` in `listen.service` (did you mean `conflict_behaviour`?)",
    );
    refused(
        "zebra = 1",
        "6:1: error: unknown key `zebra` in `listen.service` (known here: access, backlog, check_from, \
         conflict_behaviour, domains, hibernate_after, hidden_components, ip_address, ip_version, keepalive, \
         max_connections, max_fsm_queue, max_stanza_size, max_unauthenticated, num_acceptors, password, port, \
         proto, proxy_protocol, reuse_port, shaper, shaper_rule, sources, state_timeout, tls)",
    );
    refused("[shapper.fast]", "6:2: error: unknown section `shapper` (did you mean `shaper`?)");
    refused("[[listen.servcie]]", "6:10: error: unknown key `servcie` in `listen` (did you mean `service`?)");
    refused("[modules.mod_dsico]", "6:10: error: unknown module `mod_dsico` (did you mean `mod_disco`?)");
    refused("[modules.zebra]", "6:10: error: unknown module `zebra` (a module's name begins with `mod_`)");
    one_fault(
        &general("hosts = ['a']\nlogelvel = 'error'"),
        "enjamb.toml:3:1: error: unknown key `logelvel` in `general` (did you mean `loglevel`?)",
    );
    refused(
        "\"\\u001b[2J\" = 1",
        "6:1: error: unknown key `\\u{1b}[2J` in `listen.service` (known here: access, backlog, check_from, \
         conflict_behaviour, domains, hibernate_after, hidden_components, ip_address, ip_version, keepalive, \
         max_connections, max_fsm_queue, max_stanza_size, max_unauthenticated, num_acceptors, password, port, \
         proto, proxy_protocol, reuse_port, shaper, shaper_rule, sources, state_timeout, tls)",
    );
}

#[test]
fn what_only_mongooseim_has_gets_one_warning_each() {
    let rest = "belongs to a part of MongooseIM that Enjamb does not have; passed over";
    assert_eq!(
        faults(&file_with(
            "[[listen.c2s]]\nport = 8888\n[[listen.c2s]]\nport = 1\n[modules.mod_mam]\na = 1\n[modules.mod_our_own]\n\
             [outgoing_pools.rdbms.default]\na = 1\n[outgoing_pools.redis.default]\n[[host_config]]\nhost = 'a'"
        )),
        [
            format!("enjamb.toml:6:1: warning: `[[listen.c2s]]` {rest}"),
            format!("enjamb.toml:10:10: warning: `[modules.mod_mam]` {rest}"),
            format!("enjamb.toml:12:10: warning: `[modules.mod_our_own]` {rest}"),
            format!("enjamb.toml:13:2: warning: `[outgoing_pools]` {rest}"),
            format!("enjamb.toml:16:3: warning: `[host_config]` {rest}"),
        ]
    );
    one_fault(
        &general("hosts = ['a']\nloglevel = 'error'\nlanguage = 'en'"),
        "enjamb.toml:1:1: warning: keys of `general` that Enjamb does not have are passed over: language, loglevel",
    );
    one_fault(
        &file_with("[modules.mod_disco]\nextra_domains = []"),
        "enjamb.toml:6:1: warning: keys of `modules.mod_disco` that Enjamb does not have are passed over: extra_domains",
    );
}

#[test]
fn users_can_see_hidden_services() {
    let visible = |lines: &str| clean(&file_with(lines)).users_can_see_hidden_services;
    assert!(!visible(""));
    assert!(!visible("[modules.mod_disco]"));
    assert!(visible("[modules.mod_disco]\nusers_can_see_hidden_services = true"));
    refused(
        "[modules.mod_disco]\nusers_can_see_hidden_services = 'yes'",
        "7:33: error: `users_can_see_hidden_services` must be a boolean (true or false), and this is a string",
    );
    refused(
        "[modules]\nmod_disco = 1",
        "7:13: error: `modules.mod_disco` must be a table, and this is an integer",
    );
}

#[test]
fn a_section_of_another_type_is_refused() {
    for section in ["general", "listen", "shaper", "acl", "access", "modules"] {
        let found = faults(&format!("{section} = 1\n"));
        let expected = format!("error: `{section}` must be a table, and this is an integer");
        assert!(found.iter().any(|fault| fault.ends_with(&expected)), "{found:?}");
    }
}

#[test]
fn faults_of_syntax_are_found_all_and_those_of_meaning_beside_them() {
    for (line, place) in [
        ("port = 1", "6:1"),
        ("a = ", "6:5"),
        ("a = 'b", "6:7"),
        ("a = b", "6:5"),
        ("a: 1", "6:2"),
        ("a = [1, 2", "7:1"),
        ("\u{6f22} = 1", "6:1"),
    ] {
        let found = faults(&file_with(&format!("{line}\nzebra = 1\nb =\ncheck_from = 'no'\n[moduls]")));
        let expected = [
            format!("{place}: error: this is no TOML: "),
            "7:1: error: unknown key `zebra` in `listen.service`".into(),
            "8:4: error: this is no TOML: ".into(),
            "9:14: error: `check_from` must be a boolean".into(),
            "10:2: error: unknown section `moduls` (did you mean `modules`?)".into(),
        ];
        assert_eq!(found.len(), expected.len(), "{line}: {found:?}");
        for expected in expected {
            let expected = format!("enjamb.toml:{expected}");
            assert!(found.iter().any(|fault| fault.starts_with(&expected)), "{line}: {found:?}");
        }
    }
    assert!(load_text("\0").config.is_none());
}

#[test]
fn what_could_not_be_read_is_not_missed_and_guessed_at_by_no_one() {
    // The header, or a bracket that is open, takes along what it is about, and nothing else.
    for text in [
        "[general\nhosts = ['a.example']\n[[listen.service]]\nport = 1\npassword = 'x'\nshaper = 'fast'\n[shaper.fast\nmax_rate = 5\n",
        "[general]\nhosts = ['a.example'\n[[listen.service]]\nport = 1\npassword = 'x'\naccess = 'all\n",
        "[general]\nhosts = [\n'a.example',\nb.example,\n'c.example'\n]\n[[listen.service]\nport = 1\n",
    ] {
        let found = faults(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|fault| fault.contains("this is no TOML")), "{found:?}");
    }
    let many = "a = \n".repeat(100);
    assert_eq!(faults(&many).len(), 20);
}
