//! The server under test: the real `enjamb` binary, with a configuration of its own, on loopback.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::env;

/// The secret of every listener that a [`Config`] makes.
pub const SECRET: &str = "s3cret";

/// How long the server may take until it accepts, and to end after a signal before it is killed.
const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);

/// Ports for listeners: below the range from which systems take the ports of outgoing connections, so that a port
/// stays free while the server on it restarts.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Writes a configuration file for these ports.
pub type Text = fn(&[u16]) -> String;

/// A configuration in MongooseIM's TOML, put together by a test.
#[derive(Debug, Clone)]
pub struct Config {
    hosts: Vec<String>,
    listeners: Vec<String>,
    more: String,
    /// A text of the test's own instead of all that, with how many ports it takes.
    text: Option<(usize, Text)>,
    args: Vec<String>,
    files: Option<u32>,
    log_is_unread: bool,
}

impl Config {
    /// A server of these virtual hosts (`general.hosts`, left out if there are none), without a listener yet.
    #[must_use]
    pub fn new(hosts: &[&str]) -> Self {
        Self {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            listeners: Vec::new(),
            more: String::new(),
            text: None,
            args: Vec::new(),
            files: None,
            log_is_unread: false,
        }
    }

    /// A file of the test's own, for which this many free ports are found.
    #[must_use]
    pub fn of_text(ports: usize, text: Text) -> Self {
        Self { text: Some((ports, text)), ..Self::new(&[]) }
    }

    /// Further arguments of `enjamb serve`.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(ToString::to_string).collect();
        self
    }

    /// A hard limit of open files, which the server can't raise.
    #[must_use]
    pub fn files(mut self, limit: u32) -> Self {
        self.files = Some(limit);
        self
    }

    /// Nobody reads the log, until [`Server::read_log`].
    #[must_use]
    pub fn unread_log(mut self) -> Self {
        self.log_is_unread = true;
        self
    }

    /// Adds a `[[listen.service]]` on a free loopback port, with these lines, and [`SECRET`] as its password if they have
    /// none.
    #[must_use]
    pub fn listener(mut self, lines: &str) -> Self {
        self.listeners.push(lines.to_owned());
        self
    }

    /// Adds lines at the end of the file: whole sections.
    #[must_use]
    pub fn more(mut self, lines: &str) -> Self {
        self.more.push_str(lines);
        self
    }

    /// Writes the file and starts the server; back when every listener accepts.
    ///
    /// # Panics
    /// When the server can't be built or doesn't start; the message holds what it logged.
    #[must_use]
    pub fn start(&self) -> Server {
        let number = self.text.map_or(self.listeners.len(), |(ports, _)| ports);
        let ports: Vec<Port> = (0..number).map(|_| Port::claim()).collect();
        let dir = TempDir::new();
        let path = dir.0.join("enjamb.toml");
        fs::write(&path, self.text(&ports)).expect("target/ is writable");
        let process = Process::start(self.command(&path), &ports, self.log_is_unread);
        Server { ports, path, process, config: self.clone(), _dir: dir }
    }

    fn command(&self, path: &Path) -> Command {
        let mut command = match self.files {
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "ulimit -S -n \"$0\" && ulimit -H -n \"$0\" && exec \"$@\""]);
                shell.arg(limit.to_string()).arg(binary());
                shell
            }
            None => Command::new(binary()),
        };
        command.arg("serve").arg("--config").arg(path).args(&self.args);
        command
    }

    fn text(&self, ports: &[Port]) -> String {
        if let Some((_, text)) = self.text {
            return text(&ports.iter().map(|port| port.number).collect::<Vec<_>>());
        }
        let mut text = "[general]\n".to_owned();
        if !self.hosts.is_empty() {
            text += &format!("hosts = {:?}\n", self.hosts);
        }
        for (lines, port) in self.listeners.iter().zip(ports) {
            let number = port.number;
            text += &format!("\n[[listen.service]]\nip_address = \"127.0.0.1\"\nport = {number}\n");
            // Before the lines, which may begin a table of their own.
            if !lines.contains("password = ") {
                text += &format!("password = \"{SECRET}\"\n");
            }
            text += &format!("{lines}\n");
        }
        text + "\n" + &self.more
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    ports: Vec<Port>,
    path: PathBuf,
    process: Process,
    config: Config,
    _dir: TempDir,
}

impl Server {
    /// Where the listener of this number, in the order of the file, accepts.
    #[must_use]
    pub fn addr(&self, listener: usize) -> SocketAddr {
        self.ports[listener].addr()
    }

    /// Stops the server in good order and starts it again with the same file, on the same ports.
    ///
    /// # Panics
    /// When it doesn't stop or start.
    pub fn restart(&mut self) {
        self.process.stop();
        let command = self.config.command(&self.path);
        self.process = Process::start(command, &self.ports, self.config.log_is_unread);
    }

