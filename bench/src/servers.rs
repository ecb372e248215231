//! The servers that are compared, each started by itself on loopback and ended by its process id.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::thread::sleep;
use std::time::Duration;

use enjamb_foreign::{Kind, Server, Settings};

use crate::load::Target;
use crate::process::ending_with_us;

const SECRET: &str = "0loopbackIsAllThereIs";
/// Of the second listener, where there is one.
const OTHER: &str = "0theNeighboursHaveTheirOwn";
const DOMAIN: &str = "localhost";

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    Enjamb,
    Route,
    Relay,
    Foreign(Kind),
}

impl Contestant {
    /// All, in the order of the columns.
    pub(crate) const ALL: [Self; 7] = [
        Self::Enjamb,
        Self::Route,
        Self::Relay,
        Self::Foreign(Kind::Jabberd2),
        Self::Foreign(Kind::Ejabberd),
        Self::Foreign(Kind::Prosody),
        Self::Foreign(Kind::ProsodyTuned),
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enjamb => "enjamb",
            Self::Route => "route",
            Self::Relay => "relay",
            Self::Foreign(kind) => kind.name(),
        }
    }

    /// What is to be said where it can't be measured.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Foreign(kind) if kind.version().is_none() => {
                Some(format!("not installed: `apt-get install --no-install-recommends {}`", kind.package()))
            }
            _ => None,
        }
    }
}

