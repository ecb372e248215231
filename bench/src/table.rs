//! One run's figures for people.

use std::fmt::Write;

use serde_json::Value;

/// What a figure is called, in the order of the table, with its unit and its factor.
const FIGURES: [(&str, &str, f64); 24] = [
    ("connections", "connections", 1.0),
    ("stanzas", "stanzas", 1.0),
    ("per_second", "a second", 1.0),
    ("per_cpu_second", "a CPU-second of the server", 1.0),
    ("connects_per_cpu_second", "a CPU-second of the server", 1.0),
    ("cpu_us_per_stanza", "µs of the server's CPU a stanza", 1.0),
    ("cpu_us_per_connect", "µs of the server's CPU a connection", 1.0),
    ("kib_per_connection", "KiB a connection", 1.0),
    ("fresh_mib", "MiB fresh", 1.0),
    ("server_share", "% of a core: the server", 100.0),
    ("generator_share", "% of a core: the generator", 100.0),
    ("p50_us", "µs, p50", 1.0),
    ("p90_us", "µs, p90", 1.0),
    ("p99_us", "µs, p99", 1.0),
    ("p999_us", "µs, p99.9", 1.0),
    ("max_us", "µs, the longest", 1.0),
    ("sent_late_p99_us", "µs late sent, p99 (counted in the latencies)", 1.0),
    ("alone_p50_us", "µs alone, p50", 1.0),
    ("alone_p99_us", "µs alone, p99", 1.0),
    ("flooded_p50_us", "µs beside the flood, p50", 1.0),
    ("flooded_p99_us", "µs beside the flood, p99", 1.0),
    ("p50_times", "times the p50", 1.0),
    ("p99_times", "times the p99", 1.0),
    ("flood_per_second", "stanzas of the flood a second", 1.0),
];

/// A number with as many digits as say something.
pub(crate) fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// A line for each figure that there is.
pub(crate) fn write(value: &Value) -> String {
    let mut text = String::new();
    for (key, unit, factor) in FIGURES {
        if let Some(figure) = value[key].as_f64() {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{:>10}  {unit}", number(figure * factor));
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_keep_about_three_digits() {
        for (value, text) in
            [(2_345_678.0, "2.35M"), (23_456.0, "23k"), (234.4, "234"), (23.45, "23.4"), (0.2, "0.20")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_table_has_what_was_measured_and_no_more() {
        let text =
            write(&json!({"per_second": 1234.0, "server_share": 0.5, "p50_us": null, "quantiles": []}));
        assert_eq!(text, "      1234  a second\n      50.0  % of a core: the server");
    }
}
