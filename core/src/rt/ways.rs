//! Which ways a connection's stanzas went lately, so that one that goes the same way again asks nobody, and one that
//! goes another way asks for that way alone.

use std::sync::Arc;

use super::switch::Port;

/// How many ways a connection remembers. They are looked through one by one, and a name may take 1,023 bytes, so a few.
pub(super) const MOST: usize = 8;

/// Where stanzas from one domain to another go, as the switch said.
#[derive(Default)]
pub(super) enum Goal {
    /// To a connection that takes stanzas from everyone.
    Open(Arc<Port>),
    /// To one whose access rule judges every sender, of whom it may ask whether the domain is a host of ours.
    Ruled { port: Arc<Port>, from_host: bool },
    /// To a host of ours, which answers.
    Host,
    /// Nowhere: the sender does not speak for the domain.
    ForeignFrom,
    /// Nowhere: the component is not there.
    Away,
    /// Nowhere: no component has the name.
    #[default]
    Unknown,
}

/// What the switch says of the domain that a stanza is from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// It is bound to the connection that sent it.
    Bound,
    /// It is a host of ours.
    Host,
    /// It is another's, or nobody's.
    Other,
}

/// The one that was asked about last: most connections have one.
#[derive(Default)]
pub(super) struct LastSpeaker {
    domain: String,
    /// `None`: nobody was asked.
    is: Option<Speaker>,
}

impl LastSpeaker {
    /// Who that is, asked again only where another domain was asked about last.
    pub(super) fn who(&mut self, domain: &str, ask: impl FnOnce() -> Speaker) -> Speaker {
        if let Some(speaker) = self.is.filter(|_| self.domain == domain) {
            return speaker;
        }
        self.domain.clear();
        self.domain.push_str(domain);
        *self.is.insert(ask())
    }
}

/// The ways of one connection. All were found in one state of the switch and are forgotten with it, so that from the next
/// stanza on none keeps a connection that has ended.
#[derive(Default)]
pub(super) struct Ways {
    /// The state of the switch that they were found in.
    epoch: u64,
    ways: [Way; MOST],
    /// Which one the last stanza went.
    last: usize,
    /// Which one is the next to be replaced: each in turn.
    next: usize,
    speaker: LastSpeaker,
}

/// One that is forgotten has empty names, which no stanza's are, and keeps their room.
#[derive(Default)]
struct Way {
    from: String,
    to: String,
    goal: Goal,
}

impl Ways {
    /// The state of the switch that they were found in.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Is a way from one domain to the other remembered? It is the last one then.
    pub(super) fn knows(&mut self, epoch: u64, from: &str, to: &str) -> bool {
        self.renew(epoch);
        // From the last one on: a stanza follows its like, or the next receiver of a round.
        let mut places = (0..MOST).map(|i| (self.last + i) % MOST);
        let known = places.find(|at| self.ways[*at].leads(from, to));
        self.last = known.unwrap_or(self.last);
        known.is_some()
    }

    /// Looks a way up, which is the last one then, and remembers it in place of the oldest.
    pub(super) fn learn(
        &mut self,
        epoch: u64,
        from: &str,
        to: &str,
        look_up: impl FnOnce(&mut LastSpeaker) -> Goal,
    ) {
        self.renew(epoch);
        self.last = self.next;
        self.next = (self.next + 1) % MOST;
        self.ways[self.last].set(from, to, look_up(&mut self.speaker));
    }

    /// Where the last one leads.
    pub(super) fn last(&self) -> &Goal {
        &self.ways[self.last].goal
    }

    /// Forgets what was found in another state of the switch.
    fn renew(&mut self, epoch: u64) {
        if epoch != self.epoch {
            self.ways.iter_mut().for_each(Way::forget);
            self.speaker.is = None;
            (self.epoch, self.next) = (epoch, 0);
        }
    }
}

impl Way {
    fn leads(&self, from: &str, to: &str) -> bool {
        // Most senders have one `from` for all: what differs comes first.
        self.to == to && self.from == from
    }

    fn set(&mut self, from: &str, to: &str, goal: Goal) {
        self.forget();
        self.from.push_str(from);
        self.to.push_str(to);
        self.goal = goal;
    }

    fn forget(&mut self) {
        self.from.clear();
        self.to.clear();
        self.goal = Goal::default();
    }
}
