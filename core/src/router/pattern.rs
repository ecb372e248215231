//! The names that a listener lists in `domains`.

use alloc::collections::BTreeMap;
use core::fmt;

use crate::jid::{Domain, JidError};

/// A name, or a wildcard of whole labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DomainPattern {
    /// This name alone.
    Exact(Domain),
    /// `*.NAME`: every name with one or more labels in front of NAME. NAME itself does not match.
    Below(Domain),
}

impl DomainPattern {
    /// Reads a name or `*.NAME`.
    ///
    /// # Errors
    ///
    /// The text is not a domain name, or has a `*` at another place.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        match text.strip_prefix("*.") {
            Some(name) => Domain::parse(name).map(Self::Below),
            None => Domain::parse(text).map(Self::Exact),
        }
    }

    /// Whether a name is among those of both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), other) | (other, Self::Exact(name)) => other.matches(name.as_str()),
            // Of two wildcards one is inside the other, or they have no name in common.
            (Self::Below(one), Self::Below(two)) => {
                one == two || self.matches(two.as_str()) || other.matches(one.as_str())
            }
        }
    }

    /// Whether the pattern is about `domain`, a canonical name.
    #[must_use]
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Exact(name) => name.as_str() == domain,
            Self::Below(name) => domain
                .strip_suffix(name.as_str())
                .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
        }
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// Names and wildcards with something for each. A look-up costs the labels of the longest wildcard at most, however many
/// labels a name has and however many patterns there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainMap<T> {
    exact: BTreeMap<Domain, T>,
    below: Below<T>,
}

impl<T> Default for DomainMap<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), below: Below::default() }
    }
}

impl<T> FromIterator<(DomainPattern, T)> for DomainMap<T> {
    /// Of two with one pattern the last one counts.
    fn from_iter<I: IntoIterator<Item = (DomainPattern, T)>>(patterns: I) -> Self {
        let mut map = Self::default();
        for (pattern, value) in patterns {
            match pattern {
                DomainPattern::Exact(name) => {
                    map.exact.insert(name, value);
                }
                DomainPattern::Below(name) => map.below.insert(name, value),
            }
        }
        map
    }
}

impl<T> DomainMap<T> {
    /// There is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.names.is_empty()
    }

    /// What there is for `domain`, a canonical name: for the name itself, else for the longest wildcard.
    #[must_use]
    pub fn get(&self, domain: &str) -> Option<&T> {
        self.exact.get(domain).or_else(|| self.below.get(domain))
    }

    /// Whether `domain`, a canonical name, is in the map by itself, not by a wildcard.
    #[must_use]
    pub fn lists(&self, domain: &str) -> bool {
        self.exact.contains_key(domain)
    }
}

/// Wildcards, by the names behind `*.`, with something for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Below<T> {
    names: BTreeMap<Domain, T>,
    /// The most labels that one of those has had: no longer end of a name has to be looked up.
    labels: usize,
}

impl<T> Default for Below<T> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), labels: 0 }
    }
}

impl<T> Below<T> {
    pub(super) fn insert(&mut self, name: Domain, value: T) {
        self.labels = self.labels.max(name.as_str().split('.').count());
        self.names.insert(name, value);
    }

    pub(super) fn remove(&mut self, name: &Domain) {
        self.names.remove(name);
    }

    /// What there is for the wildcard of this very name.
    pub(super) fn of(&self, name: &Domain) -> Option<&T> {
        self.names.get(name)
    }

    /// What there is for the longest wildcard that stands for `domain`.
    pub(super) fn get(&self, domain: &str) -> Option<&T> {
        if self.names.is_empty() {
            return None;
        }
        // Shortest first: as many ends as a wildcard may have labels.
        let ends = domain.rmatch_indices('.').take(self.labels).filter(|(dot, _)| *dot > 0);
        ends.filter_map(|(dot, _)| self.names.get(&domain[dot + 1..])).last()
    }
}

/// Names and wildcards together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainSet(DomainMap<()>);

impl FromIterator<DomainPattern> for DomainSet {
    fn from_iter<T: IntoIterator<Item = DomainPattern>>(patterns: T) -> Self {
        Self(patterns.into_iter().map(|pattern| (pattern, ())).collect())
    }
}

