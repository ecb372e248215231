//! `[shaper.NAME]`: how many bytes a second are read from a component.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use super::diagnostic::Faults;
use super::reader::{Section, Value};
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// The defined shapers. One that was refused stays in it without a rate, so that its users are not refused, too.
pub(super) struct Shapers<'t> {
    rates: BTreeMap<&'t str, Option<NonZeroU64>>,
}

impl<'t> Shapers<'t> {
    /// Reads the `[shaper]` section.
    pub(super) fn read(value: Option<&'t Value<'_>>, faults: &mut Faults) -> Self {
        let mut rates = BTreeMap::new();
        let section = value.and_then(|value| Section::of("shaper", value, faults));
        for (key, value) in section.iter().flat_map(Section::entries) {
            let name: &str = key.get_ref();
            if name == "none" {
                faults
                    .warning(key.span(), "the shaper `none` is predefined: this definition has no effect")
                    .help("give it another name");
            }
            let rate = Section::of(format!("shaper.{name}"), value, faults).and_then(|mut shaper| {
                let rate = shaper.integer("max_rate", 1..=i64::MAX as u64, "bytes per second", faults);
                if shaper.take("max_rate").is_none() {
                    shaper.missing("max_rate", "bytes per second, as in max_rate = 50_000", faults);
                }
                shaper.finish(&[], faults);
                rate
            });
            rates.insert(name, rate.and_then(NonZeroU64::new));
        }
        Self { rates }
    }

    /// The rate of the shaper that a listener names; none for `"none"`.
    pub(super) fn rate(&self, name: &str, value: &Value<'_>, faults: &mut Faults) -> Option<NonZeroU64> {
        if name == "none" {
            return None;
        }
        if let Some(rate) = self.rates.get(name) {
            return *rate;
        }
        let help = did_you_mean(name, self.rates.keys().copied().chain(["none"])).unwrap_or_else(|| {
            format!("define it: [shaper.{}] max_rate = 50_000", quoted(name).trim_matches('`'))
        });
        faults.error(value.span(), format!("no shaper is named {}", quoted(name))).of_absence().help(help);
        None
    }
}
