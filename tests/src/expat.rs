//! expat as the judge of XML: the parser that most receivers of our streams have.
//!
//! One long-lived Python process (`clients/python/expat_check.py`, standard library only) answers for one [`Expat`].

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::env;

/// The header of a component's stream, as the server writes it: what delivered stanzas inherit their namespaces from.
pub const STREAM: &str =
    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>";

/// The judge that the tests of one process share.
///
/// # Panics
/// As [`Expat::start`].
#[must_use]
pub fn judge() -> &'static Expat {
    static JUDGE: LazyLock<Expat> = LazyLock::new(Expat::start);
    &JUDGE
}

/// A running judge. Threads may share it; they take turns.
#[derive(Debug)]
pub struct Expat {
    process: Mutex<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Expat {
    /// Starts the judge.
    ///
    /// # Panics
    /// When there is no Python; the message says how to install it.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(env::python())
            .arg(env::sources().join("python/expat_check.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let stdin = child.stdin.take().expect("stdin was asked for");
        let stdout = BufReader::new(child.stdout.take().expect("stdout was asked for"));
        Self { process: Mutex::new(Process { child, stdin, stdout }) }
    }

    /// Is this the beginning of a namespace-well-formed document? It need not be all of one.
    ///
    /// # Errors
    /// What expat says of it.
    pub fn check(&self, xml: &[u8]) -> Result<(), String> {
        self.ask("check", xml).map(|_| ())
    }

    /// The events of the beginning of a document, for comparison: `["start", "{ns}name", [[attribute, value], …]]` with
    /// the attributes sorted, `["end", "{ns}name"]`, and `["text", …]` with what is adjacent in one.
    ///
    /// # Panics
    /// When expat refuses it.
    #[must_use]
    pub fn events(&self, xml: &[u8]) -> Value {
        match self.ask("events", xml) {
            Ok(mut answer) => answer["events"].take(),
            Err(fault) => panic!("expat: {fault}: {}", String::from_utf8_lossy(xml)),
        }
    }

    /// The events of one stanza, read as a child of a component's stream; the stream's own start is left out.
    ///
    /// # Panics
    /// When expat refuses it.
    #[must_use]
    pub fn stanza(&self, xml: &str) -> Value {
        let Value::Array(mut events) = self.events(format!("{STREAM}{xml}").as_bytes()) else {
            unreachable!("events are a list");
        };
        events.remove(0);
        Value::Array(events)
    }

    fn ask(&self, action: &str, xml: &[u8]) -> Result<Value, String> {
        let mut process = self.process.lock().expect("no judge panics while it holds the lock");
        writeln!(process.stdin, "{action} {}", STANDARD.encode(xml)).expect("the judge reads");
        let mut line = String::new();
        process.stdout.read_line(&mut line).expect("the judge writes");
        let mut answer: Value = serde_json::from_str(&line).expect("the judge answers in JSON");
        match answer["error"].take() {
            Value::String(fault) => Err(fault),
            _ => Ok(answer),
        }
    }
}

impl Drop for Expat {
    fn drop(&mut self) {
        if let Ok(process) = self.process.get_mut() {
            // It may have ended by itself; either way there is nothing to report.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn well_formed_beginnings_pass_and_others_do_not() {
        let expat = Expat::start();
        assert_eq!(expat.check(b"<a><b/>"), Ok(()));
        assert!(expat.check(b"<a><b></c>").unwrap_err().contains("mismatched tag"));
        assert!(expat.check(b"<a><p:b/>").unwrap_err().contains("unbound prefix"));
    }

    #[test]
    fn equal_trees_have_equal_events() {
        let expat = Expat::start();
        let one = expat.stanza("<message to='a' id='1'><body>x&lt;<![CDATA[y]]></body></message>");
        let two = expat.stanza(
            "<c:message xmlns:c='jabber:component:accept' id='1' to='a'><c:body>x&#60;y</c:body></c:message>",
        );
        assert_eq!(one, two);
        assert_eq!(one[2], json!(["text", "x<y"]));
        assert_ne!(one, expat.stanza("<message xmlns='' to='a' id='1'><body>x&lt;y</body></message>"));
    }
}
