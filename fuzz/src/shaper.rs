//! A shaper lets its rate through, and never more.

use std::num::NonZeroU64;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use enjamb_core::Instant;
use enjamb_core::shaper::Shaper;

use crate::many::Many;

const NANO: u128 = 1_000_000_000;

#[derive(Arbitrary, Debug)]
struct Script {
    rate: Rate,
    steps: Many<Step>,
}

#[derive(Arbitrary, Debug)]
enum Rate {
    Small(u8),
    Usual(u32),
    Any(NonZeroU64),
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// So many nanoseconds pass.
    Nanos(u32),
    Seconds(u16),
    /// The clock is read as it was that long ago, as a clock must not be.
    Back(u32),
    /// Until the shaper asks to be asked again.
    UntilTimeout,
    /// This share of the allowance is read, in 255ths.
    Read(u8),
}

/// Plays a script of reads and pauses.
///
/// # Panics
/// More was let through in some time than `rate * (time + 1 s)`; or the shaper says "wait" without an end, or lets nothing
/// through at the time that it named.
pub fn rate_is_kept(data: &[u8]) {
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let rate = match script.rate {
        Rate::Small(rate) => NonZeroU64::new(rate.into()).unwrap_or(NonZeroU64::MIN),
        Rate::Usual(rate) => NonZeroU64::new(rate.into()).unwrap_or(NonZeroU64::MIN),
        Rate::Any(rate) => rate,
    };
    let worthwhile = usize::try_from((rate.get() / 20).max(1)).unwrap_or(usize::MAX);
    let mut shaper = Shaper::new(rate, Instant::ORIGIN);
    let mut latest = Instant::ORIGIN;
    // What was read, and when; times that the clock went back to count as the latest.
    let mut reads: Vec<(u128, u128)> = Vec::new();
    for step in script.steps.iter().take(200) {
        let mut now = latest;
        match step {
            Step::Nanos(nanos) => now += Duration::from_nanos((*nanos).into()),
            Step::Seconds(seconds) => now += Duration::from_secs((*seconds).into()),
            Step::Back(nanos) => {
                let before = latest.since_origin().saturating_sub(Duration::from_nanos((*nanos).into()));
                now = Instant::from_origin(before);
            }
            Step::UntilTimeout => now = shaper.poll_timeout().unwrap_or(latest),
            Step::Read(_) => {}
        }
        latest = latest.max(now);
        let allowed = shaper.allowance(now);
        match shaper.poll_timeout() {
            None => assert!(allowed >= worthwhile, "it neither waits nor lets {worthwhile} through"),
            Some(then) => {
                assert!(then > latest, "it waits for what has been: {then:?} at {latest:?}");
                assert!(then.since(latest) <= Duration::from_secs(1), "a wait of {:?}", then.since(latest));
                let mut later = shaper.clone();
                assert!(later.allowance(then) >= worthwhile, "nothing at the time that it named");
                assert_eq!(later.poll_timeout(), None);
            }
        }
        if let Step::Read(share) = step {
            let taken = (allowed as u128 * u128::from(*share) / 255) as usize;
            shaper.take(taken);
            reads.push((latest.since_origin().as_nanos(), taken as u128));
        }
    }
    for (first, &(start, _)) in reads.iter().enumerate() {
        let mut total = 0_u128;
        for &(at, taken) in &reads[first..] {
            total += taken;
            let most = u128::from(rate.get()).saturating_mul(at - start + NANO);
            assert!(
                total.saturating_mul(NANO) <= most,
                "{total} bytes within {} ns at {rate} B/s",
                at - start
            );
        }
    }
}
