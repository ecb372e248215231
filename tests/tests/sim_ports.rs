//! Local ports among components, all of which come and die: each stanza is taken once, by a port that may have it, in order
//! for each pair; or it is answered once, or counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::port::PortConfig;
use enjamb_core::router::{BindPolicy, Claim, ConflictBehaviour, DefaultRoute};
use enjamb_core::switch::{Metric, Switch};
use enjamb_tests::local_server::domain;
use enjamb_tests::sim::{Element, Link, Port, Random, Stream, Wire, World};

/// How many worlds; the environment variable ENJAMB_SEEDS asks for another number.
const SEEDS: u64 = 150;

const COMPONENTS: [&str; 2] = ["c0.example", "c1.example"];

/// What ports hold by turns.
const HELD: [What; 6] = [
    What::Name("l0.example"),
    What::Name("l1.example"),
    What::Name("x.w.example"),
    What::Below("w.example"),
    What::Below("deep.w.example"),
    What::Rest,
];

/// Where stanzas go. Each port has a name of its own, too.
const TARGETS: [&str; 9] = [
    "c0.example",
    "c1.example",
    "l0.example",
    "l1.example",
    "x.w.example",
    "y.w.example",
    "a.deep.w.example",
    "nowhere.example",
    "host.example",
];

/// Metrics of what has to have happened often, or nothing was tested.
const PROVED: [Metric; 4] = [Metric::Routed, Metric::Bounced, Metric::UnsentBounced, Metric::UnsentDropped];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Name(&'static str),
    /// All names below.
    Below(&'static str),
    /// It is the default route of all.
    Rest,
}

impl What {
    fn claim(self) -> Option<Claim> {
        match self {
            Self::Name(name) => Some(Claim::Domain(domain(name))),
            Self::Below(name) => Some(Claim::Below(domain(name))),
            Self::Rest => None,
        }
    }

    fn is_above(self, name: &str) -> Option<usize> {
        match self {
            Self::Below(parent) => name.strip_suffix(parent)?.ends_with('.').then_some(parent.len()),
            _ => None,
        }
    }
}

/// Who holds what, as a list, at each moment: slow, and easy to see through.
#[derive(Default)]
struct Model {
    /// Of each moment; the last is now.
    moments: Vec<Vec<(usize, What)>>,
}

impl Model {
    fn now(&self) -> usize {
        self.moments.len() - 1
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<(usize, What)>)) {
        let mut held = self.moments.last().cloned().unwrap_or_default();
        change(&mut held);
        self.moments.push(held);
    }

    fn holder(&self, what: What) -> Option<usize> {
        self.moments[self.now()].iter().find(|(_, held)| *held == what).map(|(player, _)| *player)
    }

    /// Whether a stanza of `sender` for `to` could go to `player` at that moment.
    fn may_go(&self, moment: usize, sender: usize, player: usize, to: &str) -> bool {
        let held = &self.moments[moment];
        let by = |wanted: &dyn Fn(What) -> bool| -> Vec<usize> {
            held.iter().filter(|(_, what)| wanted(*what)).map(|(player, _)| *player).collect()
        };
        let is_name = |what: What| matches!(what, What::Name(name) if name == to);
        let exact = by(&is_name);
        if !exact.is_empty() {
            return exact.contains(&player);
        }
        if let Some(longest) = held.iter().filter_map(|(_, what)| what.is_above(to)).max() {
            return by(&|what| what.is_above(to) == Some(longest)).contains(&player);
        }
        // A name that was bound stays here for a day.
        let was_bound = self.moments[..moment].iter().flatten().any(|(_, what)| is_name(*what));
        !was_bound && player != sender && by(&|what| what == What::Rest).contains(&player)
    }
}

enum Way {
    Component(Link),
    Local(Port),
}

struct Player {
    number: usize,
    way: Way,
    name: &'static str,
    is_alive: bool,
}

/// A stanza on its way: its sender, its number there, the moment it was sent, and whom it is for.
struct Sent {
    sender: usize,
    number: usize,
    moment: usize,
    to: String,
}

