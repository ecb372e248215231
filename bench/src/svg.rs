//! Charts as SVG that stands by itself: readable on light and on dark, no script, no font or file from elsewhere.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
/// What the legend and the labels need.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 48.0;

const STYLE: &str = "text{font:13px system-ui,-apple-system,'DejaVu Sans',sans-serif;fill:#1f2328}\
.bg{fill:#ffffff}.title{font-size:15px;font-weight:600}.dim{fill:#59636e}.grid{stroke:#d1d9e0;stroke-width:1}\
.edge{stroke:#1f2328;stroke-width:1.5}\
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.bg{fill:#0d1117}.dim{fill:#9198a1}.grid{stroke:#3d444d}.edge{stroke:#f0f6fc}}";

/// A scale: what it is of, and where which number stands.
pub(crate) struct Axis {
    pub(crate) label: String,
    /// A place, and what is written there; the first and the last are the ends.
    pub(crate) ticks: Vec<(f64, String)>,
}

/// A line, or a bar.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    /// Drawn thicker.
    pub(crate) ours: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A bar with what it lies between.
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    /// Least, median, most on the axis; `None` where nothing was measured.
    pub(crate) value: Option<(f64, f64, f64)>,
    /// What is written behind it.
    pub(crate) text: String,
}

impl Axis {
    /// Powers of ten that hold all of the values, with their logarithms as places.
    pub(crate) fn decades(
        label: &str,
        values: impl IntoIterator<Item = f64>,
        name: fn(f64) -> String,
    ) -> Self {
        let (mut low, mut high) = (i32::MAX, i32::MIN);
        for value in values.into_iter().filter(|value| *value > 0.0) {
            low = low.min((value * 1.000_001).log10().floor() as i32);
            high = high.max((value * 0.999_999).log10().ceil() as i32);
        }
        if low > high {
            (low, high) = (0, 1);
        }
        let high = high.max(low + 1);
        let ticks = (low..=high).map(|power| (f64::from(power), name(10_f64.powi(power))));
        Self { label: label.into(), ticks: ticks.collect() }
    }

