//! Whole files: an operator's, the reference's example, and every kind of damage to them.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use enjamb_core::jid::Jid;
use enjamb_core::router::ConflictBehaviour;
use enjamb_server::check::{run, summary};
use enjamb_server::config::{Config, DEFAULT_PORT, Severity, load_file};

use crate::{SECRET, file_with, load_text};

const SHAPE: &str = include_str!("../../../tests/data/mongooseim-shape.toml");

/// The example of the reference's first section.
const EXAMPLE: &str = r#"
[general]
hosts = ["localhost", "example.org"]   # virtual hosts served here
max_fsm_queue = 5000                   # default for every listener

[[listen.service]]                     # also accepted: [[listen.component]], its name since MongooseIM 6.4
port = 8888
ip_address = "127.0.0.1"
password = "secret"
access = "component"                   # an access rule's name, or "all"
shaper_rule = "fast"                   # also accepted: shaper, its name since 6.4; "none" = no shaper
check_from = true
hidden_components = false
conflict_behaviour = "disconnect"      # or "kick_old"
max_fsm_queue = 1000

[shaper.fast]
max_rate = 50_000                      # bytes per second

[acl]
blocked = [{user = "spammer", server = "evil.example"}, {server_glob = "*.spam.example"}]

[access]
component = [{acl = "blocked", value = "deny"}, {acl = "all", value = "allow"}]
"#;

#[test]
fn a_usual_mongooseim_file_starts_with_warnings_only() {
    let loaded = load_text(SHAPE);
    assert_eq!(loaded.count(Severity::Error), 0, "{}", loaded.render(false));
    let config = loaded.config.as_ref().unwrap();
    assert_eq!(config.hosts.len(), 2);
    assert!(!config.users_can_see_hidden_services);
    let ports: Vec<_> = config.listeners.iter().map(|listener| listener.address.port()).collect();
    assert_eq!(ports, [8888, 8189, 8190]);
    for listener in &config.listeners {
        assert_eq!(listener.shaper, NonZeroU64::new(50_000));
        assert_eq!(listener.max_fsm_queue.unwrap().get(), 1000);
        assert!(listener.access.is_everyone());
    }
    assert!(config.listeners[1].hidden_components);
    assert_eq!(config.listeners[2].conflict_behaviour, ConflictBehaviour::KickOld);

    let of = |what: &str| loaded.diagnostics.iter().filter(|fault| fault.message.contains(what)).count();
    for once in [
        "`general`",
        "[[listen.http]]",
        "[[listen.c2s]]",
        "[[listen.s2s]]",
        "[auth]",
        "[outgoing_pools]",
        "[services]",
        "[modules.mod_roster]",
        "[modules.mod_mam]",
        "[s2s]",
        "no acl is named `blocked`",
    ] {
        assert_eq!(of(once), 1, "{once}");
    }
    assert_eq!(of("no acl is named `admin`"), 2);
    assert_eq!(of("`password` is a placeholder"), 3);
    assert_eq!(of("two listeners have the same secret"), 2);
    assert_eq!(loaded.diagnostics.len(), 18);
    assert_eq!(summary(&loaded), "enjamb.toml: 2 hosts, 3 listeners, 18 warnings");
}

