//! Numbers of the command line, within bounds.

/// A number of seconds that ends.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    within(text, 0.05, 3600.0)
}

/// Stanzas a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    within(text, 1.0, 1e7)
}

fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("it has to be {least} to {most}")) }
}
