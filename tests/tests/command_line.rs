//! The program as its user meets it: commands, exit codes, messages.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use enjamb_tests::env;
use enjamb_tests::peer::Element;
use enjamb_tests::server::{Config, Text, Unconfigured, binary};
use enjamb_tests::wire::{Wire, digest_of, has_handshake, header};
use rustix::process::{Pid, Signal, kill_process};

fn enjamb(args: &[&str]) -> Output {
    Command::new(binary()).args(args).env_remove("ENJAMB_CONFIG").output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it writes UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it writes UTF-8")
}

/// A file of this text, with a name of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = env::work_dir().join(format!("{name}-{}.toml", std::process::id()));
    fs::write(&path, text).expect("target/ is writable");
    path
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

const FAULTY: &str = "[general]\nhosts = [\"a.example\"]\n\n[[listen.service]]\nport = \"many\"\npasword = \"s3cr3t-s3cr3t\"\n\
    access = \"nobody_knows\"\n";

#[test]
fn a_faulty_file_is_refused_with_all_its_faults_and_their_places() {
    let file = file("faulty", FAULTY);
    for args in
        [["serve", "--config", path(&file)].as_slice(), &["--config", path(&file)], &["check", path(&file)]]
    {
        let out = enjamb(args);
        let said = stderr(&out);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        for part in ["port", "pasword", "password", "nobody_knows", path(&file), ":5:", ":6:", ":7:"] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
        assert!(
            !said.contains("s3cr3t-s3cr3t") && !stdout(&out).contains("s3cr3t-s3cr3t"),
            "the secret is shown"
        );
        assert!(!said.contains('\u{1b}'), "colours without a terminal");
    }
    fs::remove_file(file).expect("it is ours");
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let missing = env::work_dir().join("no such file.toml");
    for (args, code) in
        [(["serve", "--config", path(&missing)].as_slice(), 1), (&["check", path(&missing)], 2)]
    {
        let out = enjamb(args);
        assert_eq!(out.status.code(), Some(code));
        assert!(
            stderr(&out).contains(path(&missing)) && stderr(&out).contains("No such file"),
            "{}",
            stderr(&out)
        );
    }
    // A directory in the place of the file.
    let out = enjamb(&["serve", "--config", path(&env::work_dir())]);
    assert_eq!(out.status.code(), Some(1));
    assert!(stderr(&out).contains(path(&env::work_dir())), "{}", stderr(&out));
}

#[test]
fn check_says_what_a_start_would_say_and_starts_nothing() {
    let out = enjamb(&["check", path(&env::data().join("mongooseim-shape.toml"))]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert!(stdout(&out).contains("2 hosts, 3 listeners"), "{}", stdout(&out));
    assert!(stderr(&out).contains("warning") && !stderr(&out).contains("error:"), "{}", stderr(&out));
}

#[test]
fn help_names_the_commands_and_the_options() {
    let help = stdout(&enjamb(&["--help"]));
    for part in
        ["serve", "check", "init", "demo", "--config", "--log", "--log-format", "127.0.0.1:8888", "XEP-0114"]
    {
        assert!(help.contains(part), "{part} is not in\n{help}");
    }
    assert!(stdout(&enjamb(&["--version"])).starts_with("enjamb 0."));
    for wrong in [["--no-such-option"].as_slice(), &["serv"], &["check"], &["--log-format", "xml"]] {
        let out = enjamb(wrong);
        assert_eq!(out.status.code(), Some(2), "{wrong:?}");
        assert!(stderr(&out).contains("--help"), "{wrong:?}: {}", stderr(&out));
    }
    let out = enjamb(&["--log", "in=fo=="]);
    assert_eq!(out.status.code(), Some(2));
    assert!(stderr(&out).contains("--log"), "{}", stderr(&out));
}

#[test]
fn all_ports_that_are_taken_are_named() {
    let taken: Vec<_> = (0..2).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port")).collect();
    let ports: Vec<u16> = taken.iter().map(|one| one.local_addr().expect("it is bound").port()).collect();
    let listener = |port| format!("[[listen.service]]\nport = {port}\npassword = \"p\"\n");
    let text = format!("[general]\nhosts = [\"a.example\"]\n{}{}", listener(ports[0]), listener(ports[1]));
    let file = file("taken", &text);
    let out = enjamb(&["serve", "--config", path(&file)]);
    fs::remove_file(file).expect("it is ours");
    assert_eq!(out.status.code(), Some(1));
    for port in ports {
        let line = stderr(&out)
            .lines()
            .find(|line| line.contains(&format!("127.0.0.1:{port} can't")))
            .map(str::to_owned);
        assert!(
            line.is_some_and(|line| line.contains("ERROR") && line.contains("in use")),
            "{}",
            stderr(&out)
        );
    }
}

#[test]
fn the_demo_shows_each_step_and_ends_with_0() {
    let out = enjamb(&["demo"]);
    let shown = stdout(&out);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let mut rest = shown.as_str();
    for step in [
        "weather.localhost <->  connected",
        "bot.localhost     <->  connected",
        "disco#items",
        "jid='bot.localhost'",
        "Will it rain in Bergen?",
        "weather.localhost <--  <message",
        "Yes. \u{2614}",
        "bot.localhost     <--  <message",
        "remote-server-not-found",
        "bad-request",
        "system-shutdown",
    ] {
        let at =
            rest.find(step).unwrap_or_else(|| panic!("{step:?} is not, or not in its place, in\n{shown}"));
        rest = &rest[at + step.len()..];
    }
    // What it shows as received is XML.
    let received = shown.lines().filter_map(|line| line.split_once("<--  <"));
    let names: Vec<_> = received.map(|(_, xml)| Element::new(&format!("<{xml}")).name().to_owned()).collect();
    assert_eq!(names, ["iq", "message", "message", "message", "message"], "{shown}");
    assert!(!shown.contains('\u{1b}'), "colours without a terminal");
}

#[test]
fn closed_standard_output_stops_nothing() {
    let start = |args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(args).env_remove("ENJAMB_CONFIG").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary runs")
    };
    for args in [["demo"].as_slice(), &["check", path(&env::data().join("mongooseim-shape.toml"))]] {
        let mut child = start(args);
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().expect("it is ours").code(), Some(0), "{args:?}");
    }
    let text = "[general]\nhosts = [\"a.example\"]\n[[listen.service]]\nport = 0\npassword = \"s3cr3t\"\n";
    let file = file("unread", text);
    let mut child = start(&["--config", path(&file)]);
    let log = BufReader::new(child.stderr.take().expect("stderr was asked for"));
    let mut lines = log.lines().map(|line| line.expect("it writes UTF-8"));
    let listening = lines.find(|line| line.contains("listening")).expect("it says that it listens");
    let address = listening.split_once("listener=").and_then(|(_, rest)| rest.split(' ').next());
    let addr: SocketAddr = address.expect("it says where it listens").parse().expect("an address");
    drop((child.stdout.take(), lines));
    for _ in 0..2 {
        let mut wire = Wire::connect(addr);
        let id = wire.open(header("echo.example").as_bytes()).expect("a header");
        wire.send(format!("<handshake>{}</handshake>", digest_of(&id, "s3cr3t")).as_bytes(), None);
        assert!(wire.wait(Duration::from_secs(5), has_handshake), "{}", wire.text());
        wire.finish();
    }
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
    fs::remove_file(file).expect("it is ours");
}

