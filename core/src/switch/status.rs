//! What an operator sees of a port.

use alloc::vec::Vec;

use crate::jid::Domain;
use crate::queue::QueueStatus;
use crate::router::{Claim, PortId};

/// What is behind a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortKind {
    /// A connection of a component, authenticated or not.
    Connection,
    /// Code in the same process.
    Local,
    /// Our own stream, as a component, to another server.
    Uplink,
}

/// What an operator sees of a port.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortStatus {
    /// Its id.
    pub id: PortId,
    /// What is behind it.
    pub kind: PortKind,
    /// What it asked for; nothing while a connection is not authenticated.
    pub claims: Vec<Claim>,
    /// The names that it holds now. Wildcards are among its claims.
    pub names: Vec<Domain>,
    /// What waits for it.
    pub queue: QueueStatus,
}
