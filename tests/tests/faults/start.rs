//! 3: a start that fails says why, whatever the log level.

use std::net::TcpListener;

use enjamb_tests::server::Config;

use crate::program::{Dir, enjamb, output};

#[test]
fn fault_03_unknown_log_level_is_named() {
    for (level, near) in [("warning", "warn"), ("verbose", "debug"), ("notice", "info"), ("inof", "info")] {
        let (code, said) = output(enjamb().args(["--log", level]));
        assert_eq!(code, Some(2), "{said}");
        let says = format!("unknown log level `{level}`; did you mean `{near}`?");
        assert!(said.contains(&says), "{says} is not in {said}");
        let (code, said) = output(enjamb().arg("serve").env("ENJAMB_LOG", level));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&says), "{says} is not in {said}");
    }
    let (code, said) = output(enjamb().args(["--log", "info,enjamb_server=loud"]));
    assert!(code == Some(2) && said.contains("unknown log level `loud`"), "{code:?} {said}");
}

#[test]
fn fault_03_fatal_errors_are_printed_at_every_level() {
    let dir = Dir::new();
    let missing = dir.file("enjamb.toml", "").with_file_name("missing.toml");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let text = format!(
        "[general]\nhosts = [\"a.example\"]\n[[listen.service]]\nport = {port}\npassword = \"9Zu4hWq7TnPz3kLs\"\n"
    );
    let in_use = dir.file("taken.toml", text);
    for level in ["off", "error", "debug", "off,enjamb_server::listen=debug", ""] {
        for format in ["human", "json"] {
            let args = ["--log", level, "--log-format", format];
            let (code, said) = output(enjamb().args(args).arg("--config").arg(&missing));
            assert_eq!(code, Some(1), "{level}: {said}");
            assert!(said.contains("missing.toml can't be read") && said.contains("No such file"), "{said}");
            let (code, said) = output(enjamb().args(args).arg("--config").arg(&in_use));
            assert_eq!(code, Some(1), "{level}: {said}");
            assert!(said.contains("can't be listened on") && said.contains("in use"), "{level}: {said}");
        }
    }
}

/// What a unit file or a compose file writes for a variable that has no value.
#[test]
fn fault_03_an_empty_variable_means_the_default() {
    let dir = Dir::new();
    let missing = dir.file("enjamb.toml", "").with_file_name("missing.toml");
    for subcommand in [&["serve"][..], &[]] {
        let mut command = enjamb();
        command.args(subcommand).arg("--config").arg(&missing);
        let (code, said) = output(command.env("ENJAMB_LOG", "").env("ENJAMB_LOG_FORMAT", ""));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("ERROR") && said.contains("can't be read"), "{said}");
    }
    // Without a file it would try 8888; a faulty level ends it before.
    let (code, said) = output(enjamb().args(["--log", "loud"]).env("ENJAMB_CONFIG", ""));
    assert!(code == Some(2) && said.contains("unknown log level `loud`"), "{code:?} {said}");
    let (code, said) = output(enjamb().args(["probe", "127.0.0.1:1"]).env("ENJAMB_PROBE_SECRET", ""));
    assert!(code == Some(2) && said.contains("--secret"), "{code:?} {said}");
}

#[test]
fn fault_03_directives_without_a_level_add_to_the_default() {
    let server =
        Config::new(&["host.example"]).listener("").args(&["--log", "enjamb_server::log=debug"]).start();
    let log = server.wait_for_log("connection ended before its stream began");
    assert!(log.contains("listening for components"), "{log}");
}
