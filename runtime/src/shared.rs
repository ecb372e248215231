//! A switch for all threads: the state of the core's switch behind locks. It decides nothing.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use enjamb_core::switch::{Directory, PortInfo, Queue, Switch, SwitchConfig, SwitchShared};

use crate::sync::{AtomicUsize, Mutex, Ordering, RwLock};
use crate::waiters::Waiters;

/// What the connections of one server share. Keep it in an [`Arc`]; every method may be called from any thread.
///
/// The order of locks is directory, then queue; never two queues at once, and none over a wake-up.
pub struct SharedSwitch {
    shared: SwitchShared,
    directory: RwLock<Directory<SharedPort>>,
    /// Ports that are there, until their last bytes are written.
    places: AtomicUsize,
    /// Tasks that wait for a change.
    pub(crate) watchers: Arc<Waiters>,
}

/// A port of a [`SharedSwitch`].
#[derive(Clone)]
pub struct SharedPort(Arc<Place>);

struct Place {
    info: PortInfo,
    queue: Mutex<Queue>,
    /// Of the task that drives the port's connection.
    waker: Mutex<Option<Waker>>,
}

impl SharedSwitch {
    /// A switch without a connection.
    #[must_use]
    pub fn new(config: SwitchConfig) -> Self {
        let (shared, directory) = config.into_parts();
        Self {
            shared,
            directory: RwLock::new(directory),
            places: AtomicUsize::new(0),
            watchers: Arc::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.load(Ordering::Acquire) == 0
    }
}

/// A port that a task can wait for: what a [`ServerConnection`](crate::ServerConnection) needs of a switch. A switch of
/// your own around a [`SharedSwitch`], such as one that asks elsewhere before it binds, has [`SharedPort`]s, too.
pub trait WakePort {
    /// Has this task woken from now on. Called before the task looks at the port.
    fn register(&self, waker: &Waker);
}

impl WakePort for SharedPort {
    fn register(&self, waker: &Waker) {
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }
}

// A panic elsewhere can't leave a queue or the directory between two states that matter: poison is ignored.
impl Switch for SharedSwitch {
    type Port = SharedPort;

    fn shared(&self) -> &SwitchShared {
        &self.shared
    }

    fn read<R>(&self, look: impl FnOnce(&Directory<SharedPort>) -> R) -> R {
        look(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(&self, change: impl FnOnce(&mut Directory<SharedPort>) -> R) -> R {
        let result = change(&mut self.directory.write().unwrap_or_else(PoisonError::into_inner));
        self.watchers.wake_all();
        result
    }

    fn add_port(&self, info: PortInfo, queue: Queue) -> SharedPort {
        self.places.fetch_add(usize::from(!info.is_place()), Ordering::Relaxed);
        SharedPort(Arc::new(Place { info, queue: Mutex::new(queue), waker: Mutex::new(None) }))
    }

    fn remove_port(&self, port: &SharedPort) {
        *port.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if !port.0.info.is_place() && self.places.fetch_sub(1, Ordering::Release) == 1 {
            self.watchers.wake_all();
        }
    }

    fn queue<R>(&self, port: &SharedPort, use_it: impl FnOnce(&mut Queue) -> R) -> R {
        use_it(&mut port.0.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn deadline_changed(&self) {
        self.watchers.wake_all();
    }

    fn wake(&self, port: &SharedPort) {
        let waker = port.0.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl AsRef<PortInfo> for SharedPort {
    fn as_ref(&self) -> &PortInfo {
        &self.0.info
    }
}

impl fmt::Debug for SharedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedPort").field(&self.0.info.id()).finish()
    }
}

impl fmt::Debug for SharedSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|directory| {
            f.debug_struct("SharedSwitch").field("directory", directory).finish_non_exhaustive()
        })
    }
}
