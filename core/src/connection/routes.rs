//! Per-connection route cache: the way of the last few stanzas, so that one like them takes no look-up.

use alloc::string::String;

use crate::switch::{LastSender, Route};

/// How many routes a connection remembers. They are compared one by one, and a name may take 1,023 bytes, so few.
pub(super) const CAPACITY: usize = 8;

/// The routes of one connection. All were found in one epoch of the switch and are forgotten with it, so that from the
/// next stanza on none keeps a port that has ended.
pub(super) struct RouteCache<P> {
    /// The epoch in which they were found.
    epoch: u64,
    routes: [CachedRoute<P>; CAPACITY],
    /// The one that the last stanza took.
    last: usize,
    /// The next one to be replaced: each in turn.
    next: usize,
    sender: LastSender,
}

/// A forgotten route has empty names, which no stanza's are, and keeps their memory.
struct CachedRoute<P> {
    from: String,
    to: String,
    route: Route<P>,
}

impl<P> Default for RouteCache<P> {
    fn default() -> Self {
        let empty = || CachedRoute { from: String::new(), to: String::new(), route: Route::Unknown };
        let routes = core::array::from_fn(|_| empty());
        Self { epoch: 0, routes, last: 0, next: 0, sender: LastSender::default() }
    }
}

impl<P> RouteCache<P> {
    /// The epoch in which the routes were found.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Says whether a route from one domain to the other is remembered. It is the last one then.
    pub(super) fn knows(&mut self, epoch: u64, from: &str, to: &str) -> bool {
        self.renew(epoch);
        // From the last one on: a stanza follows its like, or the next receiver of a round.
        let mut places = (0..CAPACITY).map(|i| (self.last + i) % CAPACITY);
        let known = places.find(|at| self.routes[*at].is_for(from, to));
        self.last = known.unwrap_or(self.last);
        known.is_some()
    }

    /// Looks up a route, which is the last one then, and remembers it in place of the oldest.
    pub(super) fn learn(
        &mut self,
        epoch: u64,
        from: &str,
        to: &str,
        look_up: impl FnOnce(&mut LastSender) -> Route<P>,
    ) {
        self.renew(epoch);
        self.last = self.next;
        self.next = (self.next + 1) % CAPACITY;
        self.routes[self.last].set(from, to, look_up(&mut self.sender));
    }

    /// The last route.
    pub(super) fn last(&self) -> &Route<P> {
        &self.routes[self.last].route
    }

    /// Forgets what was found in another epoch.
    fn renew(&mut self, epoch: u64) {
        if epoch != self.epoch {
            self.routes.iter_mut().for_each(CachedRoute::forget);
            self.sender.forget();
            (self.epoch, self.next) = (epoch, 0);
        }
    }
}

impl<P> CachedRoute<P> {
    fn is_for(&self, from: &str, to: &str) -> bool {
        // Most senders have one `from` for all: what differs comes first.
        self.to == to && self.from == from
    }

    fn set(&mut self, from: &str, to: &str, route: Route<P>) {
        self.forget();
        self.from.push_str(from);
        self.to.push_str(to);
        self.route = route;
    }

    fn forget(&mut self) {
        self.from.clear();
        self.to.clear();
        self.route = Route::Unknown;
    }
}
