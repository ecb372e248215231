//! The progress bar.

use std::io;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar of everything that takes its time; on no terminal it shows nothing.
pub(crate) fn progress(steps: u64) -> io::Result<ProgressBar> {
    let template = "{bar:40} {percent:>3} % {elapsed_precise}, {eta_precise} left: {msg}";
    let style = ProgressStyle::with_template(template).map_err(io::Error::other)?;
    Ok(ProgressBar::new(steps).with_style(style))
}
