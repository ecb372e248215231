//! Reads the `[listen]` section into listeners.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use enjamb_core::jid::Domain;
use enjamb_core::router::{ConflictBehaviour, DomainPattern};
use toml::de::DeValue;

use super::access::{Named, Rules};
use super::address::{Addresses, address};
use super::advice::{self, Listed, Secrets};
use super::diagnostic::Faults;
use super::general::{General, passed_over};
use super::listener::{CONNECTIONS_CEILING, Listener, Password, STANZA_CEILING, STANZA_FLOOR, TIME_CEILING};
use super::names;
use super::reader::{Section, Value, array, string};
use super::shaper::Shapers;
use super::sources;
use super::tls::tls;
use crate::nearest::did_you_mean;
use crate::printable::quoted;

/// The names that a component listener has had: since MongooseIM 6.4, it is the second.
const OURS: [&str; 2] = ["service", "component"];

/// What listeners refer to.
pub(super) struct Context<'t> {
    pub(super) general: &'t General,
    pub(super) shapers: &'t Shapers<'t>,
    pub(super) rules: &'t Rules<'t>,
    /// Where the files are that have no absolute path.
    pub(super) base: &'t Path,
}

/// The access rules that listeners name. Whatever is wrong in the section is left to [`listeners`].
pub(super) fn named_rules<'t>(listen: Option<&'t Value<'_>>) -> Named<'t> {
    let mut named = Named::new();
    let tables = OURS.iter().filter_map(|kind| listen?.get_ref().get(*kind)?.get_ref().as_array());
    for listener in tables.flat_map(|listeners| listeners.iter()) {
        if let Some(value) = listener.get_ref().get("access")
            && let Some(name) = value.get_ref().as_str()
            && !matches!(name, "all" | "none")
        {
            named.entry(name).or_insert(value.span());
        }
    }
    named
}

/// All listeners for components, in the order of the file, and their addresses. Other kinds of listeners are passed over.
pub(super) fn listeners(
    listen: Option<&Value<'_>>,
    context: &Context<'_>,
    faults: &mut Faults,
) -> (Vec<Listener>, Addresses) {
    const HELP: &str = "add [[listen.service]] with a port and a password";
    let Some(value) = listen else {
        faults.error(0..0, "no `[[listen.service]]`: there is nothing to listen to").of_absence().help(HELP);
        return Default::default();
    };
    let Some(mut section) = Section::of("listen", value, faults) else { return Default::default() };
    let mut tables = Vec::new();
    let mut any = false;
    for kind in OURS {
        let Some(value) = section.take(kind) else { continue };
        let name = format!("listen.{kind}");
        if matches!(value.get_ref(), DeValue::Table(_)) {
            any = true;
            faults
                .error(value.span(), format!("`{name}` must be an array of tables, and this is a table"))
                .help(format!("with two brackets: [[{name}]]"));
            continue;
        }
        for item in array(value, &name, faults).unwrap_or_default() {
            any = true;
            tables.extend(Section::of(name.clone(), item, faults));
        }
    }
    tables.sort_by_key(|table| table.span().start);
    if !any {
        faults
            .error(section.span(), "no `[[listen.service]]`: there is nothing to listen to")
            .of_absence()
            .help(HELP);
    }
    for kind in names::LISTENERS {
        if let Some(value) = section.take(kind) {
            passed_over(&format!("[[listen.{kind}]]"), value.span(), faults);
        }
    }
    section.finish(&[], faults);
    let (mut addresses, mut secrets, mut listed) =
        (Addresses::default(), Secrets::default(), Listed::default());
    let mut listeners: Vec<_> = tables
        .into_iter()
        .filter_map(|table| listener(table, context, (&mut addresses, &mut secrets, &mut listed), faults))
        .collect();
    for listener in &mut listeners {
        listener.takes_ipv4 = addresses.takes_ipv4(listener.address);
    }
    set_realms(&mut listeners);
    (listeners, addresses)
}

