//! The address of a listener, and that no two have the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::diagnostic::Faults;
use super::reader::Section;
use crate::nearest::did_you_mean;
use crate::printable::quoted;

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
        None if matches!(version, Some((6, _))) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        None => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
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
}
