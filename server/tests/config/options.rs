//! One test for each option of a listener.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::router::{ConflictBehaviour, DomainPattern};
use enjamb_server::config::Severity;

use crate::{SECRET, clean, doubtful, faults, file_with, listener, load_text, one_fault, refused};

#[test]
fn a_listener_of_which_little_is_said_has_the_defaults() {
    let plain = listener("");
    assert_eq!(plain.address.to_string(), "127.0.0.1:8888");
    assert_eq!(plain.password.expose(), SECRET);
    assert!(plain.access.is_everyone());
    assert_eq!(plain.shaper, None);
    assert!(plain.check_from);
    assert!(!plain.hidden_components);
    assert_eq!(plain.conflict_behaviour, ConflictBehaviour::Disconnect);
    assert_eq!(plain.max_fsm_queue, None);
    assert_eq!(plain.domains, None);
    assert_eq!(plain.backlog, 1024);
    assert_eq!(plain.max_stanza_size, 1 << 20);
    assert_eq!(plain.max_connections, 1_000_000);
    assert_eq!(plain.num_acceptors.get(), 100);
    assert!(!plain.reuse_port);
    assert_eq!(plain.state_timeout, Duration::from_secs(5));
    assert_eq!(plain.hibernate_after, Duration::ZERO);
    assert_eq!(plain.keepalive, Some(Duration::from_secs(30)));
}

#[test]
fn both_names_of_the_section_are_equal_and_the_order_is_the_files() {
    let text = "[general]\nhosts = ['a']\n[[listen.component]]\nport = 1\npassword = 'X'\n\
                [[listen.service]]\nport = 2\npassword = 'Y'\n[[listen.component]]\nport = 3\npassword = 'Z'\n"
        .replace('X', SECRET)
        .replace('Y', &format!("{SECRET}Y"))
        .replace('Z', &format!("{SECRET}Z"));
    let ports: Vec<_> = clean(&text).listeners.iter().map(|listener| listener.address.port()).collect();
    assert_eq!(ports, [1, 2, 3]);
}

#[test]
fn access() {
    assert!(listener("access = 'all'").access.is_everyone());
    assert!(!listener("access = 'none'").access.is_everyone());
    let rule = "access = 'component'\n[access]\ncomponent = [{acl = 'all', value = 'allow'}]";
    assert!(listener(rule).access.is_everyone());
    refused(
        "access = 'componet'\n[access]\ncomponent = [{acl = 'all', value = 'allow'}]",
        "6:10: error: no access rule is named `componet` (did you mean `component`?)",
    );
    refused(
        "access = 'zebra'",
        "6:10: error: no access rule is named `zebra` (define it in [access], or use \"all\")",
    );
    refused("access = true", "6:10: error: `access` must be a string, and this is a boolean");
}

#[test]
fn password() {
    let with = |value: &str| format!("[general]\nhosts = ['a']\n[[listen.service]]\nport = 8888\n{value}\n");
    one_fault(
        &with(""),
        "enjamb.toml:3:1: error: `listen.service` has no `password`, which is mandatory \
         (a secret of 16 or more ASCII letters and digits)",
    );
    one_fault(
        &with("password = ''"),
        "enjamb.toml:5:12: error: `password` is empty: anyone could connect \
         (use 16 or more ASCII letters and digits)",
    );
    one_fault(
        &with("password = 12345678901234567890"),
        "enjamb.toml:5:12: error: `password` must be a string, and this is an integer",
    );
    one_fault(
        &with("password = 'abc'"),
        "enjamb.toml:5:12: warning: `password` is shorter than 16 characters: it can be guessed \
         (use 16 or more ASCII letters and digits)",
    );
    one_fault(
        &with("password = 'pässwort-mit-mehr-zeichen'"),
        "enjamb.toml:5:12: warning: `password` holds other characters than ASCII letters and digits \
         (some client libraries hash or escape them in ways of their own, and can't log in)",
    );
    let umlauts = load_text(&with("password = 'pässwort-mit-mehr-zeichen'")).config.unwrap();
    assert_eq!(umlauts.listeners[0].password.expose(), "pässwort-mit-mehr-zeichen");
}

