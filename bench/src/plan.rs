//! What 'compare' measures, on whom.

use std::io;
use std::ops::Range;
use std::path::Path;

use enjamb_foreign::Kind;
use serde_json::Value;

use crate::latency::Flood;
use crate::load::{self, Target};
use crate::pace::Pace;
use crate::payload::Payload;
use crate::servers::Contestant;
use crate::shape::Topology;
use crate::{connections, latency};

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) key: &'static str,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A closed loop: topology, n, W, S.
    Closed(Topology, usize, usize, usize),
    /// The same in pairs, from components to a server behind an uplink.
    Uplink(usize, usize, usize),
    /// The same with the stanzas of the XEPs.
    Corpus(usize, usize),
    Timetable,
    Echo,
    Fairness,
    Storm,
    Herd,
    Among(usize),
    /// One sender to this many receivers.
    InTurn(usize),
}

/// How many connections there are while five pairs talk.
pub(crate) const AMONG: [(&str, usize); 4] =
    [("among10", 10), ("among100", 100), ("among1000", 1000), ("among10000", 10_000)];

/// How many receivers one sender writes to in turn.
pub(crate) const IN_TURN: [(&str, usize); 3] = [("turns10", 10), ("turns100", 100), ("turns1000", 1000)];
/// Stanzas outstanding to all of them together, so that the sender's batches are as long however many there are.
pub(crate) const IN_TURN_OUTSTANDING: usize = 1000;

const fn job(key: &'static str, what: What) -> Job {
    Job { key, what }
}

const fn in_turn((key, receivers): (&'static str, usize)) -> Job {
    job(key, What::InTurn(receivers))
}

/// All of them, in the order in which they are made.
pub(crate) const JOBS: [Job; 21] = [
    job("n8", What::Closed(Topology::Pairs, 8, 64, 100)),
    job("uplink", What::Uplink(8, 64, 100)),
    job("n8big", What::Closed(Topology::Pairs, 8, 64, 2000)),
    job("n1", What::Closed(Topology::Pairs, 1, 64, 100)),
    job("n1deep", What::Closed(Topology::Pairs, 1, 1000, 100)),
    job("fanin", What::Closed(Topology::FanIn, 8, 64, 100)),
    job("fanout", What::Closed(Topology::FanOut, 8, 64, 100)),
    job("mesh", What::Closed(Topology::Mesh, 8, 8, 100)),
    job("corpus", What::Corpus(8, 64)),
    job("echo", What::Echo),
    job("timetable", What::Timetable),
    job("fairness", What::Fairness),
    job("storm", What::Storm),
    job("herd", What::Herd),
    job(AMONG[0].0, What::Among(AMONG[0].1)),
    job(AMONG[1].0, What::Among(AMONG[1].1)),
    job(AMONG[2].0, What::Among(AMONG[2].1)),
    job(AMONG[3].0, What::Among(AMONG[3].1)),
    in_turn(IN_TURN[0]),
    in_turn(IN_TURN[1]),
    in_turn(IN_TURN[2]),
];

/// The measurements during which our server is profiled, by their keys, and what they are called.
pub(crate) const PROFILED: [(&str, &str); 4] = [
    ("n8", "8 pairs, S=100"),
    ("n8big", "8 pairs, S=2000"),
    ("n1deep", "1 pair, W=1000"),
    ("mesh", "mesh of 8"),
];

/// Rounds of 'fairness', of which the middle one counts: a few ms in which the host stands still decide the p99 of a
/// second.
pub(crate) const ROUNDS: usize = 5;

/// Stanzas a second of the open loop: what the slowest server still takes.
pub(crate) const RATE: f64 = 2000.0;
/// The pair that must not be disturbed, and the one that disturbs.
pub(crate) const FLOOD: (f64, usize) = (500.0, 1000);

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size<'a> {
    /// Seconds of each measurement under load.
    pub(crate) seconds: f64,
    /// Connections of the storm and of the herd.
    pub(crate) count: usize,
    /// The file with the stanzas of the XEPs.
    pub(crate) corpus: &'a Path,
}

