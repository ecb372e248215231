//! The addresses of listeners, no two of which may be the same, and of uplinks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use tokio_rustls::rustls::pki_types::ServerName;

use super::diagnostic::Faults;
use super::reader::Section;
use crate::nearest::did_you_mean;
use crate::printable::quoted;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Reads `port`, `ip_address`, `ip_version` and `proto`; the place is that of the port.
pub(super) fn address(
    section: &mut Section<'_, '_>,
    faults: &mut Faults,
) -> Option<(SocketAddr, Range<usize>)> {
    proto(section, faults);
    let version = section.take("ip_version").and_then(|value| {
        let number = value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
        match number {
            Some(4 | 6) => number.map(|version: u8| (version, value.span())),
            _ => {
                faults.error(value.span(), "`ip_version` must be 4 or 6");
                None
            }
        }
    });
    let written = section.string("ip_address", faults);
    let ip = match written {
        Some((text, value)) => {
            let ip = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
            if ip.is_none() {
                faults
                    .error(value.span(), format!("{} is no IP address", quoted(text)))
                    .help("an address such as \"127.0.0.1\" or \"::1\", not a name");
            }
            if let (Some(ip), Some((version, span))) = (ip, version)
                && ip.is_ipv4() != (version == 4)
            {
                faults
                    .error(
                        span,
                        format!("`ip_version` is {version}, and `ip_address` is not of that version"),
                    )
                    .label(value.span(), "the address is here")
                    .help("take `ip_version` out: it follows from the address");
            }
            ip
        }
        None if matches!(version, Some((6, _))) => Some(LOCALHOST_6),
        None => Some(LOCALHOST),
    };
    let Some(value) = section.take("port") else {
        section.missing("port", "8888 is the usual one", faults);
        return None;
    };
    let port = super::reader::integer(value, "port", 0..=65535, "", faults)?;
    let address = SocketAddr::new(ip?, u16::try_from(port).ok()?);
    if port == 0 {
        faults
            .warning(value.span(), "`port` is 0: the system chooses one, another at each start")
            .help("8888 is the usual one");
    }
    if section.take("ip_address").is_none() {
        faults
            .note(format!("no ip_address is set for port {port}: it listens on loopback only, at {address}"));
    }
    Some((address, value.span()))
}

fn proto(section: &mut Section<'_, '_>, faults: &mut Faults) {
    if let Some((text, value)) = section.string("proto", faults)
        && text != "tcp"
    {
        let help = did_you_mean(text, ["tcp"]).unwrap_or_else(|| "\"tcp\" is the only value".to_owned());
        faults.error(value.span(), format!("unknown protocol {}", quoted(text))).help(help);
    }
}

/// The addresses of the listeners read so far, and where their ports are.
#[derive(Default)]
pub(super) struct Addresses {
    taken: Vec<(SocketAddr, bool, Range<usize>)>,
}

impl Addresses {
    /// Takes an address. The same one twice is an error; so is one that another with all addresses covers,
    /// unless both share their port (`reuse_port`).
    pub(super) fn add(&mut self, address: SocketAddr, reuse: bool, span: Range<usize>, faults: &mut Faults) {
        let clashes = |(other, other_reuses, _): &&(SocketAddr, bool, Range<usize>)| {
            let same_port = other.port() == address.port() && address.port() != 0;
            let covered = other.is_ipv4() == address.is_ipv4()
                && (other.ip().is_unspecified() || address.ip().is_unspecified())
                && !(reuse && *other_reuses);
            same_port && (other.ip() == address.ip() || covered)
        };
        if let Some((other, _, first)) = self.taken.iter().find(clashes) {
            let message = if *other == address {
                format!("two listeners on one address: {address}")
            } else {
                format!("two listeners on one address: {address} and {other}")
            };
            faults
                .error(span.clone(), message)
                .label(first.clone(), "the first one is here")
                .help("give one of them another port");
        }
        self.taken.push((address, reuse, span));
    }

    /// Whether a listener takes IPv4 connections, too: `::` does, unless another listener has its port in IPv4.
    pub(super) fn takes_ipv4(&self, address: SocketAddr) -> bool {
        let has_port = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        address.ip() == Ipv6Addr::UNSPECIFIED
            && (address.port() == 0 || !self.taken.iter().any(|(other, ..)| has_port(other)))
    }

    /// The listener that a connection to this host and port plainly reaches, and where its port is.
    pub(super) fn reached_by(&self, host: &ServerName<'_>, port: u16) -> Option<(SocketAddr, Range<usize>)> {
        let is_reached = |address: SocketAddr| {
            let own = address.ip();
            let ServerName::IpAddress(ip) = host else {
                let is_local = own.is_unspecified() || [LOCALHOST, LOCALHOST_6].contains(&own);
                return is_loopback(host) && is_local;
            };
            let ip = IpAddr::from(*ip).to_canonical();
            let covers = own.is_unspecified() && (own.is_ipv4() == ip.is_ipv4() || self.takes_ipv4(address));
            own == ip || ip.is_loopback() && covers
        };
        let mut listeners = self.taken.iter();
        let found = listeners.find(|(address, ..)| address.port() == port && is_reached(*address));
        found.map(|(address, _, place)| (*address, place.clone()))
    }
}

/// What `host:port` looks like.
pub(super) const HOST_AND_PORT: &str =
    "host:port, as in \"127.0.0.1:5347\", \"[::1]:5347\" or \"xmpp.example.org:5347\"";

/// Reads `host:port`; an IPv6 address is in brackets.
///
/// # Errors
///
/// What is wrong, in a sentence that begins with the text.
pub(crate) fn host_and_port(text: &str) -> Result<(ServerName<'static>, u16), String> {
    let fault = |what: &str| Err(format!("{} {what}", quoted(text)));
    let (host, rest) = if let Some(bracketed) = text.strip_prefix('[') {
        let Some((ip, rest)) = bracketed.split_once(']') else { return fault("has no closing bracket") };
        (ip.parse::<Ipv6Addr>().map(ServerName::from).ok(), rest)
    } else {
        let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        if rest.matches(':').count() > 1 {
            return fault("has more than one colon: an IPv6 address has to be in brackets");
        }
        (ServerName::try_from(host.to_owned()).ok(), rest)
    };
    let Some(host) = host else { return fault("has no host name or IP address in front of its port") };
    let Some(port) = rest.strip_prefix(':') else { return fault("has no port") };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if port > 0 && is_number => Ok((host, port)),
        _ => fault("has no port from 1 to 65535"),
    }
}

/// Whether a host is this machine by its name or address.
pub(crate) fn is_loopback(host: &ServerName<'_>) -> bool {
    match host {
        ServerName::IpAddress(ip) => IpAddr::from(*ip).to_canonical().is_loopback(),
        host => host.to_str().eq_ignore_ascii_case("localhost"),
    }
}
