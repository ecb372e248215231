//! What a run gave.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The part of all at or below a latency, at which curves are drawn.
pub(crate) const QUANTILES: [f64; 9] = [0.1, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999];

/// A run under load.
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    /// CPU seconds of the server's process.
    pub(crate) server_cpu: Option<f64>,
    /// CPU seconds of this process.
    pub(crate) own_cpu: f64,
    pub(crate) groups: Vec<GroupOutcome>,
}

/// A group's part of it.
pub(crate) struct GroupOutcome {
    pub(crate) name: &'static str,
    pub(crate) received: u64,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// How late stanzas were sent, in nanoseconds; of an open loop.
    pub(crate) lateness: Option<Histogram<u64>>,
}

fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1000.0
}

impl GroupOutcome {
    pub(crate) fn json(&self, seconds: f64) -> Value {
        let at = |quantile| micros(&self.latency, quantile);
        json!({
            "name": self.name,
            "stanzas": self.received,
            "per_second": self.received as f64 / seconds,
            "p50_us": at(0.5),
            "p90_us": at(0.9),
            "p99_us": at(0.99),
            "p999_us": at(0.999),
            "max_us": self.latency.max() as f64 / 1000.0,
            "quantiles": QUANTILES.map(|quantile| (quantile, at(quantile))),
            "sent_late_p99_us": self.lateness.as_ref().map(|lateness| micros(lateness, 0.99)),
        })
    }
}

impl Outcome {
    /// All of it; the latencies on top are those of the first group.
    pub(crate) fn json(&self) -> Value {
        let stanzas: u64 = self.groups.iter().map(|group| group.received).sum();
        let mut value = self.groups.first().map_or_else(|| json!({}), |group| group.json(self.seconds));
        value["name"] = json!("all");
        value["stanzas"] = json!(stanzas);
        value["per_second"] = json!(stanzas as f64 / self.seconds);
        // Linux counts in hundredths of a second: less than one is not nothing.
        value["per_cpu_second"] = json!(self.server_cpu.map(|cpu| stanzas as f64 / cpu.max(0.01)));
        value["cpu_us_per_stanza"] = json!(self.server_cpu.map(|cpu| cpu * 1e6 / stanzas.max(1) as f64));
        value["server_share"] = json!(self.server_cpu.map(|cpu| cpu / self.seconds));
        value["generator_share"] = json!(self.own_cpu / self.seconds);
        if self.groups.len() > 1 {
            value["groups"] = self.groups.iter().map(|group| group.json(self.seconds)).collect();
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_all_groups_and_latencies_of_each() {
        let group = |name, received, micros: u64| {
            let mut latency = Histogram::new(3).unwrap();
            latency.record_n(micros * 1000, received).unwrap();
            GroupOutcome { name, received, latency, lateness: None }
        };
        let outcome = Outcome {
            seconds: 2.0,
            server_cpu: Some(0.5),
            own_cpu: 1.0,
            groups: vec![group("quiet", 100, 50), group("flood", 900, 500)],
        };
        let value = outcome.json();
        assert_eq!(value["per_second"], 500.0);
        assert_eq!(value["per_cpu_second"], 2000.0);
        assert_eq!(value["cpu_us_per_stanza"], 500.0);
        assert_eq!(value["server_share"], 0.25);
        assert_eq!(value["generator_share"], 0.5);
        assert_eq!(value["groups"][1]["stanzas"], 900);
        assert!((value["groups"][1]["p99_us"].as_f64().unwrap() - 500.0).abs() < 1.0);
        assert!((value["p50_us"].as_f64().unwrap() - 50.0).abs() < 0.1);
    }

    #[test]
    fn without_a_process_there_is_no_cost() {
        let outcome = Outcome { seconds: 1.0, server_cpu: None, own_cpu: 0.1, groups: Vec::new() };
        assert!(outcome.json()["per_cpu_second"].is_null());
    }
}
