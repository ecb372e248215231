//! The table in `docs/threats.md` is held to the tests that it names.
#![allow(clippy::unwrap_used, reason = "a test fails where one of its steps does")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names of all functions below that stand behind a `#[test]`.
fn tests_below(directory: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for test in text.split("#[test]\n").skip(1) {
                let name = test.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
                found.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
    }
}

fn all_tests() -> HashSet<String> {
    let mut found = HashSet::new();
    for directory in
        ["core/src", "runtime/src", "server/src", "server/tests", "tests/tests", "tests/interop", "fuzz/src"]
    {
        tests_below(&root().join(directory), &mut found);
    }
    found
}

/// What is wrong with a table of threats.
fn faults(table: &str, tests: &HashSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| T-"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for (number, row) in (1..).zip(&rows) {
        if row.len() != 4 || row[0] != format!("T-{number:02}") || row.iter().any(|cell| cell.is_empty()) {
            faults.push(format!("row {number} is {row:?}"));
            continue;
        }
        if row[3].starts_with("no test: ") {
            continue;
        }
        let names: Vec<_> = row[3].split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            faults.push(format!("{} names no test and gives no reason", row[0]));
        }
        faults.extend(
            names
                .iter()
                .filter(|name| **name != "rust" && !tests.contains(**name))
                .map(|name| format!("{}: there is no test {name}", row[0])),
        );
    }
    if rows.len() != 43 {
        faults.push(format!("{} rows", rows.len()));
    }
    faults
}

#[test]
fn each_threat_names_tests_that_exist_or_says_why_there_is_none() {
    let table = fs::read_to_string(root().join("docs/threats.md")).unwrap();
    let tests = all_tests();
    assert_eq!(faults(&table, &tests), [""; 0]);
    // A table that is wrong is found.
    let wrong = table
        .replace("`depth_of_128`", "`depth_of_129`")
        .replacen("no test: ", "", 1)
        .replace("| T-43", "| T-44");
    assert_eq!(faults(&wrong, &tests).len(), 3, "{:?}", faults(&wrong, &tests));
}
