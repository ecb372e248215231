//! What can be read of a file that is no TOML everywhere: a statement with a fault is taken out, and the rest parsed
//! again, so that the faults of syntax are found all in one go, and those of meaning beside them.

use std::ops::Range;

use toml::de::DeTable;

/// A file with more faults of syntax is no configuration.
const MOST: usize = 20;

/// How far back, in lines, a statement is looked for that an open bracket or quote makes run on.
const LONGEST: usize = 200;

/// The text with blanks for what is no TOML, every other byte at its place, and the faults found.
pub(super) fn recover(text: &str) -> (String, Vec<(Range<usize>, String)>) {
    let mut rest = text.to_owned();
    let mut faults = Vec::new();
    while faults.len() < MOST {
        let (_, errors) = DeTable::parse_recoverable(&rest);
        let place = |error: &toml::de::Error| error.span().unwrap_or(0..0);
        let Some(first) = errors.iter().min_by_key(|error| place(error).start) else { break };
        let statement = statement_at(&rest, place(first).start);
        faults.push((place(first), first.message().to_owned()));
        if rest[statement.clone()].trim().is_empty() {
            break;
        }
        let blank = rest[statement.clone()]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect::<String>();
        rest.replace_range(statement, &blank);
    }
    (rest, faults)
}

/// The lines of the statement that the first fault of the text, at `at`, belongs to; of a header those of its table.
fn statement_at(text: &str, at: usize) -> Range<usize> {
    let line_of = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let own = line_of(text.floor_char_boundary(at));
    let before = std::iter::successors(Some(own), |&start| (start > 0).then(|| line_of(start - 1)));
    // It begins where all before it is whole.
    let is_whole = |start: &usize| DeTable::parse_recoverable(&text[..*start]).1.is_empty();
    let start = before.take(LONGEST).find(is_whole).unwrap_or(own);
    let is_end = if text[start..].trim_start().starts_with('[') { is_header } else { is_beginning };
    let mut end = start;
    for line in text[start..].split_inclusive('\n') {
        if end > start && is_end(line) {
            break;
        }
        end += line.len();
    }
    start..end
}

/// Does a statement begin with this line, as far as can be told?
fn is_beginning(line: &str) -> bool {
    let is_of_key = |c: char| c.is_alphanumeric() || " \t_-.\"'".contains(c);
    let is_key =
        line.split_once('=').is_some_and(|(key, _)| key.chars().all(is_of_key) && !key.trim().is_empty());
    is_key || is_header(line) || line.trim().is_empty()
}

fn is_header(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    line.starts_with('[') && line.ends_with(']') && !line.contains([',', '='])
}
