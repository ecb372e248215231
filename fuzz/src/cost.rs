//! What input costs: the work that is counted, and the time that it stands for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant as Clock};

use enjamb_core::connection::{Budget, Connection, Next};
use enjamb_core::jid::Domain;
use enjamb_core::switch::{ListenerConfig, LocalSwitch, SwitchConfig};
use enjamb_core::{Instant, Now, Secret, StreamId};

use crate::connection::HANDSHAKE;

const NOW: Now = Now { monotonic: Instant::ORIGIN, unix: Duration::ZERO };
/// Bytes that each input is made to have by repeating its end.
const LENGTH: usize = 24 * 1024;
/// Units of a share.
const SHARE: usize = 96;
/// The most that a unit may take, many times its half a microsecond: a fuzzer's programs are slow, and so are machines with
/// much to do.
const UNIT: Duration = Duration::from_micros(40);
/// The most units for bytes: an element of four bytes is an event, and is dropped.
const BYTES_PER_UNIT: usize = 3;

/// How dear inputs were: the fuzzer keeps those that reach a level that none has reached before.
#[cfg_attr(target_os = "linux", unsafe(link_section = "__libfuzzer_extra_counters"))]
#[allow(
    unsafe_code,
    reason = "the section is libFuzzer's for counters of a program's own, and holds nothing else"
)]
static LEVELS: [AtomicU8; 128] = [const { AtomicU8::new(0) }; 128];

/// Feeds a connection with the input: what comes before the place that the first byte says, and what is behind it again and
/// again.
///
/// # Panics
/// A call took more than two shares, or the copy of a stanza beside them; the units are more than the bytes can cost; or the
/// time is more than the units stand for.
pub fn cost_is_counted(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else { return };
    let (front, piece) = rest.split_at(usize::from(split).min(rest.len()));
    let times = LENGTH.saturating_sub(front.len()) / piece.len().max(1);
    let input = [front, &piece.repeat(times)].concat();
    let spent = feed(&input);
    assert!(spent.dearest <= 2 * SHARE + input.len() / 3 / 64, "{} units in one call", spent.dearest);
    assert!(spent.units <= input.len() / BYTES_PER_UNIT + SHARE, "{} units", spent.units);
    // Four levels for each time that the cost of a byte doubles, from a unit for 4 KiB on.
    let dear = (spent.units * 4096 / input.len().max(1)).max(1);
    let level = 4.0 * (dear as f64).log2();
    for reached in LEVELS.iter().take(level as usize + 1) {
        reached.store(1, Ordering::Relaxed);
    }
    let allowed = UNIT * u32::try_from(spent.units + 10).unwrap_or(u32::MAX);
    let mut taken = spent.taken;
    // Others may have had the processor meanwhile.
    for _ in 0..20 {
        if taken <= allowed {
            return;
        }
        taken = taken.min(feed(&input).taken);
    }
    panic!("{} units took {taken:?}", spent.units);
}

struct Spent {
    units: usize,
    /// In one call.
    dearest: usize,
    taken: Duration,
}

fn feed(input: &[u8]) -> Spent {
    let switch = LocalSwitch::new(SwitchConfig::new([Domain::parse("localhost").expect("it is a domain")]));
    let listener = Arc::new(ListenerConfig::new(Secret::new("secret")));
    let id = StreamId::from_text("3BF96D32").expect("letters and digits");
    let mut connection = Connection::new(&switch, listener, id, NOW);
    let prefixes: String = (0..31).map(|n| format!(" xmlns:h{n:02}='u:{n}'")).collect();
    let header = format!(
        "<stream:stream xmlns='jabber:component:accept' \
         xmlns:stream='http://etherx.jabber.org/streams'{prefixes} to='component.example'>"
    );
    let opening = [header.as_bytes(), HANDSHAKE].concat();
    let progress = connection.process(&switch, NOW, &opening, &mut Budget::default());
    assert_eq!(progress.consumed, opening.len());
    let mut out = Vec::new();
    connection.write_to(&switch, NOW, &mut out);
    let (mut rest, mut spent) = (input, Spent { units: 0, dearest: 0, taken: Duration::ZERO });
    let start = Clock::now();
    loop {
        let mut budget = Budget::default();
        let progress = connection.process(&switch, NOW, rest, &mut budget);
        rest = &rest[progress.consumed..];
        spent.units += budget.spent();
        spent.dearest = spent.dearest.max(budget.spent());
        out.clear();
        connection.write_to(&switch, NOW, &mut out);
        if progress.next == Next::Input {
            break;
        }
    }
    spent.taken = start.elapsed();
    spent
}
