//! Output to the terminal. Its reader may have gone, as in `enjamb demo | head`: a server does not stop
//! over that, so nothing here fails (`println!` would panic).

use std::fmt::Display;
use std::io::{self, Write};

/// A line to standard output.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// A line to standard error.
pub(crate) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