impl FromStr for Contestant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|server| server.name() == name)
            .ok_or_else(|| format!("no such server; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// A server that ends, by its process id, when this is dropped.
pub(crate) struct Running {
    process: Process,
    address: SocketAddr,
    directory: Option<PathBuf>,
    /// The server behind its uplinks.
    behind: Option<Box<Self>>,
}

enum Process {
    Ours(Child),
    Foreign(Box<Server>),
}

impl Drop for Running {
    fn drop(&mut self) {
        // A foreign server's value does as much itself.
        if let Process::Ours(child) = &mut self.process {
            // It may have ended by itself, which the measurement has noticed.
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

impl Running {
    /// How to reach and to measure it.
    pub(crate) fn target(&self) -> Target {
        let pid = match &self.process {
            Process::Ours(child) => child.id(),
            Process::Foreign(server) => server.pid(),
        };
        let behind = self.behind.as_ref().map(|behind| behind.address);
        Target { address: self.address, secret: SECRET.into(), domain: DOMAIN.into(), behind, pid: Some(pid) }
    }
}

/// Starts our server in front of a null router, with an uplink for each of these names that begins with `a`.
pub(crate) fn uplinked(binary: &Path, names: &[String]) -> io::Result<Running> {
    let behind = null(&["null-route"])?;
    let (address, directory) = place()?;
    let mut config = format!("[general]\nhosts = []\n{}", listener(address, SECRET));
    for name in names.iter().filter(|name| name.starts_with('a')) {
        config += &format!("\n[domain.'{name}.{DOMAIN}']\nuplink = 'null'\n");
    }
    config += &format!("\n[uplink.null]\naddress = '{}'\nsecret = '{SECRET}'\n", behind.address);
    let mut running = ours(binary, address, directory, &config)?;
    running.behind = Some(Box::new(behind));
    Ok(running)
}

/// Starts a server that lets components of these names in. `any` has the null router cut every kind of stanza.
pub(crate) fn start(contestant: Contestant, ours: &Path, names: &[String], any: bool) -> io::Result<Running> {
    match contestant {
        Contestant::Enjamb => enjamb(ours),
        Contestant::Route => null(if any { &["null-route", "--any"] } else { &["null-route"] }),
        Contestant::Relay => null(&["null-relay"]),
        Contestant::Foreign(kind) => {
            let (address, dir) = place()?;
            // With a list, ejabberd copies all of it for each connection: a storm of 5,000 would measure that alone.
            let names = if kind == Kind::Ejabberd { &[] } else { names };
            let domains = names.iter().map(|name| format!("{name}.{DOMAIN}")).collect();
            let (secret, host) = (SECRET.into(), "localhost".into());
            let settings = Settings { dir, addr: address, secret, host, domains, quiet: true };
            let process = Process::Foreign(Box::new(Server::start(kind, settings)?));
            Ok(Running { process, address, directory: None, behind: None })
        }
    }
}

/// A free port, and a directory named after it.
fn place() -> io::Result<(SocketAddr, PathBuf)> {
    // Nobody else takes it in the moment between.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let name = format!("enjamb-bench-{}-{}", std::process::id(), address.port());
    Ok((address, env::temp_dir().join(name)))
}

fn null(arguments: &[&str]) -> io::Result<Running> {
    let mut child = ending_with_us(&env::current_exe()?)?.args(arguments).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take();
    let mut running = Running {
        process: Process::Ours(child),
        address: ([127, 0, 0, 1], 0).into(),
        directory: None,
        behind: None,
    };
    let mut line = String::new();
    BufReader::new(output.ok_or_else(|| io::Error::other("no output"))?).read_line(&mut line)?;
    running.address.set_port(line.trim().parse().map_err(io::Error::other)?);
    Ok(running)
}

fn enjamb(binary: &Path) -> io::Result<Running> {
    let (address, directory) = place()?;
    let listener = listener(address, SECRET);
    ours(binary, address, directory, &format!("[general]\nhosts = ['{DOMAIN}']\n{listener}"))
}

/// A listener's part of our configuration file.
fn listener(address: SocketAddr, secret: &str) -> String {
    let (port, ip) = (address.port(), address.ip());
    format!("\n[[listen.service]]\nport = {port}\nip_address = '{ip}'\npassword = '{secret}'\n")
}

/// Our server with two listeners whose secrets differ, and how to reach the second. `hosts` are further hosts;
/// `first` is added to the first listener, and `more` to the file.
pub(crate) fn two_listeners(
    binary: &Path,
    hosts: &[String],
    first: &str,
    more: &str,
) -> io::Result<(Running, Target)> {
    let (address, directory) = place()?;
    let (second, _) = place()?;
    let hosts: String = hosts.iter().map(|host| format!(", '{host}'")).collect();
    let listeners = listener(address, SECRET) + first + &listener(second, OTHER);
    let config = format!("[general]\nhosts = ['{DOMAIN}'{hosts}]\n{listeners}\n{more}");
    let running = ours(binary, address, directory, &config)?;
    let target = Target { address: second, secret: OTHER.into(), ..running.target() };
    Ok((running, target))
}

/// Starts our server and waits until it listens.
fn ours(binary: &Path, address: SocketAddr, directory: PathBuf, config: &str) -> io::Result<Running> {
    fs::create_dir_all(&directory)?;
    let file = directory.join("enjamb.toml");
    File::options().create_new(true).write(true).mode(0o600).open(&file)?.write_all(config.as_bytes())?;
    if !binary.exists() {
        let text = format!("{} is not there: cargo build --release -p enjamb", binary.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut command = ending_with_us(binary)?;
    command.args(["--log", "error", "--config"]).arg(&file).stdout(Stdio::null());
    let child = command.spawn()?;
    let mut running =
        Running { process: Process::Ours(child), address, directory: Some(directory), behind: None };
    for _ in 0..250 {
        if TcpStream::connect(address).is_ok() {
            return Ok(running);
        }
        if let Process::Ours(child) = &mut running.process
            && child.try_wait()?.is_some()
        {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    Err(io::Error::other("our server does not start"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_found_by_its_name_and_an_unknown_one_is_refused_with_the_names() {
        for server in Contestant::ALL {
            assert_eq!(server.name().parse(), Ok(server));
        }
        assert!("openfire".parse::<Contestant>().unwrap_err().contains("jabberd2, ejabberd, prosody"));
    }
}
