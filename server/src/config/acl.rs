//! `[acl]`: named sets of addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use enjamb_core::jid::Domain;
use regex::{Regex, RegexBuilder};
use regex_automata::Input;
use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::syntax;
use regex_syntax::hir::{Hir, HirKind};

use super::diagnostic::{Faults, Severity};
use super::reader::{Section, Value, array};
use crate::access::{Condition, Glob, JidField, Matcher, Pattern, Scope};
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// The memory that one compiled regexp may take, in bytes.
const REGEXP_SIZE: usize = 1 << 20;
/// Characters of a regexp whose table would take more, with its repetitions written out.
const REGEXP_WEIGHT: usize = 256;
/// Characters of the longest regexp.
const REGEXP_LENGTH: usize = 1024;

/// Each key of a pattern with the part of the address that it looks at.
const CONDITIONS: [(&str, &str, &str, JidField); 3] = [
    ("user", "user_regexp", "user_glob", JidField::User),
    ("server", "server_regexp", "server_glob", JidField::Server),
    ("resource", "resource_regexp", "resource_glob", JidField::Resource),
];

const SCOPES: [(&str, Scope); 4] = [
    ("all", Scope::All),
    ("current_domain", Scope::CurrentDomain),
    ("any_hosted_domain", Scope::AnyHostedDomain),
    ("none", Scope::None),
];

/// The defined acls by name.
pub(super) struct Acls<'t> {
    acls: BTreeMap<&'t str, Vec<Pattern>>,
}

impl<'t> Acls<'t> {
    /// Reads the `[acl]` section. A pattern that this server can't evaluate is an error in an acl that is in
    /// `used`, and else a warning: it decides nothing.
    pub(super) fn read(value: Option<&'t Value<'_>>, used: &BTreeSet<&str>, faults: &mut Faults) -> Self {
        let mut acls = BTreeMap::new();
        let section = value.and_then(|value| Section::of("acl", value, faults));
        for (key, value) in section.iter().flat_map(Section::entries) {
            let name: &str = key.get_ref();
            if matches!(name, "all" | "none") {
                let message = format!("the acl `{name}` is predefined: this definition has no effect");
                faults.warning(key.span(), message).help("give it another name");
            }
            let severity = if used.contains(name) { Severity::Error } else { Severity::Warning };
            let title = format!("acl.{}", quoted(name).trim_matches('`'));
            let items = array(value, &title, faults).unwrap_or_default();
            let patterns =
                items.into_iter().filter_map(|item| pattern(&title, item, severity, faults)).collect();
            acls.insert(name, patterns);
        }
        Self { acls }
    }

    /// The patterns of an acl. An unknown name matches nobody, which is a fault of this severity.
    pub(super) fn patterns(
        &self,
        name: &str,
        span: Range<usize>,
        severity: Severity,
        faults: &mut Faults,
    ) -> Vec<Pattern> {
        match name {
            "all" => vec![Pattern { scope: Scope::All, conditions: Vec::new() }],
            "none" => Vec::new(),
            _ => self.acls.get(name).cloned().unwrap_or_else(|| {
                let help = did_you_mean(name, self.acls.keys().copied().chain(["all", "none"]));
                faults
                    .push(
                        severity,
                        span,
                        format!("no acl is named {}: this clause never matches", quoted(name)),
                    )
                    .of_absence()
                    .help_if(help);
                Vec::new()
            }),
        }
    }
}

fn pattern(title: &str, value: &Value<'_>, severity: Severity, faults: &mut Faults) -> Option<Pattern> {
    let mut section = Section::of(title, value, faults)?;
    let mut conditions = Vec::new();
    let mut scope = Scope::CurrentDomain;
    if let Some((text, value)) = section.string("match", faults) {
        match SCOPES.iter().find(|(name, _)| *name == text) {
            Some((_, found)) => scope = *found,
            None => {
                let known = SCOPES.map(|(name, _)| name);
                let help =
                    did_you_mean(text, known).unwrap_or_else(|| format!("one of: {}", known.join(", ")));
                faults.error(value.span(), format!("unknown scope {}", quoted(text))).help(help);
            }
        }
    }
    for (equals, regexp, glob, field) in CONDITIONS {
        let mut add = |matcher: Result<Matcher, String>, value: &Value<'_>, faults: &mut Faults| match matcher
        {
            Ok(matcher) => conditions.push(Condition { field, matcher }),
            Err(message) => {
                faults.push(severity, value.span(), message);
            }
        };
        if let Some((text, value)) = section.string(equals, faults) {
            add(normalised(field, text), value, faults);
        }
        if let Some((text, value)) = section.string(regexp, faults) {
            add(compiled(field, text), value, faults);
        }
        if let Some((text, value)) = section.string(glob, faults) {
            let matcher = Glob::parse(text).map(Matcher::Glob);
            add(matcher.map_err(|error| format!("{} is no glob: {error}", quoted(text))), value, faults);
        }
    }
    section.finish(&[], faults);
    Some(Pattern { scope, conditions })
}