    /// Where a place of this axis is between two others.
    fn place(&self, at: f64, from: f64, to: f64) -> f64 {
        let (first, last) = match (self.ticks.first(), self.ticks.last()) {
            (Some(first), Some(last)) if last.0 > first.0 => (first.0, last.0),
            _ => (0.0, 1.0),
        };
        from + (at.clamp(first, last) - first) / (last - first) * (to - from)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn begin(title: &str, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' role='img' aria-label=\"{}\">\n<style>{STYLE}</style>\n<rect class='bg' width='{WIDTH}' height='{height}'/>\n<text class='title' x='16' y='26'>{title}</text>\n",
        title.replace('"', "&quot;")
    )
}

/// Lines over two axes.
pub(crate) fn lines(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let height = 400.0;
    let (right, bottom) = (WIDTH - RIGHT, height - BOTTOM);
    let mut svg = begin(title, height);
    // Writing to a string can't fail.
    for (at, text) in &x.ticks {
        let x = x.place(*at, LEFT, right);
        let _ = writeln!(
            svg,
            "<line class='grid' x1='{x:.1}' y1='{TOP}' x2='{x:.1}' y2='{bottom}'/><text class='dim' x='{x:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
            bottom + 18.0,
            escape(text)
        );
    }
    for (at, text) in &y.ticks {
        let y = y.place(*at, bottom, TOP);
        let _ = writeln!(
            svg,
            "<line class='grid' x1='{LEFT}' y1='{y:.1}' x2='{right}' y2='{y:.1}'/><text class='dim' x='{:.1}' y='{:.1}' text-anchor='end'>{}</text>",
            LEFT - 8.0,
            y + 4.5,
            escape(text)
        );
    }
    let _ = writeln!(
        svg,
        "<text class='dim' x='{:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
        f64::midpoint(LEFT, right),
        bottom + 38.0,
        escape(&x.label)
    );
    let _ = writeln!(svg, "<text class='dim' x='16' y='{:.1}'>{}</text>", TOP - 14.0, escape(&y.label));
    for (index, Series { name, colour, ours, points }) in series.iter().enumerate() {
        let places: Vec<_> =
            points.iter().map(|(px, py)| (x.place(*px, LEFT, right), y.place(*py, bottom, TOP))).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let width = if *ours { 3.5 } else { 2.0 };
        let _ = writeln!(
            svg,
            "<polyline fill='none' stroke='{colour}' stroke-width='{width}' stroke-linejoin='round' points='{}'/>",
            path.join(" ")
        );
        for (x, y) in places {
            let _ = write!(svg, "<circle cx='{x:.1}' cy='{y:.1}' r='{width}' fill='{colour}'/>");
        }
        let y = TOP + 14.0 + 22.0 * index as f64;
        let _ = writeln!(
            svg,
            "\n<line x1='{:.1}' y1='{y:.1}' x2='{:.1}' y2='{y:.1}' stroke='{colour}' stroke-width='{width}'/><text x='{:.1}' y='{:.1}'>{name}</text>",
            right + 16.0,
            right + 40.0,
            right + 48.0,
            y + 4.5
        );
    }
    svg + "</svg>\n"
}

/// Bars, one below the other, along one axis; a line in each shows between what it lies.
pub(crate) fn bars(title: &str, x: &Axis, bars: &[Bar]) -> String {
    let height = TOP + BOTTOM + 30.0 * bars.len() as f64;
    let (left, right, bottom) = (LEFT + 40.0, WIDTH - 90.0, height - BOTTOM);
    let mut svg = begin(title, height);
    for (at, text) in &x.ticks {
        let x = x.place(*at, left, right);
        let _ = writeln!(
            svg,
            "<line class='grid' x1='{x:.1}' y1='{TOP}' x2='{x:.1}' y2='{bottom}'/><text class='dim' x='{x:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
            bottom + 18.0,
            escape(text)
        );
    }
    let _ = writeln!(
        svg,
        "<text class='dim' x='{:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
        f64::midpoint(left, right),
        bottom + 38.0,
        escape(&x.label)
    );
    for (index, Bar { name, colour, value, text }) in bars.iter().enumerate() {
        let y = TOP + 30.0 * index as f64;
        let _ =
            writeln!(svg, "<text x='{:.1}' y='{:.1}' text-anchor='end'>{name}</text>", left - 8.0, y + 19.5);
        let mut end = left;
        if let Some((least, median, most)) = value {
            let [from, middle, to] = [least, median, most].map(|at| x.place(*at, left, right));
            end = to.max(middle);
            let _ = writeln!(
                svg,
                "<rect x='{left}' y='{:.1}' width='{:.1}' height='20' fill='{colour}'/><line class='edge' x1='{from:.1}' y1='{:.1}' x2='{to:.1}' y2='{:.1}'/>",
                y + 5.0,
                middle - left,
                y + 15.0,
                y + 15.0
            );
        }
        let _ = writeln!(
            svg,
            "<text class='dim' x='{:.1}' y='{:.1}'>{}</text>",
            end + 8.0,
            y + 19.5,
            escape(text)
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: f64) -> String {
        value.to_string()
    }

    #[test]
    fn decades_hold_all_values_and_are_never_none() {
        let ends = |values: &[f64]| {
            let axis = Axis::decades("", values.iter().copied(), plain);
            (axis.ticks.first().unwrap().1.clone(), axis.ticks.last().unwrap().1.clone())
        };
        assert_eq!(ends(&[15_000.0, 2_900_000.0]), ("10000".into(), "10000000".into()));
        assert_eq!(ends(&[10.0, 1000.0]), ("10".into(), "1000".into()));
        assert_eq!(ends(&[100.0]), ("100".into(), "1000".into()));
        assert_eq!(ends(&[0.05]), ("0.01".into(), "0.1".into()));
        assert_eq!(ends(&[]), ("1".into(), "10".into()));
    }

    #[test]
    fn a_place_on_an_axis_is_where_its_number_is() {
        let axis = Axis::decades("", [1.0, 100.0], plain);
        assert!((axis.place(1.0, 0.0, 100.0) - 50.0).abs() < 1e-9);
        assert!((axis.place(1.0, 100.0, 0.0) - 50.0).abs() < 1e-9);
        assert!((axis.place(9.0, 0.0, 100.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn charts_are_well_formed_and_refer_to_nothing_elsewhere() {
        let axis = || Axis::decades("µs <log>", [1.0, 100.0], plain);
        let series =
            Series { name: "enjamb", colour: "#e5484d", ours: true, points: vec![(0.0, 1.0), (1.0, 2.0)] };
        let bar =
            Bar { name: "route", colour: "#3e8ed0", value: Some((0.5, 1.0, 1.5)), text: "a & b".into() };
        let none = Bar { name: "relay", colour: "#8b949e", value: None, text: "not installed".into() };
        for svg in [lines("it's \"<1>\"", &axis(), &axis(), &[series]), bars("bars", &axis(), &[bar, none])] {
            let mut reader = quick_xml::Reader::from_str(&svg);
            loop {
                if reader.read_event().unwrap() == quick_xml::events::Event::Eof {
                    break;
                }
            }
            assert_eq!(svg.matches("http").count(), 1, "the namespace's name alone");
            assert!(svg.contains("prefers-color-scheme:dark"));
        }
    }
}