/// Listeners with one secret are one realm: a holder of the secret can connect to each of them.
fn set_realms(listeners: &mut [Listener]) {
    for at in 0..listeners.len() {
        let same = |other: &Listener| other.password.expose() == listeners[at].password.expose();
        listeners[at].realm = listeners.iter().position(same).unwrap_or(at) as u32;
    }
}

/// One listener; none where its address or its secret is missing, which is an error then.
fn listener<'t>(
    mut section: Section<'t, '_>,
    context: &Context<'_>,
    (addresses, secrets, listed): (&mut Addresses, &mut Secrets, &mut Listed),
    faults: &mut Faults,
) -> Option<Listener> {
    let reuse_port = section.boolean("reuse_port", false, faults);
    let address = address(&mut section, faults);
    if let Some((address, span)) = &address {
        addresses.add(*address, reuse_port, span.clone(), faults);
    }
    let password = password(&mut section, faults);
    if let (Some((address, _)), Some(password), Some(value)) = (&address, &password, section.take("password"))
    {
        secrets.add(password, address.port(), value.span(), faults);
    }
    let placeholder = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listener = Listener::new(
        address.as_ref().map_or(placeholder, |(address, _)| *address),
        password.clone().unwrap_or_default(),
    );
    listener.reuse_port = reuse_port;
    if let Some((name, value)) = section.string("access", faults) {
        listener.access = context.rules.rule(name, value, faults);
        listener.access_name = name.to_owned();
    }
    shaper(&mut section, context, &mut listener, faults);
    listener.check_from = section.boolean("check_from", listener.check_from, faults);
    listener.hidden_components = section.boolean("hidden_components", listener.hidden_components, faults);
    if let Some((text, value)) = section.string("conflict_behaviour", faults) {
        listener.conflict_behaviour =
            conflict_behaviour(text, value, faults).unwrap_or(listener.conflict_behaviour);
    }
    listener.domains = domains(&mut section, context, faults);
    if let (Some(domains), Some(password), Some(value)) =
        (&listener.domains, &password, section.take("domains"))
    {
        listed.add(domains, password, value.span(), faults);
    }
    numbers(&mut section, context, &mut listener, faults);
    sources::read(&mut section, &mut listener, faults);
    listener.proxy_protocol = section.boolean("proxy_protocol", listener.proxy_protocol, faults);
    listener.tls = tls(&mut section, context.base, faults);
    advice::exposure(&mut section, &listener, faults);
    section.finish(&[], faults);
    (address.is_some() && password.is_some()).then_some(listener)
}

/// What becomes of a component whose name a newcomer claims.
pub(super) fn conflict_behaviour(
    text: &str,
    value: &Value<'_>,
    faults: &mut Faults,
) -> Option<ConflictBehaviour> {
    match text {
        "disconnect" => Some(ConflictBehaviour::Disconnect),
        "kick_old" => Some(ConflictBehaviour::KickOld),
        _ => {
            let help = did_you_mean(text, ["disconnect", "kick_old"])
                .unwrap_or_else(|| "\"disconnect\" or \"kick_old\"".to_owned());
            faults.error(value.span(), format!("unknown conflict behaviour {}", quoted(text))).help(help);
            None
        }
    }
}

fn password(section: &mut Section<'_, '_>, faults: &mut Faults) -> Option<Password> {
    let Some(value) = section.take("password") else {
        section.missing("password", "a secret of 16 or more ASCII letters and digits", faults);
        return None;
    };
    let password = string(value, "password", faults)?;
    if password.is_empty() {
        faults
            .error(value.span(), "`password` is empty: anyone could connect")
            .help("use 16 or more ASCII letters and digits");
        return None;
    }
    advice::secret("password", password, value.span(), faults);
    Some(Password::new(password.to_owned()))
}

