//! How far a connection is.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::error::StreamError;
use crate::stream::{Acceptor, Authenticated, Opened, ServerStream};
use crate::time::Instant;

/// How far a connection is.
pub(super) enum Phase {
    // Boxed so that a connection stays small, and taking the phase out for an event costs nothing.
    /// The stream header or the handshake is awaited.
    Accepting(Box<Acceptor>),
    /// The secret is looked up.
    Opened(Box<Opened>),
    /// The secret is proved, and the switch has not decided who holds the names.
    Binding(Box<Binding>),
    /// Stanzas flow.
    Open(Box<ServerStream>),
    Ended,
}

pub(super) struct Binding {
    pub(super) authenticated: Authenticated,
    pub(super) ask_at: Instant,
}

impl Phase {
    /// Ends the stream with an error.
    pub(super) fn refuse(self, error: StreamError, out: &mut Vec<u8>) {
        match self {
            Self::Accepting(acceptor) => acceptor.refuse(error, out),
            Self::Opened(opened) => opened.refuse(error, out),
            Self::Binding(binding) => binding.authenticated.refuse(error, out),
            Self::Open(mut stream) => stream.fail(error, out),
            Self::Ended => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Accepting(acceptor) => Some(acceptor.poll_timeout()),
            Self::Opened(opened) => Some(opened.poll_timeout()),
            Self::Binding(binding) => Some(binding.authenticated.poll_timeout().min(binding.ask_at)),
            Self::Open(stream) => stream.poll_timeout(),
            Self::Ended => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), StreamError> {
        match self {
            Self::Accepting(acceptor) => acceptor.handle_timeout(now, out),
            Self::Opened(opened) => opened.handle_timeout(now, out),
            Self::Binding(binding) => binding.authenticated.handle_timeout(now, out),
            Self::Open(stream) => stream.handle_timeout(now, out),
            Self::Ended => Ok(()),
        }
    }
}
