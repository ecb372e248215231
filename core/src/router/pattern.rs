//! The names that a listener lists in `domains`.

use alloc::collections::BTreeSet;
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

/// Names and wildcards together. A look-up costs the labels of a name, however many patterns there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainSet {
    exact: BTreeSet<Domain>,
    /// The names behind `*.`.
    below: BTreeSet<Domain>,
    /// The most labels that one of those has: no longer end of a name has to be looked up.
    labels: usize,
}

impl FromIterator<DomainPattern> for DomainSet {
    fn from_iter<T: IntoIterator<Item = DomainPattern>>(patterns: T) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            match pattern {
                DomainPattern::Exact(name) => {
                    set.exact.insert(name);
                }
                DomainPattern::Below(name) => {
                    set.labels = set.labels.max(name.as_str().split('.').count());
                    set.below.insert(name);
                }
            }
        }
        set
    }
}

impl DomainSet {
    /// Whether `domain`, a canonical name, is in the set by itself, not by a wildcard.
    #[must_use]
    pub fn lists(&self, domain: &str) -> bool {
        self.exact.contains(domain)
    }

    /// Whether one of the patterns is about `domain`, a canonical name.
    #[must_use]
    pub fn matches(&self, domain: &str) -> bool {
        // Shortest first: as many ends as a pattern may have labels, however many patterns there are.
        let mut ends = domain.rmatch_indices('.').take(self.labels);
        self.exact.contains(domain) || ends.any(|(dot, _)| dot > 0 && self.below.contains(&domain[dot + 1..]))
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