struct Game {
    world: World,
    random: Random,
    model: Model,
    players: Vec<Player>,
    sent: HashMap<String, Sent>,
    /// What died before the switch took it.
    unsent: HashSet<String>,
    delivered: HashMap<String, usize>,
    answered: HashMap<String, usize>,
    /// Of each pair, the number of the last stanza.
    last: HashMap<(usize, usize), usize>,
    may_lose: bool,
}

impl Game {
    fn component(&mut self, name: &'static str) {
        let link = self.world.bind(name);
        self.join(Way::Component(link), name, &[]);
    }

    fn join(&mut self, way: Way, name: &'static str, more: &[What]) {
        let number = self.players.len();
        self.players.push(Player { number, way, name, is_alive: true });
        self.model.change(|held| {
            held.push((number, What::Name(name)));
            held.extend(more.iter().map(|what| (number, *what)));
        });
    }

    /// A new local port, unless another one holds what it is to hold.
    fn attach(&mut self) {
        let wanted: Vec<What> = HELD.into_iter().filter(|_| self.random.one_in(3)).collect();
        let name: &'static str = format!("p{}.example", self.players.len()).leak();
        let claims = wanted.iter().filter_map(|what| what.claim());
        let mut config = PortConfig::new(claims.chain([Claim::Domain(domain(name))]));
        if wanted.contains(&What::Rest) {
            config.default_route = DefaultRoute::All;
        }
        config.queue_mark = 200 + self.random.below(8000);
        let visits = self.random.one_in(2);
        let is_taken = wanted.iter().any(|what| self.model.holder(*what).is_some());
        match self.world.port(config, visits) {
            Ok(port) => {
                assert!(!is_taken, "{wanted:?} are taken");
                self.join(Way::Local(port), name, &wanted);
            }
            Err(error) => assert!(is_taken, "{wanted:?} are free: {error}"),
        }
    }

