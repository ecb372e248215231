//! A third-party component library, run as a program of its own and driven over pipes.
//!
//! The commands and events are those of `clients/README.md`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use enjamb_tests::judge;
use enjamb_tests::server::SECRET;
use serde_json::{Value, json};

use crate::programs::{node_modules, python, sources};

/// How long a test waits for an event before it fails.
const WAIT: Duration = Duration::from_secs(20);

/// The library that a component is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// slixmpp, Python.
    Slixmpp,
    /// `@xmpp/component`, JavaScript.
    XmppJs,
}

impl Library {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Slixmpp, Self::XmppJs];

    /// The other library, for tests of a mixed pair.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Slixmpp => Self::XmppJs,
            Self::XmppJs => Self::Slixmpp,
        }
    }

    fn command(self, is_client: bool) -> Command {
        match self {
            Self::Slixmpp => {
                let script = if is_client { "python/client.py" } else { "python/component.py" };
                let mut command = Command::new(python());
                command.arg(sources().join(script));
                command
            }
            Self::XmppJs => {
                let mut command = Command::new("node");
                command.arg(sources().join("node/component.js")).env("NODE_PATH", node_modules());
                command
            }
        }
    }
}

/// What a component is to do on connecting.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    library: Library,
    addr: SocketAddr,
    jid: String,
    secret: String,
    subdomain: bool,
    reconnect: bool,
    manual_roster: bool,
    is_client: bool,
    delegated: Vec<String>,
    ca: Option<PathBuf>,
}

impl Options {
    /// A component of this domain on this listener, with the right secret, that doesn't reconnect.
    pub(crate) fn new(library: Library, addr: SocketAddr, jid: &str) -> Self {
        Self {
            library,
            addr,
            jid: jid.to_owned(),
            secret: SECRET.to_owned(),
            subdomain: false,
            reconnect: false,
            manual_roster: false,
            is_client: false,
            delegated: Vec::new(),
            ca: None,
        }
    }

    /// A slixmpp client with this address (with a resource) and the password [`SECRET`], that answers no subscription.
    pub(crate) fn client(addr: SocketAddr, jid: &str) -> Self {
        let options = Self::new(Library::Slixmpp, addr, jid);
        Self { is_client: true, manual_roster: true, ..options }
    }

    /// Another secret than the listener's.
    pub(crate) fn secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// `is_subdomain='true'`: the JID is a prefix of every host.
    pub(crate) fn subdomain(mut self) -> Self {
        self.subdomain = true;
        self
    }

    /// Connect again after every end of the connection.
    pub(crate) fn reconnect(mut self) -> Self {
        self.reconnect = true;
        self
    }

    /// It answers no subscription by itself, as slixmpp does.
    pub(crate) fn manual_roster(mut self) -> Self {
        self.manual_roster = true;
        self
    }

    /// It says that it is ready to get what is for these namespaces (XEP-0355); ejabberd asks.
    pub(crate) fn takes_over(mut self, namespaces: &[&str]) -> Self {
        self.delegated = namespaces.iter().map(ToString::to_string).collect();
        self
    }

    /// Over TLS, if the server's certificate is signed by the authority in this file. slixmpp alone can do that.
    pub(crate) fn tls(mut self, ca: PathBuf) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Starts the program; it connects at once.
    pub(crate) fn start(&self) -> Component {
        let mut child = self
            .library
            .command(self.is_client)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the interpreter runs");
        let stdin = child.stdin.take().expect("stdin was asked for");
        let seen = Arc::<Seen>::default();
        let stdout = BufReader::new(child.stdout.take().expect("stdout was asked for"));
        let events = Arc::clone(&seen);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                events.push(&line);
            }
            events.push(r#"{"event": "exited"}"#);
        });
        let mut stderr = child.stderr.take().expect("stderr was asked for");
        let complaints = Arc::clone(&seen);
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut chunk) {
                complaints.complain(&chunk[..n]);
            }
        });
        let mut component = Component {
            name: format!("{} on {:?}", self.jid, self.library),
            child,
            stdin,
            seen,
            next_tag: 0,
        };
        component.send(&json!({
            "host": self.addr.ip().to_string(),
            "port": self.addr.port(),
            "jid": self.jid,
            "secret": self.secret,
            "subdomain": self.subdomain,
            "reconnect": self.reconnect,
            "manual_roster": self.manual_roster,
            "delegated": self.delegated,
            "ca": self.ca,
        }));
        component
    }

    /// Starts the program and waits until it is logged in.
    pub(crate) fn online(&self) -> Component {
        let mut component = self.start();
        component.wait_for("online");
        component
    }
}

/// Whether a stanza that was reported has an element of this name in it.
pub(crate) fn has(stanza: &Value, namespace: &str, name: &str) -> bool {
    let tree = judge::stanza(stanza["xml"].as_str().expect("every stanza is reported with its XML"));
    tree.starts().any(|start| start.is(namespace, name))
}

