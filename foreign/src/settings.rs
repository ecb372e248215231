//! Which server is started, and with what settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The router of jabberd2: it knows components alone, no host.
    Jabberd2,
    /// ejabberd.
    Ejabberd,
    /// Prosody as it comes.
    Prosody,
    /// Prosody without Nagle's algorithm and with Lua's generational garbage collector.
    ProsodyTuned,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jabberd2, Self::Ejabberd, Self::Prosody, Self::ProsodyTuned];

    /// What it is called on a command line and in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jabberd2 => "jabberd2",
            Self::Ejabberd => "ejabberd",
            Self::Prosody => "prosody",
            Self::ProsodyTuned => "prosody-tuned",
        }
    }

    /// The Debian package that it comes in.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Jabberd2 => "jabberd2",
            Self::Ejabberd => "ejabberd",
            Self::Prosody | Self::ProsodyTuned => "prosody",
        }
    }

    /// The installed package's version; `None` where it is not installed.
    #[must_use]
    pub fn version(self) -> Option<String> {
        let query = ["-W", "-f", "${db:Status-Status} ${Version}", self.package()];
        let output = Command::new("dpkg-query").args(query).stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).strip_prefix("installed ")?.to_owned())
    }
}

/// What a server is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it keeps its files; made, emptied before, and removed at the end.
    pub dir: PathBuf,
    /// Where it listens.
    pub addr: SocketAddr,
    /// What components prove.
    pub secret: String,
    /// The domain of the server itself; jabberd2's router has none.
    pub host: String,
    /// Whom it lets in. jabberd2 and, when this is empty, ejabberd let in every name.
    pub domains: Vec<String>,
    /// Logs warnings alone, not each connection.
    pub quiet: bool,
}

/// What Prosody and ejabberd do for users, beside letting components in.
#[derive(Clone, Debug)]
pub struct Users {
    /// Where clients connect, without TLS.
    pub addr: SocketAddr,
    /// The accounts on the host; the components' secret is their password, too.
    pub names: Vec<String>,
    /// Each component may read rosters of the host and send messages for it (XEP-0356), and gets what is for the
    /// namespaces [`DELEGATED`] there (XEP-0355).
    pub has_privileges: bool,
}

/// What is delegated to components that have privileges.
pub const DELEGATED: [&str; 2] = ["urn:enjamb:delegated:1", "urn:enjamb:delegated:2"];
