//! What does this machine take from programs that keep its cores busy?
//!
//! A loop on each core looks at the clock and does nothing else; where the clock jumps, the core did something else, or
//! stood still. Latencies measured on busy cores are no better than that:
//! `cargo run --release -p enjamb-bench --example stalls`.

use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const TIME: Duration = Duration::from_secs(10);
/// What counts as a jump.
const SHORTEST: Duration = Duration::from_micros(400);

/// The jumps on this core.
fn jumps(core: usize) -> io::Result<Vec<Duration>> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    let mut jumps = Vec::new();
    let begun = Instant::now();
    let mut last = begun;
    while last - begun < TIME {
        let now = Instant::now();
        if now - last >= SHORTEST {
            jumps.push(now - last);
        }
        last = now;
    }
    Ok(jumps)
}

fn busy(cores: &[usize]) -> io::Result<()> {
    let loops: Vec<_> = cores.iter().map(|&core| (core, thread::spawn(move || jumps(core)))).collect();
    for (core, of_core) in loops {
        let jumps = of_core.join().expect("the loop does not panic")?;
        let over = |ms| jumps.iter().filter(|jump| **jump > Duration::from_millis(ms)).count();
        let lost = jumps.iter().sum::<Duration>().as_secs_f64() / TIME.as_secs_f64();
        let (one, two) = (over(1), over(2));
        println!(
            "core {core}: {} jumps, {one} over 1 ms, {two} over 2 ms: {:.2} %",
            jumps.len(),
            100.0 * lost
        );
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mine = sched_getaffinity(None)?;
    let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|&core| mine.is_set(core)).collect();
    println!("one core busy, {TIME:?}:");
    busy(&cores[..1])?;
    println!("all cores busy, {TIME:?}:");
    busy(&cores)
}
