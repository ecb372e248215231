//! The server without I/O: which port holds which name, where a stanza goes, and what becomes of it.
//!
//! | file | what it does |
//! | --- | --- |
//! | `mod` | [`Switch`]: how a connection reaches what all ports share, and what an operator may ask of it |
//! | `config` | [`SwitchConfig`], [`ListenerConfig`] |
//! | `directory` | the ports and their names |
//! | `bind` | how a port gets its names and loses them |
//! | `route` | which port a stanza is for |
//! | `unsent` | what becomes of stanzas whose receiver ends before they are sent |
//! | `metrics` | what is counted |
//! | `local` | [`LocalSwitch`]: a switch for one thread |
//!
//! Each decision is made here, once. A [`Switch`] only keeps the state: [`LocalSwitch`] in cells, the runtime's
//! `SharedSwitch` behind locks.

mod bind;
mod config;
mod directory;
mod local;
mod metrics;
mod route;
mod unsent;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use bind::Bind;
pub(crate) use bind::{connect, unbind};
pub use config::{ListenerConfig, SwitchConfig};
pub use directory::Directory;
pub use local::{LocalPort, LocalSwitch};
pub use metrics::{Metric, Metrics};
pub(crate) use route::{LastSender, Route};
pub(crate) use unsent::bounce_unsent;

use crate::error::Cause;
use crate::host::{HostDirectory, HostInfo};
use crate::jid::Domain;
use crate::queue::{Pool, Queue};
use crate::router::{Change, Claim, ConnId, DomainPattern, HostTaken};
use crate::sync::{AtomicU64, Ordering};
use crate::time::Now;

/// What the ports of one server share, and how to reach it.
///
/// The required methods give access to state and decide nothing. The provided ones decide; only [`bind`](Self::bind)
/// is meant to be overridden, by a switch that has to ask elsewhere first.
pub trait Switch: Sized {
    /// How a connection refers to a port: whatever finds its queue fastest.
    type Port: Clone + AsRef<PortInfo>;

    /// What all ports use without asking the directory.
    fn shared(&self) -> &SwitchShared;

    /// Looks at the directory. `look` calls no other method of the switch.
    fn read<R>(&self, look: impl FnOnce(&Directory<Self::Port>) -> R) -> R;

    /// Changes the directory. `change` calls no method of the switch but [`queue`](Self::queue) and
    /// [`add_port`](Self::add_port).
    fn write<R>(&self, change: impl FnOnce(&mut Directory<Self::Port>) -> R) -> R;

    /// Makes the place of a new port.
    fn add_port(&self, info: PortInfo, queue: Queue) -> Self::Port;

    /// Forgets the place of a port that is over. Others may still refer to it; its queue is closed.
    fn remove_port(&self, port: &Self::Port);

    /// Uses a port's queue. `use_it` calls no method of the switch: no two queues are held at once.
    fn queue<R>(&self, port: &Self::Port, use_it: impl FnOnce(&mut Queue) -> R) -> R;

    /// Notes that a port has something to do. Called while neither the directory nor a queue is held.
    fn wake(&self, port: &Self::Port);

    /// Binds a port to what it claims, and unbinds the ports that it replaces, in one step. Called again for a bind
    /// that is pending, whenever the port is woken.
    fn bind(&self, port: &Self::Port, claim: &Claim, now: Now) -> Bind {
        let _ = now;
        bind::bind(self, port, claim)
    }

    /// Sets the names that are known while nobody is connected for them: those of every listener's `domains`.
    fn set_known(&self, patterns: Vec<DomainPattern>) {
        self.change(|directory| directory.router.set_known(patterns));
    }

    /// Adds a host: components bound with a prefix get their name under it at once. The changes are for the log.
    ///
    /// # Errors
    /// A component holds the host's own name; nothing has changed then.
    fn add_host(&self, host: Domain) -> Result<Vec<Change>, HostTaken> {
        self.change(|directory| directory.router.add_host(host))
    }

