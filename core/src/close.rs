//! Why a connection, or what a port holds, ended.

use alloc::string::String;
use core::fmt;

use crate::error::StreamError;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The other side closed the stream, or its side of the connection.
    ByPeer,
    /// This side closed the stream in good order.
    ByUs,
    /// A stream error, which the other side was told.
    Error(StreamError),
    /// The connection broke; these are the operating system's words for it.
    Broken(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the other side"),
            Self::ByUs => f.write_str("closed"),
            Self::Error(error) => error.fmt(f),
            Self::Broken(words) => write!(f, "the connection broke: {words}"),
        }
    }
}

/// Why a port does not hold a name any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseReason {
    /// Its connection ended.
    Closed(CloseReason),
    /// Another connection took its names over (`kick_old`).
    Replaced,
    /// It let go of the name, or was detached.
    Released,
    /// The host under which its prefix had the name was removed.
    HostRemoved,
}

impl fmt::Display for ReleaseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => reason.fmt(f),
            Self::Replaced => f.write_str("another connection has taken its names"),
            Self::Released => f.write_str("let go"),
            Self::HostRemoved => f.write_str("its host was removed"),
        }
    }
}
