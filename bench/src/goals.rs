//! What the project has set itself, and how far it is.

use std::fmt::Write;

use enjamb_foreign::Kind;

use crate::figures::Figures;
use crate::fit::{exponent, spread};
use crate::micro;
use crate::plan::AMONG;
use crate::servers::Contestant::{self, Enjamb, Foreign, Relay, Route};
use crate::table::number;

/// A power of the size below which a cost is said not to grow: from 10 to 10,000, it may come to 1.41 times.
const FLAT: f64 = 0.05;

#[derive(Clone, Copy)]
enum Relation {
    AtLeast,
    AtMost,
}

struct Goal {
    figure: &'static str,
    relation: Relation,
    bound: f64,
    of: &'static str,
    /// One of each repetition.
    values: Vec<f64>,
}

impl Goal {
    fn line(&self) -> String {
        let Self { figure, relation, bound, of, values } = self;
        let sign = if matches!(relation, Relation::AtLeast) { "≥" } else { "≤" };
        let goal = format!("| {figure} | {sign} {bound} {of} |").replace(" |", " |").replace("  ", " ");
        let Some(spread) = spread(values.iter().copied()) else {
            return format!("{goal} - | not measured |");
        };
        let (is, least, most) = (number(spread.median), number(spread.least), number(spread.most));
        let verdict = match (relation, spread.median) {
            (Relation::AtLeast, _) if spread.least >= *bound => "met".into(),
            (Relation::AtMost, _) if spread.most <= *bound => "met".into(),
            (Relation::AtLeast, is) if is >= *bound => "met, but not each time".into(),
            (Relation::AtMost, is) if is <= *bound => "met, but not each time".into(),
            (Relation::AtLeast, is) => format!("**not met**: {:.0} % of it", is / bound * 100.0),
            (Relation::AtMost, is) => format!("**not met**: {} times as much", number(is / bound)),
        };
        format!("{goal} {is} ({least} to {most}) | {verdict} |")
    }
}

fn goals(figures: &Figures) -> Vec<Goal> {
    use Relation::{AtLeast, AtMost};
    let ratio = |figure, key, value, relation, bound, of, by| {
        let values = figures.ratios(key, value, by);
        Goal { figure, relation, bound, of, values }
    };
    let own = |figure, key, value, bound, of| {
        let values = figures.of(key, Enjamb, value);
        Goal { figure, relation: AtMost, bound, of, values }
    };
    let (small, big) = ("stanzas per CPU-second, 8 pairs, S=100", "same, S=2000");
    let cost = "per_cpu_second";
    let mut goals = vec![
        ratio(small, "n8", cost, AtLeast, 0.35, "of route", Route),
        ratio(small, "n8", cost, AtLeast, 15.0, "× jabberd2", Foreign(Kind::Jabberd2)),
        ratio(small, "n8", cost, AtLeast, 25.0, "× ejabberd", Foreign(Kind::Ejabberd)),
        ratio(small, "n8", cost, AtLeast, 60.0, "× Prosody", Foreign(Kind::Prosody)),
        ratio(big, "n8big", cost, AtLeast, 0.5, "of route", Route),
        ratio(big, "n8big", cost, AtLeast, 12.0, "× jabberd2", Foreign(Kind::Jabberd2)),
        ratio("latency pinned, p50", "echo", "p50_us", AtMost, 1.15, "of relay", Relay),
        ratio("latency pinned, p99", "echo", "p99_us", AtMost, 1.3, "of relay", Relay),
        ratio("connects per CPU-second", "storm", "connects_per_cpu_second", AtLeast, 0.5, "of route", Route),
        own("RSS of an idle connection", "herd", "kib_per_connection", 2.0, "KiB"),
        own("RSS fresh", "herd", "fresh_mib", 8.0, "MiB"),
        own("p99 of a quiet pair beside a flooding one", "fairness", "p99_times", 2.0, "× alone"),
    ];
    let (pair, uplink) = (figures.of("n8", Enjamb, cost), figures.of("uplink", Enjamb, cost));
    let values = pair.iter().zip(&uplink).map(|(pair, uplink)| pair / uplink).collect();
    let figure = "CPU of a stanza over an uplink";
    goals.push(Goal { figure, relation: AtMost, bound: 1.15, of: "of one between components", values });
    let values = exponents(figures, Enjamb, "cpu_us_per_stanza");
    let figure = "exponent of CPU a stanza, 10 to 10,000 connections";
    goals.push(Goal { figure, relation: AtMost, bound: FLAT, of: "", values });
    for (figure, exponent) in [
        ("exponent of instructions a look-up, 10 to 100,000 domains", route_exponent(figures)),
        (
            "exponent of instructions to find each of 10 to 10,000 receivers in turn",
            finding_exponent(figures),
        ),
    ] {
        let values = exponent.into_iter().collect();
        goals.push(Goal { figure, relation: AtMost, bound: FLAT, of: "", values });
    }
    goals
}

