//! The drive loop with its switch, as every adapter runs it.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use enjamb_core::host::HostInfo;
use enjamb_core::router::{BindPolicy, DomainPattern};
use enjamb_core::switch::{ListenerConfig, Metric, Switch, SwitchConfig};
use enjamb_core::{Secret, StreamId};
use enjamb_runtime::{ServerConnection, SharedSwitch};
use enjamb_server::access::{Clause, Condition, JidField, Matcher, Pattern, Rule, Scope, Verdict};
use enjamb_tests::local_server::domain;

use crate::counting::allocations;
use crate::paths::{BOUNDED, Goes, PATHS, closed, handshake, header};
use crate::wire::{Clock, Far, Near};

/// Stanzas of one batch.
const BATCH: usize = 40;
/// Batches that are counted.
const ROUNDS: usize = 5;

struct World {
    switch: Arc<SharedSwitch>,
    clock: Clock,
    connections: Vec<ServerConnection<Near, Clock>>,
    /// Set where a connection is to be polled again.
    woken: Arc<Woken>,
    waker: Waker,
    /// The sender's end first, then those of the others.
    ends: Vec<Rc<Far>>,
}

fn listener(policy: BindPolicy) -> ListenerConfig {
    let mut listener = ListenerConfig::new(Secret::new("s"));
    listener.policy = Arc::new(policy);
    listener
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl World {
    /// `comp.example` is connected, and all that it writes to.
    fn new() -> Self {
        let mut world = Self::empty();
        for name in ["comp.example", "peer.example", "bücher.example"] {
            world.connect(&header(name), listener(BindPolicy::default()));
        }
        world.connect(&header("closed.example"), listener(closed()));
        world.switch.set_known(vec![DomainPattern::parse("down.example").unwrap()]);
        world
    }

    fn empty() -> Self {
        let mut config = SwitchConfig::new([domain("host.example")]);
        config.info = HostInfo::new("Enjamb", "1");
        let switch = SharedSwitch::new(config);
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        let (switch, clock) = (Arc::new(switch), Clock::default());
        Self { switch, clock, connections: Vec::new(), woken, waker, ends: Vec::new() }
    }

    fn connect(&mut self, header: &str, listener: ListenerConfig) {
        let far = Far::new();
        let (switch, id) = (Arc::clone(&self.switch), StreamId::from_text("1").unwrap());
        let near = Near(Rc::clone(&far));
        self.connections.push(ServerConnection::new(
            switch,
            Arc::new(listener),
            id,
            near,
            self.clock.clone(),
        ));
        far.send([header, &handshake("1")].concat().as_bytes());
        self.ends.push(far);
        let bound = self.switch.bound();
        self.drive();
        assert_eq!(self.switch.bound(), bound + 1);
        self.forget();
    }

    /// Drives all connections until there is nothing left to do.
    fn drive(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        self.woken.0.store(true, Ordering::Relaxed);
        while self.woken.0.swap(false, Ordering::Relaxed) {
            for connection in &mut self.connections {
                while let Poll::Ready(Some(_)) = connection.poll_event(&mut cx) {}
            }
        }
    }

    fn forget(&self) {
        for end in &self.ends {
            end.got.borrow_mut().clear();
        }
    }

    /// The allocations of some batches, once others have gone the same way.
    fn count(&mut self, batch: &[u8]) -> usize {
        self.count_with(batch, Self::drive)
    }

    fn count_with(&mut self, batch: &[u8], mut drive: impl FnMut(&mut Self)) -> usize {
        let mut rounds = || {
            for _ in 0..ROUNDS {
                self.forget();
                self.ends[0].send(batch);
                drive(self);
                assert!(self.ends[0].has_sent_all());
            }
        };
        rounds();
        allocations(rounds)
    }

    fn assert_goes(&self, stanza: &str, goes: Goes, times: usize) {
        let sum = |ends: &[Rc<Far>], what: &str| -> usize {
            ends.iter().map(|end| String::from_utf8_lossy(&end.got.borrow()).matches(what).count()).sum()
        };
        let (back, there) = self.ends.split_at(1);
        let (stanzas, wanted) = match goes {
            Goes::There(what) => (sum(there, what), times),
            Goes::Back(what) => (sum(back, what), times),
            Goes::Nowhere => (sum(&self.ends, "<"), 0),
        };
        assert_eq!(stanzas, wanted, "{stanza} has to go {goes:?}");
    }

    fn counted(&self, count: Metric) -> u64 {
        self.switch.metrics().get(count)
    }
}

#[test]
fn through_the_loop_a_stanza_allocates_only_what_is_written_anew() {
    let mut world = World::new();
    for &(stanza, goes, most) in PATHS {
        let count = world.count(stanza.repeat(BATCH).as_bytes());
        world.assert_goes(stanza, goes, BATCH);
        assert!(count <= most * BATCH * ROUNDS, "{stanza}: {count}");
    }
    assert_eq!(world.switch.bound(), 4, "nobody was closed over it");
}

#[test]
fn reads_that_end_inside_a_stanza_allocate_no_more() {
    for cut in [1, 50, 1000] {
        let mut world = World::new();
        world.ends[0].cut.set(cut);
        let drive = |world: &mut World| {
            while !world.ends[0].has_sent_all() {
                world.drive();
            }
        };
        for &(stanza, goes, most) in PATHS {
            let count = world.count_with(stanza.repeat(BATCH).as_bytes(), drive);
            world.assert_goes(stanza, goes, BATCH);
            assert!(count <= most * BATCH * ROUNDS, "{stanza}, {cut} bytes a read: {count}");
        }
    }
}

#[test]
fn all_paths_by_turns_allocate_no_more() {
    let mut world = World::new();
    let batch: String = PATHS.iter().map(|(stanza, ..)| *stanza).collect();
    let most: usize = PATHS.iter().map(|(.., most)| most).sum();
    let count = world.count(batch.as_bytes());
    assert!(count <= most * ROUNDS, "{count}");
}

#[test]
fn more_receivers_by_turns_than_a_connection_remembers_allocate_nothing() {
    let mut world = World::empty();
    world.connect(&header("comp.example"), listener(BindPolicy::default()));
    let names: Vec<_> = (1..=20).map(|length| format!("{}.example", "b".repeat(length))).collect();
    for (i, name) in names.iter().enumerate() {
        let terms = if i % 2 == 0 { BindPolicy::default() } else { closed() };
        world.connect(&header(name), listener(terms));
    }
    let stanza = |name: &String| format!("<message from='comp.example' to='{name}'/>");
    let batch: String = names.iter().map(stanza).collect();
    assert_eq!(world.count(batch.as_bytes()), 0);
    world.assert_goes("to each", Goes::There("<message "), names.len());
}

#[test]
fn both_ways_at_once_nothing_is_allocated() {
    let mut world = World::new();
    let there = "<message from='comp.example' to='peer.example'><body>x</body></message>".repeat(BATCH);
    let back = "<message from='peer.example' to='comp.example'><body>x</body></message>".repeat(BATCH);
    let mut rounds = || {
        for _ in 0..ROUNDS {
            world.forget();
            world.ends[0].send(there.as_bytes());
            world.ends[1].send(back.as_bytes());
            world.drive();
        }
    };
    rounds();
    assert_eq!(allocations(rounds), 0);
    assert_eq!(*world.ends[1].got.borrow(), there.as_bytes());
    assert_eq!(*world.ends[0].got.borrow(), back.as_bytes());
}

#[test]
fn a_host_allocates_a_few_for_its_facts() {
    let mut world = World::new();
    for &(stanza, says) in BOUNDED {
        let count = world.count(stanza.repeat(BATCH).as_bytes());
        world.assert_goes(stanza, Goes::Back(says), BATCH);
        // The text of the time; of the items the list, the name that is asked, and what ordering it takes.
        let each = if says == "<utc>" { 1 } else { 3 };
        assert!(count <= each * BATCH * ROUNDS, "{stanza}: {count}");
    }
}

#[test]
fn what_is_long_or_odd_costs_a_few() {
    let mut world = World::new();
    let condition = Condition { field: JidField::Server, matcher: Matcher::Equals("bücher.example".into()) };
    let acl = vec![Pattern { scope: Scope::All, conditions: vec![condition] }];
    let deny = Clause { acl, verdict: Verdict::Deny };
    let allow =
        Clause { acl: vec![Pattern { scope: Scope::All, conditions: Vec::new() }], verdict: Verdict::Allow };
    let access = Rule { clauses: vec![deny, allow] }.into();
    world.connect(&header("ruled.example"), listener(BindPolicy { access, ..BindPolicy::default() }));
    let (labels, long) = ("xn--bcher-kva.".repeat(9), "a".repeat(5000));
    for (stanza, goes, most) in [
        (format!("<message to='{labels}example'/>"), Goes::Back("no component serves"), 16),
        (format!("<message to='&amp;{long}'/>"), Goes::Back("the 'to' is no address"), 5),
        (
            format!("<message to='peer.example'><q:x xmlns:q='urn:&amp;{}'/></message>", &long[..200]),
            Goes::There("from='comp.example'"),
            1,
        ),
        ("<message to='ruled.example'/>".into(), Goes::There("from='comp.example'"), 6),
    ] {
        let count = world.count(stanza.repeat(BATCH).as_bytes());
        world.assert_goes(&stanza, goes, BATCH);
        assert!(count <= most * BATCH * ROUNDS, "{stanza}: {count}");
    }
}

#[test]
fn a_prefix_that_does_not_speak_for_a_name_costs_the_words_of_its_error() {
    let mut world = World::empty();
    let prefix = header("comp").replace("to=", "is_subdomain='true' to=");
    world.connect(&prefix, listener(BindPolicy::default()));
    world.connect(&header("peer.example"), listener(BindPolicy::default()));
    for (stanza, goes, each) in [
        ("<message from='comp.host.example' to='peer.example'/>", Goes::There("from='comp.host.example'"), 0),
        ("<message from='comp.other.example' to='peer.example'/>", Goes::Back("to='comp.host.example'"), 1),
        ("<message to='peer.example'/>", Goes::Back("must have a 'from'"), 1),
    ] {
        let count = world.count(stanza.repeat(BATCH).as_bytes());
        world.assert_goes(stanza, goes, BATCH);
        assert_eq!(count, each * BATCH * ROUNDS, "{stanza}");
    }
}

/// A world with a receiver that takes little, and is stuck.
fn stuck(mark: usize) -> World {
    let mut world = World::new();
    let mut narrow = listener(BindPolicy::default());
    narrow.queue_mark = mark;
    world.connect(&header("narrow.example"), narrow);
    world.ends[4].is_stuck.set(true);
    world
}

const TO_NARROW: &str = "<message from='comp.example' to='narrow.example'><body>x</body></message>";

#[test]
fn a_sender_that_waits_for_room_costs_one_each_time_it_waits() {
    let mut world = stuck(1024);
    let waits = |world: &mut World| {
        world.drive();
        world.ends[4].is_stuck.set(false);
        world.drive();
        world.drive();
        world.ends[4].is_stuck.set(true);
    };
    // Its entry in the list of those that wait; each time at least half the mark goes out before the next.
    let count = world.count_with(TO_NARROW.repeat(BATCH).as_bytes(), waits);
    world.assert_goes(TO_NARROW, Goes::There("to='narrow.example'"), BATCH);
    let waits = TO_NARROW.len() * BATCH * ROUNDS / 512;
    assert!((1..=waits).contains(&count), "{count} of {waits}");
}

#[test]
fn a_receiver_that_was_given_up_on_costs_nothing() {
    let mut world = stuck(1024);
    world.ends[0].send(TO_NARROW.repeat(BATCH).as_bytes());
    world.drive();
    world.clock.0.set(world.clock.0.get() + Duration::from_secs(6));
    world.drive();
    let count = world.count(TO_NARROW.repeat(BATCH).as_bytes());
    world.assert_goes(TO_NARROW, Goes::Back("its queue is full"), BATCH);
    assert_eq!(count, 0);
}

#[test]
fn a_pool_that_is_used_up_costs_nothing() {
    let mut world = stuck(1024 * 1024);
    world.switch.set_max_queued(0);
    let count = world.count(TO_NARROW.repeat(1000).as_bytes());
    world.assert_goes(TO_NARROW, Goes::Back("limit on waiting stanzas is reached"), 1000);
    assert_eq!(count, 0);
}

#[test]
fn a_stanza_that_its_receiver_takes_for_too_long_costs_the_words_of_its_error() {
    let mut world = World::new();
    let mut short = listener(BindPolicy::default());
    Arc::make_mut(&mut short.limits).stanza = 64;
    world.connect(&header("narrow.example"), short);
    let count = world.count(TO_NARROW.repeat(BATCH).as_bytes());
    world.assert_goes(TO_NARROW, Goes::Back("takes stanzas up to 64 bytes"), BATCH);
    assert_eq!(count, BATCH * ROUNDS);
}

/// Allocations of an end that finds this many stanzas unsent.
fn end_with_unsent(stanzas: usize) -> usize {
    let mut world = World::new();
    let mut few = listener(BindPolicy::default());
    few.max_queue = NonZeroUsize::new(stanzas);
    world.connect(&header("narrow.example"), few);
    // Its own outbox has room for as many errors.
    let error = "<message from='comp.example' to='unknown.example' id='a'/>".repeat(2 * stanzas);
    world.count(error.as_bytes());
    let warm = "<message from='peer.example' to='comp.example'><body>x</body></message>".repeat(8 * stanzas);
    for _ in 0..2 {
        world.ends[1].send(warm.as_bytes());
        world.drive();
    }
    world.ends[4].is_stuck.set(true);
    world.ends[0].send(TO_NARROW.repeat(stanzas).as_bytes());
    world.drive();
    let before = world.counted(Metric::UnsentBounced);
    world.ends[0].send(TO_NARROW.as_bytes());
    let count = allocations(|| world.drive());
    assert_eq!(world.counted(Metric::UnsentBounced) - before, stanzas as u64);
    count
}

#[test]
fn what_was_never_sent_comes_back_for_the_text_of_its_addresses() {
    let (few, many) = (end_with_unsent(20), end_with_unsent(200));
    // Beside three for each, the queue that takes ten times as many errors may double a few times.
    let most = few + 3 * 180 + 8;
    assert!(many <= most, "{few} for 20, {many} for 200");
}
