//! What a file says, as hashes: enough to tell which settings of another file differ, and no copy of a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::LazyLock;

use toml::de::{DeTable, DeValue};

use crate::printable::printable;

/// Of this process, so that a hash says nothing to others.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The settings of a file: a keyed hash of each value by its path. Comments, blanks and the order of keys are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<String, u64>);

impl Fingerprint {
    pub(super) fn of(root: &DeTable<'_>) -> Self {
        let mut fingerprint = Self::default();
        fingerprint.add_table("", root);
        fingerprint
    }

    /// The paths of the settings that another file lacks, adds or changes, in alphabetical order.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let all: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        all.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path)).cloned().collect()
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let key = printable(key.get_ref());
            let path = if path.is_empty() { key } else { format!("{path}.{key}") };
            self.add(path, value.get_ref());
        }
    }

    fn add(&mut self, path: String, value: &DeValue<'_>) {
        match value {
            DeValue::Table(table) => self.add_table(&path, table),
            DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                for (number, item) in items.iter().enumerate() {
                    self.add(format!("{path}[{number}]"), item.get_ref());
                }
            }
            value => {
                self.0.insert(path, hash(value));
            }
        }
    }
}

fn hash(value: &DeValue<'_>) -> u64 {
    match value {
        DeValue::String(text) => keyed(("string", text.as_bytes())),
        DeValue::Integer(number) => {
            keyed(("integer", i128::from_str_radix(number.as_str(), number.radix()).ok()))
        }
        DeValue::Float(number) => keyed(("float", number.as_str())),
        DeValue::Boolean(value) => keyed(("boolean", value)),
        DeValue::Datetime(time) => keyed(("time", time.to_string())),
        DeValue::Array(items) => {
            keyed(("array", items.iter().map(|item| hash(item.get_ref())).collect::<Vec<_>>()))
        }
        DeValue::Table(table) => {
            let entries: BTreeMap<&str, u64> =
                table.iter().map(|(key, value)| (&**key.get_ref(), hash(value.get_ref()))).collect();
            keyed(("table", entries))
        }
    }
}

fn keyed(value: impl Hash) -> u64 {
    KEY.hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(before: &str, after: &str) -> Vec<String> {
        let [before, after] =
            [before, after].map(|text| Fingerprint::of(DeTable::parse(text).unwrap().get_ref()));
        before.differences(&after)
    }

    #[test]
    fn only_settings_that_mean_something_else_differ() {
        let file =
            "[general]\nhosts = ['a', 'b']\nmax = 1_000\n[[l.s]]\nport = 1\np = 'x'\n[[l.s]]\nport = 2\n";
        assert!(differences(file, file).is_empty());
        let respelled =
            "l.s = [{p = \"x\", port = 0x1}, {port = 2}]\n# so\n[general]\nmax = 1000\nhosts = ['a','b']";
        assert!(differences(file, respelled).is_empty(), "{:?}", differences(file, respelled));
        let changed = "[general]\nhosts = ['b', 'a']\nmax = 1000\nnew = true\n[[l.s]]\nport = 1\np = 'y'\n";
        assert_eq!(differences(file, changed), ["general.hosts", "general.new", "l.s[0].p", "l.s[1].port"]);
        assert_eq!(differences("a = 1", "a = '1'"), ["a"]);
    }
}
