//! `enjamb init`: a configuration file for Enjamb in front of another XMPP server, and what that server needs.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use enjamb_core::jid::Domain;
use tokio_rustls::rustls::pki_types::ServerName;
use zeroize::Zeroizing;

use crate::config::{host_and_port, is_loopback, load};
use crate::terminal::{complain, say};
use crate::{check, secret};

/// Where components connect to Enjamb: beside 5347, which Prosody has.
const LISTENER: u16 = 5348;

/// What to write.
#[derive(Clone, Debug, Args)]
pub struct InitOptions {
    /// The server that Enjamb connects to.
    #[arg(value_enum)]
    pub server: OtherServer,
    /// The file to write, with mode 0600; '-' for standard output, with all else on standard error.
    #[arg(short, long, value_name = "FILE", default_value = "enjamb.toml")]
    pub output: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(short, long)]
    pub force: bool,
    /// The component's domain.
    #[arg(short, long, value_name = "DOMAIN", default_value = "irc.example.org", value_parser = domain)]
    pub domain: Domain,
    /// Where the server accepts components [default: 127.0.0.1:5347 for prosody, 127.0.0.1:8888 for ejabberd].
    #[arg(short, long, value_name = "HOST:PORT", value_parser = address)]
    pub server_address: Option<Address>,
}

/// An XMPP server that has components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtherServer {
    /// Prosody, with a 'Component' section.
    Prosody,
    /// ejabberd, with an 'ejabberd_service' listener.
    Ejabberd,
}

/// `host:port`.
#[derive(Clone, Debug)]
pub struct Address {
    text: String,
    host: ServerName<'static>,
    port: u16,
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

fn address(text: &str) -> Result<Address, String> {
    let (host, port) = host_and_port(text)?;
    Ok(Address { text: text.to_owned(), host, port })
}

impl OtherServer {
    fn name(self) -> &'static str {
        match self {
            Self::Prosody => "Prosody",
            Self::Ejabberd => "ejabberd",
        }
    }

    /// The name of its uplink.
    fn uplink(self) -> &'static str {
        match self {
            Self::Prosody => "prosody",
            Self::Ejabberd => "ejabberd",
        }
    }

    fn usual_address(self) -> Address {
        let port = match self {
            Self::Prosody => 5347,
            Self::Ejabberd => 8888,
        };
        let ip = IpAddr::from([127, 0, 0, 1]);
        Address { text: format!("{ip}:{port}"), host: ip.into(), port }
    }

    /// What to do with the snippet.
    fn advice(self) -> &'static str {
        match self {
            Self::Prosody => {
                "Add this at the end of Prosody's configuration, most often /etc/prosody/prosody.cfg.lua, and restart it:"
            }
            Self::Ejabberd => {
                "Add this below 'listen:' in ejabberd's configuration, most often /etc/ejabberd/ejabberd.yml, and restart it:"
            }
        }
    }

    /// What the server needs to accept the domain with this secret at the address.
    fn snippet(self, domain: &Domain, secret: &str, address: &Address) -> String {
        let port = address.port;
        match self {
            Self::Prosody => {
                let mut text = format!("Component \"{domain}\"\n    component_secret = \"{secret}\"\n");
                let mut global = String::new();
                if port != 5347 {
                    global += &format!("component_ports = {{ {port} }}\n");
                }
                if !is_loopback(&address.host) {
                    let ip = ip(&address.host).map_or_else(|| "*".to_owned(), |ip| ip.to_string());
                    global += &format!("component_interfaces = {{ \"{ip}\" }}\n");
                }
                if !global.is_empty() {
                    text += &format!("\nAnd this above its first VirtualHost:\n\n{global}");
                }
                text
            }
            Self::Ejabberd => {
                let ip = match ip(&address.host) {
                    Some(ip) => ip.to_string(),
                    None if is_loopback(&address.host) => "127.0.0.1".to_owned(),
                    None => "::".to_owned(),
                };
                // With `global_routes`, the stream of one domain would get the stanzas of all.
                format!(
                    "  -\n    port: {port}\n    ip: \"{ip}\"\n    module: ejabberd_service\n    global_routes: false\n    \
                     hosts:\n      \"{domain}\":\n        password: \"{secret}\"\n"
                )
            }
        }
    }
}

fn ip(host: &ServerName<'_>) -> Option<IpAddr> {
    match host {
        ServerName::IpAddress(ip) => Some(IpAddr::from(*ip)),
        _ => None,
    }
}

