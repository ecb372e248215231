//! Text from files and peers, made fit for a terminal or a log line.

/// The text with control and other invisible characters escaped.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A name from outside as it appears in a message: in backquotes, printable, not endless.
pub(crate) fn quoted(name: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = name.chars().take(LONGEST).collect();
    let dots = if shown.len() < name.len() { "..." } else { "" };
    format!("`{}{dots}`", printable(&shown))
}
