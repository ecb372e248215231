//! Processes that end with ours.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// ejabberd's virtual machine takes seconds on a busy machine, and Prosody with thousands of components as well.
pub(crate) const START: Duration = Duration::from_secs(60);

/// A command for a program that is killed when the thread that spawned it ends, however that ends.
pub(crate) fn ending_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
