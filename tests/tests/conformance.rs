//! docs/conformance.md is the table of the rules: each has a proof that is there and is run, or a reason why it has none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use enjamb_probe::{scripts, streams};
use regex::Regex;

/// The rules of the table: C-001 and so on, without a gap.
const RULES: usize = 149;

static CASES: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| streams().into_iter().map(|case| case.id).collect());

/// One row.
#[derive(Clone, Debug)]
struct Rule {
    id: String,
    level: String,
    what: String,
    here: String,
    proof: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn rules(page: &str) -> Vec<Rule> {
    let rows = page.lines().filter(|line| line.starts_with("| C-"));
    let rule = |row: &str| {
        let cells: Vec<String> =
            row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let [id, level, _, what, here, proof] = cells.try_into().unwrap_or_else(|cells: Vec<String>| {
            panic!("{} cells, not 6, and ' | ' stands between two: {row}", cells.len())
        });
        Rule { id, level, what, here, proof }
    };
    rows.map(rule).collect()
}

/// What is wrong with a row.
fn faults(rule: &Rule) -> Vec<String> {
    let mut faults = Vec::new();
    let reason = |word: &str| rule.here.strip_prefix(word).map(|reason| reason.trim().len());
    let (deviation, no_subject) = (reason("deviation:"), reason("not applicable:"));
    if deviation.or(no_subject).is_some_and(|length| length < 20) {
        faults.push("the reason is missing".into());
    }
    if rule.proof.is_empty() && no_subject.is_none() {
        faults.push("neither a proof nor a reason".into());
    }
    if !matches!(rule.level.as_str(), "MUST" | "SHOULD" | "MAY") || rule.what.is_empty() {
        faults.push("no level, or no words".into());
    }
    let proofs = rule.proof.split_whitespace().map(|proof| proof.trim_matches('`'));
    faults.extend(proofs.filter_map(|proof| missing(proof).err()));
    faults.into_iter().map(|fault| format!("{}: {fault}", rule.id)).collect()
}

/// Is this proof there, and run?
fn missing(proof: &str) -> Result<(), String> {
    if proof.starts_with("BS-") {
        // `bad_streams` and `bad_streams_core` play all that `streams` gives.
        return CASES.contains(proof).then_some(()).ok_or(format!("no case {proof}"));
    }
    if let Some(id) = proof.strip_prefix("script:") {
        return scripts().iter().any(|script| script.id == id).then_some(()).ok_or(format!("no script {id}"));
    }
    if proof.ends_with(".txt") {
        return read(&root().join("tests/transcripts").join(proof)).map(drop);
    }
    let (file, name) = proof.split_once("::").ok_or(format!("what is {proof}?"))?;
    let file = if file.contains('/') { root().join(file) } else { of_the_tests(file)? };
    let source = read(&file)?;
    let attribute = r"#\[(?:tokio::)?test(?:\([^)]*\))?\]\n\s*(?:#\[should_panic[^\]]*\]\n\s*)?";
    let test = format!(r"{attribute}(?:async )?fn {name}\(\)").replace(r"\s", "[ ]");
    let test = Regex::new(&test).map_err(|error| error.to_string())?;
    test.is_match(&source).then_some(()).ok_or(format!("no test {name} in {}", file.display()))
}

/// A file of the tests that cargo alone runs, or else a module of those that `cargo xtask interop` runs.
fn of_the_tests(name: &str) -> Result<PathBuf, String> {
    let file = root().join(format!("tests/tests/{name}.rs"));
    if file.exists() {
        return Ok(file);
    }
    let modules = read(&root().join("tests/interop/main.rs"))?;
    let is_run = modules.lines().any(|line| line == format!("mod {name};"));
    is_run
        .then(|| root().join(format!("tests/interop/{name}.rs")))
        .ok_or(format!("no tests are called {name}"))
}

#[test]
fn every_rule_has_a_proof_or_a_reason() {
    let page = read(&root().join("docs/conformance.md")).expect("the page is committed");
    let rules = rules(&page);
    let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    let wanted: Vec<String> = (1..=RULES).map(|number| format!("C-{number:03}")).collect();
    assert_eq!(ids, wanted, "each rule once, in order");
    let faults: Vec<String> = rules.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}

/// docs/ports.md, docs/delivery.md and docs/uplinks.md have rules with words and proofs alone.
#[test]
fn every_rule_of_ports_has_a_proof() {
    rules_have_proofs("docs/ports.md", &[('P', 10)]);
}

#[test]
fn every_rule_of_delivery_has_a_proof() {
    rules_have_proofs("docs/delivery.md", &[('D', 3), ('L', 7), ('H', 9), ('F', 5)]);
}

#[test]
fn every_rule_of_uplinks_has_a_proof() {
    rules_have_proofs("docs/uplinks.md", &[('U', 15)]);
}

/// The table of a page has the rules of each letter from 1 to a number, and each has tests that name it.
fn rules_have_proofs(page: &str, letters: &[(char, usize)]) {
    let page = read(&root().join(page)).expect("the page is committed");
    let row = Regex::new(r"(?m)^\| ([A-Z]\d+) \| [^|]{20,} \| ([^|]+) \|$").expect("a pattern");
    let rows: Vec<(String, String)> =
        row.captures_iter(&page).map(|row| (row[1].to_owned(), row[2].to_owned())).collect();
    let ids: Vec<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
    let wanted: Vec<String> = letters
        .iter()
        .flat_map(|&(letter, most)| (1..=most).map(move |number| format!("{letter}{number}")))
        .collect();
    assert_eq!(ids, wanted, "each rule once, in order");
    for (id, proofs) in &rows {
        for proof in proofs.split_whitespace().map(|proof| proof.trim_matches('`')) {
            assert_eq!(missing(proof), Ok(()), "{id}");
            let name = proof.rsplit("::").next().unwrap_or_default();
            assert!(name.starts_with(&format!("{}_", id.to_lowercase())), "{id}: {name} does not name it");
        }
    }
}

#[test]
fn every_case_proves_some_rule() {
    let page = read(&root().join("docs/conformance.md")).expect("the page is committed");
    let rules = rules(&page);
    let cited: BTreeSet<&str> = rules
        .iter()
        .flat_map(|rule| rule.proof.split_whitespace())
        .map(|proof| proof.trim_matches('`'))
        .collect();
    let all =
        CASES.iter().cloned().chain(scripts().into_iter().map(|script| format!("script:{}", script.id)));
    let idle: Vec<String> = all.filter(|proof| !cited.contains(proof.as_str())).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn a_rule_without_what_it_needs_is_found() {
    let rule = |here: &str, proof: &str| Rule {
        id: "C-001".into(),
        level: "MUST".into(),
        what: "something".into(),
        here: here.into(),
        proof: proof.into(),
    };
    let good = "BS-001 `script:C-052` `3-order.txt` `conformance::every_rule_has_a_proof_or_a_reason`";
    assert_eq!(faults(&rule("", good)), Vec::<String>::new());
    assert_eq!(faults(&rule("not applicable: there is no such thing here", "")), Vec::<String>::new());
    for (here, proof) in [
        ("", ""),
        ("not applicable:", ""),
        ("deviation: a good reason that is long enough", ""),
        ("deviation: so", "BS-001"),
        ("", "BS-999"),
        ("", "`script:C-999`"),
        ("", "`3-no-such.txt`"),
        ("", "`conformance::no_such_test`"),
        ("", "`no_such_file::every_rule_has_a_proof_or_a_reason`"),
        // A function, and no test.
        ("", "`conformance::root`"),
        ("", "because"),
    ] {
        assert!(!faults(&rule(here, proof)).is_empty(), "{here} {proof}");
    }
}
