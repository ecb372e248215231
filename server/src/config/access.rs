//! `[access]`: rules made of acls, and the one that a listener names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use enjamb_core::router::Access;
use toml::de::DeValue;

use super::acl::Acls;
use super::diagnostic::{Faults, Severity};
use super::reader::{Section, Value, array};
use crate::access::{Clause, Rule, Verdict};
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// The rules that listeners name, by name, and where the first of them does.
pub(super) type Named<'t> = BTreeMap<&'t str, Range<usize>>;

/// One clause as it is written.
struct Written<'t, 'v> {
    acl: &'t str,
    acl_span: Range<usize>,
    value: &'t Value<'v>,
}

/// All rules, those that listeners name evaluated.
pub(super) struct Rules<'t> {
    rules: BTreeMap<&'t str, Access>,
}

impl<'t> Rules<'t> {
    /// Reads `[access]` and `[acl]`. Only the `named` rules must give allow or deny: others may be MongooseIM's,
    /// which give shapers, numbers and settings of modules.
    pub(super) fn read(
        access: Option<&'t Value<'_>>,
        acl: Option<&'t Value<'_>>,
        named: &Named<'_>,
        faults: &mut Faults,
    ) -> Self {
        let mut written = Vec::new();
        let section = access.and_then(|value| Section::of("access", value, faults));
        for (key, value) in section.iter().flat_map(Section::entries) {
            let name: &str = key.get_ref();
            if matches!(name, "all" | "none") {
                let message =
                    format!("the access rule `{name}` is predefined: this definition has no effect");
                faults.warning(key.span(), message).help("give it another name");
            }
            let title = format!("access.{}", quoted(name).trim_matches('`'));
            let items = array(value, &title, faults).unwrap_or_default();
            let clauses: Vec<_> = items.into_iter().filter_map(|item| clause(&title, item, faults)).collect();
            written.push((name, clauses));
        }
        let used: BTreeSet<&str> = written
            .iter()
            .filter(|(name, _)| named.contains_key(name))
            .flat_map(|(_, clauses)| clauses.iter().map(|clause| clause.acl))
            .collect();
        let acls = Acls::read(acl, &used, faults);
        let mut rules = BTreeMap::new();
        for (name, clauses) in written {
            let listener = named.get(name);
            let evaluated = clauses.iter().filter_map(|written| {
                // A deny clause that never matches lets in whom it was to keep out.
                let denies = listener.is_some() && written.value.get_ref().as_str() == Some("deny");
                let severity = if denies { Severity::Error } else { Severity::Warning };
                let acl = acls.patterns(written.acl, written.acl_span.clone(), severity, faults);
                let verdict = verdict(written.value, listener?, faults)?;
                Some(Clause { acl, verdict })
            });
            rules.insert(name, Access::from(Rule { clauses: evaluated.collect() }));
        }
        Self { rules }
    }

    /// The rule that a listener names. In place of one that is not defined (an error), nobody may send.
    pub(super) fn rule(&self, name: &str, value: &Value<'_>, faults: &mut Faults) -> Access {
        match name {
            "all" => Access::Everyone,
            "none" => Rule::nobody().into(),
            _ => self.rules.get(name).cloned().unwrap_or_else(|| {
                let known = self.rules.keys().copied().chain(["all", "none"]);
                let help = did_you_mean(name, known)
                    .unwrap_or_else(|| "define it in [access], or use \"all\"".to_owned());
                faults
                    .error(value.span(), format!("no access rule is named {}", quoted(name)))
                    .of_absence()
                    .help(help);
                Rule::nobody().into()
            }),
        }
    }
}

fn clause<'t, 'v>(title: &str, value: &'t Value<'v>, faults: &mut Faults) -> Option<Written<'t, 'v>> {
    const HELP: &str = "a clause is {acl = \"...\", value = \"allow\"}";
    let mut section = Section::of(title, value, faults)?;
    let acl = section.take("acl");
    let verdict = section.take("value");
    for (key, value) in [("acl", acl), ("value", verdict)] {
        if value.is_none() {
            section.missing(key, HELP, faults);
        }
    }
    let acl = acl.and_then(|acl| Some((super::reader::string(acl, "acl", faults)?, acl.span())));
    let verdict = verdict.filter(|value| {
        let fine = matches!(value.get_ref(), DeValue::String(_) | DeValue::Integer(_));
        if !fine {
            super::reader::wrong_type(value, "value", "a string or an integer", faults);
        }
        fine
    });
    section.finish(&[], faults);
    let (acl, acl_span) = acl?;
    Some(Written { acl, acl_span, value: verdict? })
}

/// What a clause of a rule that a listener names gives.
fn verdict(value: &Value<'_>, listener: &Range<usize>, faults: &mut Faults) -> Option<Verdict> {
    let text = value.get_ref().as_str();
    match text {
        Some("allow") => return Some(Verdict::Allow),
        Some("deny") => return Some(Verdict::Deny),
        _ => {}
    }
    let help = text.and_then(|text| did_you_mean(text, ["allow", "deny"]));
    faults
        .error(value.span(), "a rule that a listener names must give \"allow\" or \"deny\"")
        .label(listener.clone(), "named here")
        .help_if(help);
    None
}
