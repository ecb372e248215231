//! The transcripts under `transcripts/`: what the server writes, byte for byte. Their format is in the README there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::Limits;
use enjamb_core::jid::Jid;
use enjamb_core::router::{Access, BindPolicy, ConflictBehaviour, DomainPattern, PortId};
use enjamb_core::switch::Switch;
use enjamb_tests::corpus::proof;
use enjamb_tests::local_server::LocalServer;

/// A server and the connections of one transcript.
struct Stage {
    server: LocalServer,
    secret: String,
    ids: Vec<String>,
    connections: Vec<Connection>,
    /// Bytes that the server gets at a time.
    cut: usize,
}

struct Connection {
    conn: PortId,
    id: String,
    ended: bool,
}

impl Stage {
    fn new(settings: &[(&str, &str)], cut: usize) -> Self {
        let setting = |name: &str| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let hosts: Vec<&str> = setting("hosts").unwrap_or("host.example").split(' ').collect();
        let secret = setting("secret").unwrap_or("s3cret").to_owned();
        let mut server = LocalServer::new(&hosts, &secret);
        let domains: Option<Vec<_>> = setting("domains")
            .map(|names| names.split(' ').map(|name| DomainPattern::parse(name).expect("domains")).collect());
        server.switch.set_known(domains.iter().flatten().cloned());
        let mut limits = Limits::default();
        for (name, limit) in [("stanza", &mut limits.stanza), ("header", &mut limits.header)] {
            *limit = setting(name).map_or(*limit, |bytes| bytes.parse().expect("a limit in bytes"));
        }
        server.listener.limits = Arc::new(limits);
        server.listener.policy = Arc::new(BindPolicy {
            check_from: setting("check_from") != Some("false"),
            conflict: match setting("conflict_behaviour") {
                Some("kick_old") => ConflictBehaviour::KickOld,
                _ => ConflictBehaviour::Disconnect,
            },
            access: setting("deny").map_or(Access::Everyone, denies),
            domains: domains.map(|domains| domains.into_iter().collect()),
            ..BindPolicy::default()
        });
        let ids = setting("ids").into_iter().flat_map(|ids| ids.split(' ')).map(Into::into).collect();
        Self { server, secret, ids, connections: Vec::new(), cut }
    }

    /// Plays one line; gives the lines that the server answers with.
    fn play(&mut self, line: &str) -> String {
        let (key, text) = line.split_once(':').unwrap_or_else(|| panic!("no key: {line}"));
        let text = text.strip_prefix(' ').unwrap_or(text);
        match (&key[..1], key.get(1..).unwrap_or_default()) {
            ("C", number) => {
                let index = self.connection(number);
                let Connection { conn, id, .. } = &self.connections[index];
                let digest = proof(id, &self.secret);
                let text = text.replace("{digest}", &digest).replace("{DIGEST}", &digest.to_uppercase());
                for piece in unescape(&text).chunks(self.cut) {
                    self.server.receive(*conn, piece);
                }
            }
            ("E", number) => {
                let index = self.connection(number);
                self.server.receive_eof(self.connections[index].conn);
            }
            ("T", "") => {
                let seconds = text.strip_prefix('+').and_then(|text| text.strip_suffix('s'));
                let span = seconds.and_then(|seconds| seconds.parse().ok()).expect("a time is +1.5s");
                self.server.pass(Duration::from_secs_f64(span));
            }
            ("A", "") if text == "stop" => self.server.shut_down(),
            _ => panic!("no such line: {line}"),
        }
        self.answers()
    }

    /// The place of a connection; it is made when it is first named.
    fn connection(&mut self, number: &str) -> usize {
        let index = if number.is_empty() { 0 } else { number.parse::<usize>().expect("a number") - 1 };
        while self.connections.len() <= index {
            let at = self.connections.len();
            let id = self.ids.get(at).cloned().unwrap_or_else(|| format!("id{}", at + 1));
            let conn = self.server.connect(&id);
            self.connections.push(Connection { conn, id, ended: false });
        }
        index
    }

    fn answers(&mut self) -> String {
        let mut lines = String::new();
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let number = if index == 0 { String::new() } else { format!("{}", index + 1) };
            let out = self.server.take_out(connection.conn);
            if !out.is_empty() {
                writeln!(lines, "S{number}: {}", escape(&out)).expect("a String takes all");
            }
            if !connection.ended && self.server.has_ended(connection.conn) {
                connection.ended = true;
                writeln!(lines, "X{number}:").expect("a String takes all");
            }
        }
        lines
    }
}

/// Everybody may send but users of this server.
fn denies(server: &str) -> Access {
    let server = server.to_owned();
    Access::Rule(Arc::new(move |sender: &Jid<'_>, _: bool| sender.domain() != server))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b'r') => bytes.push(b'\r'),
            Some(b't') => bytes.push(b'\t'),
            Some(b's') => bytes.push(b' '),
            Some(b'x') => {
                let mut digit = || (rest.next().map(char::from)?).to_digit(16);
                let (high, low) = (digit().expect("two digits"), digit().expect("two digits"));
                bytes.push((high * 16 + low) as u8);
            }
            other => panic!("no such escape: {other:?}"),
        }
    }
    bytes
}

fn escape(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).expect("what we write is UTF-8");
    let text = text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    // Blanks at an end would not be seen.
    match text.strip_suffix(' ') {
        Some(front) => format!("{front}\\s"),
        None => text,
    }
}

/// The transcript as it is when its `C`, `E`, `T` and `A` lines are played, what is received in pieces of `cut`
/// bytes.
fn played(script: &str, cut: usize) -> String {
    let settings: Vec<(&str, &str)> =
        script.lines().filter_map(|line| line.strip_prefix("! ")?.split_once(' ')).collect();
    let mut stage = Stage::new(&settings, cut);
    let mut transcript = String::new();
    for line in script.lines() {
        if line.starts_with(['S', 'X']) {
            continue;
        }
        transcript.push_str(line);
        transcript.push('\n');
        if !line.is_empty() && !line.starts_with(['#', '!']) {
            transcript.push_str(&stage.play(line));
        }
    }
    transcript
}

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let files = fs::read_dir(folder).expect("the transcripts lie beside the tests");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "txt"));
    files.sort();
    files
}

#[test]
fn every_transcript_is_played_as_it_is_written() {
    let files = transcripts();
    assert!(files.len() > 50, "{} transcripts", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let written = fs::read_to_string(&file).expect("a transcript is text");
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(written.starts_with("# "), "{name} names its rule in its first line");
        let played = played(&written, usize::MAX);
        if std::env::var_os("ENJAMB_BLESS").is_some() {
            fs::write(&file, &played).expect("the transcript is written");
        } else if played != written {
            let differs = played.lines().zip(written.lines()).find(|(played, written)| played != written);
            wrong.push(format!("{name}: {differs:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_transcript_is_the_same_however_it_is_cut() {
    for file in transcripts() {
        let written = fs::read_to_string(&file).expect("a transcript is text");
        for cut in [1, 2, 3, 5, 7, 16] {
            assert_eq!(played(&written, cut), written, "{} in pieces of {cut}", file.display());
        }
    }
}

#[test]
fn a_transcript_that_is_wrong_is_found() {
    let script = "# x\nC: <a/>\nS: something\n";
    let played = played(script, usize::MAX);
    assert_ne!(played, script);
    assert!(played.contains("<invalid-namespace"), "{played}");
    assert!(played.ends_with("</stream:stream>\nX:\n"), "{played}");
}
