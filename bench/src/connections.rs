//! What connections cost: coming and going, and being there.

use std::io;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{cpu_seconds, rss_kib};
use crate::wire::connect;

/// Connections opened at once: fewer than any server's backlog.
const WAVE: usize = 50;

fn names(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|index| format!("s{index}.localhost")).collect()
}

/// Connects, authenticates and closes so many components.
pub(crate) fn storm(server: SocketAddr, secret: &str, pid: u32, count: usize) -> io::Result<Value> {
    let (cpu, own, begun) = (cpu_seconds(pid)?, cpu_seconds(std::process::id())?, Instant::now());
    for from in (0..count).step_by(WAVE) {
        drop(connect(server, secret, &names(from, WAVE.min(count - from)))?);
    }
    let elapsed = begun.elapsed().as_secs_f64();
    // The server is still to notice the last that closed.
    sleep(Duration::from_millis(300));
    let (cpu, own) = (cpu_seconds(pid)? - cpu, cpu_seconds(std::process::id())? - own);
    Ok(json!({
        "connects_per_cpu_second": count as f64 / cpu.max(0.01),
        "per_second": count as f64 / elapsed,
        "generator_share": own / elapsed,
    }))
}

/// Keeps so many authenticated components connected that say nothing.
pub(crate) fn idle(server: SocketAddr, secret: &str, pid: u32, count: usize) -> io::Result<Value> {
    let before = rss_kib(pid)?;
    let mut herd = Vec::with_capacity(count);
    for from in (0..count).step_by(WAVE) {
        herd.extend(connect(server, secret, &names(from, WAVE.min(count - from)))?);
    }
    // Time for a server to give memory back.
    sleep(Duration::from_millis(2500));
    let after = rss_kib(pid)?;
    drop(herd);
    Ok(json!({
        "kib_per_connection": after.saturating_sub(before) as f64 / count as f64,
        "fresh_mib": before as f64 / 1024.0,
    }))
}
