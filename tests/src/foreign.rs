//! Other people's servers, for our component to connect to: Prosody and ejabberd, Debian's packages, on loopback.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::env;
use crate::server::{Port, SECRET};
use crate::sim::header;

/// ejabberd's virtual machine takes seconds on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The greatest stanza, as the hostile streams expect it.
const STANZA: u32 = 262_144;

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Prosody.
    Prosody,
    /// ejabberd.
    Ejabberd,
}

/// A server of one host, which lets these components in with [`SECRET`]. It ends with this value.
#[derive(Debug)]
pub struct ForeignServer {
    kind: Kind,
    dir: PathBuf,
    port: Port,
    child: Child,
}

impl ForeignServer {
    /// Starts one for the host `localhost` and waits until it accepts.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    #[must_use]
    pub fn start(kind: Kind, domains: &[&str]) -> Self {
        Self::start_for(kind, "localhost", domains)
    }

    /// Starts one for this host and waits until it accepts.
    ///
    /// # Panics
    /// It is not installed, or does not start.
    #[must_use]
    pub fn start_for(kind: Kind, host: &str, domains: &[&str]) -> Self {
        let port = Port::claim();
        let dir = env::work_dir().join(format!("foreign-{}", port.addr().port()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("data")).expect("target/ is writable");
        fs::create_dir_all(dir.join("certs")).expect("target/ is writable");
        let (name, text) = match kind {
            Kind::Prosody => {
                ("config.lua", prosody_config(&dir.display().to_string(), port.addr().port(), host, domains))
            }
            Kind::Ejabberd => ("config.yml", ejabberd_config(port.addr().port(), host, domains)),
        };
        fs::write(dir.join(name), text).expect("target/ is writable");
        let child = spawn(kind, &dir);
        let mut server = Self { kind, dir, port, child };
        server.wait_until_it_accepts();
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has one");
        kill_process(pid, signal).expect("it has not ended");
    }

    /// Ends it and starts it again on the same port.
    pub fn restart(&mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
        self.child = spawn(self.kind, &self.dir);
        self.wait_until_it_accepts();
    }

    /// A port that is open says little: on a busy machine ejabberd's answers nothing for seconds yet.
    fn answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(self.addr())?;
        stream.set_read_timeout(Some(START))?;
        stream.write_all(header("nobody.localhost", "").as_bytes())?;
        Ok(stream.read(&mut [0; 64])? > 0)
    }

    fn wait_until_it_accepts(&mut self) {
        let by = Instant::now() + START;
        while !self.answers().unwrap_or(false) {
            let ended = self.child.try_wait().expect("it is ours");
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < by, "{:?} does not start: {log}", self.kind);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for ForeignServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn spawn(kind: Kind, dir: &std::path::Path) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).expect("target/ is writable");
    let mut command = match kind {
        Kind::Prosody => prosody(dir),
        Kind::Ejabberd => ejabberd(dir),
    };
    command.stdin(Stdio::null()).stderr(log.try_clone().expect("it is open")).stdout(log);
    let name = match kind {
        Kind::Prosody => "prosody",
        Kind::Ejabberd => "ejabberd",
    };
    command.spawn().unwrap_or_else(|error| panic!("{name} ({error}): apt-get install {name}"))
}

fn prosody(dir: &std::path::Path) -> Command {
    let mut command = Command::new("prosody");
    command.arg("--config").arg(dir.join("config.lua")).arg("-F");
    command
}

/// Started without `ejabberdctl`, which would change the user and start a daemon that maps names to ports.
fn ejabberd(dir: &std::path::Path) -> Command {
    let listed = Command::new("dpkg").args(["-L", "ejabberd"]).output();
    let listed = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    let beam = listed.lines().find_map(|line| line.strip_suffix("/ejabberd.beam"));
    let beam = beam.unwrap_or_else(|| panic!("ejabberd is not there: apt-get install ejabberd"));
    let mut command = Command::new("erl");
    command.args(["-noinput", "-pa", beam, "-mnesia", "dir"]);
    command.arg(format!("\"{}\"", dir.join("data").display()));
    command.args(["-ejabberd", "config"]).arg(format!("\"{}\"", dir.join("config.yml").display()));
    command.arg("log_path").arg(format!("\"{}\"", dir.join("ejabberd.log").display()));
    command.args(["-s", "ejabberd"]);
    command
}

fn prosody_config(dir: &str, port: u16, host: &str, domains: &[&str]) -> String {
    let mut text = format!(
        "run_as_root = true\n\
         pidfile = '{dir}/pid'\n\
         data_path = '{dir}/data'\n\
         log = {{ {{ levels = {{ min = 'info' }}, to = 'console' }} }}\n\
         modules_enabled = {{ 'ping' }}\n\
         modules_disabled = {{ 's2s', 'c2s', 'posix' }}\n\
         c2s_ports = {{}}\n\
         s2s_ports = {{}}\n\
         component_interfaces = {{ '{}' }}\n\
         component_ports = {{ {port} }}\n\
         component_stanza_size_limit = {STANZA}\n\
         VirtualHost '{host}'\n",
        Ipv4Addr::LOCALHOST
    );
    for domain in domains {
        let _ = writeln!(text, "Component '{domain}'\n  component_secret = '{SECRET}'");
    }
    text
}

fn ejabberd_config(port: u16, host: &str, domains: &[&str]) -> String {
    let mut text = format!(
        "hosts: ['{host}']\n\
         loglevel: info\n\
         certfiles: []\n\
         modules:\n  mod_ping: {{}}\n\
         listen:\n  -\n    port: {port}\n    ip: '{}'\n    module: ejabberd_service\n    access: all\n    global_routes: false\n    max_stanza_size: {STANZA}\n    hosts:\n",
        Ipv4Addr::LOCALHOST
    );
    for domain in domains {
        let _ = writeln!(text, "      '{domain}':\n        password: '{SECRET}'");
    }
    text
}
