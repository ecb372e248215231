//! A new user's path: `cargo new`, a dependency, and an echo component of under 15 lines that answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use enjamb_tests::env::profile_dir;
use enjamb_tests::peer::Peer;
use enjamb_tests::server::{Config, SECRET};

/// A project as `cargo new` makes it, with an echo as its program and these dependencies.
fn project(name: &str, source: &str, dependencies: &[&str]) -> PathBuf {
    let target = profile_dir().parent().expect("the profile lies in the target directory").join("new-user");
    // Away from the repository, whose workspace cargo would add it to.
    let home = std::env::temp_dir().join(format!("enjamb-new-user-{}", std::process::id()));
    fs::create_dir_all(&home).expect("there is room for temporary files");
    let dir = home.join(name);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |args: &[&str], at: &Path| {
        let mut command = Command::new(&cargo);
        command
            .args(args)
            .current_dir(at)
            .env("CARGO_TARGET_DIR", &target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        let out = command.output().expect("cargo runs this test");
        assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    run(&["new", "--quiet", "--vcs=none", name], &home);
    let lines = source.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("//")).count();
    assert!(lines < 15, "{name} has {lines} lines");
    fs::write(dir.join("src/main.rs"), source).expect("it was made");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut manifest = fs::read_to_string(dir.join("Cargo.toml")).expect("cargo wrote it");
    for dependency in dependencies {
        manifest.push_str(&dependency.replace("REPOSITORY", &repository.display().to_string()));
        manifest.push('\n');
    }
    fs::write(dir.join("Cargo.toml"), manifest).expect("it was made");
    // The same versions as everything else here is tested with.
    fs::copy(repository.join("Cargo.lock"), dir.join("Cargo.lock")).expect("the repository has one");
    run(&["build", "--quiet"], &dir);
    fs::remove_dir_all(&home).expect("it was made above");
    target.join("debug").join(name)
}

fn answers(name: &str, source: &str, dependencies: &[&str]) {
    let program = project(name, source, dependencies);
    let server = Config::new(&["localhost"]).listener("").start();
    let mut echo = Command::new(program)
        .args([&server.addr(0).to_string(), "echo.localhost", SECRET])
        .stdin(Stdio::null())
        .spawn()
        .expect("cargo has built it");
    let mut peer = Peer::online(server.addr(0), "peer.localhost");
    let by = Instant::now() + Duration::from_secs(20);
    let answered = (0..).map(|n| n.to_string()).find_map(|id| {
        peer.send(&format!("<message to='echo.localhost' id='{id}'><body>hello</body></message>"));
        let came = peer.stanza(&id);
        if came.attribute("type").is_none() || Instant::now() > by {
            return Some(came);
        }
        std::thread::sleep(Duration::from_millis(20));
        None
    });
    let _ = echo.kill();
    let _ = echo.wait();
    let answered = answered.expect("the ids have no end");
    assert_eq!(answered.attribute("from"), Some("echo.localhost"), "{}", answered.xml);
    assert_eq!(answered.attribute("type"), None, "{}", answered.xml);
}

#[test]
fn on_each_runtime() {
    answers(
        "echo-on-tokio",
        include_str!("../src/bin/echo.rs"),
        &[
            "enjamb-tokio = { path = 'REPOSITORY/runtime-tokio' }",
            "tokio = { version = '1', features = ['macros', 'rt-multi-thread'] }",
        ],
    );
    answers(
        "echo-on-smol",
        include_str!("new_user/echo-on-smol.rs"),
        &["enjamb-async-std = { path = 'REPOSITORY/runtime-async-std', features = ['smol'] }", "smol = '2'"],
    );
    answers(
        "echo-on-async-std",
        // What differs from tokio.
        &include_str!("../src/bin/echo.rs")
            .replace(
                "enjamb_tokio::{Domain, Secret, connect}",
                "enjamb_async_std::{Domain, Secret, on_async_std::connect}",
            )
            .replace("tokio::main", "async_std::main"),
        &[
            "enjamb-async-std = { path = 'REPOSITORY/runtime-async-std', features = ['async-std'] }",
            "async-std = { version = '1', features = ['attributes'] }",
        ],
    );
}
