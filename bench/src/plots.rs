//! The figures as charts.

use enjamb_foreign::Kind;

use crate::figures::Figures;
use crate::fit::spread;
use crate::micro;
use crate::plan::{AMONG, RATE};
use crate::servers::Contestant;
use crate::svg::{Axis, Bar, Series, bars, lines};
use crate::table::number;

const fn colour(server: Contestant) -> &'static str {
    match server {
        Contestant::Enjamb => "#e5484d",
        Contestant::Route => "#3e8ed0",
        Contestant::Relay => "#8b949e",
        Contestant::Foreign(Kind::Jabberd2) => "#d29922",
        Contestant::Foreign(Kind::Ejabberd) => "#2da44e",
        Contestant::Foreign(Kind::Prosody) => "#a371f7",
        Contestant::Foreign(Kind::ProsodyTuned) => "#e377c2",
    }
}

fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => format!("{v}"),
    }
}

/// Name of the file, title, and the chart; those that have something to show.
pub(crate) fn all(figures: &Figures) -> Vec<(&'static str, String, String)> {
    let charts = [
        cost(figures, "n8", "perf-cpu-100", "Stanzas per CPU-second of the server, 8 pairs, W=64, S=100"),
        cost(
            figures,
            "n8big",
            "perf-cpu-2000",
            "Stanzas per CPU-second of the server, 8 pairs, W=64, S=2000",
        ),
        latency(figures, "echo", "perf-echo", "Latency, one stanza outstanding, one core".into()),
        latency(
            figures,
            "timetable",
            "perf-timetable",
            format!("Latency from the intended time, {RATE} stanzas a second, 8 pairs"),
        ),
        among(
            figures,
            "cpu_us_per_stanza",
            "perf-among-cpu",
            "CPU a stanza, 5 pairs talking among idle connections",
            "µs of the server's CPU a stanza",
        ),
        among(
            figures,
            "kib_per_connection",
            "perf-among-rss",
            "Memory of an idle connection, by how many there are",
            "KiB RSS a connection",
        ),
        routes(figures),
    ];
    charts.into_iter().flatten().collect()
}

type Chart = Option<(&'static str, String, String)>;

fn cost(figures: &Figures, key: &'static str, name: &'static str, title: &str) -> Chart {
    let measured: Vec<_> = figures
        .servers
        .iter()
        .map(|server| (*server, spread(figures.of(key, *server, "per_cpu_second"))))
        .collect();
    let values: Vec<f64> =
        measured.iter().filter_map(|(_, spread)| *spread).flat_map(|s| [s.least, s.most]).collect();
    if values.is_empty() {
        return None;
    }
    let axis = Axis::decades("stanzas per CPU-second, logarithmic", values, short);
    let bar = |(server, spread): &(Contestant, Option<crate::fit::Spread>)| Bar {
        name: server.name(),
        colour: colour(*server),
        value: spread.map(|s| (s.least.log10(), s.median.log10(), s.most.log10())),
        text: spread.map_or_else(|| "not measured".into(), |s| number(s.median)),
    };
    let bars = bars(title, &axis, &measured.iter().map(bar).collect::<Vec<_>>());
    Some((name, title.into(), bars))
}

/// How many nines a part of all has.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn latency(figures: &Figures, key: &'static str, name: &'static str, title: String) -> Chart {
    let line = |server: &Contestant| {
        let points = figures
            .quantiles(key, *server)
            .into_iter()
            .filter_map(|(quantile, values)| spread(values).map(|spread| (nines(quantile), spread.median)));
        (*server, points.collect())
    };
    let ticks =
        [(0.0, "0"), (nines(0.5), "50 %"), (1.0, "90 %"), (2.0, "99 %"), (3.0, "99.9 %"), (4.0, "99.99 %")];
    let x = Axis {
        label: "part of the stanzas at or below".into(),
        ticks: ticks.into_iter().map(|(at, text)| (at, text.into())).collect(),
    };
    curve(name, title, &x, "µs, logarithmic", figures.servers.iter().map(line).collect())
}

fn among(
    figures: &Figures,
    value: &'static str,
    name: &'static str,
    title: &str,
    unit: &'static str,
) -> Chart {
    let line = |server: &Contestant| {
        let points = AMONG.iter().filter_map(|(key, count)| {
            spread(figures.of(key, *server, value)).map(|spread| ((*count as f64).log10(), spread.median))
        });
        (*server, points.collect())
    };
    let x = Axis::decades("connections, logarithmic", AMONG.map(|(_, count)| count as f64), short);
    curve(name, title.into(), &x, &format!("{unit}, logarithmic"), figures.servers.iter().map(line).collect())
}

fn routes(figures: &Figures) -> Chart {
    let counts = figures.counts.as_ref()?;
    let points = micro::ROUTES.iter().filter_map(|(name, domains)| {
        counts.get(name).map(|count| ((*domains as f64).log10(), *count as f64))
    });
    let x =
        Axis::decades("domains bound, logarithmic", micro::ROUTES.map(|(_, domains)| domains as f64), short);
    let title = "Instructions of one look-up in the router, by how many domains are bound";
    curve(
        "perf-routes",
        title.into(),
        &x,
        "instructions, logarithmic",
        vec![(Contestant::Enjamb, points.collect())],
    )
}

/// Lines whose second values are not logarithms yet; nothing without a value.
fn curve(
    name: &'static str,
    title: String,
    x: &Axis,
    unit: &str,
    measured: Vec<(Contestant, Vec<(f64, f64)>)>,
) -> Chart {
    let measured: Vec<_> = measured.into_iter().filter(|(_, points)| !points.is_empty()).collect();
    if measured.is_empty() {
        return None;
    }
    let y =
        Axis::decades(unit, measured.iter().flat_map(|(_, points)| points.iter().map(|(_, y)| *y)), short);
    let series = measured.into_iter().map(|(server, points)| Series {
        name: server.name(),
        colour: colour(server),
        ours: server == Contestant::Enjamb,
        // Below the first power of ten there is nothing that can be told from it.
        points: points.into_iter().map(|(x, y)| (x, y.max(1e-9).log10())).collect(),
    });
    let svg = lines(&title, x, &y, &series.collect::<Vec<_>>());
    Some((name, title, svg))
}