#[test]
fn the_example_of_the_reference_means_what_it_says() {
    let loaded = load_text(EXAMPLE);
    assert_eq!(loaded.diagnostics.len(), 1, "only the password: {}", loaded.render(false));
    let listener = loaded.config.unwrap().listeners.remove(0);
    assert_eq!(listener.address.to_string(), "127.0.0.1:8888");
    assert_eq!(listener.password.expose(), "secret");
    assert_eq!(listener.max_fsm_queue.unwrap().get(), 1000);
    assert_eq!(listener.shaper, NonZeroU64::new(50_000));
    let allows = |sender| listener.access.allows(&Jid::parse(sender).unwrap(), false);
    assert!(!allows("spammer@evil.example"));
    assert!(!allows("anyone@a.spam.example"));
    assert!(allows("friend@evil.example"));
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_file() {
    let text = "\
[general]
hosts = [\"localhost\", \"localhost\"]
logelvel = \"error\"

[[listen.service]]
port = 88888
access = \"al\"
shaper = \"fats\"
check_from = \"yes\"

[[listen.component]]
port = 8889
password = \"\"
domains = [\"localhost\"]
max_stanza_size = 5
tls = {certfile = \"a\"}

[shaper.fast]
max_rate = 0

[acl]
a = [{usr = \"x\"}]

[moduls]
";
    let loaded = load_text(text);
    let places: Vec<_> =
        loaded.diagnostics.iter().map(|fault| loaded.source.position(fault.span.start)).collect();
    assert_eq!(
        places,
        [
            (2, 23),
            (3, 1),
            (5, 1),
            (6, 8),
            (7, 10),
            (8, 10),
            (9, 14),
            (13, 12),
            (14, 12),
            (15, 19),
            (16, 7),
            (16, 19),
            (19, 12),
            (22, 7),
            (24, 2),
        ],
        "{}",
        loaded.render(false)
    );
    assert_eq!(loaded.count(Severity::Error), 15);
    assert!(loaded.config.is_none());
    assert_eq!(summary(&loaded), "enjamb.toml: 15 errors, 0 warnings");
}

#[test]
fn without_a_file_there_is_one_listener_on_loopback() {
    let config = Config::embedded_default(SECRET.to_owned(), DEFAULT_PORT);
    assert_eq!(config.hosts[0].as_str(), "localhost");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8888");
    assert_eq!(config.listeners[0].password.expose(), SECRET);
}

/// Everything that is done with a file, for the panics that must not be.
fn survives(text: &str) {
    let loaded = load_text(text);
    assert_eq!(loaded.config.is_none(), loaded.count(Severity::Error) > 0);
    let shown = loaded.render(false);
    // "secret" is a word of messages; the files to be damaged have another.
    assert!(!shown.contains("Tr0ub4dor"), "{shown}\n{text}");
}

fn damaged_file() -> String {
    SHAPE.replace("\"secret\"", "\"Tr0ub4dor\"") + "[extra]\n'ü' = '''\nx'''\n"
}

#[test]
fn a_file_cut_at_any_byte_is_refused_or_read_but_never_a_panic() {
    let text = damaged_file();
    for end in 0..text.len() {
        // A character that is cut becomes another, as in a file that is read from disk.
        survives(&String::from_utf8_lossy(&text.as_bytes()[..end]));
    }
}

#[test]
fn a_file_with_wrong_bytes_is_refused_or_read_but_never_a_panic() {
    let text = damaged_file();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    for _ in 0..1000 {
        let mut bytes = text.clone().into_bytes();
        let place = random() % bytes.len();
        bytes[place] ^= 1 << (random() % 8);
        survives(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn nesting_without_end_is_no_panic() {
    const DEEP: usize = 20_000;
    survives(&format!("a = {}", "[".repeat(DEEP)));
    survives(&format!("a = {}{}", "[".repeat(DEEP), "]".repeat(DEEP)));
    survives(&format!("a = {}", "{a = ".repeat(DEEP)));
    survives(&format!("{}a = 1", "a.".repeat(DEEP)));
    survives(&format!("[{}a]", "a.".repeat(DEEP)));
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn bytes_that_are_no_utf8_are_a_fault_with_its_place() {
    let mut bytes = file_with("").into_bytes();
    bytes.extend(b"a = '\xff'\n");
    let loaded = load_file(&written("latin1.toml", &bytes)).unwrap();
    assert!(loaded.config.is_none());
    assert_eq!(loaded.diagnostics[0].message, "this is no UTF-8");
    assert_eq!(loaded.source.position(loaded.diagnostics[0].span.start), (7, 6));
    assert!(loaded.render(false).contains("latin1.toml:7:6"));
}

#[test]
fn check_tells_by_its_exit_code_whether_the_server_would_start() {
    let code = |path: &Path| format!("{:?}", run(path));
    let is = |code: u8| format!("{:?}", ExitCode::from(code));
    assert_eq!(code(&written("fine.toml", file_with("").as_bytes())), is(0));
    assert_eq!(code(&written("warned.toml", SHAPE.as_bytes())), is(0));
    assert_eq!(code(&written("refused.toml", file_with("zebra = 1").as_bytes())), is(1));
    assert_eq!(code(Path::new("/nonexistent/enjamb.toml")), is(2));
    assert_eq!(code(Path::new("/")), is(2));
}