    fn alive(&mut self, is_local: bool) -> Option<usize> {
        let fits = |player: &&Player| player.is_alive && matches!(player.way, Way::Local(_)) == is_local;
        let fitting: Vec<usize> = self.players.iter().filter(fits).map(|player| player.number).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())])
    }

    fn act(&mut self) {
        let is_local = self.random.one_in(2);
        let Some(chosen) = self.alive(is_local) else { return self.attach() };
        let action = self.random.below(40);
        let amount = self.random.below(3000);
        match &self.players[chosen].way {
            Way::Local(port) => match action {
                0..3 => self.attach(),
                3 => self.detach(chosen),
                4..7 => port.set_taking(false),
                7..13 => port.set_taking(true),
                13..17 => {
                    let what = HELD[self.random.below(HELD.len())];
                    let Some(claim) = what.claim() else { return };
                    let holder = self.model.holder(what);
                    if holder == Some(chosen) {
                        port.remove(&claim);
                        self.model.change(|held| held.retain(|(_, held)| *held != what));
                    } else {
                        assert_eq!(port.add(claim).is_ok(), holder.is_none(), "{what:?}");
                        self.model.change(|held| {
                            held.extend(holder.is_none().then_some((chosen, what)));
                        });
                    }
                }
                _ => self.send(chosen),
            },
            Way::Component(link) => match action {
                0 if self.may_lose => {
                    let name = self.players[chosen].name;
                    match amount % 3 {
                        0 => link.peer.reset(),
                        1 => link.peer.drop_connection(),
                        _ => drop(self.world.cancel(link.task)),
                    }
                    self.players[chosen].is_alive = false;
                    self.component(name);
                }
                1..4 => link.peer.set_reading(false),
                4 => link.peer.read_only(amount),
                5..10 => link.peer.set_reading(true),
                _ => self.send(chosen),
            },
        }
    }

    fn send(&mut self, sender: usize) {
        for _ in 0..=self.random.below(12) {
            let other = self.random.below(self.players.len());
            let to = match self.random.below(TARGETS.len() + 2) {
                n if n < TARGETS.len() => TARGETS[n],
                _ => self.players[other].name,
            };
            let (number, from) = (self.sent.len(), self.players[sender].name);
            let (id, body) = (format!("{sender}-{number}"), "z".repeat(self.random.below(600)));
            let text = format!("<message to='{to}' from='{from}' id='{id}'>{body}</message>");
            match &self.players[sender].way {
                Way::Local(port) => port.send(text),
                Way::Component(link) => link.peer.send(text),
            }
            self.sent.insert(id, Sent { sender, number, moment: self.model.now(), to: to.into() });
        }
    }

    fn detach(&mut self, chosen: usize) {
        self.collect();
        let Way::Local(port) = &self.players[chosen].way else { return };
        for stanza in port.detach() {
            let id = stanza.split("id='").nth(1).and_then(|rest| rest.split('\'').next());
            assert!(self.unsent.insert(id.expect("it is ours").into()), "{stanza} is left once");
        }
        self.players[chosen].is_alive = false;
        self.model.change(|held| held.retain(|(player, _)| *player != chosen));
    }

    /// Judges what local ports got up to now.
    fn collect(&mut self) {
        for at in 0..self.players.len() {
            if let Way::Local(port) = &self.players[at].way {
                let taken = port.taken();
                taken.iter().for_each(|element| self.judge(at, element));
            }
        }
    }

    fn judge(&mut self, receiver: usize, element: &Element) {
        let Element { id, to, type_, .. } = element;
        let sent = self.sent.get(id).unwrap_or_else(|| panic!("nobody sent {element:?}"));
        if type_ == "error" {
            // A newcomer with the name of one that died gets what comes back then.
            let names = [sent.sender, receiver].map(|player| self.players[player].name);
            assert_eq!(names[0], names[1], "{id} is answered to its sender");
            *self.answered.entry(id.clone()).or_default() += 1;
            return;
        }
        assert_eq!(*to, sent.to, "{id}");
        let mut moments = sent.moment..=self.model.now();
        let may_go = moments.any(|moment| self.model.may_go(moment, sent.sender, receiver, to));
        assert!(may_go, "{id} for {to} went to {receiver}, {}", self.players[receiver].name);
        let before = self.last.insert((sent.sender, receiver), sent.number);
        assert!(before < Some(sent.number), "{id} overtook {before:?}");
        *self.delivered.entry(id.clone()).or_default() += 1;
    }

    /// All that is on its way arrives, then everything ends.
    fn end(&mut self) {
        for player in self.players.iter().filter(|player| player.is_alive) {
            match &player.way {
                Way::Local(port) => port.set_taking(true),
                Way::Component(link) => link.peer.set_reading(true),
            }
        }
        self.world.run(Duration::from_secs(90));
        self.collect();
        let mut accepted = 0;
        for at in 0..self.players.len() {
            match &self.players[at].way {
                Way::Local(port) => {
                    if self.players[at].is_alive {
                        assert_eq!(port.detach(), [""; 0], "all is sent");
                    }
                    accepted += port.accepted();
                }
                Way::Component(link) => {
                    link.peer.set_reading(true);
                    if self.players[at].is_alive {
                        assert_eq!(link.peer.backlog(), 0, "a component is not read from");
                        link.peer.send("</stream:stream>");
                    }
                    accepted += self.sent.values().filter(|sent| sent.sender == at).count() as u64;
                }
            }
        }
        self.world.run(Duration::from_secs(20));
        for at in 0..self.players.len() {
            let Way::Component(link) = &self.players[at].way else { continue };
            let text = link.peer.text();
            let whole = if text.ends_with("</stream:stream>") {
                text.len()
            } else {
                text.rfind("</message>").map_or(0, |at| at + "</message>".len())
            };
            let stream = Stream::parse(&text[..whole]);
            stream.stanzas().for_each(|element| self.judge(at, element));
        }
        self.settle(accepted);
    }

    /// How often it put what to the test.
    fn happened(&self) -> Vec<(String, u64)> {
        let taken = |to: &[&str]| {
            let ids = self.delivered.keys().filter(|id| to.contains(&&*self.sent[*id].to));
            ids.count() as u64
        };
        let waits = self.players.iter().map(|player| match &player.way {
            Way::Local(port) => port.waits(),
            Way::Component(_) => 0,
        });
        let own = [
            ("a wildcard".into(), taken(&["y.w.example", "a.deep.w.example"])),
            ("a default route".into(), taken(&["nowhere.example"])),
            ("a full receiver of a local port".into(), waits.sum()),
            ("a stanza that was not sent".into(), self.unsent.len() as u64),
        ];
        PROVED.map(|count| (format!("{count:?}"), self.world.count(count))).into_iter().chain(own).collect()
    }

    /// Each stanza has one end: it is taken, answered, or counted.
    fn settle(&self, accepted: u64) {
        let mut endless = 0;
        for (id, sent) in &self.sent {
            let (got, answers) = (self.delivered.get(id), self.answered.get(id));
            let ends = got.unwrap_or(&0) + answers.unwrap_or(&0);
            let is_unsent = self.unsent.contains(id);
            let most = usize::from(!is_unsent);
            assert!(ends <= most, "{id} for {}: {got:?}, {answers:?}", sent.to);
            endless += (most - ends) as u64;
        }
        let count = |metric| self.world.count(metric);
        let taken = self.world.taken();
        assert!(taken <= accepted, "{taken} of {accepted}");
        if !self.may_lose {
            assert_eq!(taken, accepted, "each is counted once");
            // The sender was full when it came back, or gone, or has not looked at the answer.
            let dropped = count(Metric::UnsentDropped) + count(Metric::DroppedUndeliverable);
            assert_eq!(endless, dropped, "what has no other end is counted");
            let delivered = self.delivered.len() as u64 + count(Metric::UnsentBounced);
            let range = delivered..=delivered + count(Metric::UnsentDropped);
            assert!(range.contains(&count(Metric::Routed)), "{} of {range:?}", count(Metric::Routed));
        }
        assert_eq!((self.world.switch.connections(), self.world.switch.ports().len()), (0, 0));
    }
}