#[test]
fn shaper_rule_and_its_newer_name() {
    let rate = NonZeroU64::new(50_000);
    for key in ["shaper_rule", "shaper"] {
        let shapers = "[shaper.fast]\nmax_rate = 50_000";
        assert_eq!(listener(&format!("{key} = 'fast'\n{shapers}")).shaper, rate);
        assert_eq!(listener(&format!("{key} = 'none'")).shaper, None);
        let column = key.len() + 4;
        refused(
            &format!("{key} = 'fats'\n{shapers}"),
            &format!("6:{column}: error: no shaper is named `fats` (did you mean `fast`?)"),
        );
        refused(
            &format!("{key} = 'slow'"),
            &format!(
                "6:{column}: error: no shaper is named `slow` (define it: [shaper.slow] max_rate = 50_000)"
            ),
        );
        refused(
            &format!("{key} = 5"),
            &format!("6:{column}: error: `{key}` must be a string, and this is an integer"),
        );
    }
    refused(
        "shaper = 'none'\nshaper_rule = 'none'",
        "6:10: error: both `shaper` and `shaper_rule` are given (they are two names of one option: take one out)",
    );
}

#[test]
fn check_from() {
    assert!(listener("check_from = true").check_from);
    assert!(!doubtful("check_from = false").check_from);
    refused(
        "check_from = false",
        "6:14: warning: check_from is off: components of this listener may send as anybody \
         (leave it on, unless all of them are trusted with every address)",
    );
    refused(
        "check_from = 'no'",
        "6:14: error: `check_from` must be a boolean (true or false), and this is a string",
    );
}

#[test]
fn hidden_components() {
    assert!(listener("hidden_components = true").hidden_components);
    assert!(!listener("hidden_components = false").hidden_components);
    refused(
        "hidden_components = 1",
        "6:21: error: `hidden_components` must be a boolean (true or false), and this is an integer",
    );
}

#[test]
fn conflict_behaviour() {
    let found = |value| listener(&format!("conflict_behaviour = '{value}'")).conflict_behaviour;
    assert_eq!(found("disconnect"), ConflictBehaviour::Disconnect);
    assert_eq!(found("kick_old"), ConflictBehaviour::KickOld);
    refused(
        "conflict_behaviour = 'kickold'",
        "6:22: error: unknown conflict behaviour `kickold` (did you mean `kick_old`?)",
    );
    refused(
        "conflict_behaviour = 'fight'",
        "6:22: error: unknown conflict behaviour `fight` (\"disconnect\" or \"kick_old\")",
    );
    refused(
        "conflict_behaviour = []",
        "6:22: error: `conflict_behaviour` must be a string, and this is an array",
    );
}

#[test]
fn max_fsm_queue_overrides_the_one_of_general() {
    let queue = |number| NonZeroUsize::new(number);
    assert_eq!(listener("max_fsm_queue = 1000").max_fsm_queue, queue(1000));
    let general = file_with("").replace("[general]", "[general]\nmax_fsm_queue = 5000");
    assert_eq!(clean(&general).listeners[0].max_fsm_queue, queue(5000));
    let both = format!("{general}max_fsm_queue = 7");
    assert_eq!(clean(&both).listeners[0].max_fsm_queue, queue(7));
    for wrong in ["0", "-1", "4294967296", "99999999999999999999"] {
        refused(
            &format!("max_fsm_queue = {wrong}"),
            "6:17: error: `max_fsm_queue` is out of range (from 1 to 4294967295 stanzas)",
        );
    }
    refused("max_fsm_queue = 1.5", "6:17: error: `max_fsm_queue` must be an integer, and this is a float");
}

#[test]
fn max_queued_bytes_of_general() {
    let with =
        |value: &str| file_with("").replace("[general]", &format!("[general]\nmax_queued_bytes = {value}"));
    assert_eq!(clean(&file_with("")).max_queued_bytes, None);
    assert_eq!(clean(&with("1_048_576")).max_queued_bytes, Some(1 << 20));
    one_fault(
        &with("1000"),
        "enjamb.toml:2:20: error: `max_queued_bytes` is out of range (from 1048576 to 1099511627776 bytes)",
    );
}

