//! The figures of a comparison: of each measurement on each server, once a repetition.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::instructions::Counts;
use crate::outcome::QUANTILES;
use crate::profile::Shares;
use crate::servers::Contestant;

/// All that was measured.
#[derive(Default)]
pub(crate) struct Figures {
    /// Who was to be measured, in the order of the columns.
    pub(crate) servers: Vec<Contestant>,
    /// One object for each repetition.
    pub(crate) values: BTreeMap<(&'static str, Contestant), Vec<Value>>,
    /// Why a figure is missing: of one measurement, or of all.
    pub(crate) gaps: BTreeMap<(Option<&'static str>, Contestant), String>,
    /// Instructions, where valgrind is there.
    pub(crate) counts: Option<Counts>,
    /// Where our server's time goes under each load, where perf is there.
    pub(crate) profiles: BTreeMap<&'static str, Shares>,
    pub(crate) repetitions: usize,
    /// Connections of the storm and of the herd.
    pub(crate) count: usize,
    pub(crate) seconds: f64,
    /// What the tree was when it began: what is written later makes it differ.
    pub(crate) commit: String,
    /// Load averages before and after.
    pub(crate) load: (String, String),
}

impl Figures {
    /// One value of each repetition.
    pub(crate) fn of(&self, key: &'static str, server: Contestant, value: &str) -> Vec<f64> {
        let values = self.values.get(&(key, server));
        values.into_iter().flatten().filter_map(|figures| figures[value].as_f64()).collect()
    }

    /// Our value by another server's, repetition by repetition.
    pub(crate) fn ratios(&self, key: &'static str, value: &str, by: Contestant) -> Vec<f64> {
        let (ours, theirs) = (self.of(key, Contestant::Enjamb, value), self.of(key, by, value));
        ours.iter()
            .zip(&theirs)
            .filter(|(_, theirs)| **theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs)
            .collect()
    }

    /// The latencies of all repetitions at one part of all: its place among them, and the values.
    pub(crate) fn quantiles(&self, key: &'static str, server: Contestant) -> Vec<(f64, Vec<f64>)> {
        let runs: Vec<&Value> = self.values.get(&(key, server)).into_iter().flatten().collect();
        QUANTILES
            .into_iter()
            .enumerate()
            .map(|(at, quantile)| {
                (quantile, runs.iter().filter_map(|run| run["quantiles"][at][1].as_f64()).collect())
            })
            .collect()
    }

    pub(crate) fn add(&mut self, key: &'static str, server: Contestant, value: Value) {
        self.values.entry((key, server)).or_default().push(value);
    }

    pub(crate) fn json(&self) -> Value {
        let values: BTreeMap<_, _> =
            self.values.iter().map(|((key, server), v)| (format!("{key}/{}", server.name()), v)).collect();
        let gaps: BTreeMap<_, _> = self
            .gaps
            .iter()
            .map(|((key, server), why)| (format!("{}/{}", key.unwrap_or("all"), server.name()), why))
            .collect();
        json!({
            "load_before": self.load.0,
            "load_after": self.load.1,
            "repetitions": self.repetitions,
            "seconds": self.seconds,
            "figures": values,
            "gaps": gaps,
            "instructions": self.counts,
            "profile": self.profiles,
        })
    }
}
