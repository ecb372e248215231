//! The long forms of what the tests do for a moment. docs/fuzzing.md and docs/performance.md have the figures.

use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::workspace::{Result, root};
use crate::{fuzz, interop};

/// Mutants of stanzas for the scan and four other parsers.
const MUTANTS: &str = "2000000";
/// Runs of the chaotic simulation, each from its own seed.
const SEEDS: &str = "200000";
/// Of processor time, for each fuzz target.
const FUZZING: Duration = Duration::from_secs(30 * 60);

/// What can be proved at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Two million mutants of stanzas, read by our scan, rxml, roxmltree and libexpat: minutes
    Mutants,
    /// 200,000 simulated runs in which everything goes wrong: minutes
    Chaos,
    /// Half an hour of processor time for each fuzz target; adds the figures to docs/fuzzing.md
    Fuzz,
    /// Eleven attacks on components with another secret, 2 minutes of an idle machine; docs/threats.md has the figures
    Neighbours,
    /// The comparison with other servers, 20 minutes of an idle machine; writes docs/performance.md
    Compare,
}

/// Runs these parts, or all.
pub(crate) fn run(asked: &[Part]) -> Result<()> {
    for part in if asked.is_empty() { Part::value_variants() } else { asked } {
        match part {
            Part::Mutants => test("scan_vs_rxml", "ENJAMB_MUTANTS", MUTANTS)?,
            Part::Chaos => test("sim_chaos", "ENJAMB_SEEDS", SEEDS)?,
            Part::Fuzz => fuzz::long(FUZZING, &[])?,
            Part::Neighbours => bench("neighbours", "docs/threats.md says how it is measured")?,
            Part::Compare => bench("compare", "docs/performance.md says what it needs")?,
        }
    }
    Ok(())
}

/// A measurement of the real server.
fn bench(command: &str, hint: &str) -> Result<()> {
    let server = ["build", "--release", "--locked", "--package", "enjamb"];
    interop::run_one(Command::new("cargo").current_dir(root()).args(server), "it must build")?;
    let measure = ["run", "--release", "--locked", "--package", "enjamb-bench", "--", command];
    interop::run_one(Command::new("cargo").current_dir(root()).args(measure), hint)
}

/// A test in its long form, optimised.
fn test(name: &str, variable: &str, number: &str) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()).args(["test", "--release", "--locked", "--package", "enjamb-tests"]);
    cargo.args(["--features", "interop", "--test", name, "--", "--nocapture"]).env(variable, number);
    interop::run_one(&mut cargo, "`cargo xtask interop` brings what it needs")
}
