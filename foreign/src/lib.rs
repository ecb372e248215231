//! Other people's servers for XEP-0114, and a gateway behind them, as Debian packages them, each on loopback, in a directory and with a
//! configuration of its own, and ended by its process id with the value that stands for it.

mod configuration;
mod irc;
mod process;
mod settings;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub use irc::{Biboumi, Ngircd};
use process::{START, ending_with_us};
pub use settings::{DELEGATED, Kind, Settings, Users};

/// What a component says first; nobody has this name.
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='nobody.localhost'>";

/// A server of one host. It ends with this value.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    settings: Settings,
    users: Option<Users>,
    child: Child,
}

impl Server {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not start: the error holds what it said.
    pub fn start(kind: Kind, settings: Settings) -> io::Result<Self> {
        Self::start_with(kind, settings, None)
    }

    /// Starts one that has users, too. jabberd2's router can't have any.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn start_with_users(kind: Kind, settings: Settings, users: Users) -> io::Result<Self> {
        Self::start_with(kind, settings, Some(users))
    }

    fn start_with(kind: Kind, settings: Settings, users: Option<Users>) -> io::Result<Self> {
        let dir = &settings.dir;
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir.join("data"))?;
        fs::create_dir_all(dir.join("certs"))?;
        configuration::write(kind, &settings, users.as_ref())?;
        let child = spawn(kind, &settings, users.as_ref())?;
        let mut server = Self { kind, settings, users, child };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.settings.addr
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // It can't have another's id: it is not waited for before it is dropped or restarted.
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Ends it and starts it again on the same port.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.end_by(Signal::TERM)
    }

    /// Ends it as a crash does and starts it again on the same port.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub fn crash(&mut self) -> io::Result<()> {
        self.end_by(Signal::KILL)
    }

    fn end_by(&mut self, signal: Signal) -> io::Result<()> {
        self.signal(signal)?;
        self.child.wait()?;
        self.child = spawn(self.kind, &self.settings, self.users.as_ref())?;
        self.wait_until_it_answers()
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.settings.dir.join("log")).unwrap_or_default()
    }

    /// A port that is open says little: on a busy machine ejabberd's answers nothing for seconds yet.
    fn answers(&self) -> io::Result<bool> {
        if let Some(users) = &self.users {
            TcpStream::connect(users.addr)?;
        }
        let mut stream = TcpStream::connect(self.addr())?;
        stream.set_read_timeout(Some(START))?;
        stream.write_all(HEADER)?;
        Ok(stream.read(&mut [0; 64])? > 0)
    }

    fn wait_until_it_answers(&mut self) -> io::Result<()> {
        let by = Instant::now() + START;
        while !self.answers().unwrap_or(false) {
            if self.child.try_wait()?.is_some() || Instant::now() > by {
                return Err(io::Error::other(format!("{} does not start: {}", self.kind.name(), self.log())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.settings.dir);
    }
}

fn spawn(kind: Kind, settings: &Settings, users: Option<&Users>) -> io::Result<Child> {
    let dir = &settings.dir;
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = match kind {
        Kind::Jabberd2 => jabberd2(dir),
        Kind::Ejabberd => ejabberd(settings, users)?,
        Kind::Prosody | Kind::ProsodyTuned => prosody(dir),
    };
    command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
    command.spawn().map_err(|error| {
        let (name, package) = (kind.name(), kind.package());
        io::Error::new(error.kind(), format!("{name} ({error}): apt-get install {package}"))
    })
}

fn jabberd2(dir: &Path) -> Command {
    // Debian keeps it where only root's path leads.
    let installed = Path::new("/usr/sbin/jabberd2-router");
    let mut command =
        ending_with_us(if installed.exists() { installed } else { Path::new("jabberd2-router") });
    command.arg("-c").arg(dir.join(configuration::JABBERD2));
    command
}

fn prosody(dir: &Path) -> Command {
    let mut command = ending_with_us(Path::new("prosody"));
    command.arg("--config").arg(dir.join(configuration::PROSODY)).arg("-F");
    command
}

/// Started without `ejabberdctl`, which would change the user and start a daemon that maps names to ports.
fn ejabberd(settings: &Settings, users: Option<&Users>) -> io::Result<Command> {
    let dir = &settings.dir;
    let listed = Command::new("dpkg").args(["-L", "ejabberd"]).output()?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let beam = listed.lines().find_map(|line| line.strip_suffix("/ejabberd.beam"));
    let beam = beam.ok_or_else(|| io::Error::other("ejabberd is not there: apt-get install ejabberd"))?;
    let mut command = ending_with_us(Path::new("erl"));
    command.args(["-noinput", "-pa", beam, "-mnesia", "dir"]);
    command.arg(format!("\"{}\"", dir.join("data").display()));
    command.args(["-ejabberd", "config"]).arg(format!("\"{}\"", dir.join(configuration::EJABBERD).display()));
    command.arg("log_path").arg(format!("\"{}\"", dir.join("ejabberd.log").display()));
    command.args(["-s", "ejabberd"]);
    for name in users.iter().flat_map(|users| &users.names) {
        // After a restart it is there already.
        let (host, secret) = (&settings.host, &settings.secret);
        let register =
            format!("ejabberd_auth:try_register(<<\"{name}\">>, <<\"{host}\">>, <<\"{secret}\">>)");
        command.args(["-eval", &register]);
    }
    Ok(command)
}