    /// Removes a host: components bound with a prefix lose their name under it and live on.
    fn remove_host(&self, host: &Domain) -> Vec<Change> {
        self.change(|directory| directory.router.remove_host(host))
    }

    /// Ends every connection with `system-shutdown`, and each that comes later. What waits in their queues is written
    /// first, within the time that the limits give.
    fn shut_down(&self) {
        let ports: Vec<_> = self.write(|directory| {
            directory.shutting_down = true;
            directory.ports.values().cloned().collect()
        });
        for port in &ports {
            self.queue(port, |queue| queue.order_end(Cause::Shutdown));
            self.wake(port);
        }
    }

    /// Sets [`SwitchConfig::max_queued`] of a switch that runs.
    fn set_max_queued(&self, bytes: usize) {
        self.shared().pool.set_max(bytes);
        self.shared().partial.set_max(bytes);
    }

    /// How many of those bytes are taken, in steps of 64 KiB for each queue.
    fn queued(&self) -> usize {
        self.shared().pool.taken()
    }

    /// How many connections there are, authenticated or not.
    fn connections(&self) -> usize {
        self.read(|directory| directory.ports.len())
    }

    /// How many components are bound.
    fn bound(&self) -> usize {
        self.read(|directory| directory.router.bound())
    }

    /// The numbers to graph.
    fn metrics(&self) -> &Metrics {
        &self.shared().metrics
    }

    /// Changes who holds what.
    #[doc(hidden)]
    fn change<R>(&self, change: impl FnOnce(&mut Directory<Self::Port>) -> R) -> R {
        self.write(|directory| {
            let result = change(directory);
            self.shared().bump();
            result
        })
    }

    /// Wakes ports by their ids; those that are gone by now need nothing.
    #[doc(hidden)]
    fn wake_all(&self, ids: Vec<ConnId>) {
        for id in ids {
            if let Some(port) = self.read(|directory| directory.ports.get(&id).cloned()) {
                self.wake(&port);
            }
        }
    }
}

/// A port as every other port may see it.
#[derive(Debug)]
pub struct PortInfo {
    pub(crate) id: ConnId,
    pub(crate) listener: Arc<ListenerConfig>,
}

impl PortInfo {
    /// The port's id.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }
}

/// What all ports of a switch use without asking its directory.
#[derive(Debug)]
pub struct SwitchShared {
    /// Grows with every change of who holds what, so that a connection may keep what it looked up.
    epoch: AtomicU64,
    info: HostInfo,
    list_hidden: bool,
    metrics: Metrics,
    pool: Arc<Pool>,
    /// For partial stanzas.
    partial: Arc<Pool>,
}

impl SwitchConfig {
    /// What a [`Switch`] keeps: what all ports use directly, and the directory.
    #[must_use]
    pub fn into_parts<P>(self) -> (SwitchShared, Directory<P>) {
        let shared = SwitchShared {
            epoch: AtomicU64::new(1),
            info: self.info,
            list_hidden: self.list_hidden,
            metrics: Metrics::default(),
            pool: Arc::new(Pool::new(self.max_queued)),
            partial: Arc::new(Pool::new(self.max_queued)),
        };
        (shared, Directory::new(self.hosts))
    }
}

impl SwitchShared {
    /// Stands still while the directory is looked at.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Called while the directory is written, and before a queue is closed over it: a sender that finds the queue
    /// closed then sees why.
    fn bump(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn info(&self) -> &HostInfo {
        &self.info
    }
}

/// What a host's answers take from the switch.
pub(crate) struct HostView<'a, S> {
    pub(crate) switch: &'a S,
    pub(crate) now: Now,
}

impl<S: Switch> HostDirectory for HostView<'_, S> {
    fn items(&self, host: &str) -> Vec<Domain> {
        let Ok(host) = Domain::parse(host) else { return Vec::new() };
        let with_hidden = self.switch.shared().list_hidden;
        let mut items = self.switch.read(|directory| directory.router.items_as_they_came(&host, with_hidden));
        items.sort_unstable();
        items
    }

    fn utc(&self) -> String {
        self.now.utc()
    }
}
