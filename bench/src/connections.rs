//! What connections cost: coming and going, being there, and being many while few talk.

use std::io;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::load::{self, Target};
use crate::pace::Pace;
use crate::payload::Payload;
use crate::process::{cpu_seconds, rss_kib};
use crate::shape::Topology;
use crate::wire::connect;

/// Connections opened at once: fewer than any server's backlog.
const WAVE: usize = 50;
/// Pairs that talk while the others are idle.
const ACTIVE_PAIRS: usize = 5;

/// The names of a storm's or a herd's components.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("s{index}")).collect()
}

/// The names of those that talk while others are idle.
pub(crate) fn active_names() -> Vec<String> {
    Topology::Pairs.names(ACTIVE_PAIRS)
}

/// Connects all, some at a time; `each` gets every wave.
fn in_waves(
    target: &Target,
    count: usize,
    tick: &dyn Fn(f64),
    mut each: impl FnMut(Vec<TcpStream>),
) -> io::Result<()> {
    let domains = target.domains(&names(count));
    for (index, wave) in domains.chunks(WAVE).enumerate() {
        each(connect(target.address, &target.secret, wave)?);
        tick((index * WAVE) as f64 / count as f64);
    }
    Ok(())
}

/// Connects, authenticates and closes N components.
pub(crate) fn storm(target: &Target, count: usize, tick: &dyn Fn(f64)) -> io::Result<Value> {
    let (cpu, own, begun) = (target.cpu_seconds()?, cpu_seconds(std::process::id())?, Instant::now());
    in_waves(target, count, tick, drop)?;
    let elapsed = begun.elapsed().as_secs_f64();
    let own = cpu_seconds(std::process::id())? - own;
    // The server is still to notice the last that closed.
    sleep(Duration::from_millis(300));
    let cpu = target.cpu_seconds()?.zip(cpu).map(|(after, before)| after - before);
    Ok(json!({
        "connects_per_cpu_second": cpu.map(|cpu| count as f64 / cpu.max(0.01)),
        "per_second": count as f64 / elapsed,
        "generator_share": own / elapsed,
    }))
}

/// Keeps N authenticated components connected that say nothing.
pub(crate) fn herd(target: &Target, count: usize, tick: &dyn Fn(f64)) -> io::Result<Value> {
    let before = target.pid.map(rss_kib).transpose()?;
    let mut herd = Vec::with_capacity(count);
    in_waves(target, count, tick, |wave| herd.extend(wave))?;
    // Time for a server to give memory back.
    sleep(Duration::from_millis(2500));
    let after = target.pid.map(rss_kib).transpose()?;
    drop(herd);
    let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(json!({
        "connections": count,
        "kib_per_connection": grown.map(|kib| kib as f64 / count as f64),
        "fresh_mib": before.map(|kib| kib as f64 / 1024.0),
    }))
}

/// A few pairs talk while all other of `total` connections are idle.
pub(crate) fn among(target: &Target, total: usize, seconds: f64, tick: &dyn Fn(f64)) -> io::Result<Value> {
    let idle = total.saturating_sub(2 * ACTIVE_PAIRS);
    let (rss, cpu) = (target.pid.map(rss_kib).transpose()?, target.cpu_seconds()?);
    let mut herd = Vec::with_capacity(idle);
    in_waves(target, idle, tick, |wave| herd.extend(wave))?;
    let connecting = target.cpu_seconds()?.zip(cpu).map(|(after, before)| after - before);
    sleep(Duration::from_millis(1500));
    let grown =
        target.pid.map(rss_kib).transpose()?.zip(rss).map(|(after, before)| after.saturating_sub(before));
    let work = Topology::Pairs.work(ACTIVE_PAIRS, Pace::Closed { window: 64 }, Payload::body(100), seconds);
    let mut value = load::run(target, &work, tick)?.json();
    // Few connections cost less than what Linux counts in.
    let enough = |figure: Option<f64>| figure.filter(|_| idle >= 500);
    value["connections"] = json!(total);
    value["kib_per_connection"] = json!(enough(grown.map(|kib| kib as f64 / idle as f64)));
    value["cpu_us_per_connect"] = json!(enough(connecting.map(|cpu| cpu * 1e6 / idle as f64)));
    Ok(value)
}
