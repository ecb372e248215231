//! A component on slixmpp, as it is published, talks to the users of an embedded server.

mod program;

use std::path::Path;
use std::process::Command;

use enjamb_tests::env::work_dir;
use enjamb_tests::server::SECRET;
use program::Program;

/// What is said is in `embedded/talk.py`; a component may come, leave and come back.
fn slixmpp_talks_to_the_users_of(server: &str) {
    let python = work_dir().join("python/bin/python");
    assert!(python.exists(), "{} is missing. `cargo xtask interop` makes it", python.display());
    let mut server = Program::start(server, &["127.0.0.1:0", SECRET]);
    let port = server.address().port().to_string();
    for _ in 0..2 {
        let mut component = Command::new(&python);
        component.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/talk.py"));
        let out = component.args([&*port, SECRET]).output().expect("the interpreter runs");
        assert!(out.status.success(), "{}: {}", out.status, String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn p10_embedded_server_on_tokio_talks_to_slixmpp() {
    slixmpp_talks_to_the_users_of(env!("CARGO_BIN_EXE_embed-server"));
}

#[test]
fn p10_embedded_server_on_a_poll_loop_talks_to_slixmpp() {
    slixmpp_talks_to_the_users_of(env!("CARGO_BIN_EXE_embed-poll"));
}
