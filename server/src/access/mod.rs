//! MongooseIM's access rules as data: who may send to a component.
//!
//! A rule is a list of clauses, each an acl with a verdict. An acl is a union of patterns, a pattern a scope and
//! conditions that must all hold. Values are compared in the form in which addresses are equal: user and server
//! in lower case, the resource as it is.

mod glob;

use std::fmt;
use std::sync::Arc;

use enjamb_core::jid::{Jid, MAX_PART, canonical_domain};
use enjamb_core::router::{Access, AccessRule};

pub use glob::{Glob, GlobError};

/// Decides by the sender's address. The first clause whose acl matches gives its verdict; where none does, the
/// sender is denied.
#[derive(Debug, Clone)]
pub struct Rule {
    /// In the order in which they are tried.
    pub clauses: Vec<Clause>,
}

/// One line of an access rule.
#[derive(Debug, Clone)]
pub struct Clause {
    /// Matches where any of its patterns does.
    pub acl: Vec<Pattern>,
    /// What holds for a sender that matches.
    pub verdict: Verdict,
}

/// What a clause says of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may send.
    Allow,
    /// It may not.
    Deny,
}

/// Matches where its scope and all its conditions do.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Whose senders it is about at all.
    pub scope: Scope,
    /// All of them must hold; none always holds.
    pub conditions: Vec<Condition>,
}

/// Which senders a pattern is about (`match` in MongooseIM's acl).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Every sender.
    All,
    /// Senders of the current domain. Who sends to a component has none: it always holds, as in MongooseIM.
    #[default]
    CurrentDomain,
    /// Senders whose domain is a host of ours.
    AnyHostedDomain,
    /// No sender.
    None,
}

/// A demand on one part of the sender's address.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The part that it looks at.
    pub field: JidField,
    /// What it asks of that part.
    pub matcher: Matcher,
}

/// A part of the sender's address, by its name in MongooseIM's acl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidField {
    /// The local part, in lower case.
    User,
    /// The canonical domain.
    Server,
    /// The resource, as sent.
    Resource,
}

/// What a condition asks of a part.
#[derive(Clone)]
pub enum Matcher {
    /// Equality in normalised form. A part that the address lacks equals nothing.
    Equals(String),
    /// The whole part matches; a part that the address lacks counts as empty. For user and server the pattern
    /// is taken in lower case, as they are.
    Glob(Glob),
    /// A predicate, such as a regular expression, it gets the part in normalised form, empty if the address lacks it.
    Custom {
        /// The predicate.
        test: Arc<dyn Fn(&str) -> bool + Send + Sync>,
        /// How many steps of some 2.5 ns it takes for each byte, at most.
        weight: usize,
    },
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => f.debug_tuple("Equals").field(value).finish(),
            Self::Glob(glob) => f.debug_tuple("Glob").field(glob).finish(),
            Self::Custom { .. } => f.write_str("Custom(..)"),
        }
    }
}

impl Rule {
    /// The rule `all`: every sender is allowed.
    #[must_use]
    pub fn everyone() -> Self {
        let all = Pattern { scope: Scope::All, conditions: Vec::new() };
        Self { clauses: Vec::from([Clause { acl: Vec::from([all]), verdict: Verdict::Allow }]) }
    }

    /// The rule `none`: no sender is allowed.
    #[must_use]
    pub fn nobody() -> Self {
        Self { clauses: Vec::new() }
    }

    /// Whether the first clause already allows every sender, so that none needs to be looked at.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.clauses.first().is_some_and(|first| {
            first.verdict == Verdict::Allow && first.acl.iter().any(Pattern::is_unconditional)
        })
    }
}

impl AccessRule for Rule {
    fn allows(&self, sender: &Jid<'_>, sender_is_host: bool) -> bool {
        let matching =
            |clause: &&Clause| clause.acl.iter().any(|pattern| pattern.matches(sender, sender_is_host));
        self.clauses.iter().find(matching).is_some_and(|clause| clause.verdict == Verdict::Allow)
    }
}

/// A rule with what it costs to ask it.
struct Weighed {
    rule: Rule,
    /// Steps for each byte of the address, at most.
    weight: usize,
}