/// Writes the file and says what comes next. The exit code is 1 if nothing was written.
#[must_use]
pub fn run(options: &InitOptions) -> ExitCode {
    let secrets = [(); 3].map(|()| secret::generate_hex().map(Zeroizing::new));
    let [Ok(listener), Ok(component), Ok(uplink)] = secrets else {
        complain("error: the operating system gives no random numbers");
        return ExitCode::FAILURE;
    };
    let address = options.server_address.clone().unwrap_or_else(|| options.server.usual_address());
    let text = Zeroizing::new(file(options, &address, [&listener, &component, &uplink]));
    let path = options.output.display();
    let is_standard_output = options.output == Path::new("-");
    let written = if is_standard_output {
        io::stdout().write_all(text.as_bytes())
    } else {
        write(&options.output, &text, options.force)
    };
    if let Err(error) = written {
        if error.kind() == io::ErrorKind::AlreadyExists {
            complain(format_args!(
                "error: {path} exists; --force overwrites it, --output names another file"
            ));
        } else {
            complain(format_args!("error: {path} can't be written: {error}"));
        }
        return ExitCode::FAILURE;
    }
    let name = if is_standard_output { "FILE" } else { &*options.output.to_string_lossy() };
    check::show_faults(&load(name, &text));
    let next = next_steps(options, &address, &uplink, name);
    if is_standard_output {
        complain(next.as_str());
    } else {
        say(next.as_str());
    }
    ExitCode::SUCCESS
}

/// Writes a file that only its owner may read, and no other before.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let mut file = if force { options.create(true) } else { options.create_new(true) }.open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

/// The configuration file.
fn file(options: &InitOptions, address: &Address, [listener, component, uplink]: [&str; 3]) -> String {
    let (server, name, domain) = (options.server.name(), options.server.uplink(), &options.domain);
    let address = &address.text;
    format!(
        "\
# Enjamb in front of {server}: the component {domain} connects to Enjamb,
# and Enjamb connects to {server} as {domain}.
#
# This file holds secrets: only the user that Enjamb runs as should read it.

[general]
# Domains of Enjamb itself. Never list the domain of {server}'s users here.
hosts = []

[[listen.service]]
# The component connects here.
ip_address = \"127.0.0.1\"
port = {LISTENER}
# The names that may connect. Further ones need a [domain] below with their `uplink`.
domains = [\"{domain}\"]
# For names whose [domain] has no secret of its own.
password = \"{listener}\"

[domain.\"{domain}\"]
# The component proves its name with this.
secret = \"{component}\"
# Seconds that stanzas for the component wait while it restarts.
hold_seconds = 60
# Stanzas to domains that are not here go to this server.
uplink = \"{name}\"

[uplink.{name}]
# Where {server} accepts components.
address = \"{address}\"
# What {server} has for {domain}.
secret = \"{uplink}\"
# Seconds that stanzas for {server} wait while it restarts.
hold_seconds = 60
"
    )
}

fn next_steps(
    options: &InitOptions,
    address: &Address,
    uplink_secret: &str,
    file: &str,
) -> Zeroizing<String> {
    let (server, domain) = (options.server, &options.domain);
    let snippet = server.snippet(domain, uplink_secret, address);
    Zeroizing::new(format!(
        "\
{file} has the configuration of Enjamb, in front of {}.

{}

{snippet}
If it has {domain} already, replace that. Then:

enjamb check {file}
enjamb --config {file}

The component connects to 127.0.0.1:{LISTENER}, with the secret in [domain.\"{domain}\"] of {file}.",
        server.name(),
        server.advice(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snippet(server: OtherServer, at: &str) -> String {
        server.snippet(&Domain::parse("irc.example.org").unwrap(), "s3cret", &address(at).unwrap())
    }

    #[test]
    fn prosody_is_told_of_other_ports_and_addresses() {
        let component = "Component \"irc.example.org\"\n    component_secret = \"s3cret\"\n";
        assert_eq!(snippet(OtherServer::Prosody, "localhost:5347"), component);
        assert_eq!(
            snippet(OtherServer::Prosody, "10.0.0.1:5000"),
            format!(
                "{component}\nAnd this above its first VirtualHost:\n\n\
                 component_ports = {{ 5000 }}\ncomponent_interfaces = {{ \"10.0.0.1\" }}\n"
            )
        );
        let named = snippet(OtherServer::Prosody, "xmpp.example.org:5347");
        assert!(named.ends_with("component_interfaces = { \"*\" }\n"), "{named}");
    }

    #[test]
    fn ejabberd_listens_at_the_address() {
        for (at, ip) in [
            ("127.0.0.1:8888", "127.0.0.1"),
            ("localhost:8888", "127.0.0.1"),
            ("[fd00::1]:8888", "fd00::1"),
            ("xmpp.example.org:8888", "::"),
        ] {
            let snippet = snippet(OtherServer::Ejabberd, at);
            assert!(snippet.starts_with(&format!("  -\n    port: 8888\n    ip: \"{ip}\"\n")), "{snippet}");
        }
    }
}
