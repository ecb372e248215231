//! Secrets are blotted out of the text that excerpts are cut from.
//!
//! Asterisks take the place of the bytes, so that every span stays where it was.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text with asterisks for the values of all keys that look like secrets, in any section: typing errors of
/// `password`, too. `well_formed` is false where the parser refused the text: then whole lines are judged, as
/// the parser's view of them can't be trusted.
pub(super) fn mask(text: &str, root: &DeTable<'_>, well_formed: bool) -> String {
    let mut spans = Vec::new();
    secrets_of_table(root, false, &mut spans);
    if !well_formed {
        secrets_of_lines(text, &mut spans);
    }
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        // Only whole characters are replaced: a span ends on their boundaries.
        if text.get(span.clone()).is_some() {
            for byte in &mut bytes[span] {
                if !matches!(*byte, b'\n' | b'\r') {
                    *byte = b'*';
                }
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn secrets_of_table(table: &DeTable<'_>, inherited: bool, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        secrets_of_value(value, inherited || looks_secret(key.get_ref()), spans);
    }
}

fn secrets_of_value(value: &Spanned<DeValue<'_>>, secret: bool, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => secrets_of_table(table, secret, spans),
        DeValue::Array(items) => {
            for item in items {
                secrets_of_value(item, secret, spans);
            }
        }
        _ if secret => spans.push(value.span()),
        _ => {}
    }
}

/// Ends of the lines in which something like a secret's name stands before an equals sign, or without one.
fn secrets_of_lines(text: &str, spans: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        if let Some(start) = secret_in_line(&text[at..line_end]).map(|offset| at + offset) {
            let end = end_of_secret(text, start, line_end);
            spans.push(start..end);
            at = end;
        }
        at = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    }
}

/// Where, in a line, the secret begins.
fn secret_in_line(line: &str) -> Option<usize> {
    let mut start = 0;
    for (equals, _) in line.match_indices('=') {
        if looks_secret(&line[start..equals]) {
            return Some(equals + 1);
        }
        start = equals + 1;
    }
    looks_secret(&line[start..]).then_some(start)
}

/// A secret ends with its line, with the next one when its own is blank, or with its closing quotes.
fn end_of_secret(text: &str, start: usize, line_end: usize) -> usize {
    let value = &text[start..line_end];
    for quotes in ["\"\"\"", "'''"] {
        if let Some(open) = value.find(quotes) {
            let inside = start + open + quotes.len();
            let close = text[inside..].find(quotes).map_or(text.len(), |at| inside + at);
            return close.max(line_end);
        }
    }
    if value.trim().is_empty() && line_end < text.len() {
        let next = line_end + 1;
        return text[next..].find('\n').map_or(text.len(), |newline| next + newline);
    }
    line_end
}

/// Whether the value beside this name had better not be printed.
fn looks_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if ["pass", "pwd", "secret", "token", "credential"].iter().any(|word| plain.contains(word)) {
        return true;
    }
    nearly_contains(&plain, "password", 2) || nearly_contains(&plain, "secret", 1)
}

/// Whether `word` stands anywhere in `text` with at most this many typing errors.
fn nearly_contains(text: &str, word: &str, errors: usize) -> bool {
    let set = |bytes: &[u8]| bytes.iter().fold(0_u128, |set, byte| set | 1 << (byte & 127));
    let letters = set(word.as_bytes());
    let sizes = word.len() - errors..=word.len() + errors;
    sizes.into_iter().flat_map(|size| text.as_bytes().windows(size)).any(|window| {
        // Every error takes one letter out at most; the comparison itself is slow.
        let missing = (letters & !set(window)).count_ones();
        missing as usize <= errors
            && std::str::from_utf8(window)
                .is_ok_and(|window| strsim::damerau_levenshtein(window, word) <= errors)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let (root, errors) = DeTable::parse_recoverable(text);
        mask(text, root.get_ref(), errors.is_empty())
    }

    #[test]
    fn values_of_secrets_are_blotted_out_and_nothing_moves() {
        assert_eq!(masked("a = 'x'\npassword = 'höh' # c\n"), "a = 'x'\npassword = ****** # c\n");
        assert_eq!(masked("pasword = 12345"), "pasword = *****");
        assert_eq!(masked("[x.token]\na = [1, 'b']"), "[x.token]\na = [*, ***]");
        assert_eq!(masked("t = {port = 1, Passwd = 'x'}"), "t = {port = 1, Passwd = ***}");
        assert_eq!(masked("password = '''a\nbc'''\nb = 1"), "password = ****\n*****\nb = 1");
        assert_eq!(masked("secert = 'x'"), "secert = ***");
        assert_eq!(masked("compass_rose = 1"), "compass_rose = *");
        assert_eq!(masked("max_rate = 5\nport = 7"), "max_rate = 5\nport = 7");
    }

    #[test]
    fn broken_text_loses_the_rest_of_a_line_that_may_hold_a_secret() {
        assert_eq!(masked("a = \npassword = 'abc"), "a = \npassword =*****");
        assert_eq!(masked("password 'abc'\nb = 1"), "**************\nb = 1");
        assert_eq!(masked("password =\n'abc' x\nb = 1"), "password =\n*******\nb = 1");
        assert_eq!(masked("pas\"word = 'abc'"), "pas\"word =******");
        assert_eq!(masked("password = \"\"\"a\nbc"), "password =*****\n**");
        assert_eq!(masked("port = 1, password = 'abc'"), "port = 1, password =******");
    }
}
