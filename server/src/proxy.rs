//! The PROXY protocol, versions 1 and 2: who a connection that comes through a proxy is from. The first bytes of
//! it are the proxy's, before TLS and before the stream. (HAProxy's `proxy-protocol.txt`, of 2020-03-05 and later.)
//!
//! ```
//! use enjamb_server::proxy::{Parsed, parse};
//!
//! let mut source = &b"PROXY TCP4 192.0.2.7 203.0.113.1 45678 8888\r\n<stream:stream ..."[..];
//! let mut header = Vec::new();
//! let from = loop {
//!     match parse(&header)? {
//!         // What is behind the header stays where it is: it belongs to TLS or to the stream.
//!         Parsed::Needs(n) => header.extend(source.split_off(..n).ok_or("it ends early")?),
//!         Parsed::Whole { from, .. } => break from,
//!     }
//! };
//! assert_eq!(from, Some("192.0.2.7:45678".parse()?));
//! assert!(source.starts_with(b"<stream:stream"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

/// The longest header of version 1 in bytes, as the specification has it.
pub const V1_LIMIT: usize = 107;
/// The longest header of version 2 in bytes: 4 KiB. Addresses take 52 bytes, or 232 of Unix sockets; the rest are
/// the proxy's remarks (TLVs), of which the longest is a client's certificate.
pub const V2_LIMIT: usize = 4096;

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; at least this many bytes are missing. A caller that reads no more than that, and asks
    /// again, never reads a byte of what is behind it.
    Needs(usize),
    /// A header, whole.
    Whole {
        /// Its bytes.
        len: usize,
        /// Who is at the other side of the proxy; `None` where the proxy does not say, or is itself who connects:
        /// then it is whom the socket is connected with.
        from: Option<SocketAddr>,
    },
}

/// Why bytes are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It begins in another way.
    #[error("it does not begin with a PROXY header of version 1 or 2")]
    Signature,
    /// It is longer than [`V1_LIMIT`] or [`V2_LIMIT`].
    #[error("the PROXY header is longer than {0} bytes")]
    TooLong(usize),
    /// Version 1: a line that is not as the specification has it.
    #[error("the PROXY header's line is malformed: {0}")]
    Line(&'static str),
    /// Version 2: neither `LOCAL` nor `PROXY`, or another version.
    #[error("the PROXY header's version and command are {0:#04x}, and not 0x20 or 0x21")]
    Command(u8),
    /// Version 2: no stream of a known family.
    #[error("the PROXY header's family and protocol are {0:#04x}, which is no stream of IPv4, IPv6 or Unix")]
    Family(u8),
    /// Version 2: no room for the addresses of its family, or for a remark that has begun.
    #[error("the PROXY header is shorter than what it holds")]
    TooShort,
    /// Version 2: the checksum of the proxy is another.
    #[error("the PROXY header's checksum (CRC32C) is wrong")]
    Checksum,
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// `PROXY UNKNOWN` with its line's end: no header is shorter.
const SHORTEST: usize = 15;
/// The signature, version and command, family and protocol, and the length of the rest.
const V2_FIXED: usize = 16;

/// Looks for a header at the beginning of `bytes`. Takes time in proportion to the header and keeps nothing.
///
/// # Errors
/// They are no header, whatever follows: close the connection.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(a, b)| a == b);
    match bytes.len() {
        _ if !begins(V1) && !begins(V2) => Err(ProxyError::Signature),
        n @ ..SHORTEST => Ok(Parsed::Needs(SHORTEST - n)),
        _ if begins(V1) => v1(bytes),
        _ => v2(bytes),
    }
}