    /// Sends SIGTERM, as an operator would, and waits for the end.
    ///
    /// # Panics
    /// When the server doesn't end in time.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.child), signal).expect("the server runs");
    }

    /// Waits for the server to end by itself; `None` when it does not in that time.
    ///
    /// # Panics
    /// When the child is not ours.
    pub fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let ended = self.process.child.try_wait().expect("the child is ours to wait for");
            if ended.is_some() || Instant::now() >= deadline {
                return ended;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the log says this, and gives all of it.
    ///
    /// # Panics
    /// When it doesn't within 5 s.
    pub fn wait_for_log(&self, what: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let log = self.log();
            if log.contains(what) {
                return log;
            }
            assert!(Instant::now() < deadline, "{what:?} is not in the log:\n{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Begins to read a log that was not read before.
    pub fn read_log(&mut self) {
        if let Some(unread) = self.process.unread.take() {
            keep(unread, &self.process.log);
        }
    }

    /// What the server wrote to its standard output and error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The server's process id, for signals and for what `/proc` says of it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The configuration file, for tests that change it.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    unread: Option<ChildStderr>,
}

impl Process {
    fn start(mut command: Command, ports: &[Port], log_is_unread: bool) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary that cargo built runs");
        let log = Arc::default();
        keep(child.stdout.take().expect("stdout was asked for"), &log);
        let mut unread = child.stderr.take();
        if !log_is_unread {
            keep(unread.take().expect("stderr was asked for"), &log);
        }
        let mut process = Self { child, log, unread };
        let deadline = Instant::now() + START;
        while !ports.iter().all(|p| TcpStream::connect(p.addr()).is_ok()) {
            let ended = process.child.try_wait().expect("the child is ours to wait for");
            if ended.is_some() || Instant::now() > deadline {
                // What it said last may still be in the pipe.
                thread::sleep(Duration::from_millis(100));
                panic!("the server does not accept (ended: {ended:?}). It said:\n{}", process.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
        process
    }

    fn log(&self) -> String {
        self.log.lock().expect("no reader of the log panics").clone()
    }

    fn stop(&mut self) -> ExitStatus {
        match self.ended_within(STOP) {
            Some(status) => status,
            None => panic!("SIGTERM did not end the server within {STOP:?}. It said:\n{}", self.log()),
        }
    }

    /// Asks for the end and waits; kills what doesn't end in time.
    fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        // It can't have another's id: it is not waited for yet.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let status = self.ended_within(STOP);
        if thread::panicking() {
            eprintln!("--- the server said ({status:?}):\n{}---", self.log());
        }
    }
}

/// Collects what comes out of a pipe, line by line, until its end.
fn keep(pipe: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if let Ok(mut log) = log.lock() {
                log.push_str(&String::from_utf8_lossy(&line));
            }
            line.clear();
        }
    });
}

/// The server without a configuration file, on a free port. Dropping it stops it.
#[derive(Debug)]
pub struct Unconfigured {
    /// What it printed on its standard output until it was ready.
    pub shown: String,
    /// Where it listens.
    pub addr: SocketAddr,
    process: Process,
    _port: Port,
}

impl Unconfigured {
    /// Starts it; back when it accepts and has said so.
    ///
    /// # Panics
    /// When it can't be built or doesn't start; the message holds what it said.
    #[must_use]
    pub fn start() -> Self {
        let port = Port::claim();
        let mut command = Command::new(binary());
        command.arg("--port").arg(port.number.to_string()).env_remove("ENJAMB_CONFIG");
        let process = Process::start(command, std::slice::from_ref(&port), false);
        let deadline = Instant::now() + START;
        let shown = loop {
            let said = process.log();
            if said.contains("Ctrl-C stops") {
                break said;
            }
            assert!(Instant::now() < deadline, "it does not say that it is ready: {said}");
            thread::sleep(Duration::from_millis(5));
        };
        Self { shown, addr: port.addr(), process, _port: port }
    }

    /// Sends what Ctrl-C sends, and waits for the end.
    ///
    /// # Panics
    /// When it doesn't end in time.
    #[must_use]
    pub fn interrupt(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.process.child), Signal::INT).expect("the server runs");
        self.process.ended_within(STOP).expect("it ends in time")
    }
}

/// Builds `enjamb` as `cargo test --workspace` does, once a process, and says where it is.
///
/// # Panics
/// When it doesn't build; the message holds what cargo said.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let dir = env::profile_dir();
        let profile = match dir.file_name().and_then(|n| n.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        // With the server's own tests cargo builds it, and with the whole workspace it has the same features of its
        // dependencies: after `cargo test --workspace` there is nothing left to do.
        cargo.args(["test", "--quiet", "--workspace", "--no-run", "--test", "config", "--profile", profile]);
        cargo.arg("--target-dir");
        cargo.arg(dir.parent().expect("the profile lies in the target directory"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        let out = cargo.output().expect("cargo built this test, so it runs");
        assert!(out.status.success(), "{cargo:?}\n{}", String::from_utf8_lossy(&out.stderr));
        dir.join("enjamb")
    })
}

/// A loopback port that no other test of this workspace takes while this value lives.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub(crate) fn claim() -> Self {
        let dir = env::work_dir().join("ports");
        fs::create_dir_all(&dir).expect("target/ is writable");
        // Each process begins elsewhere, so that they seldom meet.
        let first = u16::try_from(std::process::id() * 37 % u32::from(PORTS.end - PORTS.start))
            .expect("below 12,000");
        for number in (PORTS.start + first..PORTS.end).chain(PORTS) {
            let lock = File::create(dir.join(format!("{number}.lock"))).expect("target/ is writable");
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port in {PORTS:?}");
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// A directory of this test's own, removed at its end.
#[derive(Debug)]
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let mut next = NEXT.lock().expect("nothing panics while it holds the lock");
        *next += 1;
        let dir = env::work_dir().join(format!("server-{}-{next}", std::process::id()));
        fs::create_dir_all(&dir).expect("target/ is writable");
        Self(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A leftover does no harm; the next test has another name.
        let _ = fs::remove_dir_all(&self.0);
    }
}
