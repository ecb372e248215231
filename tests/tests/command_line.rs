//! The program as its user meets it: commands, exit codes, messages.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use enjamb_tests::env;
use enjamb_tests::peer::Element;
use enjamb_tests::server::binary;
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
    for part in ["serve", "check", "demo", "--config", "--log", "--log-format", "127.0.0.1:8888", "XEP-0114"]
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
    // What it shows as received is what expat takes.
    let received = shown.lines().filter_map(|line| line.split_once("<--  <"));
    let names: Vec<_> = received.map(|(_, xml)| Element::new(&format!("<{xml}")).name().to_owned()).collect();
    assert_eq!(names, ["iq", "message", "message", "message", "message"], "{shown}");
    assert!(!shown.contains('\u{1b}'), "colours without a terminal");
}

#[test]
fn whoever_stops_reading_what_it_says_stops_nothing() {
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
    let address = lines.find_map(|line| Some(line.split_once("listener=")?.1.split(' ').next()?.to_owned()));
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

/// Programs that a printed line is pasted into; they end with 0 once they are logged in. The one for slixmpp loses its first
/// connection, and has to come back (report 14).
const SLIXMPP: &str = "
import asyncio, os, slixmpp

class ComponentXMPP(slixmpp.ComponentXMPP):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sessions = 0
        self.add_event_handler('session_start', self.started)

    def started(self, _):
        self.sessions += 1
        if self.sessions == 2:
            os._exit(0)
        self.transport.abort()

async def main():
    LINE
    await asyncio.sleep(30)
    os._exit(1)

asyncio.run(main())
";
const XMPP_JS: &str = "
const library = require('@xmpp/component');
function component(options) {
  const made = library.component(options);
  made.on('online', () => process.exit(0));
  return made;
}
LINE
setTimeout(() => process.exit(1), 30000);
";

#[test]
fn without_any_file_it_listens_on_8888_and_prints_lines_that_work_as_they_are() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 8888));
    // Others on this machine may be testing the same: they take turns.
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpListener::bind(addr).is_err() {
        assert!(
            Instant::now() < deadline,
            "port 8888 is in use: this test needs it, stop what listens there"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut child = Command::new(binary())
        .env_remove("ENJAMB_CONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let out = BufReader::new(child.stdout.take().expect("stdout was asked for"));
    let mut shown = String::new();
    for line in out.lines() {
        shown += &line.expect("it writes UTF-8");
        shown.push('\n');
        if shown.contains("Ctrl-C stops") {
            break;
        }
    }
    let secret = shown
        .lines()
        .find_map(|line| line.split_once("secret of this run:"))
        .map(|(_, secret)| secret.trim());
    let secret = secret.unwrap_or_else(|| panic!("no secret in {shown:?}: is port 8888 in use?"));
    assert!(secret.len() >= 16 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
    let mut wire = Wire::connect(addr);
    let id = wire.open(header("echo.localhost").as_bytes()).expect("a header");
    wire.send(format!("<handshake>{}</handshake>", digest_of(&id, secret)).as_bytes(), None);
    assert!(wire.wait(Duration::from_secs(5), has_handshake), "{}", wire.text());
    wire.finish();
    let line = |library: &str| {
        let line = shown.lines().find_map(|line| line.trim().strip_prefix(library)).map(str::trim);
        line.unwrap_or_else(|| panic!("no line for {library} in {shown:?}"))
    };
    let python = SLIXMPP.replace("LINE", line("slixmpp"));
    let javascript = XMPP_JS.replace("LINE", line("xmpp.js"));
    let mut slixmpp = Command::new(env::slixmpp_python());
    slixmpp.args(["-c", &python]);
    let mut xmpp_js = Command::new("node");
    xmpp_js.args(["-e", &javascript]).env("NODE_PATH", env::node_modules());
    for mut pasted in [slixmpp, xmpp_js] {
        let out = pasted.output().expect("the interpreter runs");
        assert!(out.status.success(), "{pasted:?}: {}", stderr(&out));
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
}
