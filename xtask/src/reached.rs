//! What LLVM's exports say of the core's files, its tests left out, and how it is printed.
//!
//! A region is a piece of code that runs as a whole: an arm, a branch, what stands behind a `?`.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::workspace::{Result, root};

/// Functions that only the compiler runs, to work out a table: no test reaches them. By file, and how each begins.
const IN_COMPILER: [(&str, &str); 2] = [
    ("jid/plain.rs", "const fn classes() -> [u8; 256] {"),
    ("xml/names.rs", "const fn classes() -> [u8; 256] {"),
];

/// Tests inside a file begin here; what stands behind is no code of the core.
const TESTS: &str = "#[cfg(test)]\nmod tests {";

/// One file of the core.
pub(crate) struct File {
    name: String,
    /// By line, how often each ran.
    lines: Vec<Count>,
    /// The same of regions, by the line where each begins.
    regions: Vec<Count>,
    /// Lines that only the compiler runs.
    in_compiler: Range<u64>,
}

impl File {
    /// The lines that are reached in part, but for what only the compiler runs.
    fn missed_in_reached_lines(&self) -> Vec<u64> {
        let is_reached = |line: &u64| self.lines.iter().any(|(other, count)| other == line && *count > 0);
        let missed = self.regions.iter().filter(|(_, count)| *count == 0).map(|(line, _)| *line);
        let mut lines: Vec<u64> =
            missed.filter(|line| is_reached(line) && !self.in_compiler.contains(line)).collect();
        lines.dedup();
        lines
    }
}

type Count = (u64, u64);

/// How many there are, and how many did not run.
#[derive(Clone, Copy, Default)]
struct Sum {
    all: usize,
    missed: usize,
}

impl Sum {
    fn add(&mut self, counts: &[Count], but: &Range<u64>) {
        let counts = || counts.iter().filter(|(line, _)| !but.contains(line));
        self.all += counts().count();
        self.missed += counts().filter(|(_, count)| *count == 0).count();
    }

    /// In percent.
    fn share(self) -> f64 {
        100.0 * (self.all - self.missed) as f64 / self.all.max(1) as f64
    }
}

/// Lines and regions.
#[derive(Clone, Copy, Default)]
struct Reached {
    lines: Sum,
    regions: Sum,
}

impl Reached {
    fn add(&mut self, file: &File, but: &Range<u64>) {
        self.lines.add(&file.lines, but);
        self.regions.add(&file.regions, but);
    }

    fn print(self, name: &str, missed: &str) {
        let Self { lines, regions } = self;
        println!(
            "{name:<32} {:>6} {:>7} {:>6.1} % {:>8} {:>7} {:>6.1} %  {missed}",
            lines.all,
            lines.missed,
            lines.share(),
            regions.all,
            regions.missed,
            regions.share()
        );
    }
}

/// Prints what is reached of each file and of all; gives the share of all lines, in percent.
pub(crate) fn print(files: &[File]) -> f64 {
    let (mut all, mut run) = (Reached::default(), Reached::default());
    println!(
        "\n{:<32} {:>6} {:>7} {:>8} {:>8} {:>7} {:>8}  lines not reached",
        "file", "lines", "missed", "", "regions", "missed", ""
    );
    for file in files {
        let mut reached = Reached::default();
        reached.add(file, &(0..0));
        let missed: Vec<u64> =
            file.lines.iter().filter(|(_, count)| *count == 0).map(|(line, _)| *line).collect();
        reached.print(&file.name, &ranges(&missed));
        all.add(file, &(0..0));
        run.add(file, &file.in_compiler);
    }
    all.print("all of the core", "");
    for file in files {
        let parts = file.missed_in_reached_lines();
        if !parts.is_empty() {
            println!("{:<32} regions in reached lines that are not: {}", file.name, ranges(&parts));
        }
    }
    let but: Vec<_> =
        files.iter().filter(|file| !file.in_compiler.is_empty()).map(|file| &*file.name).collect();
    run.print("but what only the compiler runs", &format!("the tables of {}", but.join(", ")));
    all.lines.share()
}

