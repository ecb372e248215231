//! A switch for one thread.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::cell::RefCell;
use core::fmt;

use super::directory::Directory;
use super::ports::Switch;
use super::shared::{PortInfo, SwitchShared};
use crate::config::SwitchConfig;
use crate::queue::Queue;
use crate::router::PortId;

/// A switch that one thread owns: for a loop of your own, a simulation, a test, or a build without `std`.
///
/// A connection may leave something for others whenever it is used. [`poll_wake`](Self::poll_wake) then says which: take
/// turns with each ([`process`](crate::connection::Connection::process),
/// [`poll_output`](crate::connection::Connection::poll_output)).
pub struct LocalSwitch {
    shared: SwitchShared,
    directory: RefCell<Directory<Arc<PortInfo>>>,
    queues: RefCell<BTreeMap<PortId, Entry>>,
    woken: RefCell<VecDeque<PortId>>,
    /// How often the directory was looked at.
    #[cfg(test)]
    pub(crate) reads: core::cell::Cell<usize>,
}

struct Entry {
    queue: Queue,
    /// It is among the woken.
    woken: bool,
}

impl LocalSwitch {
    /// A switch without a connection.
    #[must_use]
    pub fn new(config: SwitchConfig) -> Self {
        let (shared, directory) = config.into_parts();
        Self {
            shared,
            directory: RefCell::new(directory),
            queues: RefCell::default(),
            woken: RefCell::default(),
            #[cfg(test)]
            reads: core::cell::Cell::new(0),
        }
    }

    /// The next connection that others have left something for: stanzas, room, or an order to end. `None`: none. Take
    /// them all in each turn of the loop.
    pub fn poll_wake(&self) -> Option<PortId> {
        let id = self.woken.borrow_mut().pop_front()?;
        if let Some(entry) = self.queues.borrow_mut().get_mut(&id) {
            entry.woken = false;
        }
        Some(id)
    }
}

impl Switch for LocalSwitch {
    type Port = Arc<PortInfo>;

    fn shared(&self) -> &SwitchShared {
        &self.shared
    }

    fn read<R>(&self, look: impl FnOnce(&Directory<Arc<PortInfo>>) -> R) -> R {
        #[cfg(test)]
        self.reads.set(self.reads.get() + 1);
        look(&self.directory.borrow())
    }

    fn write<R>(&self, change: impl FnOnce(&mut Directory<Arc<PortInfo>>) -> R) -> R {
        change(&mut self.directory.borrow_mut())
    }

    fn add_port(&self, info: PortInfo, queue: Queue) -> Arc<PortInfo> {
        self.queues.borrow_mut().insert(info.id, Entry { queue, woken: false });
        Arc::new(info)
    }

    fn remove_port(&self, port: &Arc<PortInfo>) {
        self.queues.borrow_mut().remove(&port.id);
        self.woken.borrow_mut().retain(|id| *id != port.id);
    }

    fn queue<R>(&self, port: &Arc<PortInfo>, use_it: impl FnOnce(&mut Queue) -> R) -> R {
        match self.queues.borrow_mut().get_mut(&port.id) {
            Some(entry) => use_it(&mut entry.queue),
            // It is over, and another port still refers to it.
            None => use_it(&mut self.shared.closed_queue()),
        }
    }

    fn wake(&self, port: &Arc<PortInfo>) {
        if let Some(entry) = self.queues.borrow_mut().get_mut(&port.id)
            && !core::mem::replace(&mut entry.woken, true)
        {
            self.woken.borrow_mut().push_back(port.id);
        }
    }
}

impl fmt::Debug for LocalSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSwitch").field("directory", &self.directory.borrow()).finish_non_exhaustive()
    }
}
