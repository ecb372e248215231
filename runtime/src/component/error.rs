//! Why a component is not connected, a stanza not sent, a request without a result.

use std::io;
use std::time::Duration;

use enjamb_core::connection::CloseReason;
use enjamb_core::{NotOneElement, OwnedStanza};

/// Why a stanza was not sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is not one whole, well-formed element, so the server would end the stream over it.
    #[error(transparent)]
    Malformed(#[from] NotOneElement),
    /// A component that is bound by a prefix has no address of its own: say from which one it asks.
    #[error("a component that is bound by a prefix must say which of its addresses it asks from")]
    NoSender,
    /// The stream has ended.
    #[error("the stream has ended")]
    Ended,
}

/// Why a component is not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server can't be reached.
    #[error("the server can't be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The stream ended before the server had accepted the component.
    #[error("the server refused the component: {0}")]
    Refused(CloseReason),
}

/// Why a request has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not sent: its payload is not one well-formed element or too long, or the stream has ended.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// The answer is an error.
    #[error("the request was answered with an error")]
    Refused(OwnedStanza),
    /// No answer came within this time.
    #[error("no answer came within {0:?}")]
    Late(Duration),
    /// The stream ended before the answer came.
    #[error("the stream ended before the answer came")]
    Ended,
}
