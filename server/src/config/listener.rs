//! `[[listen.service]]` and `[[listen.component]]`: where components connect, and on which terms.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::router::{Access, ConflictBehaviour, DomainPattern};
use enjamb_runtime::sources::SourceLimits;
use zeroize::Zeroizing;

use crate::tls::Tls;

/// The most that `max_stanza_size = "infinity"` means, in bytes: 64 MiB.
pub const STANZA_CEILING: usize = 64 << 20;
/// The most that `max_connections = "infinity"` means.
pub const CONNECTIONS_CEILING: usize = 1_000_000;
/// `max_unauthenticated` if it is not set.
pub const UNAUTHENTICATED: usize = 10_000;
/// The most that `"infinity"` means as a time: one hour.
pub const TIME_CEILING: Duration = Duration::from_secs(3600);
/// The least `max_stanza_size`, in bytes (RFC 6120 section 13.12).
pub const STANZA_FLOOR: usize = 10_000;

/// A shared secret (XEP-0114 section 3). Never shown: its `Debug` is a placeholder, and it has no `Display`. Wiped
/// from memory when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a secret as it is.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// One address at which components may connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens; loopback unless the file says otherwise. Port 0: the system chooses one.
    pub address: SocketAddr,
    /// Whether it is `::` and takes IPv4 connections, too.
    pub takes_ipv4: bool,
    /// The shared secret of the handshake.
    pub password: Password,
    /// Who may send to components of this listener.
    pub access: Access,
    /// The name of that rule, for the log.
    pub access_name: String,
    /// How many bytes a second are read from each component; unlimited when unset.
    pub shaper: Option<NonZeroU64>,
    /// Whether `from` of every stanza must be the component's own.
    pub check_from: bool,
    /// Whether disco#items of the hosts leaves these components out.
    pub hidden_components: bool,
    /// Who yields when a domain is taken.
    pub conflict_behaviour: ConflictBehaviour,
    /// The same for listeners with one secret: `kick_old` reaches no component of another.
    pub realm: u32,
    /// The most stanzas that wait for one component; no cap by count when unset.
    pub max_fsm_queue: Option<NonZeroUsize>,
    /// The domains that may connect here; any that is no host when unset.
    pub domains: Option<Vec<DomainPattern>>,
    /// The backlog of listen(2).
    pub backlog: u32,
    /// The longest stanza in bytes, from [`STANZA_FLOOR`] to [`STANZA_CEILING`].
    pub max_stanza_size: usize,
    /// The most connections at a time, up to [`CONNECTIONS_CEILING`]; others wait in the backlog.
    pub max_connections: usize,
    /// The most connections at a time that are not authenticated; others wait in the backlog. If unset,
    /// [`UNAUTHENTICATED`], or fewer where the system gives few file descriptors.
    pub max_unauthenticated: Option<usize>,
    /// What one source address may do.
    pub sources: SourceLimits,
    /// How many tasks accept connections. One is plenty with tokio.
    pub num_acceptors: NonZeroUsize,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// TLS, where it is wanted: from the first byte on, behind the PROXY header.
    pub tls: Option<Arc<Tls>>,
    /// The time allowed for each step of the negotiation, up to [`TIME_CEILING`].
    pub state_timeout: Duration,
    /// After this idle time a connection gives its buffers back; zero: at once.
    pub hibernate_after: Duration,
    /// A component that got nothing for this long gets a space; never when unset.
    pub keepalive: Option<Duration>,
}

impl Listener {
    /// A listener of which all but address and secret is left out.
    #[must_use]
    pub fn new(address: SocketAddr, password: Password) -> Self {
        Self {
            address,
            takes_ipv4: false,
            password,
            access: Access::Everyone,
            access_name: "all".to_owned(),
            shaper: None,
            check_from: true,
            hidden_components: false,
            conflict_behaviour: ConflictBehaviour::Disconnect,
            realm: 0,
            max_fsm_queue: None,
            domains: None,
            backlog: 1024,
            max_stanza_size: 1 << 20,
            max_connections: CONNECTIONS_CEILING,
            max_unauthenticated: None,
            sources: SourceLimits::default(),
            num_acceptors: NonZeroUsize::new(100).unwrap_or(NonZeroUsize::MIN),
            reuse_port: false,
            proxy_protocol: false,
            tls: None,
            state_timeout: Duration::from_secs(5),
            hibernate_after: Duration::ZERO,
            keepalive: Some(Duration::from_secs(30)),
        }
    }
}