/// Shows the seed of a world that fails.
struct Shown(u64);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Plays one world; gives how often what happened.
fn play(seed: u64) -> Vec<(String, u64)> {
    let mut world = World::new(seed, &["host.example"]);
    let mut random = world.random.fork();
    world.wire = Wire {
        capacity: 100 + random.below(5000),
        latency: Duration::from_millis(random.below(4) as u64),
        cut: 1 + random.below(800),
        late: Duration::from_millis(random.below(30) as u64),
    };
    world.listener.queue_mark = 500 + random.below(8000);
    let policy = BindPolicy { conflict: ConflictBehaviour::KickOld, ..BindPolicy::default() };
    world.listener.policy = Arc::new(policy);
    if random.one_in(2) {
        world.be_restless(2 + random.below(20));
    }
    let mut game = Game {
        world,
        may_lose: random.one_in(2),
        random,
        model: Model::default(),
        players: Vec::new(),
        sent: HashMap::new(),
        unsent: HashSet::new(),
        delivered: HashMap::new(),
        answered: HashMap::new(),
        last: HashMap::new(),
    };
    COMPONENTS.into_iter().for_each(|name| game.component(name));
    for _ in 0..150 {
        game.act();
        match game.random.below(40) {
            0 => game.world.run_ms(7000),
            1..15 => game.world.step(game.random.below(20)),
            _ => game.world.run_ms(game.random.below(20) as u64),
        }
        game.collect();
    }
    game.end();
    game.happened()
}

#[test]
fn each_stanza_of_ports_that_come_and_die_has_one_end() {
    let seeds = std::env::var("ENJAMB_SEEDS").map_or(SEEDS, |number| number.parse().expect("it is a number"));
    let mut sums = BTreeMap::new();
    for seed in 0..seeds {
        let _shown = Shown(seed);
        play(seed).into_iter().for_each(|(what, n)| *sums.entry(what).or_insert(0) += n);
    }
    println!("{sums:?}");
    for (what, sum) in sums {
        assert!(sum > 100, "{what} was put to the test only {sum} times");
    }
}