/// How a cost grows with the connections, repetition by repetition.
pub(crate) fn exponents(figures: &Figures, server: Contestant, value: &str) -> Vec<f64> {
    let columns = AMONG.map(|(key, count)| (count as f64, figures.of(key, server, value)));
    let repetitions = columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    (0..repetitions)
        .filter_map(|at| {
            let points = columns.iter().filter_map(|(count, values)| Some((*count, *values.get(at)?)));
            exponent(&points.collect::<Vec<_>>())
        })
        .collect()
}

/// How a look-up in the router grows with the domains.
pub(crate) fn route_exponent(figures: &Figures) -> Option<f64> {
    let counts = figures.counts.as_ref()?;
    let points =
        micro::ROUTES.iter().filter_map(|(name, domains)| Some((*domains as f64, *counts.get(name)? as f64)));
    exponent(&points.collect::<Vec<_>>())
}

/// How finding a receiver that is not remembered grows with the components that are written to in turn: what a stanza
/// takes more than one to the same receiver always.
pub(crate) fn finding_exponent(figures: &Figures) -> Option<f64> {
    let counts = figures.counts.as_ref()?;
    let same = *counts.get(micro::SAME.0)?;
    let points = micro::TURNS.iter().filter_map(|(name, receivers)| {
        Some((*receivers as f64, counts.get(name)?.checked_sub(same)? as f64))
    });
    exponent(&points.collect::<Vec<_>>())
}

/// The table.
pub(crate) fn write(figures: &Figures) -> String {
    let mut text = String::from(
        "\n## Goals\n\nA ratio is of two figures of the same repetition. The table has the median, with min and max.\n\n| figure | goal | is | |\n|---|---|---|---|\n",
    );
    for goal in goals(figures) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}", goal.line());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_goal_is_met_missed_by_so_much_or_not_measured() {
        let line = |relation, values: &[f64]| {
            Goal { figure: "f", relation, bound: 0.5, of: "of route", values: values.into() }.line()
        };
        assert_eq!(
            line(Relation::AtLeast, &[0.6, 0.5, 0.4]),
            "| f | ≥ 0.5 of route | 0.50 (0.40 to 0.60) | met, but not each time |"
        );
        assert!(line(Relation::AtMost, &[0.6, 0.4, 0.1]).ends_with("| met, but not each time |"));
        assert!(line(Relation::AtLeast, &[0.6, 0.5]).ends_with("| met |"));
        assert!(line(Relation::AtLeast, &[0.4]).ends_with("| **not met**: 80 % of it |"));
        assert!(line(Relation::AtMost, &[1.0]).ends_with("| **not met**: 2.00 times as much |"));
        assert!(line(Relation::AtMost, &[0.5]).ends_with("| met |"));
        assert_eq!(line(Relation::AtMost, &[]), "| f | ≤ 0.5 of route | - | not measured |");
    }

    #[test]
    fn ratios_are_of_the_same_repetition_and_exponents_of_the_same_round() {
        let mut figures = Figures::default();
        for (ours, theirs) in [(30.0, 100.0), (80.0, 200.0)] {
            figures.add("n8", Enjamb, json!({"per_cpu_second": ours}));
            figures.add("n8", Route, json!({"per_cpu_second": theirs}));
        }
        for (key, count) in AMONG {
            figures.add(key, Enjamb, json!({"cpu_us_per_stanza": count as f64}));
        }
        assert_eq!(figures.ratios("n8", "per_cpu_second", Route), [0.3, 0.4]);
        assert!((exponents(&figures, Enjamb, "cpu_us_per_stanza")[0] - 1.0).abs() < 1e-9);
        let text = write(&figures);
        assert!(
            text.contains("| ≥ 0.35 of route | 0.35 (0.30 to 0.40) | met, but not each time |"),
            "{text}"
        );
        assert!(text.contains("| ≥ 15 × jabberd2 | - | not measured |"), "{text}");
        assert!(text.contains("**not met**: 20.0 times as much"), "{text}");
    }
}
