//! What the ports of one server share, and how to reach it.

use alloc::string::String;
use alloc::vec::Vec;

use super::directory::Directory;
use super::feed::{SwitchEvent, Watcher};
use super::metrics::{Metric, Metrics};
use super::shared::{PortInfo, PortRole, SwitchShared};
use super::status::{PortKind, PortStatus};
use crate::close::ReleaseReason;
use crate::config::DomainConfig;
use crate::error::StreamErrorCause;
use crate::jid::Domain;
use crate::queue::{Intake, Queue};
use crate::router::{BindError, BindOutcome, BindingChange, Claim, DomainPattern, HostTaken, PortId};
use crate::time::{Instant, Now};

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

    /// Changes the directory. `change` calls no method of the switch but [`shared`](Self::shared),
    /// [`queue`](Self::queue), [`add_port`](Self::add_port) and [`remove_port`](Self::remove_port).
    fn write<R>(&self, change: impl FnOnce(&mut Directory<Self::Port>) -> R) -> R;

    /// Makes the place of a new port.
    fn add_port(&self, info: PortInfo, queue: Queue) -> Self::Port;

    /// Forgets the place of a port that is over. Others may still refer to it; its queue is closed.
    fn remove_port(&self, port: &Self::Port);

    /// Uses a port's queue. `use_it` calls no method of the switch: no two queues are held at once.
    fn queue<R>(&self, port: &Self::Port, use_it: impl FnOnce(&mut Queue) -> R) -> R;

    /// Notes that a port has something to do. Called while neither the directory nor a queue is held.
    fn wake(&self, port: &Self::Port);

    /// Notes that [`poll_timeout`](Self::poll_timeout) may have an earlier time now. Called while neither the directory nor a
    /// queue is held. A switch whose driver asks for that time after every other call has nothing to do.
    fn deadline_changed(&self) {}

    /// Binds a port to what it claims, and unbinds the ports that it replaces, in one step. Called again for a bind
    /// that is pending, whenever the port is woken.
    fn bind(&self, port: &Self::Port, claim: &Claim, now: Now) -> Bind {
        let PortInfo { id, listener, .. } = port.as_ref();
        let bound = self.write(|directory| {
            let policy = directory.policy_for(claim, &listener.policy);
            let bound = directory.router.bind(*id, claim.clone(), policy, now.monotonic)?;
            self.shared().bump();
            let replaced = bound.replaced.iter().filter_map(|id| directory.ports.get(id));
            let replaced: Vec<_> = replaced.cloned().collect();
            for old in &replaced {
                self.queue(old, |queue| {
                    queue.set_intake(Intake::Closed);
                    queue.order_end(StreamErrorCause::Replaced);
                });
            }
            directory.complete(self, &replaced, &ReleaseReason::Replaced);
            self.queue(port, |queue| queue.set_intake(Intake::Open));
            Ok((bound, replaced))
        });
        match bound {
            Ok((bound, replaced)) => {
                replaced.iter().for_each(|old| self.wake(old));
                self.metrics().add(Metric::Bound, 1);
                Bind::Bound(bound)
            }
            Err(conflict) => Bind::Rejected(conflict),
        }
    }

    /// Sets the names that are known while nobody is connected for them: those of all listeners'
    /// [`domains`](crate::router::BindPolicy::domains). A listener that lists none does not get them.
    fn set_known(&self, known: impl IntoIterator<Item = DomainPattern>) {
        self.change(|directory| directory.router.set_known(known));
    }

    /// Whether `domain` is configured by itself, and not only by a wildcard: it is known while nobody is connected for it.
    fn is_configured(&self, domain: &Domain) -> bool {
        self.read(|directory| directory.domains.is_known(domain.as_str()))
    }

    /// Adds a host: components bound with a prefix get their name under it at once. The changes are for the log.
    ///
    /// # Errors
    /// A component holds the host's own name; nothing has changed then.
    fn add_host(&self, host: Domain) -> Result<Vec<BindingChange>, HostTaken> {
        self.change(|directory| directory.router.add_host(host))
    }

    /// Removes a host: components bound with a prefix lose their name under it and live on.
    fn remove_host(&self, host: &Domain) -> Vec<BindingChange> {
        self.write(|directory| {
            let changes = directory.router.remove_host(host);
            directory.complete(self, &[], &ReleaseReason::HostRemoved);
            changes
        })
    }

    /// Ends holding: what is held for components goes back to its senders, and nothing is held from now on. Then call
    /// [`handle_timeout`](Self::handle_timeout) as long as [`poll_timeout`](Self::poll_timeout) has nothing to wait for, and
    /// [`shut_down`](Self::shut_down) after it, so that the answers are written.
    fn end_holding(&self) {
        self.write(|directory| directory.end_holding(self));
        self.deadline_changed();
    }

    /// Ends every connection with `system-shutdown`, and each that comes later. What waits in their queues is written
    /// first, within the time that the limits give.
    fn shut_down(&self) {
        let ports: Vec<_> = self.write(|directory| {
            directory.shutting_down = true;
            directory.end_holding(self);
            directory.ports.values().cloned().collect()
        });
        for port in &ports {
            self.queue(port, |queue| queue.order_end(StreamErrorCause::Shutdown));
            self.wake(port);
        }
    }

    /// Sets [`SwitchConfig::max_queued`](super::SwitchConfig::max_queued) of a switch that runs.
    fn set_max_queued(&self, bytes: usize) {
        self.shared().set_max_queued(bytes);
    }

    /// Sets what is configured for domains ([`SwitchConfig::domains`](super::SwitchConfig::domains)) of a switch that runs.
    fn set_domains(&self, domains: impl IntoIterator<Item = (DomainPattern, DomainConfig)>) {
        self.change(|directory| directory.domains.configure(domains));
    }

    /// How many of those bytes are taken, in steps of 64 KiB for each queue.
    fn queued(&self) -> usize {
        self.shared().queued()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if at all. Any call for the switch, or for one of its ports,
    /// may change it.
    fn poll_timeout(&self) -> Option<Instant> {
        self.read(|directory| {
            let at_once = directory.domains.has_unsettled().then_some(Instant::ORIGIN);
            let later = || {
                let names = directory.router.poll_timeout();
                [directory.sweep.poll_timeout(self.shared()), names].into_iter().flatten().min()
            };
            at_once.or_else(later)
        })
    }

    /// Does a share of what is due without a connection: tells those who asked something that there will be no answer.
    /// Call it until [`poll_timeout`](Self::poll_timeout) returns a later time, and let others have their turn in between.
    fn handle_timeout(&self, now: Now) {
        Directory::do_share(self, now);
    }

    /// The names that a claim would bind now: of a prefix, one under each host.
    fn names_of(&self, claim: &Claim) -> Vec<Domain> {
        self.read(|directory| directory.router.names_of(claim))
    }

    /// All ports, in the order in which they came.
    fn ports(&self) -> Vec<PortStatus> {
        let ports: Vec<_> = self.read(|directory| directory.ports.values().cloned().collect());
        let status = |port: &Self::Port| {
            let PortInfo { id, role, .. } = port.as_ref();
            let (id, kind) = (
                *id,
                match role {
                    PortRole::Local => PortKind::Local,
                    PortRole::Uplink(_) => PortKind::Uplink,
                    PortRole::Connection | PortRole::Place => PortKind::Connection,
                },
            );
            let queue = self.queue(port, |queue| queue.status());
            let (claims, names) = self.read(|directory| {
                let held = directory.router.port_names(id);
                held.map(|(claims, names)| (claims.to_vec(), names.cloned().collect())).unwrap_or_default()
            });
            PortStatus { id, kind, claims, names, queue }
        };
        ports.iter().map(status).collect()
    }

    /// Ends the port that holds `name`: its connection with `policy-violation` and `why` as the text, a local port by
    /// [`PortState::Ended`](crate::port::PortState::Ended). What waits for a connection bounces; a local port visits it first.
    /// It may come back. Returns the port.
    fn kick(&self, name: &Domain, why: impl Into<String>) -> Option<PortId> {
        let port = self.read(|directory| {
            let id = directory.router.owner(name.as_str())?;
            directory.ports.get(&id).cloned()
        })?;
        self.queue(&port, |queue| queue.order_end(StreamErrorCause::Kicked(why.into())));
        self.wake(&port);
        Some(port.as_ref().id)
    }

    /// Begins to keep changes of who holds what, for [`next_event`](Self::next_event).
    fn watch(&self) -> Watcher {
        self.write(Directory::watch)
    }

    /// The next change that a watcher has not seen. At most 1,024 are kept for the slowest.
    fn next_event(&self, watcher: &mut Watcher) -> Option<SwitchEvent> {
        self.read(|directory| directory.next_event(watcher))
    }

    /// Ends what [`watch`](Self::watch) began.
    fn unwatch(&self, watcher: Watcher) {
        let Watcher { .. } = watcher;
        self.write(Directory::unwatch);
    }

    /// How many connections there are, authenticated or not. Local ports are not counted.
    fn connections(&self) -> usize {
        self.read(|directory| directory.ports.len() - directory.router.local_ports())
    }

    /// How many components are bound.
    fn bound(&self) -> usize {
        self.read(|directory| directory.router.bound())
    }

    /// The connection that has these names, or one of them, if any does.
    fn holder(&self, claim: &Claim) -> Option<PortId> {
        self.read(|directory| {
            directory.router.names_of(claim).iter().find_map(|name| directory.router.owner(name.as_str()))
        })
    }

    /// The numbers to graph.
    fn metrics(&self) -> &Metrics {
        self.shared().metrics()
    }

    /// Changes who holds what.
    #[doc(hidden)]
    fn change<R>(&self, change: impl FnOnce(&mut Directory<Self::Port>) -> R) -> R {
        self.write(|directory| {
            let result = change(directory);
            directory.complete(self, &[], &ReleaseReason::Released);
            result
        })
    }

    /// Wakes ports by their ids; those that are gone by now need nothing.
    #[doc(hidden)]
    fn wake_all(&self, ids: Vec<PortId>) {
        for id in ids {
            if let Some(port) = self.read(|directory| directory.ports.get(&id).cloned()) {
                self.wake(&port);
            }
        }
    }
}

/// What a switch says to a port that claims names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// It holds them.
    Bound(BindOutcome),
    /// It does not get them (stream error `conflict`).
    Rejected(BindError),
    /// It is not decided yet: ask again when the port is woken, and at that time at the latest. The time for the
    /// handshake runs on.
    Pending {
        /// When to ask again.
        until: Instant,
    },
}
