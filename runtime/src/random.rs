//! Random numbers from the operating system.

use std::io;

use enjamb_core::StreamId;

/// Draws a stream id: 128 bits from the operating system.
///
/// # Errors
/// The operating system has no random numbers to give.
pub fn stream_id() -> io::Result<StreamId> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    Ok(StreamId::from_random(u128::from_ne_bytes(bits)))
}

/// Draws the random bits of a delay.
pub(crate) fn jitter() -> io::Result<u32> {
    getrandom::u32().map_err(io::Error::other)
}

/// Draws random bits for delays and ids; without random numbers, the same ones each time.
pub(crate) fn seed() -> u64 {
    getrandom::u64().unwrap_or_default()
}