impl Job {
    /// Why this is not measured on that server, where it is not.
    pub(crate) fn leaves_out(&self, server: Contestant) -> Option<&'static str> {
        use Contestant::{Foreign, Relay};
        match (self.what, server) {
            (What::Uplink(..), server) if server != Contestant::Enjamb => Some("it has no uplinks"),
            (What::Closed(Topology::Pairs, ..) | What::Corpus(..), _) => None,
            (What::InTurn(_), Foreign(_)) => Some("it is about the cost of our look-up"),
            (What::Closed(..) | What::InTurn(_), Relay) => Some("it reads no address"),
            (What::Among(_), Relay) => Some("it is for pairs"),
            (What::Among(_), Foreign(Kind::Prosody | Kind::ProsodyTuned)) => {
                Some("each name has to be in its configuration")
            }
            _ => None,
        }
    }

    /// The components that it needs.
    pub(crate) fn names(&self, size: Size<'_>) -> Vec<String> {
        match self.what {
            What::Closed(topology, n, ..) => topology.names(n),
            What::Corpus(n, _) | What::Uplink(n, ..) => Topology::Pairs.names(n),
            What::Timetable => Topology::Pairs.names(8),
            What::Echo => Topology::Pairs.names(1),
            What::Fairness => Topology::Pairs.names(4),
            What::Storm | What::Herd => connections::names(size.count),
            What::InTurn(receivers) => Topology::FanOut.names(receivers),
            What::Among(total) => [connections::names(total), connections::active_names()].concat(),
        }
    }

    /// The cores that the server has, if not all.
    pub(crate) fn server_cores(&self) -> io::Result<Option<Range<usize>>> {
        Ok(match self.what {
            What::Echo => Some(0..1),
            What::Timetable | What::Fairness => latency::cores_apart()?.map(|(server, _)| server),
            _ => None,
        })
    }

    /// Does it need a server behind ours?
    pub(crate) fn is_uplinked(&self) -> bool {
        matches!(self.what, What::Uplink(..))
    }

    /// Are there other stanzas than messages that hold no message?
    pub(crate) fn is_of_any_kind(&self) -> bool {
        matches!(self.what, What::Corpus(..))
    }

    /// Makes it.
    pub(crate) fn measure(&self, target: &Target, size: Size<'_>) -> io::Result<Value> {
        let Size { seconds, count, corpus } = size;
        let tick = &|_| ();
        let closed = |topology: Topology, n, window, payload| {
            Ok(load::run(target, &topology.work(n, Pace::Closed { window }, payload, seconds), tick)?.json())
        };
        match self.what {
            What::Closed(topology, n, window, body) => closed(topology, n, window, Payload::body(body)),
            What::Uplink(n, window, body) => closed(Topology::Pairs, n, window, Payload::body(body)),
            What::Corpus(n, window) => closed(Topology::Pairs, n, window, Payload::corpus(corpus)?),
            What::Timetable => latency::timetable(target, RATE, seconds, tick),
            What::Echo => latency::echo(target, seconds, tick),
            What::Fairness => {
                let (rate, window) = FLOOD;
                let flood = Flood { rate, window, body: 100, seconds };
                let once = |_| latency::fairness(target, flood, tick);
                let mut rounds = (0..ROUNDS).map(once).collect::<io::Result<Vec<_>>>()?;
                let times = |round: &Value| round["p99_times"].as_f64().unwrap_or(f64::MAX);
                rounds.sort_by(|a, b| times(a).total_cmp(&times(b)));
                Ok(rounds.swap_remove(ROUNDS / 2))
            }
            What::Storm => connections::storm(target, count, tick),
            What::Herd => connections::herd(target, count, tick),
            What::InTurn(receivers) => {
                let pace = Pace::InTurn { outstanding: IN_TURN_OUTSTANDING };
                let work = Topology::FanOut.work(receivers, pace, Payload::body(100), seconds);
                Ok(load::run(target, &work, tick)?.json())
            }
            What::Among(total) => connections::among(target, total, seconds, tick),
        }
    }
}

/// The servers' order for one measurement of one repetition: each begins as often as the others, and the way round
/// changes, so that nobody always follows the same neighbour.
pub(crate) fn order(servers: &[Contestant], repetition: usize, job: usize) -> Vec<Contestant> {
    let mut order = servers.to_vec();
    if !order.is_empty() {
        let places = order.len();
        // By two, since what is reversed begins one place before.
        order.rotate_left((2 * repetition + job) % places);
    }
    if repetition % 2 == 1 {
        order.reverse();
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_server_always_comes_first() {
        let mut first = BTreeSet::new();
        for repetition in 0..3 {
            for job in 0..JOBS.len() {
                let order = order(&Contestant::ALL, repetition, job);
                assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), Contestant::ALL.len());
                first.insert(order[0]);
            }
        }
        assert_eq!(first.len(), Contestant::ALL.len());
        // Of one measurement, too, the first changes with the repetition.
        assert_ne!(order(&Contestant::ALL, 0, 0)[0], order(&Contestant::ALL, 1, 0)[0]);
        assert_ne!(order(&Contestant::ALL, 0, 0)[0], order(&Contestant::ALL, 2, 0)[0]);
    }

    #[test]
    fn keys_are_told_apart_and_our_server_and_the_router_are_measured_in_all() {
        assert_eq!(JOBS.iter().map(|job| job.key).collect::<BTreeSet<_>>().len(), JOBS.len());
        assert!(PROFILED.iter().all(|(key, _)| JOBS.iter().any(|job| job.key == *key)));
        for job in JOBS {
            assert_eq!(job.leaves_out(Contestant::Enjamb), None);
            assert_eq!(job.leaves_out(Contestant::Route).is_some(), job.is_uplinked());
        }
    }
}
