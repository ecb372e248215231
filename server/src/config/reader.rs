//! Typed access to the parts of a TOML document; every refusal names the place, the type wanted and the type found.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Faults;
use super::names;
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// A value and its place.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// A table that is being read: what it is called in messages, where it is, and which of its keys are known.
pub(super) struct Section<'a, 't> {
    name: String,
    span: Range<usize>,
    table: &'a DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'a, 't> Section<'a, 't> {
    /// The table in `value`; anything else is an error.
    pub(super) fn of(name: impl Into<String>, value: &'a Value<'t>, faults: &mut Faults) -> Option<Self> {
        let name = name.into();
        let table = table(value, &name, faults)?;
        Some(Self { name, span: value.span(), table, known: Vec::new() })
    }

    /// The whole document.
    pub(super) fn root(table: &'a DeTable<'t>) -> Self {
        Self { name: String::new(), span: 0..0, table, known: Vec::new() }
    }

    /// What a table in it is called in messages.
    pub(super) fn name_of(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// Where its header is.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value of a known key.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Value<'t>> {
        self.known.push(key);
        self.table.get(key)
    }

    pub(super) fn string(
        &mut self,
        key: &'static str,
        faults: &mut Faults,
    ) -> Option<(&'a str, &'a Value<'t>)> {
        let value = self.take(key)?;
        Some((string(value, key, faults)?, value))
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool, faults: &mut Faults) -> bool {
        let Some(value) = self.take(key) else { return default };
        let found = value.get_ref().as_bool();
        if found.is_none() {
            wrong_type(value, key, BOOLEAN, faults);
        }
        found.unwrap_or(default)
    }

    /// An integer within `range`.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        unit: &str,
        faults: &mut Faults,
    ) -> Option<u64> {
        let value = self.take(key)?;
        integer(value, key, range, unit, faults)
    }

    /// An integer within `range`, or `"infinity"`, which is the end of the range, noted for the log.
    pub(super) fn integer_or_infinity(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        unit: &str,
        faults: &mut Faults,
    ) -> Option<u64> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::String(text) if text == "infinity" => {
                let ceiling = *range.end();
                faults.note(format!("{}: {key} = \"infinity\" means {ceiling} {unit} here", self.name));
                Some(ceiling)
            }
            DeValue::String(text) => {
                let help = match text.trim().parse::<u64>() {
                    Ok(number) => format!("without the quotes: {key} = {number}"),
                    Err(_) => "an integer or \"infinity\" belongs here".to_owned(),
                };
                faults.error(value.span(), format!("`{key}` is {}", quoted(text))).help(help);
                None
            }
            _ => integer(value, key, range, unit, faults),
        }
    }

    /// One error for each key that nobody knows, one warning for all that are MongooseIM's alone.
    pub(super) fn finish(self, mongooseim: &[&'static str], faults: &mut Faults) {
        let mut passed_over = Vec::new();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            if mongooseim.contains(&name) {
                passed_over.push(name);
                continue;
            }
            let known = self.known.iter().chain(mongooseim).copied();
            let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            let what = if self.name.is_empty() { "section" } else { "key" };
            let elsewhere = names::elsewhere(&self.name, name).map(str::to_owned);
            let help = elsewhere.or_else(|| did_you_mean(name, known)).unwrap_or_else(|| {
                let mut names = self.known.clone();
                names.sort_unstable();
                names.dedup();
                format!("known here: {}", names.join(", "))
            });
            faults.error(key.span(), format!("unknown {what} {}{place}", quoted(name))).help(help);
        }
        if !passed_over.is_empty() {
            passed_over.sort_unstable();
            let keys = passed_over.join(", ");
            let message =
                format!("keys of `{}` that Enjamb does not have are passed over: {keys}", self.name);
            faults.warning(self.span, message);
        }
    }

    /// All keys with their values, in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'a Spanned<std::borrow::Cow<'t, str>>, &'a Value<'t>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// An error for a key that has to be there.
    pub(super) fn missing(&self, key: &str, help: impl Display, faults: &mut Faults) {
        faults
            .error(self.span(), format!("`{}` has no `{key}`, which is mandatory", self.name))
            .of_absence()
            .help(help.to_string());
    }
}

const BOOLEAN: &str = "a boolean (true or false)";
const INTEGER: &str = "an integer";

/// An article and a TOML type's name.
fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn wrong_type(value: &Value<'_>, what: &str, wanted: &str, faults: &mut Faults) {
    let help = match value.get_ref() {
        DeValue::String(text) if wanted == INTEGER => {
            text.trim().parse::<u64>().ok().map(|number| format!("without the quotes: {what} = {number}"))
        }
        DeValue::String(text) if wanted == BOOLEAN => {
            text.trim().parse::<bool>().ok().map(|value| format!("without the quotes: {what} = {value}"))
        }
        _ => None,
    };
    faults
        .error(value.span(), format!("`{what}` must be {wanted}, and this is {}", type_of(value.get_ref())))
        .help_if(help);
}

pub(super) fn table<'a, 't>(
    value: &'a Value<'t>,
    what: &str,
    faults: &mut Faults,
) -> Option<&'a DeTable<'t>> {
    let found = value.get_ref().as_table();
    if found.is_none() {
        wrong_type(value, what, "a table", faults);
    }
    found
}

pub(super) fn string<'a>(value: &'a Value<'_>, what: &str, faults: &mut Faults) -> Option<&'a str> {
    let found = value.get_ref().as_str();
    if found.is_none() {
        wrong_type(value, what, "a string", faults);
    }
    found
}

/// An array's items, each with its place.
pub(super) fn array<'a, 't>(
    value: &'a Value<'t>,
    what: &str,
    faults: &mut Faults,
) -> Option<Vec<&'a Value<'t>>> {
    let found = value.get_ref().as_array();
    if found.is_none() {
        wrong_type(value, what, "an array", faults);
    }
    found.map(|items| items.iter().collect())
}

pub(super) fn integer(
    value: &Value<'_>,
    what: &str,
    range: RangeInclusive<u64>,
    unit: &str,
    faults: &mut Faults,
) -> Option<u64> {
    let Some(number) = value.get_ref().as_integer() else {
        wrong_type(value, what, INTEGER, faults);
        return None;
    };
    let found = u64::from_str_radix(number.as_str(), number.radix()).ok();
    let fits = found.filter(|found| range.contains(found));
    if fits.is_none() {
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        faults.error(value.span(), format!("`{what}` is out of range")).help(format!(
            "from {} to {}{unit}",
            range.start(),
            range.end()
        ));
    }
    fits
}