/// The value in the form in which addresses are compared.
fn normalised(field: JidField, text: &str) -> Result<Matcher, String> {
    Ok(Matcher::Equals(match field {
        JidField::User => text.to_lowercase(),
        JidField::Server => {
            let domain = Domain::parse(text);
            domain.map_err(|error| format!("{} is no domain: {error}", quoted(text)))?.as_str().to_owned()
        }
        JidField::Resource => text.to_owned(),
    }))
}

/// Users and servers are the same in upper and lower case, so a regexp for them makes no difference either.
fn compiled(field: JidField, text: &str) -> Result<Matcher, String> {
    let refused = |reason: &str| format!("{} is no regexp that can be used here: {reason}", quoted(text));
    let length = text.chars().count();
    if length > REGEXP_LENGTH {
        return Err(refused(&format!("it has {length} characters, and the limit is {REGEXP_LENGTH}")));
    }
    let ignores_case = matches!(field, JidField::User | JidField::Server);
    let regexp: Regex = RegexBuilder::new(text)
        .case_insensitive(ignores_case)
        .size_limit(REGEXP_SIZE)
        .dfa_size_limit(REGEXP_SIZE)
        .build()
        .map_err(|error| {
            // The crate's message is a drawing of many lines; the reason stands on its last one.
            let whole = error.to_string();
            refused(whole.lines().last().unwrap_or_default().trim_start_matches("error: "))
        })?;
    if let Some(table) = table(text, ignores_case) {
        // It never gives up: what would make it is left to the other.
        let is_match =
            move |text: &str| matches!(table.try_search_fwd(&Input::new(text).earliest(true)), Ok(Some(_)));
        return Ok(Matcher::Custom { test: Arc::new(is_match), weight: 1 });
    }
    let weight = regex_syntax::parse(text).map_or(usize::MAX, |parsed| weight(&parsed));
    if weight > REGEXP_WEIGHT {
        return Err(refused(&format!(
            "with its repetitions written out it has {weight} characters, and the limit is {REGEXP_WEIGHT}"
        )));
    }
    Ok(Matcher::Custom { test: Arc::new(move |text: &str| regexp.is_match(text)), weight })
}

/// The regexp as a table that takes one step for each byte of the text, whatever it says; `None` if that is too large.
fn table(text: &str, ignores_case: bool) -> Option<dense::DFA<Vec<u32>>> {
    let limits =
        dense::Config::new().dfa_size_limit(Some(REGEXP_SIZE)).determinize_size_limit(Some(REGEXP_SIZE));
    let syntax = syntax::Config::new().case_insensitive(ignores_case);
    dense::Builder::new().configure(limits).syntax(syntax).build(text).ok()
}

/// The characters of a regexp with its repetitions written out: as many steps may a match take for each byte.
fn weight(parsed: &Hir) -> usize {
    match parsed.kind() {
        HirKind::Empty => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) | HirKind::Look(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.max(1));
            weight(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => weight(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(weight).fold(0, usize::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(pattern: &str, text: &str) -> Option<bool> {
        match compiled(JidField::User, pattern) {
            Ok(Matcher::Custom { test, .. }) => Some(test(text)),
            _ => None,
        }
    }

    #[test]
    fn regexp_finds_its_pattern_anywhere_and_in_either_case() {
        for (pattern, text, found) in [
            ("^irc-[0-9]+$", "irc-12", true),
            ("^irc-[0-9]+$", "irc-12x", false),
            ("IRC", "my-irc-bot", true),
            (r"^[\w.+-]{1,16}$", "\u{fc}ser.name+x", true),
            (r"^[\w.+-]{1,16}$", "no space", false),
            ("^(alice|bob|carol)$", "bob", true),
            ("x?$", "", true),
            (r"\bbot\b", "a bot here", true),
            ("", "", true),
            // One step for each byte, whatever the pattern.
            ("(a?){20}a{20}b", &"a".repeat(1023), false),
        ] {
            assert_eq!(holds(pattern, text), Some(found), "{pattern} in {text:?}");
        }
    }

    #[test]
    fn regexp_without_a_table_is_bounded_by_its_length() {
        for (pattern, words) in [
            ("(a?){500}a{500}b", "it has 1001 characters, and the limit is 256"),
            (
                "(a|b)*a(a|b){300}",
                "with its repetitions written out it has 302 characters, and the limit is 256",
            ),
            (r"^\w{1,300}$", "Compiled regex exceeds size limit"),
            (&*"x".repeat(REGEXP_LENGTH + 1), "it has 1025 characters, and the limit is 1024"),
            ("(", "unclosed group"),
        ] {
            let said = compiled(JidField::User, pattern).map(drop).expect_err(pattern);
            assert!(said.contains(words), "{pattern}: {said}");
        }
    }
}
