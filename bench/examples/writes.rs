//! Is it cheaper to copy stanzas into one buffer and write that, or to hand the kernel a list of them?
//!
//! The drive loop copies. This prints what a stanza costs either way, in nanoseconds of the writing thread's CPU time,
//! for batches of 64 KiB over loopback: `cargo run --release -p enjamb-bench --example writes`.

use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::{io, thread};

use rustix::time::{ClockId, clock_gettime};

const BATCH: usize = 64 * 1024;
const ROUNDS: usize = 4000;
/// As many as one call takes (`IOV_MAX`).
const SLICES: usize = 1024;

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Copies all stanzas into one buffer.
fn flat(stream: &mut TcpStream, stanzas: &[Vec<u8>], buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    stanzas.iter().for_each(|stanza| buffer.extend_from_slice(stanza));
    stream.write_all(buffer)
}

/// Hands over all stanzas where they are.
fn vectored(stream: &mut TcpStream, stanzas: &[Vec<u8>], _: &mut Vec<u8>) -> io::Result<()> {
    for some in stanzas.chunks(SLICES) {
        let mut slices: Vec<_> = some.iter().map(|stanza| IoSlice::new(stanza)).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = stream.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, written);
        }
    }
    Ok(())
}

type Way = fn(&mut TcpStream, &[Vec<u8>], &mut Vec<u8>) -> io::Result<()>;

fn main() -> io::Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let mut stream = TcpStream::connect(socket.local_addr()?)?;
    let (mut far, _) = socket.accept()?;
    thread::spawn(move || {
        let mut sink = vec![0; 1 << 20];
        while far.read(&mut sink).is_ok_and(|n| n > 0) {}
    });
    println!("bytes of a stanza: copied and written / written as a list, ns each, medians of 9");
    for length in [100, 208, 324, 1000, 2000, 8000, 32_000] {
        let stanzas = vec![vec![b'x'; length]; BATCH / length];
        let mut medians = Vec::new();
        for way in [flat as Way, vectored as Way] {
            let mut costs = Vec::new();
            let mut buffer = Vec::with_capacity(BATCH);
            for _ in 0..9 {
                let begun = cpu_ns();
                for _ in 0..ROUNDS / 9 {
                    way(&mut stream, &stanzas, &mut buffer)?;
                }
                costs.push((cpu_ns() - begun) / (ROUNDS / 9 * stanzas.len()) as i64);
            }
            costs.sort_unstable();
            medians.push(costs[4]);
        }
        println!("{length:6}: {:5} / {:5}", medians[0], medians[1]);
    }
    Ok(())
}