/// The core's files, by what LLVM exports as lcov (lines) and as JSON (regions).
pub(crate) fn files(lcov: &str, json: &str) -> Result<Vec<File>> {
    let lines = lines(lcov);
    let mut files = Vec::new();
    let core = root().join("core/src");
    for exported in serde_json::from_str::<Value>(json)?["data"][0]["files"].as_array().into_iter().flatten()
    {
        let path = exported["filename"].as_str().unwrap_or_default();
        let Ok(name) = Path::new(path).strip_prefix(&core) else { continue };
        let name = name.display().to_string();
        if name.ends_with("tests.rs") || name.contains("/tests/") || name.ends_with("model.rs") {
            continue;
        }
        let source = fs::read_to_string(path)?;
        let end = source.find(TESTS).map_or(u64::MAX, |at| line_of(&source, at));
        let before_tests =
            |counts: &[Count]| counts.iter().filter(|(line, _)| *line < end).copied().collect();
        let segments = exported["segments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let regions: Vec<_> = segments.iter().filter_map(region).collect();
        let file = File {
            lines: before_tests(lines.get(path).map(Vec::as_slice).unwrap_or_default()),
            regions: before_tests(&regions),
            in_compiler: in_compiler(&name, &source)?,
            name,
        };
        if let Some((line, _)) =
            file.lines.iter().find(|(line, count)| *count > 0 && file.in_compiler.contains(line))
        {
            return Err(format!("{}, line {line}: this does not run in the compiler only", file.name).into());
        }
        files.push(file);
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// By file, how often each line ran.
fn lines(lcov: &str) -> BTreeMap<&str, Vec<Count>> {
    let mut files = BTreeMap::new();
    for section in lcov.split("end_of_record") {
        let Some(path) = section.lines().find_map(|line| line.strip_prefix("SF:")) else { continue };
        let counts = section.lines().filter_map(|line| {
            let (number, count) = line.strip_prefix("DA:")?.split_once(',')?;
            Some((number.parse().ok()?, count.parse().ok()?))
        });
        files.insert(path, counts.collect());
    }
    files
}

/// A segment, `[line, column, count, has a count, begins a region, is a gap]`, where it begins a region.
fn region(segment: &Value) -> Option<Count> {
    let is = |place: usize| segment[place].as_bool() == Some(true);
    if is(3) && is(4) && !is(5) { Some((segment[0].as_u64()?, segment[2].as_u64()?)) } else { None }
}

/// The lines of the function that only the compiler runs; none in most files.
fn in_compiler(name: &str, source: &str) -> Result<Range<u64>> {
    let Some((_, begin)) = IN_COMPILER.iter().find(|(file, _)| *file == name) else { return Ok(0..0) };
    let start = source.find(begin).ok_or_else(|| format!("{name} has no `{begin}` any more"))?;
    let end = start + source[start..].find("\n}\n").ok_or("a function has no end")?;
    Ok(line_of(source, start)..line_of(source, end) + 2)
}

/// The number of the line that the byte at `at` is in.
fn line_of(source: &str, at: usize) -> u64 {
    source[..at].matches('\n').count() as u64 + 1
}

/// `3-5, 9`.
fn ranges(lines: &[u64]) -> String {
    let runs = lines.chunk_by(|before, next| before + 1 == *next);
    let text = runs.map(|run| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    text.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_lines_are_told_together() {
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12]), "3-5, 9, 11-12");
    }

    #[test]
    fn a_function_of_the_compiler_reaches_from_its_name_to_its_closing_brace() {
        let source = "//! a\n\nconst fn classes() -> [u8; 256] {\n    [0; 256]\n}\n\nfn b() {}\n";
        assert_eq!(in_compiler("xml/names.rs", source).unwrap(), 3..6);
        assert_eq!(in_compiler("xml/tag.rs", source).unwrap(), 0..0);
        assert!(in_compiler("xml/names.rs", "fn classes() {}").is_err(), "a list that nobody keeps is told");
    }

    #[test]
    fn lines_and_regions_are_read_as_llvm_writes_them() {
        let lcov = "SF:/a.rs\nDA:1,2\nDA:2,0\nend_of_record\nSF:/b.rs\nDA:7,1\nend_of_record\n";
        let lines = lines(lcov);
        assert_eq!((&*lines["/a.rs"], &*lines["/b.rs"]), (&[(1, 2), (2, 0)][..], &[(7, 1)][..]));
        let segments = [
            serde_json::json!([4, 9, 0, true, true, false]),
            serde_json::json!([4, 20, 3, true, false, false]),
            serde_json::json!([5, 1, 3, true, true, true]),
        ];
        assert_eq!(segments.iter().filter_map(region).collect::<Vec<_>>(), [(4, 0)]);
    }
}