#[test]
fn without_a_file_it_makes_a_secret_and_prints_it() {
    let server = Unconfigured::start();
    let secret = server.shown.lines().find_map(|line| line.split_once("secret of this run:"));
    let secret = secret.map(|(_, secret)| secret.trim()).expect("a secret is shown");
    assert!(secret.len() >= 16 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
    let mut wire = Wire::connect(server.addr);
    let id = wire.open(header("echo.localhost").as_bytes()).expect("a header");
    wire.send(format!("<handshake>{}</handshake>", digest_of(&id, secret)).as_bytes(), None);
    assert!(wire.wait(Duration::from_secs(5), has_handshake), "{}", wire.text());
    wire.finish();
    assert_eq!(server.interrupt().code(), Some(0));
}

#[test]
fn a_taken_port_without_a_file_is_named_with_the_option() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let out = enjamb(&["--port", &port]);
    assert_eq!(out.status.code(), Some(1));
    let said = stderr(&out);
    assert!(
        said.contains(&format!("127.0.0.1:{port} can't be listened on")) && said.contains("--port"),
        "{said}"
    );
    let help = stdout(&enjamb(&["serve", "--help"]));
    assert!(help.contains("--port") && help.contains("[default: 8888]"), "{help}");
}

/// What `enjamb init` prints, in an empty directory, which then has `enjamb.toml`.
fn init(name: &str, args: &[&str]) -> (PathBuf, Output) {
    let dir = env::work_dir().join(format!("init-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("target/ is writable");
    let mut command = Command::new(binary());
    let out = command.arg("init").args(args).current_dir(&dir).output().expect("the binary runs");
    (dir, out)
}

/// The value of the last key of this name.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let mut lines =
        text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix(['=', ':']));
    lines.next_back().unwrap_or_else(|| panic!("no {key} in\n{text}")).trim().trim_matches('"')
}

