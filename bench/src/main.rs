//! `enjamb-bench`, the program: see its `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    enjamb_bench::run()
}
