//! Latencies that the machine's two cores do not blur.

use std::io;
use std::ops::Range;
use std::thread::available_parallelism;

use serde_json::{Value, json};

use crate::load::{self, Target};
use crate::pace::Pace;
use crate::payload::Payload;
use crate::process::Pinned;
use crate::shape::{Group, Topology, Work};

/// One stanza outstanding, generator and server on one core, so that no wake-up crosses cores.
pub(crate) fn echo(target: &Target, seconds: f64, tick: &dyn Fn(f64)) -> io::Result<Value> {
    let _server = target.pid.map(|pid| Pinned::new(pid, 0..1)).transpose()?;
    let _own = Pinned::new(std::process::id(), 0..1)?;
    let work = Topology::Pairs.work(1, Pace::Closed { window: 1 }, Payload::body(100), seconds);
    Ok(load::run(target, &work, tick)?.json())
}

/// The generator has the last core, the server the others.
fn apart(target: &Target) -> io::Result<(Option<Pinned>, Option<Pinned>)> {
    let Some((server, generator)) = cores_apart()? else { return Ok((None, None)) };
    let server = target.pid.map(|pid| Pinned::new(pid, server)).transpose()?;
    Ok((server, Some(Pinned::new(std::process::id(), generator)?)))
}

/// The cores of the server and of the generator, where there is more than one.
pub(crate) fn cores_apart() -> io::Result<Option<(Range<usize>, Range<usize>)>> {
    let cores = available_parallelism()?.get();
    Ok((cores > 1).then(|| (0..cores - 1, cores - 1..cores)))
}

/// Pairs by a timetable, generator and server on cores of their own.
pub(crate) fn timetable(target: &Target, rate: f64, seconds: f64, tick: &dyn Fn(f64)) -> io::Result<Value> {
    let _pinned = apart(target)?;
    let work = Topology::Pairs.work(8, Pace::Open { rate }, Payload::body(100), seconds);
    Ok(load::run(target, &work, tick)?.json())
}

/// What one pair that sends all it can does to another that sends by a timetable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flood {
    /// Stanzas a second of the quiet pair.
    pub(crate) rate: f64,
    /// Stanzas outstanding of the flooding pair.
    pub(crate) window: usize,
    /// Bytes of body of the flooding pair's stanzas, and of the quiet one's.
    pub(crate) body: usize,
    /// Seconds of each half.
    pub(crate) seconds: f64,
}

/// The quiet pair alone, then beside the flooding one.
pub(crate) fn fairness(target: &Target, flood: Flood, tick: &dyn Fn(f64)) -> io::Result<Value> {
    let _pinned = apart(target)?;
    let Flood { rate, window, body, seconds } = flood;
    let quiet = Group { name: "quiet", flows: vec![(0, 1)], pace: Pace::Open { rate } };
    let flooding = Group { name: "flood", flows: vec![(2, 3)], pace: Pace::Closed { window } };
    // Other names in the second half: the server may not have noticed yet that those of the first are gone.
    let work = |names: [&str; 4], groups| Work {
        names: names.map(String::from).into(),
        groups,
        payload: Payload::body(body),
        seconds,
    };
    let first = work(["a0", "b0", "a1", "b1"], vec![quiet.clone()]);
    let second = work(["a2", "b2", "a3", "b3"], vec![quiet, flooding]);
    let alone = load::run(target, &first, &|part| tick(part / 2.0))?.json();
    let both = load::run(target, &second, &|part| tick(0.5 + part / 2.0))?.json();
    let times = |key: &str| Some(both[key].as_f64()? / alone[key].as_f64()?);
    Ok(json!({
        "alone_p50_us": alone["p50_us"],
        "alone_p99_us": alone["p99_us"],
        "flooded_p50_us": both["p50_us"],
        "flooded_p99_us": both["p99_us"],
        "p50_times": times("p50_us"),
        "p99_times": times("p99_us"),
        "flood_per_second": both["groups"][1]["per_second"],
        "sent_late_p99_us": both["sent_late_p99_us"],
        "server_share": both["server_share"],
        "generator_share": both["generator_share"],
    }))
}
