//! `[general]`, `[modules]`, and what is passed over.

use std::num::NonZeroUsize;
use std::ops::Range;

use enjamb_core::jid::Domain;
use toml::de::DeTable;

use super::diagnostic::Faults;
use super::names;
use super::reader::{Section, Value, array, string};
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// What `max_queued_bytes` may be: 1 MiB to 1 TiB.
const QUEUED_FLOOR: u64 = 1 << 20;
const QUEUED_CEILING: u64 = 1 << 40;

/// The part of `[general]` that Enjamb has.
#[derive(Default)]
pub(super) struct General {
    pub(super) hosts: Vec<Domain>,
    /// Where each of them is.
    pub(super) host_places: Vec<Range<usize>>,
    pub(super) max_fsm_queue: Option<NonZeroUsize>,
    pub(super) max_queued_bytes: Option<usize>,
    pub(super) strict: bool,
}

impl General {
    /// There must be a host unless an uplink is configured.
    pub(super) fn read(value: Option<&Value<'_>>, has_uplink: bool, faults: &mut Faults) -> Self {
        const HELP: &str = "name the domains of this server, as in hosts = [\"localhost\"]";
        let Some(value) = value else {
            if has_uplink {
                return Self::default();
            }
            faults.error(0..0, "no `[general]` section, and so no host").of_absence().help(HELP);
            return Self::default();
        };
        let Some(mut section) = Section::of("general", value, faults) else { return Self::default() };
        let (mut hosts, mut host_places) = (Vec::new(), Vec::new());
        if let Some(value) = section.take("hosts") {
            (hosts, host_places) = read_hosts(value, faults);
            if !has_uplink && matches!(value.get_ref().as_array(), Some(items) if items.is_empty()) {
                faults.error(value.span(), "`hosts` is empty").help(HELP);
            }
        } else if !has_uplink {
            section.missing("hosts", HELP, faults);
        }
        let max_fsm_queue = section
            .integer("max_fsm_queue", 1..=u64::from(u32::MAX), "stanzas", faults)
            .and_then(|stanzas| NonZeroUsize::new(stanzas as usize));
        let max_queued_bytes = section
            .integer("max_queued_bytes", QUEUED_FLOOR..=QUEUED_CEILING, "bytes", faults)
            .and_then(|bytes| usize::try_from(bytes).ok());
        let strict = section.boolean("strict", false, faults);
        section.finish(names::GENERAL, faults);
        Self { hosts, host_places, max_fsm_queue, max_queued_bytes, strict }
    }
}

fn read_hosts(value: &Value<'_>, faults: &mut Faults) -> (Vec<Domain>, Vec<Range<usize>>) {
    let mut hosts: Vec<(Domain, &Value<'_>)> = Vec::new();
    let Some(items) = array(value, "hosts", faults) else { return Default::default() };
    for item in items {
        let Some(name) = string(item, "hosts", faults) else { continue };
        let domain = match Domain::parse(name) {
            Ok(domain) => domain,
            Err(error) => {
                faults.error(item.span(), format!("{} is no domain: {error}", quoted(name)));
                continue;
            }
        };
        if let Some((_, first)) = hosts.iter().find(|(host, _)| *host == domain) {
            faults
                .error(item.span(), format!("the host {} is given twice", quoted(name)))
                .label(first.span(), "first here");
            continue;
        }
        hosts.push((domain, item));
    }
    hosts.into_iter().map(|(host, item)| (host, item.span())).unzip()
}

/// `[modules.mod_disco] users_can_see_hidden_services`; every other module is passed over.
pub(super) fn users_can_see_hidden_services(value: Option<&Value<'_>>, faults: &mut Faults) -> bool {
    let mut visible = false;
    let section = value.and_then(|value| Section::of("modules", value, faults));
    for (key, value) in section.iter().flat_map(Section::entries) {
        let name: &str = key.get_ref();
        if name == "mod_disco" {
            if let Some(mut disco) = Section::of("modules.mod_disco", value, faults) {
                visible = disco.boolean("users_can_see_hidden_services", false, faults);
                disco.finish(names::MOD_DISCO, faults);
            }
            continue;
        }
        // A module of the operator's own has any name; one that is nearly a known one is a typing error.
        let is_known = names::MODULES.contains(&name);
        let near = did_you_mean(name, names::MODULES.iter().copied().chain(["mod_disco"]));
        if is_known || (name.starts_with("mod_") && near.is_none()) {
            passed_over(&format!("[modules.{name}]"), key.span(), faults);
        } else {
            let help = near.unwrap_or_else(|| "a module's name begins with `mod_`".to_owned());
            faults.error(key.span(), format!("unknown module {}", quoted(name))).help(help);
        }
    }
    visible
}

/// One warning for each section that only MongooseIM has; an error for each that nobody has.
pub(super) fn other_sections(mut root: Section<'_, '_>, table: &DeTable<'_>, faults: &mut Faults) {
    for key in ["general", "listen", "shaper", "acl", "access", "modules", "domain", "uplink"] {
        root.take(key);
    }
    for key in names::SECTIONS {
        if root.take(key).is_some()
            && let Some((key, _)) = table.get_key_value(*key)
        {
            passed_over(&format!("[{}]", key.get_ref()), key.span(), faults);
        }
    }
    root.finish(&[], faults);
}

/// The warning about a part of the file that has no effect.
pub(super) fn passed_over(section: &str, span: Range<usize>, faults: &mut Faults) {
    let section = quoted(section);
    faults.warning(
        span,
        format!("{section} belongs to a part of MongooseIM that Enjamb does not have; passed over"),
    );
}