fn shaper(
    section: &mut Section<'_, '_>,
    context: &Context<'_>,
    listener: &mut Listener,
    faults: &mut Faults,
) {
    let old = section.string("shaper_rule", faults);
    let new = section.string("shaper", faults);
    if let (Some((_, old)), Some((_, new))) = (old, new) {
        faults
            .error(new.span(), "both `shaper` and `shaper_rule` are given")
            .label(old.span(), "`shaper_rule` is here")
            .help("they are two names of one option: take one out");
    }
    for (name, value) in [old, new].into_iter().flatten() {
        listener.shaper = context.shapers.rate(name, value, faults);
    }
}

fn domains(
    section: &mut Section<'_, '_>,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<Vec<DomainPattern>> {
    let value = section.take("domains")?;
    let items = array(value, "domains", faults)?;
    if items.is_empty() {
        faults
            .error(value.span(), "`domains` is empty: no component could connect")
            .help("take it out to allow any");
    }
    let mut patterns: Vec<DomainPattern> = Vec::new();
    for item in items {
        let Some(name) = string(item, "domains", faults) else { continue };
        match DomainPattern::parse(name) {
            Ok(DomainPattern::Exact(domain)) if context.general.hosts.contains(&domain) => {
                host_in_domains(&domain, item, faults);
            }
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                faults
                    .error(item.span(), format!("{} is no domain: {error}", quoted(name)))
                    .help("a name, or a wildcard of whole labels as in \"*.bots.example\"");
            }
        }
    }
    Some(patterns)
}

fn host_in_domains(domain: &Domain, item: &Value<'_>, faults: &mut Faults) {
    faults
        .error(
            item.span(),
            format!("{} is a host of this server: no component can have it", quoted(domain.as_str())),
        )
        .help("take it out of `domains`, or out of `hosts`");
}

fn numbers(
    section: &mut Section<'_, '_>,
    context: &Context<'_>,
    listener: &mut Listener,
    faults: &mut Faults,
) {
    let count = |number: u64| NonZeroUsize::new(usize::try_from(number).unwrap_or(usize::MAX));
    listener.max_fsm_queue = section
        .integer("max_fsm_queue", 1..=u64::from(u32::MAX), "stanzas", faults)
        .and_then(count)
        .or(context.general.max_fsm_queue);
    if let Some(backlog) = section.integer("backlog", 0..=i32::MAX as u64, "connections", faults) {
        listener.backlog = u32::try_from(backlog).unwrap_or(u32::MAX);
    }
    let range = STANZA_FLOOR as u64..=STANZA_CEILING as u64;
    if let Some(bytes) = section.integer_or_infinity("max_stanza_size", range, "bytes", faults) {
        listener.max_stanza_size = usize::try_from(bytes).unwrap_or(STANZA_CEILING);
    }
    let range = 1..=CONNECTIONS_CEILING as u64;
    if let Some(number) = section.integer_or_infinity("max_connections", range, "connections", faults) {
        listener.max_connections = usize::try_from(number).unwrap_or(CONNECTIONS_CEILING);
    }
    if let Some(tasks) = section.integer("num_acceptors", 1..=10_000, "tasks", faults).and_then(count) {
        if tasks.get() > 1 {
            faults.note(format!("num_acceptors = {tasks}: one is plenty here, it accepts without waiting"));
        }
        listener.num_acceptors = tasks;
    }
    let hour = u64::try_from(TIME_CEILING.as_millis()).unwrap_or(u64::MAX);
    if let Some(millis) = section.integer_or_infinity("state_timeout", 1..=hour, "milliseconds", faults) {
        listener.state_timeout = Duration::from_millis(millis);
    }
    if let Some(millis) = section.integer_or_infinity("hibernate_after", 0..=hour, "milliseconds", faults) {
        listener.hibernate_after = Duration::from_millis(millis);
    }
    if let Some(seconds) = section.integer("keepalive", 0..=TIME_CEILING.as_secs(), "seconds", faults) {
        listener.keepalive = (seconds > 0).then(|| Duration::from_secs(seconds));
    }
}
