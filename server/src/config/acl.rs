//! `[acl]`: named sets of addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use enjamb_core::jid::Domain;
use regex::{Regex, RegexBuilder};

use super::diagnostic::{Faults, Severity};
use super::reader::{Section, Value, array};
use crate::access::{Condition, Glob, JidField, Matcher, Pattern, Scope};
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// The memory that one compiled regexp may take, in bytes.
const REGEXP_SIZE: usize = 1 << 20;

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
    let regexp: Regex = RegexBuilder::new(text)
        .case_insensitive(matches!(field, JidField::User | JidField::Server))
        .size_limit(REGEXP_SIZE)
        .dfa_size_limit(REGEXP_SIZE)
        .build()
        .map_err(|error| {
            // The crate's message is a drawing of many lines; the reason stands on its last one.
            let whole = error.to_string();
            let reason = whole.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("{} is no regexp that can be used here: {reason}", quoted(text))
        })?;
    Ok(Matcher::Custom(Arc::new(move |text: &str| regexp.is_match(text))))
}