#[test]
fn domains() {
    let found = listener("domains = ['Bot.example', '*.bots.example']").domains.unwrap();
    let bots = Domain::parse("bots.example").unwrap();
    let bot = Domain::parse("bot.example").unwrap();
    assert_eq!(found, [DomainPattern::Exact(bot), DomainPattern::Below(bots)]);
    refused(
        "domains = ['bot.example', 'EXAMPLE.org']",
        "6:27: error: `example.org` is a host of this server: no component can have it \
         (take it out of `domains`, or out of `hosts`)",
    );
    refused(
        "domains = []",
        "6:11: error: `domains` is empty: no component could connect (take it out to allow any)",
    );
    refused("domains = 'a.example'", "6:11: error: `domains` must be an array, and this is a string");
    refused("domains = [1]", "6:12: error: `domains` must be a string, and this is an integer");
    let bad = faults(&file_with("domains = ['a.*.example']"));
    assert!(bad[0].starts_with("enjamb.toml:6:12: error: `a.*.example` is no domain: "), "{bad:?}");
    assert!(bad[0].ends_with("(a name, or a wildcard of whole labels as in \"*.bots.example\")"), "{bad:?}");
}

#[test]
fn port() {
    let with =
        |port: &str| format!("[general]\nhosts = ['a']\n[[listen.service]]\npassword = '{SECRET}'\n{port}");
    assert_eq!(clean(&with("port = 65535")).listeners[0].address.port(), 65535);
    assert_eq!(clean(&with("port = 0x22B8")).listeners[0].address.port(), 8888);
    one_fault(
        &with(""),
        "enjamb.toml:3:1: error: `listen.service` has no `port`, which is mandatory (8888 is the usual one)",
    );
    for wrong in ["65536", "-1"] {
        one_fault(
            &with(&format!("port = {wrong}")),
            "enjamb.toml:5:8: error: `port` is out of range (from 0 to 65535)",
        );
    }
    one_fault(
        &with("port = '1'"),
        "enjamb.toml:5:8: error: `port` must be an integer, and this is a string (without the quotes: port = 1)",
    );
    one_fault(
        &with("port = 0"),
        "enjamb.toml:5:8: warning: `port` is 0: the system chooses one, another at each start \
         (8888 is the usual one)",
    );
}

#[test]
fn ip_address_is_loopback_unless_set() {
    let address = |lines: &str| doubtful(lines).address.to_string();
    assert_eq!(address("ip_address = '0.0.0.0'"), "0.0.0.0:8888");
    assert_eq!(address("ip_address = '::'"), "[::]:8888");
    assert_eq!(address("ip_address = '::ffff:127.0.0.1'"), "127.0.0.1:8888");
    assert!(doubtful("ip_address = '::'").takes_ipv4 && !listener("ip_address = '::1'").takes_ipv4);
    refused(
        "ip_address = 'localhost'",
        "6:14: error: `localhost` is no IP address (an address such as \"127.0.0.1\" or \"::1\", not a name)",
    );
    refused("ip_address = 127", "6:14: error: `ip_address` must be a string, and this is an integer");
    let unset = load_text(&file_with(""));
    assert_eq!(
        unset.notes,
        ["no ip_address is set for port 8888: it listens on loopback only, at 127.0.0.1:8888"]
    );
    assert_eq!(load_text(&file_with("ip_address = '127.0.0.1'")).notes, [""; 0]);
}

#[test]
fn ip_version() {
    let address = |lines: &str| doubtful(lines).address.to_string();
    assert_eq!(address("ip_version = 4"), "127.0.0.1:8888");
    assert_eq!(address("ip_version = 6"), "[::1]:8888");
    assert_eq!(address("ip_version = 6\nip_address = '::'"), "[::]:8888");
    refused(
        "ip_version = 6\nip_address = '127.0.0.1'",
        "6:14: error: `ip_version` is 6, and `ip_address` is not of that version \
         (take `ip_version` out: it follows from the address)",
    );
    for wrong in ["5", "0", "'4'", "-4"] {
        refused(&format!("ip_version = {wrong}"), "6:14: error: `ip_version` must be 4 or 6");
    }
}

#[test]
fn proto() {
    listener("proto = 'tcp'");
    refused("proto = 'udp'", "6:9: error: unknown protocol `udp` (\"tcp\" is the only value)");
    refused("proto = 'tpc'", "6:9: error: unknown protocol `tpc` (did you mean `tcp`?)");
    refused("proto = 6", "6:9: error: `proto` must be a string, and this is an integer");
}

#[test]
fn backlog() {
    assert_eq!(listener("backlog = 50").backlog, 50);
    refused("backlog = -1", "6:11: error: `backlog` is out of range (from 0 to 2147483647 connections)");
    refused("backlog = 'all'", "6:11: error: `backlog` must be an integer, and this is a string");
}