#[test]
fn init_writes_a_file_that_check_has_nothing_to_say_of() {
    for (server, address, snippet) in [
        ("prosody", "127.0.0.1:5347", "Component \"irc.example.org\"\n    component_secret = \"SECRET\"\n"),
        (
            "ejabberd",
            "127.0.0.1:8888",
            "  -\n    port: 8888\n    ip: \"127.0.0.1\"\n    module: ejabberd_service\n    global_routes: false\n    \
             hosts:\n      \"irc.example.org\":\n        password: \"SECRET\"\n",
        ),
    ] {
        let (dir, out) = init(server, &[server]);
        assert_eq!((out.status.code(), stderr(&out).as_str()), (Some(0), ""));
        let file = dir.join("enjamb.toml");
        assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).expect("it is text");
        assert!(text.contains("\nhosts = []\n") && text.contains("\nport = 5348\n"), "{text}");
        assert!(
            text.contains(&format!("\n[uplink.{server}]\n")) && text.contains("hold_seconds = 60"),
            "{text}"
        );
        assert_eq!(value(&text, "address"), address);
        // The secret of the uplink is the last one.
        let uplink = value(&text, "secret");
        let component = value(text.split("[uplink").next().expect("a beginning"), "secret");
        for secret in [uplink, component, value(&text, "password")] {
            assert!(
                secret.len() >= 32 && secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            );
            assert_eq!(text.matches(secret).count(), 1, "each its own: {text}");
        }
        let shown = stdout(&out);
        assert!(shown.contains(&snippet.replace("SECRET", uplink)), "{shown}");
        assert!(shown.contains("\nenjamb check enjamb.toml\nenjamb --config enjamb.toml\n"), "{shown}");
        assert!(!shown.contains(component), "{shown}");

        let checked = enjamb(&["check", path(&file)]);
        assert_eq!((checked.status.code(), stderr(&checked).as_str()), (Some(0), ""));
        assert!(
            stdout(&checked).ends_with(": 0 hosts, 1 listener, 1 uplink, 0 warnings\n"),
            "{}",
            stdout(&checked)
        );
        fs::remove_dir_all(dir).expect("it is ours");
    }
}

#[test]
fn init_overwrites_a_file_by_force_only() {
    let (dir, out) = init("force", &["prosody", "--output", "other.toml"]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let file = dir.join("other.toml");
    fs::write(&file, "mine, and longer than what is written: ".repeat(100)).expect("target/ is writable");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let (_, out) = init("force", &["prosody", "--output", "other.toml"]);
    assert_eq!((out.status.code(), stdout(&out).as_str()), (Some(1), ""));
    let expected = "error: other.toml exists; --force overwrites it, --output names another file\n";
    assert_eq!(stderr(&out), expected);
    assert!(fs::read_to_string(&file).expect("it is text").starts_with("mine"));
    let (_, out) = init("force", &["prosody", "--output", "other.toml", "--force"]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).expect("it is text").contains("mine"));
    assert!(!dir.join("enjamb.toml").exists());
    let (_, out) = init("force", &["prosody", "--output", "no such directory/enjamb.toml"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        stderr(&out).contains("no such directory/enjamb.toml can't be written: No such file"),
        "{}",
        stderr(&out)
    );
    fs::remove_dir_all(dir).expect("it is ours");
}

#[test]
fn init_takes_another_domain_and_address_and_writes_to_standard_output() {
    let args =
        ["ejabberd", "--domain", "XMPP.Example.net", "--server-address", "10.0.0.1:5000", "--output", "-"];
    let (dir, out) = init("stdout", &args);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    let text = stdout(&out);
    assert!(text.contains("[domain.\"xmpp.example.net\"]"), "{text}");
    assert_eq!(value(&text, "address"), "10.0.0.1:5000");
    let said = stderr(&out);
    let snippet = format!("\"xmpp.example.net\":\n        password: \"{}\"\n", value(&text, "secret"));
    assert!(said.contains(&snippet) && said.contains("ip: \"10.0.0.1\""), "{said}");
    assert!(said.contains("warning: it connects to 10.0.0.1:5000 without TLS"), "{said}");
    assert!(fs::read_dir(&dir).expect("it is ours").next().is_none(), "a file was written");
    for wrong in [
        ["init", "openfire"].as_slice(),
        &["init"],
        &["init", "prosody", "--domain", "a b"],
        &["init", "prosody", "--server-address", "localhost"],
    ] {
        let out = enjamb(wrong);
        assert_eq!(out.status.code(), Some(2), "{wrong:?}");
        assert!(stderr(&out).contains("--help"), "{wrong:?}: {}", stderr(&out));
    }
    fs::remove_dir(dir).expect("it is ours");
}

#[test]
fn server_without_hosts_serves_components() {
    let text: Text = |ports| {
        let port = ports[0];
        format!(
            "[general]\nhosts = []\n[[listen.service]]\nport = {port}\npassword = \"s3cret\"\n\
             [domain.\"a.example\"]\nuplink = \"prosody\"\n\
             [uplink.prosody]\naddress = \"127.0.0.1:1\"\nsecret = \"s3cret-of-prosody\"\n"
        )
    };
    let mut server = Config::of_text(1, text).start();
    let mut wire = Wire::connect(server.addr(0));
    wire.log_in(header("a.example").as_bytes()).expect("it is accepted");
    wire.send(
        b"<iq type='get' id='1' from='a.example' to='nobody.example'><ping xmlns='urn:xmpp:ping'/></iq>",
        None,
    );
    assert!(
        wire.wait(Duration::from_secs(5), |read| String::from_utf8_lossy(read).contains("type='error'")),
        "{}",
        wire.text()
    );
    let log = server.log();
    assert!(log.contains("has no host of its own"), "{log}");
    assert!(log.contains("settings of an uplink uplink=prosody address=127.0.0.1:1"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    assert!(server.stop().success());
}
