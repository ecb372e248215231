//! The tables that `enjamb probe` prints.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use console::Term;
use enjamb_probe::{Count, Group, Row, Verdict};

use super::outcome::Outcome;

/// The width of the tables where standard output is no terminal.
const WIDTH: u16 = 100;
/// Less is narrow.
const NARROW: u16 = 96;
/// Wider lines are hard to follow.
const WIDEST: u16 = 140;

/// Text of the server, without what would move a terminal's cursor or turn its line around.
pub(super) fn printable(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    text.chars().map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// Cases and what each should be answered.
pub(super) fn list(rows: &[Row]) -> String {
    let paint = Paint::new();
    let mut out = String::new();
    for (group, rows) in by_group(rows) {
        let mut table = paint.table();
        for row in rows {
            table.add_row([row.id.as_str(), &row.level.to_string(), &row.name, &row.best]);
        }
        paint.titled(&mut out, group, &table);
    }
    out
}

/// Everything that is said of one run: each case by group, what is outside the rules, and the counts.
pub(super) fn report(outcome: &Outcome, brief: bool) -> String {
    let paint = Paint::new();
    let rows = &outcome.report.cases;
    let mut out = String::new();
    if !brief {
        for (group, rows) in by_group(rows) {
            let mut table = paint.table();
            for row in rows.iter().filter(|row| row.verdict.is_some()) {
                table.add_row(paint.case(row));
            }
            paint.titled(&mut out, group, &table);
        }
    }
    let outside: Vec<&Row> = rows.iter().filter(|row| row.verdict == Some(Verdict::Outside)).collect();
    if !outside.is_empty() {
        let _ = writeln!(out, "{}", paint.bold("Outside of what the rules allow"));
        for row in outside {
            let _ = writeln!(out, "\n  {} {}, a {}{}", row.id, row.name, row.level, cut(row));
            let _ = writeln!(out, "    wanted: {}", row.expect.join(", or "));
            let _ = writeln!(out, "    it did: {}", printable(row.answer.as_deref().unwrap_or_default()));
            if !row.note.is_empty() {
                let _ = writeln!(out, "    why:    {}", row.note);
            }
        }
        out.push('\n');
    }
    let receiver = outcome.receiver.as_ref().map(|receiver| format!(" and {receiver}")).unwrap_or_default();
    let head = format!("{} as {}{receiver}, {}", outcome.server, outcome.component, outcome.time);
    let _ = writeln!(out, "{}\n{}", paint.bold(&head), paint.counts(outcome));
    out + &verdict(outcome)
}

/// The outcome in a line or two.
fn verdict(outcome: &Outcome) -> String {
    let Count { played, best, outside, outside_must, left_out, .. } = outcome.summary;
    let mut line = match outside {
        0 => format!("All {played} answers are within the rules, {best} of them the best there is."),
        1 => format!("1 answer of {played} is outside the rules."),
        _ => format!("{outside} answers of {played} are outside the rules."),
    };
    match outside_must {
        0 => {}
        1 => line += " 1 breaks a MUST.",
        must => {
            let _ = write!(line, " {must} break a MUST.");
        }
    }
    if left_out > 0 {
        let missing = if outcome.receiver.is_none() { "--peer" } else { "--away, or the standard names" };
        let _ = write!(line, "\n{left_out} cases were left out: they need {missing}.");
    }
    line + "\n"
}

fn by_group(rows: &[Row]) -> impl Iterator<Item = (Group, &[Row])> {
    rows.chunk_by(|a, b| a.group == b.group).filter_map(|rows| Some((rows.first()?.group, rows)))
}

fn cut(row: &Row) -> String {
    row.cut.as_ref().map(|cut| format!(" ({cut})")).unwrap_or_default()
}

/// How things look on this terminal.
struct Paint {
    colour: bool,
    width: u16,
}

impl Paint {
    fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let width = Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| columns);
        Self { colour, width: width.min(WIDEST) }
    }

    fn bold(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_width(self.width);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table
    }

    fn titled(&self, out: &mut String, group: Group, table: &Table) {
        let _ = writeln!(out, "{}", self.bold(group.title()));
        for line in table.lines() {
            let _ = writeln!(out, "{}", self.verdict_at_end(line.trim_end()));
        }
        out.push('\n');
    }

    /// The cells of a case; without its level on a narrow terminal, where the answers need the room.
    fn case(&self, row: &Row) -> Vec<String> {
        let answer = printable(row.answer.as_deref().unwrap_or_default());
        let verdict = row.verdict.map(|verdict| verdict.to_string()).unwrap_or_default();
        let mut cells =
            vec![row.id.clone(), row.level.to_string(), row.name.clone() + &cut(row), answer, verdict];
        if self.width < NARROW {
            cells.remove(1);
        }
        cells
    }

    /// A line of a table of cases, with its verdict in colour.
    fn verdict_at_end(&self, line: &str) -> String {
        let codes = [(Verdict::Best, "32"), (Verdict::Accepted, "33"), (Verdict::Outside, "1;31")];
        for (verdict, code) in codes {
            if let Some(rest) = line.strip_suffix(&format!(" {verdict}")).filter(|_| self.colour) {
                return format!("{rest} \x1b[{code}m{verdict}\x1b[0m");
            }
        }
        line.to_owned()
    }

    fn counts(&self, outcome: &Outcome) -> Table {
        let mut table = self.table();
        table.set_header(["", "played", "best", "accepted", "outside"]);
        let mut add = |title: &str, group: Option<Group>| {
            let count = outcome.report.count(group);
            if count.played > 0 {
                let numbers =
                    [count.played, count.best, count.accepted, count.outside].map(|n| n.to_string());
                table.add_row([title.to_owned()].into_iter().chain(numbers));
            }
        };
        for group in Group::ALL {
            add(group.title(), Some(group));
        }
        add("all", None);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}