/// Steps of a glob, some 2.5 ns each, in one unit of a budget.
const STEPS: usize = 200;

impl AccessRule for Weighed {
    fn allows(&self, sender: &Jid<'_>, sender_is_host: bool) -> bool {
        self.rule.allows(sender, sender_is_host)
    }

    fn cost(&self, sender: &Jid<'_>) -> usize {
        self.weight * sender.as_str().len() / STEPS
    }
}

impl From<Rule> for Access {
    /// A rule that allows everyone becomes [`Access::Everyone`]: no sender is looked at.
    fn from(rule: Rule) -> Self {
        if rule.is_everyone() {
            return Self::Everyone;
        }
        let conditions =
            rule.clauses.iter().flat_map(|clause| &clause.acl).flat_map(|pattern| &pattern.conditions);
        let weight = conditions.map(|condition| condition.matcher.weight()).sum();
        Self::Rule(Arc::new(Weighed { rule, weight }))
    }
}

impl Default for Rule {
    /// The rule `all`, a listener's default.
    fn default() -> Self {
        Self::everyone()
    }
}

impl Pattern {
    fn is_unconditional(&self) -> bool {
        matches!(self.scope, Scope::All | Scope::CurrentDomain) && self.conditions.is_empty()
    }

    fn matches(&self, sender: &Jid<'_>, sender_is_host: bool) -> bool {
        let in_scope = match self.scope {
            Scope::All | Scope::CurrentDomain => true,
            Scope::AnyHostedDomain => sender_is_host,
            Scope::None => false,
        };
        in_scope && self.conditions.iter().all(|condition| condition.holds(sender))
    }
}

impl Condition {
    fn holds(&self, sender: &Jid<'_>) -> bool {
        match self.field {
            JidField::User => match sender.local() {
                Some(user) => with_lowercase(user, |user| self.matcher.holds_of(self.field, Some(user))),
                None => self.matcher.holds_of(self.field, None),
            },
            JidField::Server => self.matcher.holds_of(self.field, Some(sender.domain())),
            JidField::Resource => self.matcher.holds_of(self.field, sender.resource()),
        }
    }
}

impl Matcher {
    /// How many steps a look at a part takes for each of its bytes, at most.
    fn weight(&self) -> usize {
        match self {
            Self::Equals(_) => 1,
            Self::Custom { weight, .. } => *weight,
            Self::Glob(glob) => glob.weight(),
        }
    }

    /// `value` is in normalised form.
    fn holds_of(&self, field: JidField, value: Option<&str>) -> bool {
        match (self, value) {
            (Self::Equals(_), None) => false,
            (Self::Equals(expected), Some(value)) => match field {
                JidField::User => expected.chars().flat_map(char::to_lowercase).eq(value.chars()),
                JidField::Server => is_domain(expected, value),
                JidField::Resource => expected == value,
            },
            (Self::Glob(glob), value) => match field {
                JidField::User | JidField::Server => glob.matches_lowercase(value.unwrap_or_default()),
                JidField::Resource => glob.matches(value.unwrap_or_default()),
            },
            (Self::Custom { test, .. }, value) => test(value.unwrap_or_default()),
        }
    }
}

/// Is `expected` a spelling of `domain`, which is canonical?
fn is_domain(expected: &str, domain: &str) -> bool {
    let name = expected.strip_suffix('.').unwrap_or(expected);
    let may_be_idna = !name.is_ascii() || name.as_bytes().windows(4).any(|w| w.eq_ignore_ascii_case(b"xn--"));
    if may_be_idna || name.starts_with('[') {
        canonical_domain(expected).is_ok_and(|expected| expected == domain)
    } else {
        name.eq_ignore_ascii_case(domain)
    }
}