#[test]
fn max_stanza_size() {
    assert_eq!(listener("max_stanza_size = 10_000").max_stanza_size, 10_000);
    assert_eq!(listener("max_stanza_size = 67108864").max_stanza_size, 64 << 20);
    assert_eq!(listener("max_stanza_size = 'infinity'").max_stanza_size, 64 << 20);
    for wrong in ["9999", "0", "-5", "67108865"] {
        refused(
            &format!("max_stanza_size = {wrong}"),
            "6:19: error: `max_stanza_size` is out of range (from 10000 to 67108864 bytes)",
        );
    }
    refused(
        "max_stanza_size = 'big'",
        "6:19: error: `max_stanza_size` is `big` (an integer or \"infinity\" belongs here)",
    );
}

#[test]
fn num_acceptors() {
    assert_eq!(listener("num_acceptors = 1").num_acceptors.get(), 1);
    let many = load_text(&file_with("num_acceptors = 10\nip_address = '::1'"));
    assert_eq!(many.config.unwrap().listeners[0].num_acceptors.get(), 10);
    assert_eq!(many.notes, ["num_acceptors = 10: one is plenty here, it accepts without waiting"]);
    refused("num_acceptors = 0", "6:17: error: `num_acceptors` is out of range (from 1 to 10000 tasks)");
}

#[test]
fn max_connections() {
    assert_eq!(listener("max_connections = 7").max_connections, 7);
    assert_eq!(listener("max_connections = 'infinity'").max_connections, 1_000_000);
    for wrong in ["0", "1000001"] {
        refused(
            &format!("max_connections = {wrong}"),
            "6:19: error: `max_connections` is out of range (from 1 to 1000000 connections)",
        );
    }
}

#[test]
fn reuse_port() {
    assert!(listener("reuse_port = true").reuse_port);
    assert!(!listener("reuse_port = false").reuse_port);
    refused(
        "reuse_port = ''",
        "6:14: error: `reuse_port` must be a boolean (true or false), and this is a string",
    );
}

#[test]
fn state_timeout() {
    assert_eq!(listener("state_timeout = 250").state_timeout, Duration::from_millis(250));
    assert_eq!(listener("state_timeout = 'infinity'").state_timeout, Duration::from_secs(3600));
    for wrong in ["0", "3600001"] {
        refused(
            &format!("state_timeout = {wrong}"),
            "6:17: error: `state_timeout` is out of range (from 1 to 3600000 milliseconds)",
        );
    }
}

#[test]
fn hibernate_after() {
    assert_eq!(listener("hibernate_after = 0").hibernate_after, Duration::ZERO);
    assert_eq!(listener("hibernate_after = 10").hibernate_after, Duration::from_millis(10));
    assert_eq!(listener("hibernate_after = 'infinity'").hibernate_after, Duration::from_secs(3600));
    refused(
        "hibernate_after = -1",
        "6:19: error: `hibernate_after` is out of range (from 0 to 3600000 milliseconds)",
    );
}

#[test]
fn keepalive() {
    assert_eq!(listener("keepalive = 0").keepalive, None);
    assert_eq!(listener("keepalive = 60").keepalive, Some(Duration::from_secs(60)));
    refused("keepalive = 3601", "6:13: error: `keepalive` is out of range (from 0 to 3600 seconds)");
    refused("keepalive = 'infinity'", "6:13: error: `keepalive` must be an integer, and this is a string");
}

#[test]
fn the_ceilings_that_infinity_means_are_named_in_the_log() {
    let lines = "ip_address = '::1'\nmax_stanza_size = 'infinity'\nmax_connections = 'infinity'\n\
                 state_timeout = 'infinity'\nhibernate_after = 'infinity'";
    let loaded = load_text(&file_with(lines));
    assert_eq!(loaded.count(Severity::Warning), 0);
    assert_eq!(
        loaded.notes,
        [
            "listen.service: max_stanza_size = \"infinity\" means 67108864 bytes here",
            "listen.service: max_connections = \"infinity\" means 1000000 connections here",
            "listen.service: state_timeout = \"infinity\" means 3600000 milliseconds here",
            "listen.service: hibernate_after = \"infinity\" means 3600000 milliseconds here",
        ]
    );
}