fn v1(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let head = &bytes[..bytes.len().min(V1_LIMIT)];
    let Some(end) = head.iter().position(|&byte| byte == b'\n') else {
        let room = V1_LIMIT - head.len();
        return match head.last() {
            _ if room == 0 => Err(ProxyError::TooLong(V1_LIMIT)),
            Some(b'\r') => Ok(Parsed::Needs(1)),
            _ => Ok(Parsed::Needs(room.min(2))),
        };
    };
    let line = str::from_utf8(&head[V1.len()..end]).ok().and_then(|line| line.strip_suffix('\r'));
    let line = line.ok_or(ProxyError::Line("it does not end with CR LF, or is not ASCII"))?;
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    let from = match family {
        "UNKNOWN" => None,
        "TCP4" => Some(v1_source::<Ipv4Addr>(rest)?),
        "TCP6" => Some(v1_source::<Ipv6Addr>(rest)?),
        _ => return Err(ProxyError::Line("its family is not TCP4, TCP6 or UNKNOWN")),
    };
    Ok(Parsed::Whole { len: end + 1, from })
}

/// Both addresses, then both ports: all four are checked, the first of each is given.
fn v1_source<A: FromStr + Into<IpAddr>>(rest: &str) -> Result<SocketAddr, ProxyError> {
    let mut fields = rest.split(' ');
    let mut next = || fields.next().unwrap_or_default();
    let (from, to) = (next().parse::<A>(), next().parse::<A>());
    let (Ok(from), Ok(_)) = (from, to) else {
        return Err(ProxyError::Line("its addresses are not two of its family"));
    };
    let (Some(port), Some(_)) = (v1_port(next()), v1_port(next())) else {
        return Err(ProxyError::Line("its ports are not two numbers from 0 to 65535"));
    };
    match fields.next() {
        None => Ok(SocketAddr::new(from.into(), port)),
        Some(_) => Err(ProxyError::Line("there is something behind its ports")),
    }
}

/// A port as the specification has it: no sign, no zero in front.
fn v1_port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_canonical)
}

fn v2(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Parsed::Needs(V2_FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    if !matches!(command, 0x20 | 0x21) {
        return Err(ProxyError::Command(command));
    }
    let is_local = command == 0x20;
    let addresses = match family {
        // The health check of the proxy itself, or a source that it can't name: what follows means nothing.
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(ProxyError::Family(family)),
    };
    let len = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if len > V2_LIMIT {
        return Err(ProxyError::TooLong(V2_LIMIT));
    }
    let Some(content) = rest.get(..len - V2_FIXED) else { return Ok(Parsed::Needs(len - bytes.len())) };
    if is_local {
        return Ok(Parsed::Whole { len, from: None });
    }
    let (addresses, remarks) = content.split_at_checked(addresses).ok_or(ProxyError::TooShort)?;
    check_remarks(&bytes[..len], remarks)?;
    let port = |at: usize| u16::from_be_bytes([addresses[at], addresses[at + 1]]);
    let from = match family {
        0x11 => addresses.first_chunk().map(|ip: &[u8; 4]| SocketAddr::new((*ip).into(), port(8))),
        0x21 => addresses.first_chunk().map(|ip: &[u8; 16]| SocketAddr::new((*ip).into(), port(32))),
        _ => None,
    };
    Ok(Parsed::Whole { len, from })
}

/// Passes over the proxy's remarks: a byte of type, two of length, then that many bytes. Of one kind, the checksum, the
/// specification wants that it is held against the header.
fn check_remarks(header: &[u8], mut remarks: &[u8]) -> Result<(), ProxyError> {
    const CRC32C: u8 = 0x03;
    while let [kind, high, low, rest @ ..] = remarks {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, behind) = rest.split_at_checked(len).ok_or(ProxyError::TooShort)?;
        if *kind == CRC32C {
            let at = header.len() - behind.len() - len;
            let value: [u8; 4] = value.try_into().map_err(|_| ProxyError::Checksum)?;
            if crc32c(header, at..at + 4) != u32::from_be_bytes(value) {
                return Err(ProxyError::Checksum);
            }
        }
        remarks = behind;
    }
    if remarks.is_empty() { Ok(()) } else { Err(ProxyError::TooShort) }
}

/// CRC32C bit by bit, with zeros where the checksum itself stands: once a connection, and seldom that.
fn crc32c(bytes: &[u8], itself: Range<usize>) -> u32 {
    let mut crc = u32::MAX;
    for (at, &byte) in bytes.iter().enumerate() {
        crc ^= if itself.contains(&at) { 0 } else { u32::from(byte) };
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests;
