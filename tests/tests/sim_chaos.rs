//! Everything at once: components come, are replaced, stall, break and lie, hosts come and go, and the server stops.

use std::collections::HashMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::router::{BindPolicy, ConflictBehaviour};
use enjamb_core::switch::{Metric, Switch};
use enjamb_tests::sim::{Link, Random, Stream, Wire, World, handshake, header};

/// How many worlds; the environment variable ENJAMB_SEEDS asks for another number.
const SEEDS: u64 = 120;

const NAMES: [&str; 4] = ["a.example", "b.example", "p.one.example", "p.two.example"];

/// What has to have happened often, or nothing was tested.
const PROVED: [Metric; 6] = [
    Metric::Bound,
    Metric::Routed,
    Metric::Bounced,
    Metric::UnsentReplaced,
    Metric::UnsentBounced,
    Metric::UnsentDropped,
];

struct Player {
    link: Link,
    number: usize,
    prefix: bool,
    proved: bool,
}

/// What came whole, also where the end was cut off.
fn whole(text: &str) -> Stream {
    if text.ends_with("</stream:stream>") {
        return Stream::parse(text);
    }
    let end = text.rfind("</message>").map_or(0, |at| at + "</message>".len());
    Stream::parse(&text[..end])
}

fn arrange(world: &mut World, random: &mut Random) {
    world.wire = Wire {
        capacity: 100 + random.below(5000),
        latency: Duration::from_millis(random.below(4) as u64),
        cut: random.below(800),
        late: Duration::from_millis(random.below(100) as u64),
    };
    let kick = random.one_in(2);
    let conflict = if kick { ConflictBehaviour::KickOld } else { ConflictBehaviour::Disconnect };
    world.listener.policy = Arc::new(BindPolicy { conflict, ..BindPolicy::default() });
    world.listener.queue_mark = 500 + random.below(20_000);
    world.listener.rate = NonZeroU64::new(random.below(20_000) as u64).filter(|_| random.one_in(3));
    world.listener.max_queue = NonZeroUsize::new(random.below(30)).filter(|_| random.one_in(3));
}

fn act(world: &mut World, random: &mut Random, players: &mut Vec<Player>, sent: &mut usize) {
    if players.len() < 3 || random.one_in(12) {
        arrange(world, random);
        let link = world.link();
        let prefix = random.one_in(4);
        let (name, more) =
            if prefix { ("p", "is_subdomain='true'") } else { (NAMES[random.below(NAMES.len())], "") };
        link.peer.send(header(name, more));
        players.push(Player { link, number: players.len(), prefix, proved: false });
        return;
    }
    let chosen = random.below(players.len());
    let player = &mut players[chosen];
    let peer = player.link.peer.clone();
    if !player.proved {
        if peer.text().contains("id='") {
            let id =
                peer.text().split("id='").nth(1).and_then(|rest| rest.split('\'').next()).map(str::to_owned);
            peer.send(handshake(&id.expect("a header")));
            player.proved = true;
        }
        return;
    }
    match random.below(60) {
        0 => drop(world.cancel(player.link.task)),
        1 => peer.reset(),
        2 => peer.shut(),
        3 => peer.send("</stream:stream>"),
        4 => peer.vanish(),
        5 => peer.send("<message><oops></message>"),
        6 => peer.drop_connection(),
        7..12 => peer.set_reading(false),
        12..16 => peer.read_only(random.below(3000)),
        16..26 => peer.set_reading(true),
        26 => drop(world.switch.add_host(Domain::parse("two.example").expect("a domain"))),
        27 => drop(world.switch.remove_host(&Domain::parse("two.example").expect("a domain"))),
        _ => {
            let from = if player.prefix { " from='p.one.example'" } else { "" };
            for _ in 0..=random.below(20) {
                let to = NAMES[random.below(NAMES.len())];
                let body = "z".repeat(random.below(900));
                peer.send(format!("<message to='{to}'{from} id='{}-{sent}'>{body}</message>", player.number));
                *sent += 1;
            }
        }
    }
}

/// Plays one world; gives its numbers.
fn play(seed: u64) -> [u64; PROVED.len()] {
    let mut world = World::new(seed, &["one.example"]);
    let mut random = world.random.fork();
    if random.one_in(2) {
        world.be_restless(2 + random.below(30));
    }
    let (mut players, mut sent) = (Vec::new(), 0);
    for _ in 0..200 {
        act(&mut world, &mut random, &mut players, &mut sent);
        match random.below(40) {
            0 => world.run_ms(random.below(8000) as u64),
            1..10 => world.step(random.below(20)),
            _ => world.run_ms(random.below(20) as u64),
        }
    }
    world.switch.shut_down();
    world.run(Duration::from_secs(7));
    assert_eq!(world.switch.connections(), 0, "seed {seed}: all have ended");
    assert_eq!(world.switch.bound(), 0, "seed {seed}: no name is held");
    for player in &players {
        assert!(!world.is_running(player.link.task), "seed {seed}: {:?} lives on", player.link.task);
        player.link.peer.set_reading(true);
    }
    world.run(Duration::from_secs(1));

    let mut seen: HashMap<String, usize> = HashMap::new();
    for player in &players {
        let stream = whole(&player.link.peer.text());
        let mut last: HashMap<(String, String), usize> = HashMap::new();
        for stanza in stream.stanzas() {
            let earlier = seen.insert(stanza.id.clone(), player.number);
            assert!(
                earlier.is_none(),
                "seed {seed}: {} came to {earlier:?} and {}",
                stanza.id,
                player.number
            );
            let (sender, number) = stanza.id.split_once('-').expect("one of ours");
            let number: usize = number.parse().expect("a number");
            if stanza.type_ != "error" {
                let before = last.insert((sender.into(), stanza.to.clone()), number);
                assert!(before < Some(number), "seed {seed}: {} overtook {before:?}", stanza.id);
            }
        }
    }
    assert!(world.taken() <= sent as u64, "seed {seed}: {} of {sent}", world.taken());
    assert!(seen.len() <= sent, "seed {seed}");
    PROVED.map(|count| world.count(count))
}

#[test]
fn no_stanza_comes_twice_or_overtakes_and_everything_ends_whatever_happens() {
    let seeds = std::env::var("ENJAMB_SEEDS").map_or(SEEDS, |number| number.parse().expect("it is a number"));
    let mut sums = [0; PROVED.len()];
    for seed in 0..seeds {
        for (sum, n) in sums.iter_mut().zip(play(seed)) {
            *sum += n;
        }
    }
    for (count, sum) in PROVED.iter().zip(sums) {
        assert!(sum > 100, "{count:?} was put to the test only {sum} times");
    }
}