/// A running component program. Dropping it kills it, which drops its connection.
#[derive(Debug)]
pub(crate) struct Component {
    name: String,
    child: Child,
    stdin: ChildStdin,
    seen: Arc<Seen>,
    next_tag: u32,
}

impl Component {
    /// slixmpp as the component `jid`, logged in.
    pub(crate) fn slixmpp(addr: SocketAddr, jid: &str) -> Self {
        Options::new(Library::Slixmpp, addr, jid).online()
    }

    /// xmpp.js as the component `jid`, logged in.
    pub(crate) fn xmppjs(addr: SocketAddr, jid: &str) -> Self {
        Options::new(Library::XmppJs, addr, jid).online()
    }

    /// Sends a command of `clients/README.md`.
    pub(crate) fn send(&mut self, command: &Value) {
        if let Err(fault) = writeln!(self.stdin, "{command}") {
            panic!("{fault}\n{}", self.history());
        }
    }

    /// Sends a chat line by the library's own means.
    pub(crate) fn message(&mut self, to: &str, id: &str, body: &str) {
        self.send(&json!({"do": "message", "to": to, "id": id, "body": body}));
    }

    /// Waits for the next event that fits, and takes it: an event is never returned twice.
    pub(crate) fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        match self.seen.take(fits, WAIT) {
            Some(event) => event,
            None => panic!("no {what} within {WAIT:?}\n{}", self.history()),
        }
    }

    /// Waits for the next event of this name.
    pub(crate) fn wait_for(&mut self, event: &str) -> Value {
        self.wait(event, |e| e["event"] == event)
    }

    /// Waits for a stream error and gives its condition.
    pub(crate) fn wait_for_stream_error(&mut self) -> String {
        let error = self.wait("stream error", |e| e["event"] == "error" && e["condition"].is_string());
        error["condition"].as_str().expect("just looked at").to_owned()
    }

    /// Waits for the stanza of this name and id.
    pub(crate) fn wait_for_stanza(&mut self, name: &str, id: &str) -> Value {
        self.wait(&format!("{name} {id}"), |e| e["event"] == "stanza" && e["name"] == name && e["id"] == id)
    }

    /// Sends `command` with a fresh tag and waits for the answer, be it a result or an error.
    pub(crate) fn ask(&mut self, mut command: Value) -> Value {
        self.next_tag += 1;
        let tag = self.next_tag.to_string();
        command["tag"] = tag.clone().into();
        self.send(&command);
        self.wait(&format!("answer to {command}"), |e| e["event"] == "iq_result" && e["tag"] == tag)
    }

    /// All events so far, those taken by `wait` too.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.seen.all()
    }

    /// Stops the process where it is: its connection stays, and it reads nothing.
    pub(crate) fn stop(&mut self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-STOP", &id]).status().expect("there is a kill");
        assert!(status.success(), "{status}");
    }

    fn history(&self) -> String {
        let events: Vec<String> = self.events().iter().map(ToString::to_string).collect();
        format!("--- {}:\n{}\n{}---", self.name, events.join("\n"), self.seen.complaints())
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.history());
        }
        // It may have ended by itself; either way there is nothing to report.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came from the program.
#[derive(Debug, Default)]
struct Seen {
    record: Mutex<Record>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Record {
    /// Each event with whether a wait has taken it.
    events: Vec<(Value, bool)>,
    stderr: String,
}

impl Seen {
    fn push(&self, line: &str) {
        let event = serde_json::from_str(line).unwrap_or_else(|_| json!({"event": "failed", "text": line}));
        self.record.lock().expect("no holder panics").events.push((event, false));
        self.more.notify_all();
    }

    fn complain(&self, text: &[u8]) {
        self.record.lock().expect("no holder panics").stderr.push_str(&String::from_utf8_lossy(text));
    }

    fn take(&self, fits: impl Fn(&Value) -> bool, limit: Duration) -> Option<Value> {
        let deadline = Instant::now() + limit;
        let mut record = self.record.lock().expect("no holder panics");
        loop {
            if let Some((event, taken)) = record.events.iter_mut().find(|(e, taken)| !taken && fits(e)) {
                *taken = true;
                return Some(event.clone());
            }
            let hopeless = ["failed", "unknown_command", "exited"];
            let over = record.events.iter().any(|(e, _)| hopeless.iter().any(|h| e["event"] == *h));
            let left = deadline.saturating_duration_since(Instant::now());
            if over || left.is_zero() {
                return None;
            }
            record = self.more.wait_timeout(record, left).expect("no holder panics").0;
        }
    }

    fn all(&self) -> Vec<Value> {
        self.record.lock().expect("no holder panics").events.iter().map(|(e, _)| e.clone()).collect()
    }

    fn complaints(&self) -> String {
        self.record.lock().expect("no holder panics").stderr.clone()
    }
}
