//! The phases of a negotiation in which bytes can be sent.

use serde::Deserialize;

/// How far the negotiation has come when a case's bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// They are the first on the connection.
    PreOpen,
    /// The headers are exchanged.
    PreAuth,
    /// The handshake is done.
    Authed,
}