impl DomainSet {
    /// Whether `domain`, a canonical name, is in the set by itself, not by a wildcard.
    #[must_use]
    pub fn lists(&self, domain: &str) -> bool {
        self.0.lists(domain)
    }

    /// Whether one of the patterns is about `domain`, a canonical name.
    #[must_use]
    pub fn matches(&self, domain: &str) -> bool {
        self.0.get(domain).is_some()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_or_more_whole_labels() {
        let below = DomainPattern::parse("*.Bots.example").unwrap();
        assert_eq!(below.to_string(), "*.bots.example");
        assert!(below.matches("a.bots.example"));
        assert!(below.matches("a.b.bots.example"));
        for other in ["bots.example", ".bots.example", "evil-bots.example", "a.bots.example.org", ""] {
            assert!(!below.matches(other), "{other:?}");
        }
    }

    #[test]
    fn many_patterns_together_know_what_one_of_them_does() {
        let texts =
            ["*.bots.example", "*.a.b.c.example", "*.example.org", "one.example", "*.2001.example", "*.x"];
        let patterns: Vec<_> = texts.iter().map(|text| DomainPattern::parse(text).unwrap()).collect();
        let mut ends: Vec<&str> = texts.iter().map(|text| text.trim_start_matches("*.")).collect();
        ends.extend(["", ".", "example", "c.example", "bots.example.", "other"]);
        let mut agreed = [0, 0];
        for kept in 0..1 << patterns.len() {
            let some = patterns.iter().enumerate().filter(|(at, _)| kept >> at & 1 == 1);
            let some: Vec<_> = some.map(|(_, pattern)| pattern.clone()).collect();
            let known: DomainSet = some.iter().cloned().collect();
            for end in &ends {
                for front in ["", ".", "a.", "a.b.", "evil-", "..", "a.b.c.d.e.f."] {
                    let name = alloc::format!("{front}{end}");
                    let by_one = some.iter().any(|pattern| pattern.matches(&name));
                    assert_eq!(known.matches(&name), by_one, "{name:?} of {some:?}");
                    agreed[usize::from(by_one)] += 1;
                }
            }
        }
        assert!(agreed.iter().all(|times| *times > 100), "{agreed:?}");
    }

    #[test]
    fn exact_name_counts_before_the_longest_wildcard() {
        let patterns = ["*.example", "*.a.example", "b.a.example"];
        let map: DomainMap<&str> =
            patterns.into_iter().map(|text| (DomainPattern::parse(text).unwrap(), text)).collect();
        for (name, found) in [
            ("b.a.example", Some("b.a.example")),
            ("c.a.example", Some("*.a.example")),
            ("c.b.a.example", Some("*.a.example")),
            ("a.example", Some("*.example")),
            ("example", None),
            (".example", None),
            ("a.other", None),
        ] {
            assert_eq!(map.get(name).copied(), found, "{name}");
        }
    }

    #[test]
    fn a_name_stands_for_itself() {
        let exact = DomainPattern::parse("BÜCHER.example.").unwrap();
        assert_eq!(exact.to_string(), "bücher.example");
        assert!(exact.matches("bücher.example"));
        assert!(!exact.matches("a.bücher.example"));
    }

    #[test]
    fn patterns_overlap_if_a_name_is_among_both() {
        for (one, two, overlap) in [
            ("a.example", "a.example", true),
            ("a.example", "b.example", false),
            ("a.example", "*.example", true),
            ("example", "*.example", false),
            ("*.example", "*.example", true),
            ("*.example", "*.a.example", true),
            ("*.a.example", "*.b.example", false),
            ("*.a.example", "*.aa.example", false),
        ] {
            let [one, two] = [one, two].map(|text| DomainPattern::parse(text).unwrap());
            assert_eq!((one.overlaps(&two), two.overlaps(&one)), (overlap, overlap), "{one} and {two}");
        }
    }

    #[test]
    fn a_star_stands_in_front_only() {
        for odd in ["*", "*.", "a.*.example", "*bots.example", "*.*.example", ""] {
            assert!(DomainPattern::parse(odd).is_err(), "{odd:?}");
        }
    }
}
