//! An IRC server, and the gateway between XMPP and it, as Debian packages them.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{START, ending_with_us};

/// ngircd. It ends with this value.
#[derive(Debug)]
pub struct Ngircd {
    child: Child,
    dir: PathBuf,
    addr: SocketAddr,
}

impl Ngircd {
    /// Starts one in this directory, which it has for itself, and waits until it accepts.
    ///
    /// # Errors
    /// It is not installed, or does not start: the error holds what it said.
    pub fn start(dir: PathBuf, addr: SocketAddr) -> io::Result<Self> {
        make_empty(&dir)?;
        let file = dir.join("ngircd.conf");
        let (ip, port) = (addr.ip(), addr.port());
        // It becomes another user, so that it does not end with us: it ends when nobody is connected for so long.
        let text = format!(
            "[Global]\nName = irc.test\nInfo = test\nListen = {ip}\nPorts = {port}\nMotdPhrase = hello\n\
             [Limits]\nIdleTimeout = 60\nMaxConnectionsIP = 0\nMaxNickLength = 20\n\
             [Options]\nIdent = no\nDNS = no\nPAM = no\n"
        );
        fs::write(&file, text)?;
        let child = spawn("ngircd", &["-n", "-f"], &file, &dir)?;
        let mut server = Self { child, dir, addr };
        let by = Instant::now() + START;
        while TcpStream::connect(addr).is_err() {
            if server.child.try_wait()?.is_some() || Instant::now() > by {
                return Err(io::Error::other(format!("ngircd does not start: {}", log(&server.dir))));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Ngircd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// biboumi: the component `domain` of an XMPP server, with the channels of one IRC server, of which each user sets the
/// port (with the command `server-configure`). It ends with this value.
#[derive(Debug)]
pub struct Biboumi {
    child: Child,
    dir: PathBuf,
}

impl Biboumi {
    /// Starts one in this directory, which it has for itself; it connects.
    ///
    /// # Errors
    /// It is not installed.
    pub fn start(dir: PathBuf, domain: &str, xmpp: (SocketAddr, &str), irc: IpAddr) -> io::Result<Self> {
        make_empty(&dir)?;
        let ((xmpp, secret), store) = (xmpp, dir.join("store.sqlite"));
        let text = format!(
            "hostname={domain}\npassword={secret}\nxmpp_server_ip={}\nport={}\nfixed_irc_server={irc}\n\
             db_name={}\nidentd_port=0\nlog_level=1\nlog_file=\n",
            xmpp.ip(),
            xmpp.port(),
            store.display()
        );
        fs::write(dir.join("biboumi.cfg"), text)?;
        let child = spawn("biboumi", &[], &dir.join("biboumi.cfg"), &dir)?;
        Ok(Self { child, dir })
    }

    /// Ends it in good order: it tells both sides.
    ///
    /// # Errors
    /// It has ended.
    pub fn stop(&mut self) -> io::Result<()> {
        // It can't have another's id: it is not waited for before.
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`stop`](Self::stop).
    ///
    /// # Errors
    /// It is not installed any more.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.child = spawn("biboumi", &[], &self.dir.join("biboumi.cfg"), &self.dir)?;
        Ok(())
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        log(&self.dir)
    }
}

impl Drop for Biboumi {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn make_empty(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

fn spawn(package: &str, args: &[&str], file: &Path, dir: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = ending_with_us(Path::new(package));
    command.args(args).arg(file).stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
    command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("{package} ({error}): apt-get install {package}"))
    })
}