/// Hands a local part on in lower case, without an allocation, since a sender may choose how to write it.
fn with_lowercase(local: &str, use_it: impl FnOnce(&str) -> bool) -> bool {
    let is_lower = |c: char| if c.is_ascii() { !c.is_ascii_uppercase() } else { c.to_lowercase().eq([c]) };
    if local.chars().all(is_lower) {
        return use_it(local);
    }
    // No character takes more than half as much again in lower case.
    let (mut lower, mut length) = ([0; MAX_PART + MAX_PART / 2 + 1], 0);
    for c in local.chars().flat_map(char::to_lowercase) {
        let Some(place) = lower.get_mut(length..length + c.len_utf8()) else { return false };
        length += c.encode_utf8(place).len();
    }
    str::from_utf8(&lower[..length]).is_ok_and(use_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_local_part_fits_in_lower_case() {
        for c in '\0'..=char::MAX {
            let lower: usize = c.to_lowercase().map(char::len_utf8).sum();
            assert!(2 * lower <= 3 * c.len_utf8(), "{c:?}");
        }
        let longest = "\u{23a}".repeat(MAX_PART / 2) + "A";
        assert!(with_lowercase(&longest, |lower| lower.chars().count() == longest.chars().count()));
    }

    #[test]
    fn a_server_is_found_in_any_spelling_of_its_name() {
        for (expected, domain, same) in [
            ("A.Example.", "a.example", true),
            ("b.example", "a.example", false),
            ("xn--bcher-kva.example", "bücher.example", true),
            ("BÜCHER.example", "bücher.example", true),
            ("[0::1]", "[::1]", true),
            ("a.example..", "a.example", false),
        ] {
            assert_eq!(is_domain(expected, domain), same, "{expected}");
        }
    }

    fn condition(field: JidField, matcher: Matcher) -> Condition {
        Condition { field, matcher }
    }

    fn equals(field: JidField, value: &str) -> Condition {
        condition(field, Matcher::Equals(value.into()))
    }

    fn glob(field: JidField, pattern: &str) -> Condition {
        condition(field, Matcher::Glob(Glob::parse(pattern).unwrap()))
    }

    fn clause(verdict: Verdict, patterns: Vec<Vec<Condition>>) -> Clause {
        let pattern = |conditions| Pattern { scope: Scope::CurrentDomain, conditions };
        Clause { acl: patterns.into_iter().map(pattern).collect(), verdict }
    }

    fn allows(rule: &Rule, sender: &str) -> bool {
        let sender = Jid::parse(sender).unwrap();
        rule.allows(&sender, sender.domain() == "localhost")
    }

    fn only(conditions: Vec<Condition>) -> Rule {
        Rule { clauses: vec![clause(Verdict::Allow, vec![conditions])] }
    }

    #[test]
    fn the_first_clause_that_matches_decides() {
        // The example of MongooseIM's page: some are blocked, all others may.
        let rule = Rule {
            clauses: vec![
                clause(
                    Verdict::Deny,
                    vec![
                        vec![equals(JidField::User, "spammer"), equals(JidField::Server, "evil.example")],
                        vec![glob(JidField::Server, "*.spam.example")],
                    ],
                ),
                clause(Verdict::Allow, vec![vec![]]),
            ],
        };
        assert!(!allows(&rule, "Spammer@EVIL.example/x"));
        assert!(!allows(&rule, "anyone@a.spam.example"));
        assert!(!allows(&rule, "a.Spam.example"));
        for fine in ["spammer@good.example", "friend@evil.example", "evil.example", "spam.example"] {
            assert!(allows(&rule, fine), "{fine}");
        }
        assert!(!rule.is_everyone());
    }

    #[test]
    fn where_no_clause_matches_the_sender_is_denied() {
        assert!(!allows(&Rule::nobody(), "user@localhost"));
        assert!(!allows(&only(vec![equals(JidField::User, "other")]), "user@localhost"));
        assert!(!Rule::nobody().is_everyone());
    }

    #[test]
    fn everyone_is_known_as_such() {
        assert!(Rule::everyone().is_everyone());
        assert!(allows(&Rule::default(), "any.example"));
        assert!(only(vec![]).is_everyone());
        let mut rule = only(vec![]);
        rule.clauses[0].verdict = Verdict::Deny;
        assert!(!rule.is_everyone());
        rule.clauses[0].verdict = Verdict::Allow;
        rule.clauses[0].acl[0].scope = Scope::AnyHostedDomain;
        assert!(!rule.is_everyone());
        assert!(matches!(Access::from(only(vec![])), Access::Everyone));
        assert!(matches!(Access::from(rule), Access::Rule(_)));
    }

    #[test]
    fn scopes_say_whose_senders_are_meant() {
        for (scope, host, foreign) in [
            (Scope::All, true, true),
            (Scope::CurrentDomain, true, true),
            (Scope::AnyHostedDomain, true, false),
            (Scope::None, false, false),
        ] {
            let mut rule = only(vec![]);
            rule.clauses[0].acl[0].scope = scope;
            assert_eq!(allows(&rule, "user@localhost"), host, "{scope:?}");
            assert_eq!(allows(&rule, "user@other.example"), foreign, "{scope:?}");
        }
        assert_eq!(Scope::default(), Scope::CurrentDomain);
    }

    #[test]
    fn values_are_compared_in_normalised_form() {
        assert!(allows(&only(vec![equals(JidField::User, "ÄLice")]), "äliCE@localhost"));
        assert!(allows(&only(vec![equals(JidField::Server, "BÜCHER.example.")]), "xn--bcher-kva.example"));
        assert!(allows(&only(vec![glob(JidField::User, "AL[I-K]*")]), "alICE@localhost"));
        assert!(allows(&only(vec![equals(JidField::Resource, "Res")]), "localhost/Res"));
        assert!(!allows(&only(vec![equals(JidField::Resource, "res")]), "localhost/Res"));
        assert!(!allows(&only(vec![glob(JidField::Resource, "res")]), "localhost/Res"));
        assert!(!allows(&only(vec![equals(JidField::Server, "no domain")]), "localhost"));
    }

    #[test]
    fn a_part_that_is_missing_equals_nothing_and_globs_as_empty() {
        for field in [JidField::User, JidField::Resource] {
            assert!(!allows(&only(vec![equals(field, "")]), "localhost"), "{field:?}");
            assert!(allows(&only(vec![glob(field, "*")]), "localhost"), "{field:?}");
            assert!(!allows(&only(vec![glob(field, "?*")]), "localhost"), "{field:?}");
            let empty = Matcher::Custom { test: Arc::new(str::is_empty), weight: 1 };
            assert!(allows(&only(vec![condition(field, empty)]), "localhost"), "{field:?}");
        }
    }

    #[test]
    fn predicate_sees_the_normalised_part() {
        let matcher = Matcher::Custom { test: Arc::new(|user| user.starts_with("al")), weight: 1 };
        assert_eq!(format!("{matcher:?}"), "Custom(..)");
        assert_eq!(format!("{:?}", equals(JidField::User, "bob").matcher), "Equals(\"bob\")");
        assert!(format!("{:?}", glob(JidField::User, "?").matcher).starts_with("Glob(Glob "));
        let rule = only(vec![condition(JidField::User, matcher)]);
        assert!(allows(&rule, "ALice@localhost"));
        assert!(!allows(&rule, "bob@localhost"));
    }

    /// The longest address that there is, against the longest glob: what others wait for it is in the budget.
    #[test]
    fn question_costs_what_its_globs_and_the_address_do() {
        let glob = |text: &str| {
            let condition =
                Condition { field: JidField::Resource, matcher: Matcher::Glob(Glob::parse(text).unwrap()) };
            let acl = vec![Pattern { scope: Scope::All, conditions: vec![condition] }];
            match Access::from(Rule { clauses: vec![Clause { acl, verdict: Verdict::Allow }] }) {
                Access::Rule(rule) => rule,
                Access::Everyone => panic!("it asks"),
            }
        };
        let short = Jid::parse("a@b.example/r").unwrap();
        let resource = format!("a@b.example/{}", "a".repeat(MAX_PART));
        let long = Jid::parse(&resource).unwrap();
        assert_eq!(glob("irc-*").cost(&short), 0);
        let dearest = glob(&format!("*{}b", "a".repeat(Glob::MAX_LENGTH - 2)));
        assert!(!dearest.allows(&long, false));
        assert_eq!(dearest.cost(&long), Glob::MAX_LENGTH * resource.len() / STEPS);
        let over = Glob::parse(&"a".repeat(Glob::MAX_LENGTH + 1)).unwrap_err();
        assert!(over.to_string().contains("65 characters, and the limit is 64"), "{over}");
    }
}
