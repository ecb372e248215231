//! The lines that the server prints for a library work as they are.

use std::process::Command;

use enjamb_tests::server::Unconfigured;

use crate::programs;

/// Programs that a printed line is pasted into; they end with 0 once they are logged in. The one for slixmpp loses its first
/// connection, and has to come back.
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

/// The line that was printed for this library.
fn line<'s>(server: &'s Unconfigured, library: &str) -> &'s str {
    let line = server.shown.lines().find_map(|line| line.trim().strip_prefix(library)).map(str::trim);
    line.unwrap_or_else(|| panic!("no line for {library} in {:?}", server.shown))
}

fn assert_ends_well(mut command: Command) {
    let out = command.output().expect("the interpreter runs");
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_printed_line_for_slixmpp_logs_in() {
    let server = Unconfigured::start();
    let mut python = Command::new(programs::python());
    python.args(["-c", &SLIXMPP.replace("LINE", line(&server, "slixmpp"))]);
    assert_ends_well(python);
}

#[test]
fn the_printed_line_for_xmpp_js_logs_in() {
    let server = Unconfigured::start();
    let mut node = Command::new("node");
    node.args(["-e", &XMPP_JS.replace("LINE", line(&server, "xmpp.js"))])
        .env("NODE_PATH", programs::node_modules());
    assert_ends_well(node);
}
